//! The real binary with `upstream.http_version = "2"`, over the simulator's HTTP/2.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::{Value, json};
use test_support::client::Client;
use test_support::coap::{CON, Message, OBSERVE, get};
use test_support::device::Device;
use test_support::fleet::Fleet;
use test_support::world::{Options, World, eventually};

const HTTP2: &str = "http_version = \"2\"";

fn world() -> World {
    World::with(&Options {
        upstream: HTTP2,
        ..Options::default()
    })
}

/// The simulator's open connections, without that of the question.
fn connections(world: &World) -> u64 {
    let open = world.simulator.control("GET", "/simulator/connections", "");
    let open: Value = serde_json::from_str(&open).unwrap();
    open["open"].as_u64().unwrap() - 1
}

async fn observe(device: &Device, feature: &str) {
    let request = get(&["api", "v1", feature]).option(OBSERVE, []);
    let response = device.request(request).await.message;
    assert_eq!(response.uint(OBSERVE), Some(0), "{response:?}");
}

/// The next notification, acknowledged.
async fn notification(device: &Device) -> Message {
    let message = Message::decode(&device.receive().await);
    assert_eq!(message.kind, CON, "{message:?}");
    let acknowledgement = Message {
        kind: test_support::coap::ACK,
        id: message.id,
        ..Message::default()
    };
    device.send(&acknowledgement.encode()).await;
    message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_and_polls_go_on_after_a_restart_of_thingsboard() {
    let world = world();
    let device = world.meter().await;
    observe(&device, "attributes").await;
    observe(&device, "rpc").await;
    for round in 0..3 {
        if round > 0 {
            let down = json!({"downMs": 500});
            world.simulator.post("/simulator/restart", &down);
        }
        let body = format!("{{\"round\":{round}}}");
        // While it is away the device gets 5.03 and tries again.
        while device.post_telemetry(&body).await != "2.01" {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        world.simulator.await_poll("meter-17", "attributes");
        world.simulator.await_poll("meter-17", "rpc");
        world.assert_last_post("/api/v1/{token}/telemetry", "meter-17", &body);
        let shared = "/simulator/devices/meter-17/attributes/shared";
        world.simulator.post(shared, &json!({"round": round}));
        let changed = json!({"round": round}).to_string();
        while notification(&device).await.text() != changed {}
        let command = json!({"method": format!("do{round}"), "params": {}, "oneway": true});
        world
            .simulator
            .post("/simulator/devices/meter-17/rpc", &command);
        let text = notification(&device).await.text();
        assert!(text.contains(&format!("do{round}")), "{text}");
    }
    // One for requests and one for polls.
    assert!(connections(&world) <= 2);
}

#[test]
fn a_thousand_polls_share_ten_connections() {
    const DEVICES: usize = 500;
    let devices = Fleet::new(DEVICES);
    let world = World::with(&Options {
        upstream: HTTP2,
        any_issuer: true,
        devices: &devices.registry,
        limits: "handshakes_per_address = 5000",
        // None ends before the last has begun: after each, the attributes are read, and many reads need more connections.
        relay: "poll_timeout = \"4m\"",
        log_level: Some("info"),
        ..Options::default()
    });
    devices.create(&world.simulator);
    let mut observers: Vec<Client> = devices
        .identities
        .iter()
        .map(|identity| Client::connect(world.address, identity))
        .collect();
    for observer in &mut observers {
        for (id, feature) in [(1_u16, "attributes"), (2, "rpc")] {
            let mut request = get(&["api", "v1", feature]).option(OBSERVE, []);
            (request.id, request.token) = (id, id.to_be_bytes().to_vec());
            observer.send(&request);
            assert_eq!(observer.receive().uint(OBSERVE), Some(0), "{feature}");
        }
    }
    let open = |n: usize| {
        let path = format!("/simulator/devices/device-{n}/subscriptions");
        let counts = world.simulator.control("GET", &path, "");
        counts.matches("\"open\":1").count()
    };
    for n in 0..DEVICES {
        eventually("both polls of a device", || open(n) == 2);
    }
    // Ten are full of polls; another may begin reads or carry requests.
    let connections = connections(&world);
    assert!((10..=12).contains(&connections), "{connections}");
    for n in (0..DEVICES).step_by(50) {
        let shared = format!("/simulator/devices/device-{n}/attributes/shared");
        world.simulator.post(&shared, &json!({"n": n}));
        assert_eq!(observers[n].receive().text(), json!({"n": n}).to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_speak_it_is_named_in_the_log_and_gets_no_token() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        while let Ok((mut stream, _)) = listener.accept() {
            let mut preface = [0; 24];
            let _ = stream.read_exact(&mut preface);
            let _ = stream.write_all(b"HTTP/1.1 400 \r\nConnection: close\r\n\r\n");
            // Closed with bytes unread, the connection would be reset.
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    let world = World::with(&Options {
        upstream: HTTP2,
        url: Some(url),
        ..Options::default()
    });
    let device = world.meter().await;
    assert_eq!(device.post_telemetry("{}").await, "5.02");
    let line = world.await_log("ThingsBoard can't be reached");
    assert!(line.contains("upstream.http_version"), "{line}");
}
