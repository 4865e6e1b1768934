//! Rate limits, and used up API usage.

use super::*;
use crate::RateLimit;
use std::time::Duration;

fn limit(messages: u32) -> Option<RateLimit> {
    let period = Duration::from_secs(10);
    Some(RateLimit { messages, period })
}

const CLOSED: [(Level, &[&str]); 2] = [
    (Level::V311, &["close"]),
    (Level::V5, &["DISCONNECT 83", "close"]),
];

#[test]
fn the_sixth_telemetry_in_ten_seconds_closes_the_connection() {
    for (level, expected) in CLOSED {
        let mut client = Client::connected(level);
        client.settings(|settings| settings.telemetry_limit = limit(5));
        let ack = ["PUBACK 7 00"];
        for payload in ["{\"a\":1}", "[{\"a\":1},{\"a\":2}]", "{}"] {
            assert_eq!(client.publish("v2/t/j", payload), ack);
        }
        // Attributes count, what is refused does not.
        assert_eq!(client.publish("v2/a/j", "{\"a\":1}"), ack);
        if level == Level::V5 {
            assert_eq!(client.publish("v2/t/j", "["), ["PUBACK 7 99"]);
        }
        assert_eq!(client.publish("v2/t/j", "{\"a\":1}"), ack);
        assert_eq!(client.publish("v2/t/j", "{\"late\":1}"), expected);
        assert_eq!(client.control().latest_telemetry("meter", "late"), None);
        // CONNECT and SUBSCRIBE still work, and two seconds later one more message.
        let mut client = client.another();
        client.subscribe("v2/a/j");
        client.wait(2_000);
        assert_eq!(client.publish("v2/t/j", "{\"a\":1}"), ack);
        let packet = publish_packet(level, "v2/t/j", b"{\"a\":1}", 0, 0);
        assert_eq!(client.send(&packet), expected);
    }
}

#[test]
fn requests_replies_and_claims_count_as_messages_and_pings_and_telemetry_do_not() {
    for (level, expected) in CLOSED {
        let client = Client::new(level);
        client.settings(|settings| settings.message_limit = limit(5));
        // The CONNECT is the first.
        let mut client = client.another();
        for (topic, payload) in [
            ("v2/a/req/j/1", "{}"),
            ("v2/r/req/j/1", "{\"method\":\"echo\"}"),
            ("v2/r/res/j/1", "{}"),
            ("v1/devices/me/claim", "{}"),
        ] {
            assert_eq!(client.publish("v2/t/j", "{\"a\":1}"), ["PUBACK 7 00"]);
            assert_eq!(client.send(&[0xc0, 0]), ["PINGRESP"]);
            assert_eq!(client.publish(topic, payload)[0], "PUBACK 7 00", "{topic}");
        }
        assert_eq!(client.publish("v2/r/res/j/1", "{}"), expected);
    }
}

#[test]
fn a_connect_over_the_limit_is_refused() {
    for (level, expected) in [
        (Level::V311, &["CONNACK 03", "close"][..]),
        (Level::V5, &["CONNACK 9f", "DISCONNECT 96", "close"]),
    ] {
        let client = Client::new(level);
        client.settings(|settings| settings.message_limit = limit(1));
        drop(client.another());
        let mut second = Client::of(&client.shared, level, client.now_ms);
        assert_eq!(second.connect(Some(TOKEN), ""), expected);
        client.settings(|settings| {
            settings.message_limit = None;
            settings.usage_exhausted = true;
        });
        let mut third = Client::of(&client.shared, level, client.now_ms);
        assert_eq!(third.connect(Some(TOKEN), ""), expected);
    }
}

#[test]
fn a_subscribe_over_the_limit_is_granted_but_dead_for_good() {
    let client = Client::new(Level::V5);
    client.settings(|settings| settings.message_limit = limit(2));
    let mut client = client.another();
    assert_eq!(client.subscribe("v2/r/req/j/+"), ["SUBACK 01"]);
    assert_eq!(client.subscribe("v2/a/j"), ["SUBACK 01"]);
    client.wait(60_000);
    client
        .control()
        .set_shared_attribute("meter", "a", &1.into())
        .unwrap();
    assert_eq!(client.received(), [""; 0]);
}

#[test]
fn used_up_usage_closes_at_the_next_publish() {
    for (level, expected) in CLOSED {
        let mut client = Client::connected(level);
        client.settings(|settings| settings.usage_exhausted = true);
        assert_eq!(client.send(&[0xc0, 0]), ["PINGRESP"]);
        assert_eq!(client.publish("v2/t/j", "{\"a\":1}"), expected);
    }
}
