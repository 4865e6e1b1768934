//! Devices are identified by their certificates alone: the real binary with a client that shares no code with it, as in
//! `device_api`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::Value;
use test_support::certificates::{Authority, Identity, Valid};
use test_support::coap::{CON, Message, POST, URI_PATH, get, post};
use test_support::device::{Device, code};
use test_support::world::{METER_TOKEN, Options, PUMP_TOKEN, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_devices_token_in_the_path_is_ignored_and_the_certificates_device_used() {
    let world = World::start();
    let device = world.meter().await;
    for token in [PUMP_TOKEN, METER_TOKEN, "anything", "17", "%2e%2e"] {
        let response = device
            .request(post(&["api", "v1", token, "telemetry"], "{a:1}"))
            .await;
        assert_eq!(code(&response), "2.01", "{token}");
        world.assert_last_post("/api/v1/{token}/telemetry", "meter-17", "{a:1}");
        let response = device
            .request(post(&["api", "v1", token, "rpc", "5"], "{}"))
            .await;
        assert_eq!(code(&response), "2.01", "{token}");
        world.assert_last_post("/api/v1/{token}/rpc/5", "meter-17", "{}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unregistered_certificate_gets_a_session_and_4_01() {
    let world = World::start();
    let unregistered = world.authority.device("unregistered");
    let device = world.connect(&unregistered).await;
    for request in [
        post(&["api", "v1", "telemetry"], "{a:1}"),
        get(&["api", "v1", "attributes"]),
    ] {
        let response = device.request(request).await;
        assert_eq!(code(&response), "4.01");
        assert!(!response.message.payload.is_empty(), "a diagnostic");
    }
    assert_eq!(world.simulator.arrivals(), Vec::<Value>::new());
    // The log has the entry for devices.toml once. It may lag behind the responses.
    world.await_log("a certificate that is not registered");
    let lines = world.log_lines_with(&unregistered.fingerprint);
    let lines: Vec<_> = lines.iter().filter(|line| line.contains("INFO")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("[[device]]"), "{}", lines[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_certificates_end_the_handshake() {
    let world = World::start();
    let refused: [(&str, Option<Identity>); 4] = [
        (
            "expired",
            Some(world.authority.device_valid("old", Valid::NoLonger)),
        ),
        (
            "not yet valid",
            Some(world.authority.device_valid("young", Valid::NotYet)),
        ),
        (
            "of another authority",
            Some(Authority::new("Foreign CA").device("meter-17")),
        ),
        ("none at all", None),
    ];
    for (case, identity) in refused {
        let outcome =
            Device::try_connect(world.address, identity.as_ref(), &world.authority.pem).await;
        assert!(outcome.is_err(), "a certificate {case} was accepted");
        if let Some(identity) = identity {
            // The log says that the client has not proven that it has the certificate's key.
            for line in world.log_lines_with(&identity.fingerprint) {
                assert!(line.contains("not proven"), "{case}: {line}");
            }
        }
    }
    // Registered devices are still served.
    let device = world.meter().await;
    assert_eq!(device.post_telemetry("{a:1}").await, "2.01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_16_kib_is_accepted_and_a_larger_one_is_logged_once() {
    // A message that is too large ends a handshake when its time is over: it may have been forged.
    let world = World::with(&Options {
        dtls: "handshake_timeout = \"5s\"",
        ..Options::default()
    });
    for size in [4_097, 8_000, 16_384] {
        let large = world.authority.device_of_size("large", size);
        let device = world.connect(&large).await;
        let response = device.request(get(&["api", "v1", "attributes"])).await;
        assert_eq!(code(&response), "4.01", "{size} bytes, not registered");
        device.close().await;
    }
    let larger = world.authority.device_of_size("larger", 17_500);
    for _ in 0..3 {
        let outcome = Device::try_connect(world.address, Some(&larger), &world.authority.pem).await;
        assert!(outcome.is_err(), "17 KB were accepted");
    }
    world.await_log("the client's certificates are too large");
    let log = world.log();
    let message = "handshake failed: the client's certificates are too large";
    assert_eq!(log.matches(message).count(), 1, "{log}");
    assert!(!log.contains("panic"), "{log}");
    let device = world.meter().await;
    let response = device.request(post(&["api", "v1", "telemetry"], "{a:1}"));
    assert_eq!(code(&response.await), "2.01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_device_may_hold_two_sessions_at_once() {
    let world = World::start();
    let (one, other) = (world.meter().await, world.meter().await);
    for body in ["{a:1}", "{a:2}"] {
        for device in [&one, &other] {
            assert_eq!(device.post_telemetry(body).await, "2.01");
            world.assert_last_post("/api/v1/{token}/telemetry", "meter-17", body);
        }
    }
    one.close().await;
    assert_eq!(other.post_telemetry("{a:3}").await, "2.01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_segment_with_a_slash_stays_one_segment_upstream() {
    let world = World::start();
    let device = world.meter().await;
    // Unescaped in the upstream path, it would name another resource.
    let message = Message {
        kind: CON,
        code: POST,
        ..Message::default()
    }
    .option(URI_PATH, "api")
    .option(URI_PATH, "v1")
    .option(URI_PATH, "rpc")
    .option(URI_PATH, "1/../../other/telemetry")
    .payload("{}");
    let response = device.request(message).await;
    for arrival in world.simulator.arrivals() {
        assert_eq!(arrival["device"], "meter-17", "{response:?}: {arrival}");
        assert!(
            !arrival["path"].as_str().unwrap().contains("telemetry"),
            "{response:?}: {arrival}"
        );
    }
}
