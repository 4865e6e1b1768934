//! The shutdown of the real binary: outstanding requests are answered, sessions are closed, and the drain has a limit.
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
use std::net::SocketAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;
use test_support::TIMEOUT;
use test_support::certificates::Identity;
use test_support::client::Client;
use test_support::coap::{ACK, CON, Message, OBSERVE, POST, get};
use test_support::device::{Device, code};
use test_support::fleet::Fleet;
use test_support::world::{Options, World, eventually};

const SIGTERMS: u64 = 20;
const DEVICES: usize = 6;

fn telemetry(id: u16, body: &str) -> Message {
    let mut request = Message::request(CON, POST, &["api", "v1", "telemetry"]).payload(body);
    (request.id, request.token) = (id, id.to_be_bytes().to_vec());
    request
}

/// Posts until the session is closed. Returns the bodies that were answered by 2.01. `first` gets the first answer.
fn post_until_close(
    gateway: SocketAddr,
    identity: &Identity,
    name: &str,
    first: SyncSender<()>,
) -> BTreeSet<String> {
    let mut device = Client::connect(gateway, identity);
    let mut stored = BTreeSet::new();
    for id in 0.. {
        let body = json!({"device": name, "n": id}).to_string();
        device.send(&telemetry(id, &body));
        match device.receive_or_close() {
            None => break,
            Some(answer) if answer.code() == "2.01" => {
                assert_eq!(answer.token, id.to_be_bytes());
                assert!(stored.insert(body));
                // Full or closed after the first one.
                let _ = first.try_send(());
            }
            Some(answer) => {
                assert_eq!(answer.token, id.to_be_bytes());
                assert_eq!(answer.code(), "5.03", "{}", answer.text());
                assert!(answer.text().contains("stops"), "{}", answer.text());
                // After a 5.03 a device waits.
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
    stored
}

#[test]
fn every_post_accepted_upstream_is_answered_at_each_of_twenty_sigterms() {
    posts_at_sigterms(SIGTERMS, false);
}

#[test]
fn over_mqtt_every_post_accepted_upstream_is_answered_at_each_of_six_sigterms() {
    posts_at_sigterms(6, true);
}

fn posts_at_sigterms(sigterms: u64, mqtt: bool) {
    let fleet = Fleet::new(DEVICES);
    let world = World::with(&Options {
        mqtt,
        any_issuer: true,
        devices: &fleet.registry,
        log_level: Some("info"),
        // How long a drained session stays open after its last response; 3 s by default.
        sections: "[coap]\nack_timeout = \"200ms\"\npiggyback_timeout = \"100ms\"",
        ..Options::default()
    });
    let simulator = &world.simulator;
    fleet.create(simulator);
    // Longer than the piggyback timeout, so that there are separate responses, too.
    for (device, ms) in [("FleetToken0", 250), ("*", 20)] {
        let path = format!("/api/v1/{device}/telemetry");
        simulator.fault(&json!({"path": path, "delayMs": ms}));
    }
    let delay = json!({"pubackDelayMs": 130});
    simulator.put("/simulator/mqtt", &delay);
    let mut total = 0;
    for round in 0..sigterms {
        simulator.control("DELETE", "/simulator/arrivals", "");
        let (mut gateway, address) = world.start_second_gateway();
        let stored: BTreeSet<String> = std::thread::scope(|scope| {
            let mut answered = Vec::new();
            let devices: Vec<_> = (fleet.identities.iter().enumerate())
                .map(|(n, identity)| {
                    let name = format!("{round}/{n}");
                    let (first, answers) = sync_channel(1);
                    answered.push(answers);
                    scope.spawn(move || post_until_close(address, identity, &name, first))
                })
                .collect();
            // On a busy machine the handshakes take longer than the posts.
            for first in answered {
                first.recv_timeout(TIMEOUT).expect("a first answer");
            }
            std::thread::sleep(Duration::from_millis(300 + 37 * round));
            gateway.terminate();
            let ended = devices.into_iter().map(|device| device.join().unwrap());
            ended.flatten().collect()
        });
        let arrivals = simulator.arrivals();
        assert!(arrivals.len() < 1000, "more than one page of arrivals");
        let arrived = arrivals
            .iter()
            .map(|arrival| arrival["body"].as_str().unwrap().to_owned());
        let arrived: BTreeSet<String> = arrived.collect();
        assert_eq!(arrived.len(), arrivals.len(), "something arrived twice");
        let unanswered: Vec<_> = arrived.difference(&stored).collect();
        assert!(
            unanswered.is_empty(),
            "SIGTERM {round}: {unanswered:?} of {}",
            arrived.len()
        );
        assert_eq!(arrived, stored, "answered 2.01, and never arrived");
        total += arrived.len();
    }
    // Otherwise there was too little load.
    let least = usize::try_from(sigterms).unwrap() * DEVICES;
    assert!(total > least, "{total} posts in all");
}

/// A request that ThingsBoard does not answer for a minute.
fn with_outstanding_request(drain: &str) -> (World, Client) {
    let world = World::with(&Options {
        upstream: "timeout = \"60s\"",
        sections: &format!("[shutdown]\ndrain = {drain:?}"),
        ..Options::default()
    });
    let fault = json!({"path": "/api/v1/*/telemetry", "delayMs": 60_000});
    world.simulator.fault(&fault);
    let mut device = Client::connect(world.address, &world.meter);
    device.send(&telemetry(1, r#"{"a":1}"#));
    world.await_log("\"request\"");
    (world, device)
}

#[test]
fn the_drain_ends_at_its_limit_and_the_session_is_closed() {
    let (mut world, mut device) = with_outstanding_request("1s");
    world.terminate();
    assert_eq!(device.receive_or_close(), None, "close_notify");
    let line = world.await_log("left unanswered");
    assert!(line.contains("\"cut_off\":1"), "{line}");
}

#[test]
fn a_second_signal_ends_the_drain_at_once() {
    let (mut world, mut device) = with_outstanding_request("1h");
    world.gateway.signal("TERM");
    world.await_log("no new handshakes");
    // A new request in a session gets a 5.03.
    device.send(&{
        let mut request = get(&["api", "v1", "attributes"]);
        (request.id, request.token) = (2, vec![2]);
        request
    });
    assert_eq!(device.receive().code(), "5.03");
    world.gateway.signal("INT");
    world.gateway.await_end();
    assert_eq!(device.receive_or_close(), None, "close_notify");
    world.await_log("stopping at once");
}

const METER: &str = "meter-17";

fn over_mqtt(drain: &str) -> World {
    World::with(&Options {
        mqtt: true,
        sections: &format!("[shutdown]\ndrain = {drain:?}"),
        ..Options::default()
    })
}

#[test]
fn over_mqtt_what_is_in_flight_is_answered_and_the_connection_ends_with_disconnect() {
    let mut world = over_mqtt("20s");
    world
        .simulator
        .put("/simulator/mqtt", &json!({"pubackDelayMs": 1500}));
    let mut device = Client::connect(world.address, &world.meter);
    device.send(&telemetry(1, r#"{"a":1}"#));
    eventually("the PUBLISH", || {
        world.simulator.mqtt_counts(METER)["publishes"] == 1
    });
    world.gateway.signal("TERM");
    assert_eq!(device.receive().code(), "2.01");
    assert_eq!(device.receive_or_close(), None, "close_notify");
    world.gateway.await_end();
    let counts = world.simulator.mqtt_counts(METER);
    assert_eq!(
        (&counts["connections"], &counts["disconnects"]),
        (&json!(0), &json!(1))
    );
}

/// Also that of a device whose session has ended before, and that of one which observes and does not respond.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_mqtt_each_connection_ends_with_disconnect_when_the_drain_is_over() {
    let mut world = over_mqtt("1s");
    let device = world.meter().await;
    observe_commands(&world, &device).await;
    let pump = world.connect(&world.pump).await;
    assert_eq!(pump.post_telemetry("{a:1}").await, "2.01");
    pump.close().await;
    world.gateway.terminate();
    for name in [METER, "pump-03"] {
        let counts = world.simulator.mqtt_counts(name);
        let seen = (&counts["connections"], &counts["disconnects"]);
        assert_eq!(seen, (&json!(0), &json!(1)), "{name}");
    }
}

/// So the next gateway, to which the device connects then, may have a connection under the same access token.
#[test]
fn over_mqtt_a_connection_is_closed_with_its_session_while_others_are_served() {
    let mut world = World::with(&Options {
        mqtt: true,
        sections: "[shutdown]\ndrain = \"20s\"\n[coap]\nack_timeout = \"200ms\"",
        ..Options::default()
    });
    let mut pump = Client::connect(world.address, &world.pump);
    pump.send(&telemetry(1, r#"{"a":1}"#));
    assert_eq!(pump.receive().code(), "2.01");
    let delay = json!({"pubackDelayMs": 4000});
    world.simulator.put("/simulator/mqtt", &delay);
    let mut meter = Client::connect(world.address, &world.meter);
    meter.send(&telemetry(1, r#"{"a":1}"#));
    eventually("the PUBLISH", || {
        world.simulator.mqtt_counts(METER)["publishes"] == 1
    });
    world.gateway.signal("TERM");
    assert_eq!(pump.receive_or_close(), None, "close_notify");
    let connections = |name: &str| world.simulator.mqtt_counts(name)["connections"].clone();
    eventually("its connection is closed", || connections("pump-03") == 0);
    assert_eq!(connections(METER), 1);
    assert_eq!(meter.receive().code(), "2.01");
    world.gateway.await_end();
}

async fn observe_commands(world: &World, device: &Device) {
    let request = get(&["api", "v1", "rpc"]).option(OBSERVE, []);
    assert_eq!(code(&device.request(request).await), "2.03");
    eventually("a subscription", || {
        world.simulator.mqtt_counts(METER)["rpcSubscribed"] == true
    });
}

/// Sends a persistent command, and returns its id in ThingsBoard's REST API.
fn send_persistent(world: &World, method: &str) -> u64 {
    // It expires after ten seconds by default, delivered or not: this gateway's drain and the start of the next one take five.
    let command = json!({"method": method, "params": {}, "persistent": true, "timeoutMs": 600_000});
    let path = "/simulator/devices/meter-17/rpc";
    let sent = world.simulator.control("POST", path, &command.to_string());
    let sent: Value = serde_json::from_str(&sent).unwrap();
    sent["rpcId"].as_u64().unwrap()
}

fn status(world: &World, command: u64) -> String {
    let path = format!("/simulator/commands/{command}");
    let command: Value = serde_json::from_str(&world.simulator.control("GET", &path, "")).unwrap();
    command["status"].as_str().unwrap().to_owned()
}

async fn next_command(device: &Device) -> Message {
    let message = Message::decode(&device.receive().await);
    assert_eq!(message.kind, CON, "{message:?}");
    message
}

/// What a device has not acknowledged stays in ThingsBoard, and so do commands that are sent while the gateway stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_mqtt_commands_wait_in_thingsboard_for_the_next_gateway() {
    let mut world = over_mqtt("5s");
    let device = world.meter().await;
    observe_commands(&world, &device).await;
    let first = send_persistent(&world, "first");
    let command = next_command(&device).await;
    assert!(command.text().contains("first"), "{}", command.text());
    world.gateway.signal("TERM");
    eventually("the end of the subscription", || {
        world.simulator.mqtt_counts(METER)["rpcSubscribed"] == false
    });
    // Not by the end of the drain.
    assert!(!world.log().contains("\"session ended\""));
    let second = send_persistent(&world, "second");
    world.gateway.await_end();
    for command in [first, second] {
        assert_ne!(status(&world, command), "DELIVERED");
    }
    let (mut gateway, address) = world.start_second_gateway();
    let device = Device::connect(address, &world.meter, &world.authority.pem).await;
    observe_commands(&world, &device).await;
    for method in ["first", "second"] {
        let command = next_command(&device).await;
        assert!(command.text().contains(method), "{}", command.text());
        let id = command.id;
        let acknowledgement = Message {
            kind: ACK,
            id,
            ..Message::default()
        };
        device.send(&acknowledgement.encode()).await;
    }
    eventually("both are delivered", || {
        [first, second].map(|command| status(&world, command)) == ["DELIVERED", "DELIVERED"]
    });
    gateway.terminate();
}
