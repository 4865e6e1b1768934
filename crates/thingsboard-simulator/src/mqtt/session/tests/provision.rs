//! The session of a device without credentials.

use super::*;
use crate::{Profile, Strategy};

const REQUEST: &str = "/provision/request";

fn connected(level: Level) -> Client {
    let mut client = Client::new(level);
    let profile = Profile {
        key: "KEY".to_owned(),
        secret: "SECRET".to_owned(),
        strategy: Strategy::AllowCreateNewDevices,
    };
    client.control().add_profile(profile).unwrap();
    assert_eq!(client.connect(Some("provision"), ""), ["CONNACK 00"]);
    client
}

fn request(name: &str) -> String {
    format!(
        "{{\"deviceName\":\"{name}\",\"provisionDeviceKey\":\"KEY\",\"provisionDeviceSecret\":\"SECRET\",\
         \"credentialsType\":\"ACCESS_TOKEN\",\"token\":\"T-{name}\"}}"
    )
}

#[test]
fn a_new_device_gets_its_credentials_and_the_connection_closes_after_a_minute() {
    for level in [Level::V311, Level::V5] {
        let mut client = connected(level);
        assert_eq!(client.subscribe("/provision/response"), ["SUBACK 01"]);
        let answer = "{\"credentialsValue\":\"T-new\",\"credentialsType\":\"ACCESS_TOKEN\",\"status\":\"SUCCESS\"}";
        assert_eq!(
            client.publish(REQUEST, request("new")),
            [
                "PUBACK 7 00",
                &format!("PUBLISH #1 /provision/response {answer}")
            ]
        );
        assert_eq!(client.send(&[0xc0, 0]), ["PINGRESP"]);
        assert_eq!(client.wait(59_999), [""; 0]);
        assert_eq!(*client.wait(1).last().unwrap(), "close");
        let mut device = Client::of(&client.shared, level, 0);
        assert_eq!(device.connect(Some("T-new"), ""), ["CONNACK 00"]);
    }
}

#[test]
fn requests_that_fail() {
    let mut client = connected(Level::V5);
    for (payload, answer) in [
        (
            request("meter"),
            "{\"errorMsg\":\"Failed to provision device!\",\"status\":\"FAILURE\"}",
        ),
        (
            request("x").replace("SECRET", "WRONG"),
            "{\"errorMsg\":\"Provision data was not found!\",\"status\":\"NOT_FOUND\"}",
        ),
        (String::new(), ""),
    ] {
        let id = client.session.next_id;
        // Without a subscription.
        assert_eq!(
            client.publish(REQUEST, payload),
            [
                "PUBACK 7 00",
                &format!("PUBLISH #{id} /provision/response {answer}")
            ]
        );
    }
    assert_eq!(client.publish(REQUEST, "{"), ["PUBACK 7 99"]);
    assert_eq!(client.publish(REQUEST, "[]"), ["PUBACK 7 99"]);
    assert_eq!(connected(Level::V311).publish(REQUEST, "["), ["close"]);
    assert_eq!(
        client.publish(REQUEST, "{\"deviceName\":\"x\"}"),
        ["PUBACK 7 83", "DISCONNECT 83", "close"]
    );
}

#[test]
fn nothing_else_is_possible() {
    for (level, refused, closed) in [
        (Level::V311, "SUBACK 80", &["PUBACK 7 00", "close"][..]),
        (
            Level::V5,
            "SUBACK 8f",
            &["PUBACK 7 90", "DISCONNECT 90", "close"],
        ),
    ] {
        let mut client = connected(level);
        assert_eq!(client.subscribe("v2/a/j"), [refused]);
        assert_eq!(client.publish("v2/t/j", "{\"a\":1}"), closed);
    }
}
