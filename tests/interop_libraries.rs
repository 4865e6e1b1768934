//! Clients that are written with a CoAP library: Californium with Scandium (Java), go-coap with pion (Go).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::{Value, json};
use test_support::library::{Client, LIBRARIES, Library};
use test_support::world::World;

const SHARED: &str = "/simulator/devices/meter-17/attributes/shared";

/// A client that has posted telemetry, and what its handshake agreed on.
fn connected(library: Library, world: &World, arguments: &[&str]) -> (Client, String) {
    let mut device = library.start(world, world.address, arguments);
    let response = device.request(r#"post api/v1/telemetry {"a":1}"#);
    assert_eq!(response, "2.01", "{library:?} {arguments:?}");
    world.assert_last_post("/api/v1/{token}/telemetry", "meter-17", r#"{"a":1}"#);
    let handshake = device.await_line("handshake ");
    assert!(handshake.starts_with("resumed=false "), "{handshake}");
    (device, handshake)
}

/// Changes a shared attribute, and waits for its notification.
fn change_attribute(world: &World, device: &mut Client, interval: u32) {
    world
        .simulator
        .post(SHARED, &json!({ "interval": interval }));
    let notification = device.await_line("notification ");
    assert_eq!(notification, format!(r#"2.05 {{"interval":{interval}}}"#));
}

/// Sends a command, and lets the device answer it.
fn command(world: &World, device: &mut Client) {
    let call = json!({ "method": "setGpio", "params": { "pin": 23 } });
    let reply = world.simulator.send_command("meter-17", &call);
    let notification = device.await_line("notification 2.05 ");
    let received: Value = serde_json::from_str(&notification).unwrap();
    assert_eq!(received["method"], "setGpio");
    let answer = format!(r#"post api/v1/rpc/{} {{"result":"ok"}}"#, received["id"]);
    assert_eq!(device.request(&answer), "2.01");
    assert_eq!(reply.join().unwrap(), r#"{"result":"ok"}"#);
}

/// Observes attributes and commands.
fn observe(world: &World, device: &mut Client) {
    world.simulator.post(SHARED, &json!({ "interval": 60 }));
    let first = device.observe("api/v1/attributes");
    assert_eq!(first, r#"2.05 {"interval":60}"#);
    world.simulator.await_poll("meter-17", "attributes");
    assert_eq!(device.observe("api/v1/rpc"), "2.03");
    world.simulator.await_poll("meter-17", "rpc");
}

#[test]
fn telemetry_attributes_and_commands_work() {
    for library in LIBRARIES {
        let world = World::start();
        let (mut device, _) = connected(library, &world, &[]);
        world.simulator.post(SHARED, &json!({ "interval": 60 }));
        let response = device.request("get api/v1/attributes?sharedKeys=interval");
        assert_eq!(
            response, r#"2.05 {"shared":{"interval":60}}"#,
            "{library:?}"
        );
        observe(&world, &mut device);
        change_attribute(&world, &mut device, 30);
        command(&world, &mut device);
    }
}

/// Block-wise, in both directions.
fn transfer(library: Library, world: &World, device: &mut Client) {
    let body = json!({ "text": "abcdefghij".repeat(1500) }).to_string();
    let file = world.path().join("body");
    std::fs::write(&file, &body).unwrap();
    let before = world.simulator.arrivals().len();
    let response = device.request(&format!("post-file api/v1/telemetry {}", file.display()));
    assert_eq!(response, "2.01", "{library:?}");
    world.assert_last_post("/api/v1/{token}/telemetry", "meter-17", &body);
    assert_eq!(world.simulator.arrivals().len(), before + 1);
    let shared = json!({ "long": "klmnopqrst".repeat(1000) });
    world.simulator.post(SHARED, &shared);
    let response = device.request("get api/v1/attributes?sharedKeys=long");
    let payload: Value = serde_json::from_str(&response["2.05 ".len()..]).unwrap();
    assert_eq!(payload, json!({ "shared": shared }), "{library:?}");
}

#[test]
fn large_posts_and_responses_go_in_blocks() {
    for library in LIBRARIES {
        for block in ["64", "1024"] {
            let world = World::start();
            let (mut device, _) = connected(library, &world, &["--block-size", block]);
            transfer(library, &world, &mut device);
        }
    }
}
