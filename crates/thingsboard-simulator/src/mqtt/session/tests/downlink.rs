//! Subscriptions, changes of attributes, and commands.

use super::*;
use crate::downlink::{Command, CommandId};
use crate::{RpcStatus, ServerRpc};

impl Client {
    fn set(&self, key: &str, value: i32) {
        let set = self
            .control()
            .set_shared_attribute("meter", key, &value.into());
        set.unwrap();
    }

    fn persistent(&self, method: &str) -> CommandId {
        let rpc = ServerRpc::twoway(method, &1.into());
        let rpc = rpc.with_timeout(std::time::Duration::from_secs(3600));
        self.control()
            .persistent_command("meter", rpc, None)
            .unwrap()
    }

    fn status(&self, command: CommandId) -> RpcStatus {
        self.control().rpc_status(command).unwrap().0
    }

    fn oneway(&self, method: &str) {
        let command = Command {
            method: method.to_owned(),
            params: "{\"a\":1}".to_owned(),
            oneway: true,
            expires_ms: 0,
        };
        let mut state = self.shared.lock();
        drop(state.long_polls.command("meter", command, 60_000).unwrap());
    }
}

#[test]
fn filters() {
    for (filter, v311, v5) in [
        ("v1/devices/me/attributes", "01", "01"),
        ("v2/a/j", "01", "01"),
        ("v1/devices/me/rpc/request/+", "01", "01"),
        ("v2/r/req/j/+", "01", "01"),
        ("v1/devices/me/rpc/response/+", "01", "01"),
        ("v2/fw/response/+/chunk/+", "01", "01"),
        ("#", "80", "8f"),
        ("v1/devices/me/+", "80", "8f"),
        ("$share/g/v2/a/j", "80", "8f"),
    ] {
        for (level, code) in [(Level::V311, v311), (Level::V5, v5)] {
            let mut client = Client::connected(level);
            assert_eq!(
                client.subscribe(filter),
                [format!("SUBACK {code}")],
                "{filter}"
            );
        }
    }
}

#[test]
fn the_last_subscribed_form_has_the_changes_and_its_qos() {
    let mut client = Client::connected(Level::V5);
    client.subscribe("v1/devices/me/attributes");
    client.subscribe("v2/a/j");
    client.set("a", 2);
    client.set("a", 2);
    let keys = ["a".to_owned(), "never".to_owned()];
    let control = client.control();
    control
        .remove_attributes("meter", crate::Scope::Shared, &keys)
        .unwrap();
    control
        .set_client_attribute("meter", "c", &1.into())
        .unwrap();
    assert_eq!(
        client.received(),
        [
            "PUBLISH #1 v2/a/j {\"a\":2}",
            "PUBLISH #2 v2/a/j {\"a\":2}",
            "PUBLISH #3 v2/a/j {\"deleted\":[\"a\",\"never\"]}"
        ]
    );
    let packet = subscribe_packet(Level::V5, "v2/a", 0);
    assert_eq!(client.send(&packet), ["SUBACK 00"]);
    client.set("b", 1);
    assert_eq!(client.received(), ["PUBLISH v2/a {\"b\":1}"]);
    let packet = subscribe_packet(Level::V5, "v2/a/j", 2);
    assert_eq!(client.send(&packet), ["SUBACK 01"]);
}

#[test]
fn unsubscribing() {
    let mut client = Client::connected(Level::V5);
    client.subscribe("v2/a/j");
    let body = [&[0, 9, 0][..], &text("v2/a/j"), &text("v2/r/req/j/+")].concat();
    assert_eq!(client.send(&packet(0xa2, &body)), ["UNSUBACK 00 11"]);
    client.set("a", 1);
    assert_eq!(client.received(), [""; 0]);
}

#[test]
fn a_command_is_delivered_by_its_puback_and_answered_by_its_reply() {
    let mut client = Client::connected(Level::V5);
    let command = client.persistent("open");
    assert_eq!(client.status(command), RpcStatus::Queued);
    assert_eq!(
        client.subscribe("v2/r/req/j/+"),
        [
            "SUBACK 01",
            "PUBLISH #1 v2/r/req/j/0 {\"method\":\"open\",\"params\":1}"
        ]
    );
    assert_eq!(client.status(command), RpcStatus::Sent);
    let active = |client: &Client| {
        client
            .control()
            .activity("meter")
            .unwrap()
            .last_activity_time
    };
    client.now_ms += 1;
    let before = active(&client);
    client.pub_ack(1);
    assert!(active(&client) > before);
    assert_eq!(client.status(command), RpcStatus::Delivered);
    client.publish("v2/r/res/j/0", "{\"done\":true}");
    let status = client.control().rpc_status(command);
    assert_eq!(
        status,
        Some((RpcStatus::Successful, Some("{\"done\":true}".to_owned())))
    );
    let counts = client.control().mqtt_counts("meter").unwrap();
    assert_eq!(
        (counts.pubacks, counts.command_pubacks, counts.in_flight),
        (1, 1, 0)
    );
}

#[test]
fn a_command_without_a_puback_times_out_after_ten_seconds_and_comes_again_on_the_next_connection() {
    let mut client = Client::connected(Level::V5);
    client.subscribe("v2/r/req/j/+");
    let command = client.persistent("open");
    client.oneway("flash");
    let sent = client.received();
    assert_eq!(sent.len(), 2, "{sent:?}");
    client.wait(9_999);
    assert_eq!(client.status(command), RpcStatus::Sent);
    client.wait(1);
    assert_eq!(client.status(command), RpcStatus::Timeout);
    // The PUBACK is too late, and not counted as delivery.
    client.pub_ack(1);
    assert_eq!(client.status(command), RpcStatus::Timeout);
    let mut second = client.another();
    let received = second.subscribe("v2/r/req/j/+");
    assert_eq!(
        received,
        [
            "SUBACK 01",
            "PUBLISH #1 v2/r/req/j/0 {\"method\":\"open\",\"params\":1}"
        ]
    );
    // What was in flight on the first connection is not any more.
    assert_eq!(client.received(), ["DISCONNECT 8e", "close"]);
    let counts = client.control().mqtt_counts("meter").unwrap();
    assert_eq!((counts.downlinks, counts.in_flight), (3, 1));
}

#[test]
fn at_qos_0_a_command_is_delivered_by_being_sent() {
    let mut client = Client::connected(Level::V311);
    let command = client.persistent("open");
    client.send(&subscribe_packet(
        Level::V311,
        "v1/devices/me/rpc/request/+",
        0,
    ));
    assert_eq!(client.status(command), RpcStatus::Delivered);
}

#[test]
fn after_packet_id_65535_comes_0_and_its_puback_closes_the_connection() {
    let client = Client::new(Level::V5);
    client.settings(|settings| settings.first_packet_id = 65_535);
    let mut client = client.another();
    client.subscribe("v2/a/j");
    client.set("a", 1);
    client.set("a", 2);
    assert_eq!(
        client.received(),
        [
            "PUBLISH #65535 v2/a/j {\"a\":1}",
            "PUBLISH #0 v2/a/j {\"a\":2}"
        ]
    );
    assert_eq!(client.pub_ack(65_535), [""; 0]);
    assert_eq!(client.pub_ack(0), ["DISCONNECT 81", "close"]);
}

#[test]
fn good_pubacks_can_be_delayed_and_rejections_overtake_them() {
    let mut client = Client::connected(Level::V5);
    client.subscribe("v2/a/j");
    client.settings(|settings| settings.puback_delay = std::time::Duration::from_millis(50));
    assert_eq!(client.publish("v2/t/j", "{\"a\":1}"), [""; 0]);
    assert_eq!(client.publish("v2/a/req/j/1", "{}"), [""; 0]);
    assert_eq!(client.publish("v2/t/j", "["), ["PUBACK 7 99"]);
    client.set("s", 1);
    assert_eq!(client.received(), ["PUBLISH #2 v2/a/j {\"s\":1}"]);
    assert_eq!(
        client.wait(50),
        ["PUBACK 7 00", "PUBACK 7 00", "PUBLISH #1 v2/a/res/j/1 {}"]
    );
}

#[test]
fn a_dead_subscription_is_granted_and_gets_nothing() {
    let mut client = Client::connected(Level::V5);
    client.control().deaden_subscriptions(1);
    assert_eq!(client.subscribe("v2/a/j"), ["SUBACK 01"]);
    client.set("a", 1);
    assert_eq!(client.received(), [""; 0]);
    assert_eq!(client.subscribe("v2/a/j"), ["SUBACK 01"]);
    client.set("a", 2);
    assert_eq!(client.received(), ["PUBLISH #1 v2/a/j {\"a\":2}"]);
}
