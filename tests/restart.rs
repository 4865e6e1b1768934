//! The real binary with `state.directory`: it stops or is killed, starts again, and its devices do not notice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use test_support::coap::{ACK, CON, Message, OBSERVE, POST, get, post};
use test_support::device::{Device, code};
use test_support::fleet::Fleet;
use test_support::nat::Nat;
use test_support::process::{Process, field};
use test_support::world::{Options, World};

fn world() -> World {
    World::with(&Options {
        stored: true,
        // A poll that is open keeps the gateway from stopping.
        relay: "poll_timeout = \"2s\"",
        ..Options::default()
    })
}

/// Waits until all that has happened so far is on disk: commits are twice a second, and windows once a second.
fn await_commits() {
    std::thread::sleep(Duration::from_secs(3));
}

/// How many handshakes this process has completed.
fn handshakes(world: &World) -> usize {
    world.log().matches("session established").count()
}

fn restored(world: &World) -> String {
    let line = world.await_log("stored sessions restored");
    field(&line, "sessions").unwrap()
}

async fn observe(device: &Device, feature: &str) -> Message {
    let request = get(&["api", "v1", feature]).option(OBSERVE, []);
    device.request(request).await.message
}

/// The next notification, acknowledged.
async fn notification(device: &Device) -> String {
    let message = Message::decode(&device.receive().await);
    assert_eq!(message.code(), "2.05", "{message:?}");
    let acknowledgement = Message {
        kind: ACK,
        id: message.id,
        ..Message::default()
    };
    device.send(&acknowledgement.encode()).await;
    message.text()
}

fn set(world: &World, attributes: &Value) {
    let path = "/simulator/devices/meter-17/attributes/shared";
    world.simulator.post(path, attributes);
}

#[tokio::test]
async fn a_session_goes_on_after_each_kill_and_each_stop() {
    let mut world = world();
    let device = world.meter().await;
    for round in 0..6 {
        let body = json!({"round": round}).to_string();
        assert_eq!(device.post_telemetry(&body).await, "2.01");
        world.assert_last_post("/api/v1/{token}/telemetry", "meter-17", &body);
        if round % 2 == 0 {
            await_commits();
        } else {
            world.terminate();
            world.await_log("sessions are stored, and go on after the next start");
        }
        world.start_again();
        assert_eq!(restored(&world), "1");
    }
    assert_eq!(device.post_telemetry(r#"{"last":1}"#).await, "2.01");
    assert_eq!(handshakes(&world), 0);
}

#[tokio::test]
async fn changes_and_commands_of_the_time_without_a_gateway_reach_an_observing_device() {
    for is_killed in [true, false] {
        let mut world = world();
        set(&world, &json!({"interval": 60, "mode": "day"}));
        let device = world.meter().await;
        assert_eq!(observe(&device, "attributes").await.code(), "2.05");
        assert_eq!(observe(&device, "rpc").await.code(), "2.03");
        set(&world, &json!({"interval": 30}));
        assert_eq!(notification(&device).await, r#"{"interval":30}"#);
        await_commits();
        if !is_killed {
            world.terminate();
        }
        world.gateway.stop();
        set(&world, &json!({"interval": 10}));
        // One without a reply would be lost: ThingsBoard gives it to a poll whose connection is closed.
        let command = json!({"method": "wake", "params": {}});
        let call = world.simulator.send_command("meter-17", &command);
        world.start_again();
        let mut received = [notification(&device).await, notification(&device).await];
        received.sort();
        let command = r#"{"id":0,"method":"wake","params":{}}"#;
        assert_eq!(received, [command, r#"{"interval":10}"#]);
        let reply = post(&["api", "v1", "rpc", "0"], r#"{"awake":true}"#);
        assert_eq!(code(&device.request(reply).await), "2.01");
        assert_eq!(call.join().unwrap(), r#"{"awake":true}"#);
        // It observes still.
        set(&world, &json!({"mode": "night"}));
        assert_eq!(notification(&device).await, r#"{"mode":"night"}"#);
        assert_eq!(handshakes(&world), 0);
    }
}

#[tokio::test]
async fn a_device_that_has_left_the_registry_does_not_come_back() {
    let mut world = world();
    let device = world.meter().await;
    let pump = world.connect(&world.pump).await;
    assert_eq!(device.post_telemetry("{}").await, "2.01");
    assert_eq!(pump.post_telemetry("{}").await, "2.01");
    await_commits();
    world.gateway.stop();
    let registry = world.path().join("devices.toml");
    let text = fs::read_to_string(&registry).unwrap();
    let (_, without_meter) = text.split_once("[[device]]\nname = \"pump-03\"").unwrap();
    let without_meter = format!("[[device]]\nname = \"pump-03\"{without_meter}");
    fs::write(&registry, without_meter).unwrap();
    world.start_again();
    let line = world.await_log("stored sessions restored");
    assert_eq!(field(&line, "sessions").as_deref(), Some("1"), "{line}");
    assert!(line.contains("not_registered 1"), "{line}");
    assert_eq!(pump.post_telemetry("{}").await, "2.01");
    assert_eq!(handshakes(&world), 0);
}

#[tokio::test]
async fn another_key_is_an_empty_start_that_says_why_and_destroys_nothing() {
    let mut world = world();
    let device = world.meter().await;
    assert_eq!(device.post_telemetry("{}").await, "2.01");
    await_commits();
    world.gateway.stop();
    let state = world.path().join("state");
    let key = fs::read_to_string(state.join("key")).unwrap();
    world.keep_secret(key.trim());
    fs::write(state.join("key"), "ab".repeat(32)).unwrap();
    world.start_again();
    let line = world.await_log("It is set aside: it was written with another key");
    let aside = field(&line, "path").unwrap();
    assert!(fs::metadata(&aside).is_ok(), "{line}");
    assert_eq!(restored(&world), "0");
    // A handshake, and all is well.
    let device = world.meter().await;
    assert_eq!(device.post_telemetry("{}").await, "2.01");
}

#[test]
fn a_second_process_on_the_same_directory_says_what_is_wrong() {
    let world = world();
    let configuration = world.path().join("gateway.toml");
    let text = fs::read_to_string(&configuration).unwrap();
    let port = world.address.port();
    let other = text.replace(&format!(":{port}\""), ":0\"");
    let configuration = world.path().join("other.toml");
    fs::write(&configuration, other).unwrap();
    let second = Process::start(&["run", "--config", configuration.to_str().unwrap()]);
    second.await_line("the message", |line| {
        line.contains("is in use by another process").then_some(())
    });
}

/// Posts, and repeats each post until it is answered, as RFC 7252 §4.2 has it. Returns how many posts were repeated.
async fn post_until(device: Device, name: usize, is_over: Arc<AtomicBool>) -> (u16, u16) {
    let (mut posts, mut repeated) = (0, 0);
    while !is_over.load(Ordering::Relaxed) {
        let mut request = Message::request(CON, POST, &["api", "v1", "telemetry"]);
        request = request.payload(&json!({"device": name, "n": posts}).to_string());
        request.id = posts;
        request.token = posts.to_be_bytes().to_vec();
        let mut answer = None;
        for transmission in 0..20 {
            device.send(&request.encode()).await;
            repeated += u16::from(transmission == 1);
            answer = device.receive_within(Duration::from_secs(2)).await;
            if answer.is_some() {
                break;
            }
        }
        let answer = Message::decode(&answer.expect("an answer"));
        // No 5.03, and no answer to another request.
        assert_eq!((answer.code().as_str(), answer.id), ("2.01", posts));
        posts += 1;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    (posts, repeated)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_devices_lose_no_request_and_get_no_error_while_the_gateway_is_restarted() {
    let fleet = Fleet::new(12);
    let mut world = World::with(&Options {
        stored: true,
        any_issuer: true,
        devices: &fleet.registry,
        log_level: Some("info"),
        ..Options::default()
    });
    fleet.create(&world.simulator);
    // Devices get no ICMP message from it while there is no gateway.
    let nat = Nat::to(world.address);
    let is_over = Arc::new(AtomicBool::new(false));
    let mut devices = Vec::new();
    for (name, identity) in fleet.identities.iter().enumerate() {
        let device = Device::connect(nat.address, identity, &world.authority.pem).await;
        devices.push(tokio::spawn(post_until(device, name, is_over.clone())));
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.terminate();
        world.start_again();
        assert_eq!(restored(&world), "12");
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    is_over.store(true, Ordering::Relaxed);
    let (mut answered, mut repeated) = (0, 0);
    for device in devices {
        let (posts, again) = device.await.unwrap();
        answered += usize::from(posts);
        repeated += again;
    }
    eprintln!("{answered} posts, of which {repeated} were repeated");
    let arrivals = world.simulator.arrivals();
    assert!(arrivals.len() < 1000, "more than one page of arrivals");
    let bodies: BTreeSet<_> = arrivals
        .iter()
        .map(|arrival| arrival["body"].as_str())
        .collect();
    assert_eq!(arrivals.len(), bodies.len(), "something arrived twice");
    assert_eq!(bodies.len(), answered);
    assert_eq!(handshakes(&world), 0);
}
