//! A fleet of observing devices on one gateway: 100 by default. The target is 5,000:
//! `COAPS_GATEWAY_FLEET=5000 cargo test --release --features slow-tests --test fleet -- --nocapture` prints the memory
//! of each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::as_conversions,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::json;
use test_support::client::Client;
use test_support::coap::{OBSERVE, get};
use test_support::fleet::Fleet;
use test_support::world::{Options, World, eventually};

const FEW: usize = 100;
/// The most memory of a session, and the most that the first sessions of a gateway take in addition, in KiB. These
/// devices use DTLS 1.3 by dimpl, whose hellos are as long as a datagram: 2,000 took 16.2 KiB each. The first hundred
/// took 2,350 to 2,740 KiB in addition, and take 1 MiB more now for the table of registered devices' addresses.
const PER_SESSION: u64 = 17;
const FIRST_SESSIONS: u64 = 1280 + 1024;

fn observe(device: &mut Client, feature: &str, id: u16) {
    let mut request = get(&["api", "v1", feature]).option(OBSERVE, []);
    (request.id, request.token) = (id, id.to_be_bytes().to_vec());
    device.send(&request);
    assert_eq!(device.receive().uint(OBSERVE), Some(0), "{feature}");
}

fn fleet() -> usize {
    let number = std::env::var("COAPS_GATEWAY_FLEET");
    number.map_or(FEW, |number| number.parse().expect("a number of devices"))
}

#[test]
fn a_fleet_observes_and_each_device_is_notified() {
    let fleet = fleet();
    let devices = Fleet::new(fleet);
    let world = World::with(&Options {
        // These certificates are issued by another authority than the world's.
        any_issuer: true,
        devices: &devices.registry,
        relay: "max_polls = 12000",
        limits: "handshakes_per_address = 5000",
        log_level: Some("info"),
        ..Options::default()
    });
    let simulator = &world.simulator;
    simulator.put("/simulator/connections", &json!({"max": 20000}));
    devices.create(simulator);
    let empty = world.resident();
    let mut observers: Vec<Client> = Vec::new();
    for identity in &devices.identities {
        observers.push(Client::connect(world.address, identity));
    }
    let connected = world.resident();
    for (n, observer) in observers.iter_mut().enumerate() {
        observe(observer, "attributes", 1);
        observe(observer, "rpc", 2);
        if n % 1000 == 999 {
            println!("{} observe", n + 1);
        }
    }
    let path = format!("/simulator/devices/device-{}/subscriptions", fleet - 1);
    eventually("the last poll", || {
        simulator
            .control("GET", &path, "")
            .matches("\"open\":1")
            .count()
            == 2
    });
    let observing = world.resident();
    for n in (0..fleet).step_by((fleet / 50).max(1)) {
        let attributes = format!("/simulator/devices/device-{n}/attributes/shared");
        simulator.post(&attributes, &json!({"n": n}));
        assert_eq!(observers[n].receive().text(), json!({"n": n}).to_string());
        let command = json!({"method": "wake", "params": n, "oneway": true});
        simulator.post(&format!("/simulator/devices/device-{n}/rpc"), &command);
        assert!(observers[n].receive().text().contains("wake"));
    }
    let sessions = connected.saturating_sub(empty);
    assert!(
        sessions <= FIRST_SESSIONS + PER_SESSION * fleet as u64,
        "{sessions} KiB for {fleet} sessions"
    );
    let kib = |more: u64| more as f64 / fleet as f64;
    println!(
        "{fleet} devices, {} polls: resident {empty} KiB at first; {:.1} KiB a session, and {:.1} KiB for observing both",
        2 * fleet,
        kib(sessions),
        kib(observing.saturating_sub(connected)),
    );
}
