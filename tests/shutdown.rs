//! The shutdown of the real binary: outstanding requests are answered, sessions are closed, and the drain has a limit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::json;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use test_support::certificates::Identity;
use test_support::client::Client;
use test_support::coap::{CON, Message, POST, get};
use test_support::fleet::Fleet;
use test_support::world::{Options, World};

const SIGTERMS: u64 = 20;
const DEVICES: usize = 6;

fn telemetry(id: u16, body: &str) -> Message {
    let mut request = Message::request(CON, POST, &["api", "v1", "telemetry"]).payload(body);
    (request.id, request.token) = (id, id.to_be_bytes().to_vec());
    request
}

/// Posts until the session is closed. Returns the bodies that were answered by 2.01.
fn post_until_close(gateway: SocketAddr, identity: &Identity, name: &str) -> BTreeSet<String> {
    let mut device = Client::connect(gateway, identity);
    let mut stored = BTreeSet::new();
    for id in 0.. {
        let body = json!({"device": name, "n": id}).to_string();
        device.send(&telemetry(id, &body));
        match device.receive_or_close() {
            None => break,
            Some(answer) if answer.code() == "2.01" => {
                assert!(stored.insert(body));
            }
            Some(answer) => {
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
    let fleet = Fleet::new(DEVICES);
    let world = World::with(&Options {
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
    let mut total = 0;
    for round in 0..SIGTERMS {
        simulator.control("DELETE", "/simulator/arrivals", "");
        let (mut gateway, address) = world.start_second_gateway();
        let stored: BTreeSet<String> = std::thread::scope(|scope| {
            let devices: Vec<_> = (fleet.identities.iter().enumerate())
                .map(|(n, identity)| {
                    let name = format!("{round}/{n}");
                    scope.spawn(move || post_until_close(address, identity, &name))
                })
                .collect();
            std::thread::sleep(Duration::from_millis(600 + 37 * round));
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
    assert!(total > 20 * DEVICES, "{total} posts in all");
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
