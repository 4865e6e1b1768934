//! CONNECT, and how connections end.

use super::*;

#[test]
fn credentials() {
    for (user, client_id, v311, v5) in [
        (Some(TOKEN), "", "00", "00"),
        (Some(TOKEN), "any", "00", "00"),
        (Some("wrong"), "", "05", "86"),
        (Some(""), "", "05", "86"),
        (Some("A1_TEST_TOKEN "), "", "05", "86"),
        (None, "", "05", "87"),
        (None, "only", "02", "85"),
        (Some("provision"), "", "00", "00"),
        (None, "provision", "00", "00"),
    ] {
        for (level, code) in [(Level::V311, v311), (Level::V5, v5)] {
            let mut client = Client::new(level);
            let mut expected = vec![format!("CONNACK {code}")];
            if code != "00" {
                if level == Level::V5 {
                    expected.push(format!("DISCONNECT {code}"));
                }
                expected.push("close".to_owned());
            }
            assert_eq!(
                client.connect(user, client_id),
                expected,
                "{level:?} {user:?} {client_id}"
            );
        }
    }
}

#[test]
fn other_levels_and_protocols_are_closed_without_a_word() {
    for level in [3, 6, 99] {
        let mut client = Client::new(Level::V5);
        let mut packet = connect_packet(Level::V5, Some(TOKEN), "", true);
        packet[8] = level;
        assert_eq!(client.send(&packet), ["close"], "{level}");
    }
}

#[test]
fn clean_start_0_finds_a_session_that_keeps_nothing_and_a_second_connect_is_accepted() {
    let mut client = Client::new(Level::V5);
    let packet = connect_packet(Level::V5, Some(TOKEN), "", false);
    assert_eq!(client.send(&packet), ["CONNACK 00 present"]);
    assert_eq!(client.connect(Some("wrong"), ""), ["CONNACK 00"]);
    assert_eq!(client.publish("v2/t/j", "{\"a\":1}"), ["PUBACK 7 00"]);
}

#[test]
fn a_newer_connection_displaces_the_older() {
    for (level, expected) in [
        (Level::V311, &["close"][..]),
        (Level::V5, &["DISCONNECT 8e", "close"]),
    ] {
        let mut first = Client::connected(level);
        let mut second = first.another();
        assert_eq!(first.received(), expected);
        let counts = first.control().mqtt_counts("meter").unwrap();
        assert_eq!((counts.connects, counts.connections), (2, 1));
        // The end of the first does not take the subscription of the second away.
        assert_eq!(second.subscribe("v2/a/j"), ["SUBACK 01"]);
        first
            .control()
            .set_shared_attribute("meter", "s", &1.into())
            .unwrap();
        assert_eq!(second.received(), ["PUBLISH #1 v2/a/j {\"s\":1}"]);
    }
}

#[test]
fn another_token_or_no_device_closes_the_connection() {
    for (level, expected) in [
        (Level::V311, &["close"][..]),
        (Level::V5, &["DISCONNECT 98", "close"]),
    ] {
        let mut client = Client::connected(level);
        client.control().add_device("meter", TOKEN).unwrap();
        assert_eq!(client.received(), [""; 0]);
        client.control().add_device("meter", "OTHER").unwrap();
        assert_eq!(client.received(), expected);
        let mut client = Client::connected(level);
        client.control().remove_device("meter");
        assert_eq!(client.received(), expected);
    }
}

#[test]
fn at_most_100_packets_wait_for_the_connack() {
    for (waiting, expected) in [(100, "CONNACK 00"), (101, "DISCONNECT 97")] {
        let mut client = Client::new(Level::V5);
        client.settings(|settings| settings.connack_delay = std::time::Duration::from_millis(5));
        let mut received = client.connect(Some(TOKEN), "");
        for _ in 0..waiting {
            received.extend(client.publish("v2/t/j", "{\"early\":1}"));
        }
        received.extend(client.wait(5));
        assert_eq!(received[0], expected);
        let stored = client
            .control()
            .latest_telemetry("meter", "early")
            .is_some();
        assert_eq!(stored, waiting == 100);
        let acknowledged = received.iter().filter(|shown| *shown == "PUBACK 7 00");
        assert_eq!(acknowledged.count(), if waiting == 100 { 100 } else { 0 });
    }
}

#[test]
fn an_exception_before_the_connack_is_swallowed_and_holds_up_what_is_behind_it() {
    let mut client = Client::new(Level::V5);
    let ping = [0xc0, 0];
    let packets = [
        publish_packet(Level::V5, "v2/t/j", b"{\"ts\":\"x\",\"values\":{}}", 1, 1),
        publish_packet(Level::V5, "v2/t/j", b"{\"a\":1}", 1, 2),
        connect_packet(Level::V5, Some(TOKEN), "", true),
    ];
    assert_eq!(client.send(&packets.concat()), ["CONNACK 00"]);
    assert_eq!(client.send(&ping), ["PUBACK 2 00", "PINGRESP"]);
}

#[test]
fn before_connect_nothing_is_answered() {
    let mut client = Client::new(Level::V5);
    assert_eq!(client.publish("v2/t/j", "{}"), [""; 0]);
    assert_eq!(client.send(&[0xc0, 0]), [""; 0]);
}

#[test]
fn ten_minutes_without_a_packet_close_the_connection_and_pings_keep_it() {
    let mut client = Client::connected(Level::V5);
    client.subscribe("v2/a/j");
    for _ in 0..3 {
        assert_eq!(client.wait(599_999), [""; 0]);
        assert_eq!(client.send(&[0xc0, 0]), ["PINGRESP"]);
    }
    // A message to the device is none of its own.
    client.wait(300_000);
    client
        .control()
        .set_shared_attribute("meter", "s", &1.into())
        .unwrap();
    assert_eq!(client.received().len(), 1);
    assert_eq!(client.session.next_timeout(), Some(client.now_ms + 300_000));
    assert_eq!(client.wait(300_000), ["DISCONNECT 83", "close"]);
    let activity = client.control().activity("meter").unwrap();
    assert_eq!(activity.last_activity_time, activity.last_disconnect_time);
    assert_eq!(client.control().mqtt_counts("meter").unwrap().pings, 3);
}

#[test]
fn a_disconnect_closes_without_a_word() {
    let mut client = Client::connected(Level::V5);
    client.now_ms += 5;
    assert_eq!(client.send(&[0xe0, 0]), ["close"]);
    let activity = client.control().activity("meter").unwrap();
    assert_eq!(
        activity.last_disconnect_time - activity.last_connect_time,
        5
    );
    // No message for it is queued any more.
    assert!(client.mailbox.is_closed());
    assert_eq!(
        client.control().mqtt_counts("meter").unwrap().connections,
        0
    );
}
