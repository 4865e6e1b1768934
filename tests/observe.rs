//! Observe (RFC 7641) through the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::json;
use std::time::Duration;
use test_support::coap::{ACK, CON, Message, OBSERVE, RST, get, post};
use test_support::device::{Device, code};
use test_support::packages::{assign, create, sha256};
use test_support::process::{field, now};
use test_support::world::{World, eventually};

/// Registers an observation, and returns the response.
async fn observe(device: &Device, feature: &str) -> Message {
    let request = get(&["api", "v1", feature]).option(OBSERVE, []);
    device.request(request).await.message
}

/// The next notification, acknowledged.
async fn notification(device: &Device) -> Message {
    let message = Message::decode(&device.receive().await);
    assert_eq!((message.kind, message.code().as_str()), (CON, "2.05"));
    send_empty(device, ACK, message.id).await;
    message
}

async fn send_empty(device: &Device, kind: u8, id: u16) {
    let empty = Message {
        kind,
        id,
        ..Message::default()
    };
    device.send(&empty.encode()).await;
}

fn set(world: &World, attributes: &serde_json::Value) {
    world
        .simulator
        .post("/simulator/devices/meter-17/attributes/shared", attributes);
}

/// Waits until ThingsBoard's device actor has `number` open polls.
fn await_polls(world: &World, number: u64) {
    eventually(&format!("{number} open polls"), || {
        let path = "/simulator/devices/meter-17/subscriptions";
        let counts: serde_json::Value =
            serde_json::from_str(&world.simulator.control("GET", path, "")).unwrap();
        let count = |what: &str| {
            let kinds = ["attributes", "rpc"].iter();
            kinds
                .map(|kind| counts[kind][what].as_u64().unwrap())
                .sum::<u64>()
        };
        count("open") == number && count("live") >= number
    });
}

/// A counter in the gateway's last log line.
fn counter(stopped: &str, name: &str) -> u64 {
    let all = field(stopped, "relay").unwrap_or_else(|| stopped.to_owned());
    let (_, rest) = all.split_once(&format!("{name}: ")).expect(name);
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[tokio::test]
async fn attributes_and_commands_reach_an_observing_device_and_its_reply_the_caller() {
    let world = World::start();
    set(&world, &json!({"interval": 60}));
    let device = world.meter().await;
    let state = observe(&device, "attributes").await;
    assert_eq!(
        (state.code().as_str(), state.uint(OBSERVE)),
        ("2.05", Some(0))
    );
    assert_eq!(state.text(), r#"{"interval":60}"#);
    let valid = observe(&device, "rpc").await;
    assert_eq!(
        (valid.code().as_str(), valid.uint(OBSERVE)),
        ("2.03", Some(0))
    );
    assert_eq!(valid.text(), "");
    await_polls(&world, 2);

    set(&world, &json!({"interval": 30, "mode": "eco"}));
    let change = notification(&device).await;
    assert_eq!(change.uint(OBSERVE), Some(1));
    assert_eq!(change.text(), r#"{"interval":30,"mode":"eco"}"#);
    assert_eq!(change.token, state.token);
    world.simulator.control(
        "DELETE",
        "/simulator/devices/meter-17/attributes/shared?keys=mode",
        "",
    );
    assert_eq!(
        notification(&device).await.text(),
        r#"{"deleted":["mode"]}"#
    );

    let call = world.simulator.send_command(
        "meter-17",
        &json!({"method": "open", "params": {"valve": 2}}),
    );
    let command = notification(&device).await;
    assert_eq!(
        command.text(),
        r#"{"id":0,"method":"open","params":{"valve":2}}"#
    );
    assert_eq!(command.token, valid.token);
    let reply = post(&["api", "v1", "rpc", "0"], r#"{"result":"ok"}"#);
    assert_eq!(code(&device.request(reply).await), "2.01");
    assert_eq!(call.join().unwrap(), r#"{"result":"ok"}"#);
}

/// ThingsBoard's own transport uses a new assignment at once. The gateway caches the assignment for half a minute,
/// unless the device was notified of a new one.
#[tokio::test]
async fn a_device_notified_of_another_package_downloads_that_one() {
    let world = World::start();
    let device = world.meter().await;
    observe(&device, "attributes").await;
    await_polls(&world, 1);
    for (seed, version) in ["1.0", "2.0", "3.0"].into_iter().enumerate() {
        let seed = u64::try_from(seed).unwrap();
        let expected = create(&world.simulator, "firmware", "meter", version, 500, seed);
        assign(&world.simulator, "meter-17", "firmware", "meter", version);
        let version_attribute = format!(r#""fw_version":"{version}""#);
        while !notification(&device)
            .await
            .text()
            .contains(&version_attribute)
        {}
        let image = device.request(get(&["fw"])).await.message;
        assert_eq!(
            (image.code().as_str(), sha256(&image.payload)),
            ("2.05", expected)
        );
        if version != "1.0" {
            let superseded = get(&["fw"]).query("title=meter").query("version=1.0");
            assert_eq!(code(&device.request(superseded).await), "4.00");
        }
    }
}

#[tokio::test]
async fn invalid_poll_responses_end_neither_session_nor_observation() {
    let mut world = World::start();
    let device = world.meter().await;
    observe(&device, "attributes").await;
    observe(&device, "rpc").await;
    await_polls(&world, 2);
    let megabyte = "x".repeat(1_000_000);
    for body in ["nonsense", "[1]", "{}", "", &megabyte] {
        for path in ["/api/v1/*/rpc", "/api/v1/*/attributes/updates"] {
            world.simulator.fault(
                &json!({"path": path, "times": 1, "status": 200, "body": body, "contentType": "application/json"}),
            );
        }
        // The open polls end, so that the next ones get the faults.
        set(&world, &json!({"n": body.len()}));
        assert_eq!(
            notification(&device).await.text(),
            json!({"n": body.len()}).to_string()
        );
        let oneway = json!({"method": "wake", "params": {}, "oneway": true});
        world
            .simulator
            .post("/simulator/devices/meter-17/rpc", &oneway);
        assert!(notification(&device).await.text().contains("wake"));
        eventually("the faults are used up", || {
            let left = world.simulator.control("GET", "/simulator/faults", "");
            left.trim() == "[]"
        });
        await_polls(&world, 2);
    }
    assert_eq!(device.ping().await, 0);
    world.await_log("does upstream.url lead to ThingsBoard");
    let stopped = world.terminate();
    assert!(counter(&stopped, "polls_failed") >= 10, "{stopped}");
}

#[tokio::test]
async fn unmatched_acknowledgements_and_resets_do_not_end_an_observation() {
    let mut world = World::start();
    let device = world.meter().await;
    for feature in ["telemetry", "claim"] {
        let refused = observe(&device, feature).await;
        assert_eq!(refused.code(), "4.00");
        assert_eq!(refused.uint(OBSERVE), None);
    }
    observe(&device, "attributes").await;
    await_polls(&world, 1);
    set(&world, &json!({"n": 1}));
    let first = notification(&device).await;
    for kind in [ACK, RST] {
        send_empty(&device, kind, first.id.wrapping_add(1000)).await;
    }
    set(&world, &json!({"n": 2}));
    assert_eq!(notification(&device).await.text(), r#"{"n":2}"#);
    let reserved = get(&["api", "v1", "attributes"]).option(OBSERVE, [7]);
    let plain = device.request(reserved).await.message;
    assert_eq!((plain.code().as_str(), plain.uint(OBSERVE)), ("2.05", None));
    let stopped = world.terminate();
    for counter in [
        "unmatched: 2,",
        "observe_ignored: 1,",
        "registrations_elsewhere: 2,",
    ] {
        assert!(stopped.contains(counter), "{counter} {stopped}");
    }
}

#[tokio::test]
async fn a_reset_ends_the_observation_and_closes_its_poll() {
    let world = World::start();
    let device = world.meter().await;
    observe(&device, "attributes").await;
    await_polls(&world, 1);
    set(&world, &json!({"n": 1}));
    let message = Message::decode(&device.receive().await);
    send_empty(&device, RST, message.id).await;
    await_polls(&world, 0);
}

#[tokio::test]
async fn the_observations_of_a_deleted_device_end_with_4_03() {
    let world = World::start();
    let device = world.meter().await;
    let valid = observe(&device, "rpc").await;
    await_polls(&world, 1);
    world
        .simulator
        .control("DELETE", "/simulator/devices/meter-17", "");
    let last = Message::decode(&device.receive().await);
    assert_eq!((last.code().as_str(), last.uint(OBSERVE)), ("4.03", None));
    assert_eq!(last.token, valid.token);
    send_empty(&device, ACK, last.id).await;
}

/// Prints the time from setting an attribute to its notification at the device.
#[tokio::test]
async fn notifications_follow_changes() {
    let world = World::start();
    let device = world.meter().await;
    observe(&device, "attributes").await;
    await_polls(&world, 1);
    let mut took = Vec::new();
    for n in 0..21 {
        let before = now();
        set(&world, &json!({"n": n}));
        assert_eq!(
            notification(&device).await.text(),
            json!({"n": n}).to_string()
        );
        took.push(now() - before);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    took.sort();
    println!(
        "from setting an attribute to its notification: median {:?} of 21",
        took[10]
    );
}
