//! Restarts of the real binary with `state.directory`: what a device notices, and what an operator is shown.
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
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use test_support::admin::Admin;
use test_support::coap::{ACK, CON, Message, OBSERVE, POST, get, post};
use test_support::device::{Device, code};
use test_support::fleet::Fleet;
use test_support::nat::Nat;
use test_support::process::program;
use test_support::scrape::Scrape;
use test_support::world::{Options, World, eventually};

const SHARED: &str = "/simulator/devices/meter-17/attributes/shared";

/// A gateway that stores sessions, in the directory `state` of another one, and its key in `state.key`.
fn world(place: &Path, more: &str) -> World {
    let (state, key) = (place.join("state"), place.join("state.key"));
    World::with(&Options {
        admin: true,
        relay: "poll_timeout = \"2s\"",
        sections: &format!("[state]\ndirectory = {state:?}\nkey_file = {key:?}\n{more}"),
        ..Options::default()
    })
}

fn value(world: &World, name: &str, labels: &[(&str, &str)]) -> f64 {
    let (status, text) = Admin::of(&world.gateway).get("/metrics");
    assert_eq!(status, 200, "{text}");
    Scrape::read(&text).value(&format!("coaps_gateway_{name}"), labels)
}

/// Waits until so many changes, and all that there are, are on disk.
fn await_stored(world: &World, changes: f64) {
    eventually("changes on disk", || {
        value(world, "state_changes_total", &[]) >= changes
            && value(world, "state_pending", &[]) == 0.0
    });
}

async fn observe_attributes(device: &Device) {
    let request = get(&["api", "v1", "attributes"]).option(OBSERVE, []);
    let response = device.request(request).await.message;
    assert_eq!(response.code(), "2.05", "{response:?}");
}

/// The next notification, which is acknowledged.
async fn notification(device: &Device) -> Value {
    let message = Message::decode(&device.receive().await);
    assert_eq!(message.code(), "2.05", "{message:?}");
    let acknowledgement = Message {
        kind: ACK,
        id: message.id,
        ..Message::default()
    };
    device.send(&acknowledgement.encode()).await;
    serde_json::from_slice(&message.payload).unwrap()
}

fn telemetry(id: u16, body: &str) -> Message {
    let mut request = Message::request(CON, POST, &["api", "v1", "telemetry"]).payload(body);
    (request.id, request.token) = (id, id.to_be_bytes().to_vec());
    request
}

/// How many POSTs of this body have arrived at ThingsBoard.
fn posts(world: &World, body: &str) -> usize {
    let arrivals = world.simulator.arrivals();
    let is_it = |arrival: &&Value| arrival["method"] == "POST" && arrival["body"] == body;
    arrivals.iter().filter(is_it).count()
}

/// The session goes on in the gateway that runs now: there was no handshake.
fn assert_restored(world: &World) {
    let line = world.await_log("stored sessions restored");
    assert!(line.contains("\"sessions\":1"), "{line}");
    assert_eq!(value(world, "sessions_restored_total", &[]), 1.0);
    let completed = [("outcome", "completed")];
    assert_eq!(value(world, "handshakes_total", &completed), 0.0);
    let registered = [("certificate", "registered")];
    assert_eq!(value(world, "sessions", &registered), 1.0);
    assert_eq!(value(world, "state_failing", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_does_not_notice_that_the_gateway_was_killed() {
    let place = tempfile::tempdir().unwrap();
    let mut world = world(place.path(), "");
    world.simulator.post(SHARED, &json!({"interval": 1}));
    let meter = world.meter().await;
    observe_attributes(&meter).await;
    assert_eq!(meter.post_telemetry("{\"n\":1}").await, "2.01");
    // Its row, and its relay.
    await_stored(&world, 2.0);
    world.restart("KILL", |world| {
        world.simulator.post(SHARED, &json!({"interval": 2}));
    });
    assert_restored(&world);
    // What has changed meanwhile comes by itself.
    assert_eq!(notification(&meter).await, json!({"interval": 2}));
    assert_eq!(meter.post_telemetry("{\"n\":2}").await, "2.01");
    world.simulator.post(SHARED, &json!({"interval": 3}));
    assert_eq!(notification(&meter).await, json!({"interval": 3}));
    assert_eq!(posts(&world, "{\"n\":1}"), 1);
    let ready = Admin::of(&world.gateway).get("/readyz").1;
    assert!(ready.contains("ok: sessions are stored"), "{ready}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_orderly_stop_a_repeated_request_does_not_arrive_twice() {
    let place = tempfile::tempdir().unwrap();
    let mut world = world(place.path(), "");
    let meter = world.meter().await;
    let request = telemetry(7000, "{\"n\":7}").encode();
    meter.send(&request).await;
    let answer = Message::decode(&meter.receive().await);
    assert_eq!((answer.code(), answer.id), ("2.01".to_owned(), 7000));
    let log = world.restart("TERM", |_| {});
    assert!(
        log.contains("sessions are stored, and go on after the next start"),
        "{log}"
    );
    assert_restored(&world);
    // As if the response had been lost.
    meter.send(&request).await;
    let again = Message::decode(&meter.receive().await);
    assert_eq!((again.code(), again.id), ("2.01".to_owned(), 7000));
    assert_eq!(meter.post_telemetry("{\"n\":8}").await, "2.01");
    assert_eq!(
        (posts(&world, "{\"n\":7}"), posts(&world, "{\"n\":8}")),
        (1, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_of_the_time_without_a_gateway_reaches_an_observing_device() {
    for signal in ["KILL", "TERM"] {
        let place = tempfile::tempdir().unwrap();
        let mut world = world(place.path(), "");
        let meter = world.meter().await;
        let request = get(&["api", "v1", "rpc"]).option(OBSERVE, []);
        assert_eq!(meter.request(request).await.message.code(), "2.03");
        world.simulator.await_poll("meter-17", "rpc");
        // Its row, and its relay.
        await_stored(&world, 2.0);
        let mut call = None;
        world.restart(signal, |world| {
            // One without a reply would be lost: ThingsBoard gives it to a poll whose connection is closed.
            let command = json!({"method": "wake", "params": {}});
            call = Some(world.simulator.send_command("meter-17", &command));
        });
        assert_restored(&world);
        let command = json!({"id": 0, "method": "wake", "params": {}});
        assert_eq!(notification(&meter).await, command);
        let reply = post(&["api", "v1", "rpc", "0"], r#"{"awake":true}"#);
        assert_eq!(code(&meter.request(reply).await), "2.01");
        assert_eq!(call.unwrap().join().unwrap(), r#"{"awake":true}"#);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_is_no_longer_registered_does_not_come_back() {
    let place = tempfile::tempdir().unwrap();
    let mut world = world(place.path(), "");
    let meter = world.meter().await;
    assert_eq!(meter.post_telemetry("{\"n\":1}").await, "2.01");
    await_stored(&world, 1.0);
    world.restart("KILL", |world| {
        let registry = world.path().join("devices.toml");
        let text = fs::read_to_string(&registry).unwrap();
        let (_, rest) = text.split_once("[[device]]\nname = \"pump-03\"").unwrap();
        fs::write(&registry, format!("[[device]]\nname = \"pump-03\"{rest}")).unwrap();
    });
    let line = world.await_log("stored sessions restored");
    assert!(line.contains("not_registered 1"), "{line}");
    let reason = [("reason", "not_registered")];
    assert_eq!(value(&world, "sessions_not_restored_total", &reason), 1.0);
    assert_eq!(value(&world, "sessions_restored_total", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_key_has_written_is_set_aside_and_devices_connect_again() {
    let place = tempfile::tempdir().unwrap();
    let mut world = world(place.path(), "");
    let meter = world.meter().await;
    assert_eq!(meter.post_telemetry("{\"n\":1}").await, "2.01");
    await_stored(&world, 1.0);
    let key = place.path().join("state.key");
    world.keep_secret(fs::read_to_string(&key).unwrap().trim());
    world.restart("KILL", |_| fs::write(&key, "5a".repeat(32)).unwrap());
    let line = world.await_log("what was stored can't be used");
    for part in [
        "it was written with another key",
        "state.sqlite3.set-aside-1",
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert!(
        place
            .path()
            .join("state/state.sqlite3.set-aside-1")
            .exists()
    );
    let again = world.meter().await;
    assert_eq!(again.post_telemetry("{\"n\":2}").await, "2.01");
    assert_eq!(value(&world, "sessions_restored_total", &[]), 0.0);
}

#[test]
fn a_second_gateway_in_the_same_directory_does_not_start() {
    let place = tempfile::tempdir().unwrap();
    let world = world(place.path(), "");
    let configuration = world.path().join("gateway.toml");
    let configuration = configuration.to_str().unwrap();
    let second = Command::new(program("coaps-gateway"))
        .args(["run", "--config", configuration])
        .output()
        .unwrap();
    assert!(!second.status.success());
    let error = String::from_utf8(second.stderr).unwrap();
    assert!(error.contains("state.directory: "), "{error}");
    assert!(error.contains("is in use by another process"), "{error}");
    // As before a reload.
    let check = Command::new(program("coaps-gateway"))
        .args(["check", "--config", configuration])
        .output()
        .unwrap();
    let out = String::from_utf8(check.stdout).unwrap();
    assert!(
        check.status.success() && out.contains("in use by a process that runs"),
        "{out}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_cannot_be_made_costs_no_device_its_service() {
    let place = tempfile::tempdir().unwrap();
    // No directory can be made there, by root neither.
    let world = World::with(&Options {
        admin: true,
        sections: &format!(
            "[state]\ndirectory = \"/proc/coaps-gateway\"\nkey_file = {:?}\n",
            place.path().join("state.key")
        ),
        ..Options::default()
    });
    world.await_log("no session is stored");
    let meter = world.meter().await;
    assert_eq!(meter.post_telemetry("{\"n\":1}").await, "2.01");
    let (status, ready) = Admin::of(&world.gateway).get("/readyz");
    assert_eq!(status, 200, "{ready}");
    assert!(
        ready.contains("warning: nothing can be written to state.directory"),
        "{ready}"
    );
    assert_eq!(value(&world, "state_failing", &[]), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_directory_a_restart_costs_a_handshake() {
    let mut world = World::with(&Options::default());
    let meter = world.meter().await;
    assert_eq!(meter.post_telemetry("{\"n\":1}").await, "2.01");
    world.restart("KILL", |_| {});
    assert!(!world.log().contains("restored"));
    let again = world.meter().await;
    assert_eq!(again.post_telemetry("{\"n\":2}").await, "2.01");
}

/// Posts, and repeats each post until it is answered, as RFC 7252 §4.2 has it. Returns how many posts were repeated.
async fn post_until(device: Device, name: usize, is_over: Arc<AtomicBool>) -> (u16, u16) {
    let (mut posts, mut repeated) = (0, 0);
    while !is_over.load(Ordering::Relaxed) {
        let mut request = Message::request(CON, POST, &["api", "v1", "telemetry"]);
        request = request.payload(json!({"device": name, "n": posts}).to_string());
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
    let place = tempfile::tempdir().unwrap();
    let state = place.path().join("state");
    let mut world = World::with(&Options {
        any_issuer: true,
        devices: &fleet.registry,
        log_level: Some("info"),
        sections: &format!("[state]\ndirectory = {state:?}\n"),
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
        world.restart("TERM", |_| {});
        let line = world.await_log("stored sessions restored");
        assert!(line.contains("\"sessions\":12"), "{line}");
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
    assert!(!world.log().contains("session established"));
}
