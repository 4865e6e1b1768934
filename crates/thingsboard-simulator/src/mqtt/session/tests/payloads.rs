//! Each row of what was seen of PUBLISHes on a live server: the payload, what MQTT 3.1.1 gets, and what MQTT 5 gets.

use super::*;

/// A PUBACK with success.
const ACK: &[&str] = &["PUBACK 7 00"];
const INVALID: &[&str] = &["PUBACK 7 99"];
const CLOSE: &[&str] = &["close"];
const NOTHING: &[&str] = &[];

/// Sends each payload on a connection of its own.
fn check(topic: &str, rows: &[(&[u8], &[&str], &[&str])]) {
    for &(payload, v311, v5) in rows {
        for (level, expected) in [(Level::V311, v311), (Level::V5, v5)] {
            let mut client = Client::connected(level);
            let received = client.publish(topic, payload);
            let payload = String::from_utf8_lossy(payload);
            assert_eq!(received, expected, "{level:?} {topic} {payload:.60}");
            if !client.session.is_closed() {
                // The connection stays.
                assert_eq!(client.send(&[0xc0, 0]), ["PINGRESP"], "{payload:.60}");
            }
        }
    }
}

#[test]
fn telemetry() {
    let disconnect = &["DISCONNECT 8b", "close"];
    let rows: &[(&[u8], &[&str], &[&str])] = &[
        (b"{\"t\":1}", ACK, ACK),
        (b"[{\"t\":1},{\"t\":2}]", ACK, ACK),
        (b"{\"ts\":1700000000000,\"values\":{\"t\":1}}", ACK, ACK),
        (b"{temperature:25}", ACK, ACK),
        (b"{}", ACK, ACK),
        (b"{\"a\":null}", ACK, ACK),
        (b"{\"a\":\"\xff\"}", ACK, ACK),
        (b"{\"ts\":1}", ACK, ACK),
        (b"{", CLOSE, INVALID),
        (b"text", CLOSE, INVALID),
        (b"5", CLOSE, INVALID),
        (b"null", CLOSE, INVALID),
        (b"[1]", CLOSE, INVALID),
        (b"", CLOSE, INVALID),
        (b"{\"ts\":1,\"values\":[]}", CLOSE, INVALID),
        (b"[]", NOTHING, NOTHING),
        (b"{\"ts\":\"x\",\"values\":{\"t\":1}}", CLOSE, disconnect),
        (b"{\"ts\":null,\"values\":{\"t\":1}}", CLOSE, disconnect),
    ];
    for topic in ["v1/devices/me/telemetry", "v2/t", "v2/t/j"] {
        check(topic, rows);
    }
    check("v2/t/p", &[(b"{\"t\":1}", CLOSE, INVALID)]);
}

#[test]
fn the_values_are_those_that_http_would_store() {
    let mut client = Client::connected(Level::V5);
    client.publish("v2/t/j", "{\"ts\":1,\"a\":\"25\"}");
    client.publish("v2/t/j", "{\"ts\":9,\"values\":{\"b\":1}}");
    client.publish("v2/a/j", "{\"c\":{\"d\":null},\"e\":null}");
    let control = client.control();
    let latest = |key| control.latest_telemetry("meter", key);
    assert_eq!(latest("ts").unwrap().1, 1);
    assert_eq!(latest("a").unwrap().1, 25);
    assert_eq!(latest("b").unwrap(), (9, 1.into()));
    let attributes = control.attributes("meter", crate::Scope::Client);
    assert_eq!(attributes.unwrap().to_string(), "{\"c\":{\"d\":null}}");
}

#[test]
fn attributes() {
    let rows: &[(&[u8], &[&str], &[&str])] = &[
        (b"{\"a\":1}", ACK, ACK),
        (b"{a:on,b:{c:[1]}}", ACK, ACK),
        (b"{}", ACK, ACK),
        (b"{\"a\":null}", ACK, ACK),
        (b"[{\"a\":1}]", CLOSE, INVALID),
        (b"5", CLOSE, INVALID),
        (b"null", CLOSE, INVALID),
        (b"{", CLOSE, INVALID),
        (b"", CLOSE, INVALID),
    ];
    for topic in ["v1/devices/me/attributes", "v2/a", "v2/a/j"] {
        check(topic, rows);
    }
}

#[test]
fn topics_that_do_not_exist_are_acknowledged_in_3_1_1_and_lost() {
    let rejected = &["PUBACK 7 90"];
    for topic in ["nowhere", "v2/fw/request/x/chunk/0", "v1/devices/me", ""] {
        check(topic, &[(b"{}", ACK, rejected)]);
    }
    check("v1/gateway/telemetry", &[(b"{}", NOTHING, NOTHING)]);
}

#[test]
fn sizes_and_malformed_packets() {
    let malformed = &["DISCONNECT 81", "close"][..];
    // On the v1 topic with MQTT 5: 2 + 23 bytes of topic, 2 of the packet id, 1 of properties.
    let text = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
    check(
        "v1/devices/me/telemetry",
        &[
            (text(60_000).as_bytes(), ACK, ACK),
            (text(65_508).as_bytes(), ACK, ACK),
            (text(65_510).as_bytes(), CLOSE, malformed),
            (text(70_000).as_bytes(), CLOSE, malformed),
        ],
    );
    check("v2/t/+", &[(b"{}", CLOSE, malformed)]);
    for (level, expected) in [(Level::V311, CLOSE), (Level::V5, malformed)] {
        let mut client = Client::connected(level);
        let packet = publish_packet(level, "v2/t/j", b"{}", 1, 0);
        assert_eq!(client.send(&packet), expected);
    }
}

#[test]
fn qos_0_is_silent_or_closes_and_qos_2_is_acknowledged_as_qos_1() {
    for (level, closed) in [
        (Level::V311, CLOSE),
        (Level::V5, &["DISCONNECT 99", "close"][..]),
    ] {
        let mut client = Client::connected(level);
        assert_eq!(
            client.send(&publish_packet(level, "v2/t/j", b"{\"q\":0}", 0, 0)),
            NOTHING
        );
        assert_eq!(
            client.send(&publish_packet(level, "v2/t/j", b"{\"q\":2}", 2, 7)),
            ACK
        );
        assert_eq!(
            client.control().latest_telemetry("meter", "q").unwrap().1,
            2
        );
        assert_eq!(
            client.send(&publish_packet(level, "v2/t/j", b"{", 0, 0)),
            closed
        );
    }
}

#[test]
fn requests_for_attributes() {
    let topic = "v1/devices/me/attributes/request/7";
    let rows: &[(&[u8], &[&str], &[&str])] = &[
        (b"", CLOSE, INVALID),
        (b"{", CLOSE, INVALID),
        (b"[]", CLOSE, INVALID),
        (b"{\"clientKeys\":[\"a\",\"b\"]}", CLOSE, INVALID),
        (b"{\"clientKeys\":\"\"}", ACK, ACK),
    ];
    check(topic, rows);
    let all: &[u8] = b"{}";
    for id in ["x", "", "2147483648", "1.5"] {
        let topic = format!("v1/devices/me/attributes/request/{id}");
        check(&topic, &[(all, CLOSE, INVALID)]);
    }
    check("v2/a/req/j/-1", &[(all, ACK, ACK)]);
}

#[test]
fn answers_have_the_attributes_that_exist() {
    let mut client = Client::connected(Level::V5);
    let control = client.control();
    control
        .set_client_attribute("meter", "a", &1.into())
        .unwrap();
    control
        .set_shared_attribute("meter", "s", &"x".into())
        .unwrap();
    let all = "{\"client\":{\"a\":1},\"shared\":{\"s\":\"x\"}}";
    for (topic, answer_topic, request, answer) in [
        ("v2/a/req/j/007", "v2/a/res/j/7", "{}", all),
        ("v2/a/req/7", "v2/a/res/7", "{\"x\":1}", all),
        (
            "v1/devices/me/attributes/request/7",
            "v1/devices/me/attributes/response/7",
            "{\"clientKeys\":\"a,b\",\"sharedKeys\":\"c\"}",
            "{\"client\":{\"a\":1}}",
        ),
        ("v2/a/req/j/7", "v2/a/res/j/7", "{sharedKeys:' s'}", "{}"),
        (
            "v2/a/req/j/7",
            "v2/a/res/j/7",
            "{sharedKeys:'s,'}",
            "{\"shared\":{\"s\":\"x\"}}",
        ),
    ] {
        let id = client.session.next_id;
        let received = client.publish(topic, request);
        let answer = format!("PUBLISH #{id} {answer_topic} {answer}");
        assert_eq!(received, ["PUBACK 7 00", &answer], "{topic} {request}");
    }
    control.fail_attribute_store(1);
    assert_eq!(client.publish("v2/a/req/j/8", "{}"), ACK);
}

#[test]
fn client_side_rpc() {
    let exception = &["DISCONNECT 8b", "close"][..];
    let topic = "v1/devices/me/rpc/request/7";
    let rows: &[(&[u8], &[&str], &[&str])] = &[
        (b"[]", CLOSE, INVALID),
        (b"5", CLOSE, INVALID),
        (b"{", CLOSE, INVALID),
        (b"", CLOSE, INVALID),
        (b"{\"params\":{}}", CLOSE, exception),
        (b"{\"method\":\"silent\"}", ACK, ACK),
    ];
    check(topic, rows);
    check(
        "v2/r/req/j/x",
        &[(b"{\"method\":\"echo\",\"params\":1}", CLOSE, exception)],
    );
}

#[test]
fn the_rule_chain_answers_or_the_timeout_does() {
    let mut client = Client::connected(Level::V5);
    assert_eq!(
        client.publish("v2/r/req/j/5", "{\"method\":\"echo\",\"params\":{\"b\":1}}"),
        ["PUBACK 7 00", "PUBLISH #1 v2/r/res/j/5 {\"b\":1}"]
    );
    assert_eq!(client.publish("v2/r/req/6", "{\"method\":\"silent\"}"), ACK);
    assert_eq!(client.wait(59_999), NOTHING);
    assert_eq!(
        client.wait(1),
        ["PUBLISH #2 v2/r/res/6 {\"error\":\"timeout\"}"]
    );
    client.settings(|settings| {
        settings.message_limit = Some(crate::RateLimit {
            messages: 200,
            period: std::time::Duration::from_secs(1),
        });
    });
    let limits = "{\"maxPayloadSize\":65536,\"maxInflightMessages\":100,\"rateLimits\":{\"messages\":\"200:1\"}}";
    assert_eq!(
        client.publish(
            "v1/devices/me/rpc/request/1",
            "{\"method\":\"getSessionLimits\",\"params\":{}}"
        ),
        [
            "PUBACK 7 00",
            &format!("PUBLISH #3 v1/devices/me/rpc/response/1 {limits}")
        ]
    );
    // The method of the v1 topic only.
    assert_eq!(
        client.publish("v2/r/req/j/2", "{\"method\":\"getSessionLimits\"}"),
        ACK
    );
}

#[test]
fn claims() {
    let exception = &["DISCONNECT 8b", "close"][..];
    let rows: &[(&[u8], &[&str], &[&str])] = &[
        (b"{}", ACK, ACK),
        (b"", ACK, ACK),
        (b"{\"secretKey\":\"k\",\"durationMs\":60000}", ACK, ACK),
        (b"{", CLOSE, INVALID),
        (b"text", CLOSE, INVALID),
        (b"[]", CLOSE, INVALID),
        (b"{\"durationMs\":\"soon\"}", CLOSE, exception),
    ];
    check("v1/devices/me/claim", rows);
}

#[test]
fn replies_to_commands_are_acknowledged_whatever_they_are() {
    let rows: &[(&[u8], &[&str], &[&str])] = &[
        (b"{\"a\":1}", ACK, ACK),
        (b"[1]", ACK, ACK),
        (b"null", ACK, ACK),
        (b"", ACK, ACK),
        (b"text", ACK, ACK),
        (b"{", ACK, ACK),
        (b"\xff", ACK, ACK),
    ];
    for topic in [
        "v1/devices/me/rpc/response/99",
        "v2/r/res/99",
        "v2/r/res/j/99",
    ] {
        check(topic, rows);
    }
    check("v2/r/res/j/x", &[(b"{}", CLOSE, INVALID)]);
}

#[test]
fn arrivals_have_the_topic_and_the_code_and_activity_is_that_of_what_was_accepted() {
    let mut client = Client::connected(Level::V5);
    let active = |client: &Client| {
        client
            .control()
            .activity("meter")
            .unwrap()
            .last_activity_time
    };
    for (topic, payload, moves, code) in [
        ("v2/t/j", "{\"a\":1}", true, Some(0)),
        ("v2/t/j", "[1]", false, Some(0x99)),
        ("v2/t/j", "[]", false, None),
        ("nowhere", "{}", true, Some(0x90)),
        ("v2/a/req/j/1", "{}", true, Some(0)),
    ] {
        client.now_ms += 1;
        let before = active(&client);
        client.publish(topic, payload);
        assert_eq!(active(&client) > before, moves, "{topic} {payload}");
        let last = client.arrivals().pop().unwrap();
        assert_eq!(last, (topic.to_owned(), code));
    }
}
