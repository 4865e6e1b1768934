//! The device API of the real binary, with a client that shares no code with it and a simulated ThingsBoard.
//!
//! Each test has a gateway, a simulator and certificates of its own. At its end no token or key may be in a log
//! (`test_support::world`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use test_support::closed_port::ClosedPort;
use test_support::coap::{
    ACK, BLOCK1, BLOCK2, CON, CONTENT_FORMAT, DELETE, MAX_AGE, Message, NON, POST, PUT, RST, SIZE1,
    URI_HOST, URI_PORT, get, post,
};
use test_support::device::code;
use test_support::world::{Options, World};

const JSON: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_arrive_byte_for_byte_for_the_device_of_the_certificate() {
    let world = World::start();
    let device = world.meter().await;
    // ThingsBoard parses this leniently; a strict parser in the gateway would reject it.
    let body = " {temperature: 25, 'a':1}\n";
    for (path, upstream, body) in [
        (
            vec!["api", "v1", "telemetry"],
            "/api/v1/{token}/telemetry",
            body,
        ),
        (
            vec!["api", "v1", "attributes"],
            "/api/v1/{token}/attributes",
            r#"{"model":"ü"}"#,
        ),
        (
            vec!["api", "v1", "claim"],
            "/api/v1/{token}/claim",
            r#"{"durationMs":60000}"#,
        ),
        (vec!["api", "v1", "claim"], "/api/v1/{token}/claim", ""),
        (
            vec!["api", "v1", "rpc", "17"],
            "/api/v1/{token}/rpc/17",
            r#"{"ok":true}"#,
        ),
    ] {
        let response = device.request(post(&path, body)).await;
        assert_eq!(
            (code(&response), response.message.text()),
            ("2.01".to_owned(), String::new()),
            "{path:?}"
        );
        world.assert_last_post(upstream, "meter-17", body);
    }
    let pump = world.connect(&world.pump).await;
    assert_eq!(pump.post_telemetry("{a:1}").await, "2.01");
    world.assert_last_post("/api/v1/{token}/telemetry", "pump-03", "{a:1}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_spelling_of_a_path_that_devices_use_is_accepted() {
    let world = World::start();
    let device = world.meter().await;
    let body = "{a:1}";
    for path in [
        vec!["api/v1/telemetry"],
        vec!["/api/v1/telemetry"],
        vec!["api/v1/anything/telemetry"],
        vec!["api", "v1", "Telemetry"],
        vec!["api", "v1", "TELEMETRY"],
        vec!["api", "v1", "anything", "tElEmEtRy"],
    ] {
        assert_eq!(
            code(&device.request(post(&path, body)).await),
            "2.01",
            "{path:?}"
        );
        world.assert_last_post("/api/v1/{token}/telemetry", "meter-17", body);
    }
    let with_host = post(&["api", "v1", "telemetry"], body)
        .option(URI_HOST, "gateway.example")
        .option(URI_PORT, 5684u16.to_be_bytes());
    assert_eq!(code(&device.request(with_host).await), "2.01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_resource_or_method_is_refused_and_not_forwarded() {
    let world = World::start();
    let device = world.meter().await;
    for path in [
        vec!["api", "v1"],
        vec!["api", "v1", "nonsense"],
        vec!["api"],
        vec!["api", "v1", "..", ".."],
    ] {
        let response = device.request(post(&path, "{}")).await;
        assert!(code(&response).starts_with("4.0"), "{path:?}: {response:?}");
    }
    for method in [PUT, DELETE] {
        let request = Message::request(CON, method, &["api", "v1", "telemetry"]);
        assert_eq!(code(&device.request(request).await), "4.05");
    }
    // ThingsBoard's own transport responds with 4.00, RFC 7252 §5.8 requires 4.05.
    let unreadable = device.request(get(&["api", "v1", "telemetry"])).await;
    assert!(
        matches!(code(&unreadable).as_str(), "4.00" | "4.05"),
        "{unreadable:?}"
    );
    // 65001 is critical (odd) and not registered (RFC 7252 §5.4.1).
    let unknown = post(&["api", "v1", "telemetry"], "{}").option(65001, "x");
    assert_eq!(code(&device.request(unknown).await), "4.02");
    assert_eq!(world.simulator.arrivals(), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attributes_are_read_with_the_requested_keys() {
    let world = World::start();
    let device = world.meter().await;
    let path = ["api", "v1", "attributes"];
    let nothing = device.request(get(&path)).await;
    assert_eq!(code(&nothing), "4.04");
    world.simulator.post(
        "/simulator/devices/meter-17/attributes/shared",
        &json!({ "interval": 60, "unit": "C" }),
    );
    let all = device.request(get(&path)).await;
    assert_eq!(
        (code(&all), all.message.uint(CONTENT_FORMAT)),
        ("2.05".to_owned(), Some(JSON))
    );
    let body: Value = serde_json::from_slice(&all.message.payload).unwrap();
    assert_eq!(body, json!({ "shared": { "interval": 60, "unit": "C" } }));
    let some = device
        .request(
            get(&path)
                .query("sharedKeys=unit")
                .query("clientKeys=model"),
        )
        .await;
    let body: Value = serde_json::from_slice(&some.message.payload).unwrap();
    assert_eq!(body, json!({ "shared": { "unit": "C" } }));
    let query = world.simulator.arrivals().last().unwrap()["query"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        query.contains("clientKeys=model") && query.contains("sharedKeys=unit"),
        "{query}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_side_rpc_gets_the_rule_chains_reply_or_a_timeout() {
    let world = World::start();
    world
        .simulator
        .put("/simulator/rpc/getLimit", &json!({ "limit": 7 }));
    world
        .simulator
        .put("/simulator/timeouts", &json!({ "asyncMs": 300 }));
    let device = world.meter().await;
    let path = ["api", "v1", "rpc"];
    let reply = device
        .request(post(&path, r#"{"method":"getLimit","params":{}}"#))
        .await;
    assert_eq!(
        (code(&reply), reply.message.uint(CONTENT_FORMAT)),
        ("2.05".to_owned(), Some(JSON))
    );
    assert_eq!(
        serde_json::from_slice::<Value>(&reply.message.payload).unwrap(),
        json!({ "limit": 7 })
    );
    let silence = device
        .request(post(&path, r#"{"method":"unknownMethod","params":{}}"#))
        .await;
    assert_eq!(code(&silence), "5.04");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn provisioning_succeeds_or_fails_with_thingsboards_response() {
    let mut world = World::with(&Options {
        clients: "provision = true",
        ..Options::default()
    });
    world.keep_secret("Pr0visionSecret");
    let profile = json!({ "secret": "Pr0visionSecret", "strategy": "ALLOW_CREATE_NEW_DEVICES" });
    world
        .simulator
        .put("/simulator/profiles/PROFILE-KEY", &profile);
    let new_device = world.authority.device("new-device");
    let device = world.connect(&new_device).await;
    let provision = |secret: &str| {
        let body = json!({ "deviceName": "new-device", "provisionDeviceKey": "PROFILE-KEY", "provisionDeviceSecret": secret });
        post(&["api", "v1", "provision"], &body.to_string())
    };
    let refused = device.request(provision("wrong")).await;
    assert_eq!(code(&refused), "4.00");
    let body: Value = serde_json::from_slice(&refused.message.payload).unwrap();
    assert_eq!(body["status"], "NOT_FOUND");
    let accepted = device.request(provision("Pr0visionSecret")).await;
    assert_eq!(code(&accepted), "2.01");
    let body: Value = serde_json::from_slice(&accepted.message.payload).unwrap();
    assert_eq!(body["status"], "SUCCESS");
    world.keep_secret(body["credentialsValue"].as_str().unwrap());
    // The registry is unchanged: an operator must add the device before it can post.
    assert_eq!(device.post_telemetry("{}").await, "4.01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_resources_are_discoverable() {
    let world = World::start();
    let device = world.meter().await;
    let links = device.request(get(&[".well-known", "core"])).await;
    // 40 is application/link-format (RFC 6690 §7.3).
    assert_eq!(
        (code(&links), links.message.uint(CONTENT_FORMAT)),
        ("2.05".to_owned(), Some(40))
    );
    assert!(
        links.message.text().contains("</api/v1/telemetry>"),
        "{}",
        links.message.text()
    );
    assert_eq!(world.simulator.arrivals(), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_gets_a_reset_and_a_non_confirmable_request_a_non_confirmable_response() {
    let world = World::start();
    let device = world.meter().await;
    device
        .send(
            &Message {
                kind: CON,
                id: 0x1234,
                ..Message::default()
            }
            .encode(),
        )
        .await;
    let pong = Message::decode(&device.receive().await);
    assert_eq!(
        pong,
        Message {
            kind: RST,
            id: 0x1234,
            ..Message::default()
        }
    );
    let request = Message::request(NON, POST, &["api", "v1", "telemetry"]).payload("{a:1}");
    let response = device.request(request).await;
    assert_eq!(
        (code(&response), response.message.kind),
        ("2.01".to_owned(), NON)
    );
    let response = device
        .request(post(&["api", "v1", "telemetry"], "{a:2}"))
        .await;
    assert!(response.message.kind != NON, "{response:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duplicate_request_is_answered_again_and_forwarded_once() {
    let world = World::start();
    let device = world.meter().await;
    let request = Message {
        id: 7,
        token: vec![1, 2],
        ..post(&["api", "v1", "telemetry"], "{a:1}")
    }
    .encode();
    device.send(&request).await;
    let first = device.receive().await;
    device.send(&request).await;
    assert_eq!(device.receive().await, first);
    assert_eq!(world.simulator.arrivals().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_is_down_is_service_unavailable_with_max_age() {
    let closed = ClosedPort::bind();
    let world = World::with(&Options {
        url: Some(closed.url()),
        ..Options::default()
    });
    let device = world.meter().await;
    let response = device
        .request(post(&["api", "v1", "telemetry"], "{a:1}"))
        .await;
    assert_eq!(code(&response), "5.03");
    assert!(
        response
            .message
            .uint(MAX_AGE)
            .is_some_and(|seconds| seconds > 0),
        "{response:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_upstream_failure_has_its_response_code() {
    let world = World::with(&Options {
        upstream: "timeout = \"1s\"",
        ..Options::default()
    });
    let device = world.meter().await;
    let rows = [
        (json!({ "status": 400 }), "4.00"),
        (json!({ "status": 401 }), "4.01"),
        (
            json!({ "status": 403, "body": "Device was deleted!" }),
            "4.03",
        ),
        // ThingsBoard never answers these resources with such a status: the upstream URL is another server's.
        (json!({ "status": 404 }), "5.02"),
        (json!({ "status": 413 }), "4.13"),
        (json!({ "status": 429 }), "4.29"),
        (
            json!({ "status": 500, "body": "Expected BEGIN_OBJECT but was STRING" }),
            "4.00",
        ),
        (json!({ "status": 500 }), "5.00"),
        (json!({ "status": 502 }), "5.03"),
        (json!({ "status": 503 }), "5.03"),
        (json!({ "status": 504 }), "5.04"),
        (json!({ "status": 302 }), "5.02"),
        (json!({ "status": 204 }), "5.02"),
        (json!({ "garbage": true }), "5.02"),
        (json!({ "drop": true }), "5.03"),
        (json!({ "hang": true }), "5.04"),
        (json!({ "delayMs": 4000 }), "5.04"),
    ];
    for (mut fault, expected) in rows {
        fault["times"] = json!(1);
        world.simulator.fault(&fault);
        let response = device
            .request(post(&["api", "v1", "telemetry"], "{a:1}"))
            .await;
        assert_eq!(code(&response), expected, "{fault}: {response:?}");
        if matches!(expected, "5.03" | "4.29") {
            assert!(
                response
                    .message
                    .uint(MAX_AGE)
                    .is_some_and(|seconds| seconds > 0),
                "{fault}: {response:?}"
            );
        }
    }
    assert_eq!(device.post_telemetry("{a:1}").await, "2.01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_json_is_a_bad_request() {
    let world = World::start();
    let device = world.meter().await;
    assert_eq!(device.post_telemetry("{a:").await, "4.00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_response_is_separate_after_an_empty_acknowledgement() {
    let world = World::start();
    let device = world.meter().await;
    world
        .simulator
        .fault(&json!({ "delayMs": 1500, "times": 1 }));
    let slow = device
        .request(post(&["api", "v1", "telemetry"], "{a:1}"))
        .await;
    assert_eq!(
        (code(&slow), slow.piggybacked, slow.message.kind),
        ("2.01".to_owned(), false, CON)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_larger_than_one_message_is_transferred_in_blocks() {
    let world = World::start();
    let device = world.meter().await;
    // Blocks of 64 bytes (RFC 7959 §2.2): the first with the M bit, then the second and last.
    let block = |payload: &str, block1: u8| {
        post(&["api", "v1", "telemetry"], payload).option(BLOCK1, [block1])
    };
    let begin = format!("{{\"text\":\"{}", "x".repeat(55));
    let first = block(&begin, 0x0a);
    assert_eq!(code(&device.request(first.clone()).await), "2.31");
    assert_eq!(world.simulator.arrivals(), Vec::<Value>::new());
    assert_eq!(code(&device.request(block("\"}", 0x22)).await), "4.08");
    assert_eq!(code(&device.request(block("\"}", 0x12)).await), "2.01");
    let whole = begin + "\"}";
    world.assert_last_post("/api/v1/{token}/telemetry", "meter-17", &whole);
    assert_eq!(code(&device.request(block("\"}", 0x17)).await), "4.00");
    // Size1 in block 0 announces a body that is too large.
    let too_large = first.option(SIZE1, 65_537_u32.to_be_bytes().split_at(1).1);
    let refused = device.request(too_large).await;
    assert_eq!(code(&refused), "4.13");
    assert_eq!(refused.message.uint(SIZE1), Some(65_536));

    let long = json!({ "text": "x".repeat(3000) });
    world
        .simulator
        .post("/simulator/devices/meter-17/attributes/shared", &long);
    let attributes = device.request(get(&["api", "v1", "attributes"])).await;
    assert_eq!(code(&attributes), "2.05");
    assert_eq!(attributes.message.payload.len(), 1024);
    // Block 0 of 1,024 bytes, with the M bit.
    assert_eq!(attributes.message.uint(BLOCK2), Some(0x0e));
}

/// Californium's and node-coap's defaults: a hundred concurrent requests, or any number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_posts_at_once_from_one_device_all_arrive_once() {
    // No response is a separate one: of those, 16 KiB are kept for a device that has not acknowledged them. A busy machine has
    // more of them before this one begins to read.
    let world = World::with(&Options {
        sections: "[coap]\nack_timeout = \"50s\"\npiggyback_timeout = \"40s\"",
        ..Options::default()
    });
    let device = world.meter().await;
    let mut open: BTreeMap<Vec<u8>, Message> = (0..500u16)
        .map(|number| {
            let body = format!(r#"{{"n":{number}}}"#);
            let token = number.to_be_bytes().to_vec();
            let message = Message {
                id: 20_000 + number,
                token: token.clone(),
                ..post(&["api", "v1", "telemetry"], &body)
            };
            (token, message)
        })
        .collect();
    // What was lost in a full socket buffer is sent again.
    for _ in 0..20 {
        for message in open.values() {
            device.send(&message.encode()).await;
        }
        let quiet = Duration::from_secs(2);
        while !open.is_empty()
            && let Ok(bytes) = tokio::time::timeout(quiet, device.receive()).await
        {
            let answer = Message::decode(&bytes);
            if answer.code != 0 {
                assert_eq!(answer.code(), "2.01");
                open.remove(&answer.token);
            }
            if answer.kind == CON {
                let acknowledgement = Message {
                    kind: ACK,
                    id: answer.id,
                    ..Message::default()
                };
                device.send(&acknowledgement.encode()).await;
            }
        }
        if open.is_empty() {
            break;
        }
    }
    assert_eq!(open.len(), 0, "requests without a response");
    let arrivals = world.simulator.arrivals();
    let bodies: BTreeSet<&str> = arrivals
        .iter()
        .filter_map(|one| one["body"].as_str())
        .collect();
    assert_eq!((arrivals.len(), bodies.len()), (500, 500));
}
