//! The device API of the real binary over ThingsBoard's MQTT, with the simulator's MQTT and a client that shares no code
//! with the gateway. At each test's end no token or key may be in a log (`test_support::world`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use test_support::TIMEOUT;
use test_support::client::Client;
use test_support::coap::{ACK, BLOCK1, CON, CONTENT_FORMAT, MAX_AGE, Message, OBSERVE, get, post};
use test_support::device::{Device, code};
use test_support::fleet::Fleet;
use test_support::packages::{assign, create, sha256};
use test_support::world::{METER_TOKEN, Options, World, eventually};

const JSON: u64 = 50;
const METER: &str = "meter-17";

fn mqtt() -> World {
    World::with(&Options {
        mqtt: true,
        ..Options::default()
    })
}

fn count(world: &World, name: &str) -> u64 {
    world.simulator.mqtt_counts(METER)[name].as_u64().unwrap()
}

fn await_count(world: &World, name: &str, expected: u64) {
    eventually(&format!("{name} = {expected}"), || {
        count(world, name) == expected
    });
}

/// Waits until the subscription of this name works.
fn await_subscribed(world: &World, name: &str) {
    eventually(name, || world.simulator.mqtt_counts(METER)[name] == true);
}

fn set(world: &World, attributes: &Value) {
    let path = "/simulator/devices/meter-17/attributes/shared";
    world.simulator.post(path, attributes);
}

async fn observe(device: &Device, feature: &str) -> Message {
    let request = get(&["api", "v1", feature]).option(OBSERVE, []);
    let response = device.request(request).await.message;
    assert_eq!(response.uint(OBSERVE), Some(0), "{response:?}");
    response
}

/// The next message of the gateway's own accord, not acknowledged.
async fn unacknowledged(device: &Device) -> Message {
    let message = Message::decode(&device.receive().await);
    assert_eq!(message.kind, CON, "{message:?}");
    message
}

async fn acknowledge(device: &Device, message: &Message) {
    let empty = Message {
        kind: ACK,
        id: message.id,
        ..Message::default()
    };
    device.send(&empty.encode()).await;
}

async fn notification(device: &Device) -> Message {
    let message = unacknowledged(device).await;
    acknowledge(device, &message).await;
    message
}

/// Reads notifications until one has this text.
async fn await_notification(device: &Device, text: &str) {
    while !notification(device).await.text().contains(text) {}
}

fn body(message: &Message) -> Value {
    serde_json::from_slice(&message.payload).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_of_the_device_api_has_its_response() {
    let world = mqtt();
    let device = world.meter().await;
    assert_eq!(device.post_telemetry("{temperature: 25}").await, "2.01");
    let telemetry = "/simulator/devices/meter-17";
    let shown: Value =
        serde_json::from_str(&world.simulator.control("GET", telemetry, "")).unwrap();
    assert_eq!(shown["telemetry"]["temperature"]["value"], 25);
    let attributes = ["api", "v1", "attributes"];
    let nothing = device.request(get(&attributes)).await;
    assert_eq!(code(&nothing), "4.04");
    let published = device.request(post(&attributes, r#"{"model":"ü"}"#)).await;
    assert_eq!(code(&published), "2.01");
    set(&world, &json!({"interval": 60, "unit": "C"}));
    let all = device.request(get(&attributes)).await;
    assert_eq!(
        (code(&all).as_str(), all.message.uint(CONTENT_FORMAT)),
        ("2.05", Some(JSON))
    );
    assert_eq!(
        body(&all.message),
        json!({"client": {"model": "ü"}, "shared": {"interval": 60, "unit": "C"}})
    );
    let some = get(&attributes).query("sharedKeys=unit");
    let some = device.request(some).await.message;
    assert_eq!(body(&some), json!({"shared": {"unit": "C"}}));
    for claim in ["", r#"{"durationMs":60000}"#] {
        let claimed = device.request(post(&["api", "v1", "claim"], claim)).await;
        assert_eq!(code(&claimed), "2.01", "{claim}");
    }
    world
        .simulator
        .put("/simulator/rpc/getLimit", &json!({"limit": 7}));
    let call = post(
        &["api", "v1", "rpc"],
        r#"{"method":"getLimit","params":{}}"#,
    );
    let reply = device.request(call).await;
    assert_eq!(
        (code(&reply).as_str(), body(&reply.message)),
        ("2.05", json!({"limit": 7}))
    );
    // All of it over one connection.
    assert_eq!(count(&world, "connects"), 1);
}

/// 2.01 is ThingsBoard's PUBACK.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn telemetry_is_created_when_thingsboard_has_acknowledged_it() {
    let world = mqtt();
    let device = world.meter().await;
    assert_eq!(device.post_telemetry("{a:1}").await, "2.01");
    let delay = json!({"pubackDelayMs": 1500});
    world.simulator.put("/simulator/mqtt", &delay);
    let before = test_support::process::now();
    assert_eq!(device.post_telemetry("{a:2}").await, "2.01");
    let passed = before.elapsed();
    assert!(passed >= Duration::from_millis(1500), "{passed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn provisioning_succeeds_or_fails_with_thingsboards_response() {
    let mut world = World::with(&Options {
        mqtt: true,
        clients: "provision = true",
        ..Options::default()
    });
    world.keep_secret("Pr0visionSecret");
    let profile = json!({"secret": "Pr0visionSecret", "strategy": "ALLOW_CREATE_NEW_DEVICES"});
    world
        .simulator
        .put("/simulator/profiles/PROFILE-KEY", &profile);
    let identity = world.authority.device("new-device");
    let device = world.connect(&identity).await;
    let provision = |secret: &str| {
        let body = json!({"deviceName": "new-device", "provisionDeviceKey": "PROFILE-KEY", "provisionDeviceSecret": secret});
        post(&["api", "v1", "provision"], &body.to_string())
    };
    let refused = device.request(provision("wrong")).await;
    assert_eq!(
        (code(&refused), body(&refused.message)["status"].clone()),
        ("4.00".to_owned(), json!("NOT_FOUND"))
    );
    let accepted = device.request(provision("Pr0visionSecret")).await;
    assert_eq!(code(&accepted), "2.01");
    let accepted = body(&accepted.message);
    assert_eq!(accepted["status"], "SUCCESS");
    world.keep_secret(accepted["credentialsValue"].as_str().unwrap());
}

/// Downloads the firmware, block by block.
async fn download(device: &Device) -> Vec<u8> {
    let mut image = Vec::new();
    for number in 0_u32.. {
        let block2 = (number << 4 | 6).to_be_bytes();
        let request = get(&["fw"]).option(test_support::coap::BLOCK2, &block2[1..]);
        let block = device.request(request).await.message;
        assert_eq!(block.code(), "2.05", "block {number}: {block:?}");
        image.extend(&block.payload);
        if block.uint(test_support::coap::BLOCK2).unwrap() & 8 == 0 {
            break;
        }
    }
    image
}

/// Out of 64 KiB requests of the gateway to ThingsBoard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_is_downloaded_in_blocks() {
    let world = mqtt();
    let size = 150_000;
    let expected = create(&world.simulator, "firmware", "meter", "1.0", size, 7);
    assign(&world.simulator, METER, "firmware", "meter", "1.0");
    let device = world.meter().await;
    let image = download(&device).await;
    assert_eq!((image.len(), sha256(&image)), (size, expected));
    let missing = get(&["sw"]);
    assert_eq!(code(&device.request(missing).await), "4.04");
    // The connection is still the first one.
    assert_eq!(count(&world, "connects"), 1);
}

/// A device that downloads as soon as it is notified must not get the former package.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_assignment_is_served_as_soon_as_the_device_is_notified_of_it() {
    let world = mqtt();
    let former = create(&world.simulator, "firmware", "meter", "1.0", 20_000, 7);
    let new = create(&world.simulator, "firmware", "meter", "2.0", 20_000, 8);
    assign(&world.simulator, METER, "firmware", "meter", "1.0");
    let device = world.meter().await;
    observe(&device, "attributes").await;
    await_subscribed(&world, "attributesSubscribed");
    assert_eq!(sha256(&download(&device).await), former);
    assign(&world.simulator, METER, "firmware", "meter", "2.0");
    await_notification(&device, r#""fw_version":"2.0""#).await;
    assert_eq!(sha256(&download(&device).await), new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_delivered_when_the_device_has_acknowledged_it() {
    let world = mqtt();
    set(&world, &json!({"interval": 60}));
    let device = world.meter().await;
    let state = observe(&device, "attributes").await;
    assert_eq!(state.text(), r#"{"interval":60}"#);
    let valid = observe(&device, "rpc").await;
    assert_eq!(
        (valid.code().as_str(), valid.text()),
        ("2.03", String::new())
    );
    await_subscribed(&world, "attributesSubscribed");
    await_subscribed(&world, "rpcSubscribed");

    set(&world, &json!({"interval": 30, "mode": "eco"}));
    let change = notification(&device).await;
    assert_eq!(change.text(), r#"{"interval":30,"mode":"eco"}"#);
    assert_eq!(change.token, state.token);
    let mode = "/simulator/devices/meter-17/attributes/shared?keys=mode";
    world.simulator.control("DELETE", mode, "");
    let deleted = notification(&device).await;
    assert_eq!(deleted.text(), r#"{"deleted":["mode"]}"#);

    let command = json!({"method": "open", "params": {"valve": 2}});
    let call = world.simulator.send_command(METER, &command);
    let command = unacknowledged(&device).await;
    assert_eq!(
        body(&command),
        json!({"id": body(&command)["id"], "method": "open", "params": {"valve": 2}})
    );
    assert_eq!(command.token, valid.token);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(count(&world, "commandPubacks"), 0);
    acknowledge(&device, &command).await;
    await_count(&world, "commandPubacks", 1);
    let id = body(&command)["id"].to_string();
    let reply = post(&["api", "v1", "rpc", &id], r#"{"result":"ok"}"#);
    assert_eq!(code(&device.request(reply).await), "2.01");
    assert_eq!(call.join().unwrap(), r#"{"result":"ok"}"#);
    assert_eq!(count(&world, "connects"), 1);
}

/// The same bodies over both of ThingsBoard's APIs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_body_has_the_code_that_it_has_over_http() {
    let world = |mqtt: bool| {
        World::with(&Options {
            mqtt,
            upstream: "timeout = \"3s\"",
            ..Options::default()
        })
    };
    let worlds = [world(false), world(true)];
    let devices = [worlds[0].meter().await, worlds[1].meter().await];
    let rows = [
        ("telemetry", "{a:1}"),
        ("telemetry", "[{a:1},{a:2}]"),
        ("telemetry", r#"{"ts":1700000000000,"values":{"a":1}}"#),
        ("telemetry", r#"{"ts":1}"#),
        ("telemetry", "{}"),
        ("telemetry", ""),
        ("telemetry", "{a:"),
        ("telemetry", "text"),
        ("telemetry", "5"),
        ("telemetry", "null"),
        ("telemetry", "[1]"),
        ("telemetry", "[]"),
        ("telemetry", "{a:1e2000000000}"),
        ("attributes", "{a:1e2000000000}"),
        ("telemetry", r#"{"ts":"x","values":{"a":1}}"#),
        ("telemetry", r#"{"ts":1,"values":[]}"#),
        ("telemetry", r#"{"a":null}"#),
        ("attributes", r#"{"a":{"b":[1]}}"#),
        ("attributes", "{a:1}"),
        ("attributes", "{}"),
        ("attributes", ""),
        ("attributes", "[]"),
        ("attributes", "5"),
        ("attributes", "null"),
        ("attributes", "{"),
        ("claim", "{}"),
        ("claim", ""),
        ("claim", "text"),
        ("claim", "[]"),
        ("claim", r#"{"durationMs":"x"}"#),
        ("claim", r#"{"secretKey":"k","durationMs":60000}"#),
        ("rpc", r#"{"method":"getTime","params":{}}"#),
        ("rpc", r#"{"method":"getTime"}"#),
        ("rpc", r#"{"params":{}}"#),
        ("rpc", r#"{"method":5,"params":{}}"#),
        ("rpc", ""),
        ("rpc", "[]"),
        ("rpc", "5"),
        ("rpc", "{"),
        ("rpc/9", r#"{"ok":true}"#),
        ("rpc/9", "5"),
        ("rpc/9", ""),
        ("rpc/9", "{"),
        ("rpc/x", "{}"),
    ];
    let mut different = Vec::new();
    for (path, body) in rows {
        let segments: Vec<&str> = ["api", "v1"].into_iter().chain(path.split('/')).collect();
        let mut codes = Vec::new();
        for device in &devices {
            codes.push(code(&device.request(post(&segments, body)).await));
        }
        if codes[0] != codes[1] {
            different.push(format!(
                "{path} {body}: http {} mqtt {}",
                codes[0], codes[1]
            ));
        }
    }
    assert_eq!(different, Vec::<String>::new());
    for device in &devices {
        assert_eq!(device.post_telemetry("[]").await, "4.00");
    }
    // None of them has cost the connection.
    assert_eq!(count(&worlds[1], "connects"), 1);
}

/// A body over ThingsBoard's 64 KiB is refused before it is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_for_mqtt_is_refused_and_the_connection_stays() {
    let world = World::with(&Options {
        mqtt: true,
        sections: "[coap]\nmax_body = 70000",
        ..Options::default()
    });
    let device = world.meter().await;
    assert_eq!(device.post_telemetry("{a:1}").await, "2.01");
    for (length, expected) in [(65_000, "2.01"), (66_000, "4.13")] {
        let text = format!(r#"{{"t":"{}"}}"#, "x".repeat(length));
        let mut last = String::new();
        let blocks: Vec<&[u8]> = text.as_bytes().chunks(1024).collect();
        for (number, block) in (0_u32..).zip(&blocks) {
            let more = u32::from(usize::try_from(number).unwrap() + 1 < blocks.len());
            let block1 = (number << 4 | more << 3 | 6).to_be_bytes();
            let request = post(&["api", "v1", "telemetry"], "")
                .option(BLOCK1, &block1[1..])
                .payload(block);
            last = code(&device.request(request).await);
            if last != "2.31" {
                break;
            }
        }
        assert_eq!(last, expected, "{length}");
    }
    assert_eq!(count(&world, "connects"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_of_thingsboard_the_device_is_subscribed_again() {
    let world = mqtt();
    let device = world.meter().await;
    observe(&device, "attributes").await;
    observe(&device, "rpc").await;
    await_subscribed(&world, "attributesSubscribed");
    await_subscribed(&world, "rpcSubscribed");
    for (down_ms, change) in [(0_u64, "at once"), (300, "when it is up")] {
        let down = json!({"downMs": down_ms});
        world.simulator.post("/simulator/restart", &down);
        if down_ms == 0 {
            let subscribed = &world.simulator.mqtt_counts(METER)["attributesSubscribed"];
            assert_eq!(subscribed, false, "the change is to be missed");
        }
        tokio::time::sleep(Duration::from_millis(down_ms + 100)).await;
        set(&world, &json!({"changed": change}));
        await_notification(&device, change).await;
    }
    await_subscribed(&world, "attributesSubscribed");
    await_subscribed(&world, "rpcSubscribed");
    set(&world, &json!({"later": 1}));
    await_notification(&device, r#""later":1"#).await;
    let wake = json!({"method": "wake", "params": {}, "oneway": true});
    world
        .simulator
        .post("/simulator/devices/meter-17/rpc", &wake);
    await_notification(&device, "wake").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_observation_of_a_deleted_device_ends_with_4_01() {
    let world = mqtt();
    let device = world.meter().await;
    let state = observe(&device, "rpc").await;
    await_subscribed(&world, "rpcSubscribed");
    let path = "/simulator/devices/meter-17";
    world.simulator.control("DELETE", path, "");
    let last = notification(&device).await;
    assert_eq!((last.code().as_str(), last.uint(OBSERVE)), ("4.01", None));
    assert_eq!(last.token, state.token);
    assert_eq!(device.post_telemetry("{a:1}").await, "4.01");
    world.await_log("ThingsBoard does not know the access token registered for this device");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_is_removed_from_the_registry_loses_its_connection() {
    let world = mqtt();
    let device = world.meter().await;
    observe(&device, "attributes").await;
    await_subscribed(&world, "attributesSubscribed");
    let pump = world.connect(&world.pump).await;
    assert_eq!(pump.post_telemetry("{a:1}").await, "2.01");
    assert_eq!(count(&world, "connections"), 1);
    let file = world.path().join("devices.toml");
    let registry = std::fs::read_to_string(&file).unwrap();
    let (_, pumps) = registry.rsplit_once("[[device]]").unwrap();
    std::fs::write(&file, format!("[[device]]{pumps}")).unwrap();
    await_count(&world, "connections", 0);
    let last = notification(&device).await;
    assert_eq!((last.code().as_str(), last.uint(OBSERVE)), ("4.01", None));
    assert_eq!(
        code(&device.request(get(&["api", "v1", "attributes"])).await),
        "4.01"
    );
    let connections = &world.simulator.mqtt_counts("pump-03")["connections"];
    assert_eq!(connections, 1);
}

/// ThingsBoard closes a connection that is over its rate limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_has_its_code_and_the_connection_comes_back() {
    let world = mqtt();
    let limit = json!({"telemetryLimit": "3:2"});
    world.simulator.put("/simulator/mqtt", &limit);
    let device = world.meter().await;
    observe(&device, "attributes").await;
    await_subscribed(&world, "attributesSubscribed");
    for n in 0..3 {
        assert_eq!(device.post_telemetry(&format!("{{a:{n}}}")).await, "2.01");
    }
    let limited = post(&["api", "v1", "telemetry"], "{a:4}");
    let limited = device.request(limited).await;
    assert_eq!(code(&limited), "4.29", "{limited:?}");
    assert!(
        limited
            .message
            .uint(MAX_AGE)
            .is_some_and(|seconds| seconds > 0)
    );
    await_count(&world, "connects", 2);
    await_subscribed(&world, "attributesSubscribed");
    set(&world, &json!({"later": 1}));
    await_notification(&device, r#""later":1"#).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(device.post_telemetry("{a:5}").await, "2.01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_is_opened_again_while_the_device_observes() {
    let world = mqtt();
    let device = world.meter().await;
    observe(&device, "attributes").await;
    await_subscribed(&world, "attributesSubscribed");
    let connection = "/simulator/devices/meter-17/mqtt";
    world.simulator.control("DELETE", connection, "");
    set(&world, &json!({"n": 1}));
    await_notification(&device, r#""n":1"#).await;
    await_count(&world, "connects", 2);
}

/// ThingsBoard closes the connection of the one when the other connects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_client_with_the_token_is_reported_and_not_fought() {
    let world = mqtt();
    let device = world.meter().await;
    observe(&device, "attributes").await;
    await_subscribed(&world, "attributesSubscribed");
    // CONNECT of MQTT 5 with a user name (§3.1).
    let token = METER_TOKEN.as_bytes();
    let token_length = u8::try_from(token.len()).unwrap();
    let mut connect = b"\x10\x00\x00\x04MQTT\x05\x82\x00\x00\x00\x00\x00\x00".to_vec();
    connect.push(token_length);
    connect.extend(token);
    connect[1] = u8::try_from(connect.len() - 2).unwrap();
    let mut other = TcpStream::connect(world.simulator.mqtt).unwrap();
    other.set_read_timeout(Some(TIMEOUT)).unwrap();
    other.write_all(&connect).unwrap();
    let mut connack = [0; 5];
    other.read_exact(&mut connack).unwrap();
    assert_eq!(connack, [0x20, 3, 0, 0, 0]);
    world.await_log("another client uses this device's access token over MQTT");
    // The gateway waits, and the other keeps its connection for now.
    let half_a_second = Some(Duration::from_millis(500));
    other.set_read_timeout(half_a_second).unwrap();
    assert!(other.read(&mut connack).is_err());
}

#[test]
fn a_thousand_devices_have_a_connection_each() {
    const DEVICES: usize = 1000;
    let devices = Fleet::new(DEVICES);
    let world = World::with(&Options {
        mqtt: true,
        any_issuer: true,
        devices: &devices.registry,
        limits: "handshakes_per_address = 5000",
        log_level: Some("info"),
        ..Options::default()
    });
    let simulator = &world.simulator;
    devices.create(simulator);
    let mut observers: Vec<Client> = Vec::new();
    for identity in &devices.identities {
        let mut device = Client::connect(world.address, identity);
        let mut request = get(&["api", "v1", "rpc"]).option(OBSERVE, []);
        (request.id, request.token) = (1, vec![1]);
        device.send(&request);
        assert_eq!(device.receive().uint(OBSERVE), Some(0));
        observers.push(device);
    }
    // A subscription for commands is renewed after half a minute, so their number says nothing on a busy machine.
    for n in 0..DEVICES {
        eventually("a connection and a subscription each", || {
            let counts = simulator.mqtt_counts(&format!("device-{n}"));
            counts["connections"] == 1 && counts["rpcSubscribed"] == true
        });
    }
    let counts = simulator.control("GET", "/simulator/mqtt/counts", "");
    let counts: Value = serde_json::from_str(&counts).unwrap();
    assert_eq!(
        (&counts["connections"], &counts["connects"]),
        (&json!(DEVICES), &json!(DEVICES))
    );
    for n in (0..DEVICES).step_by(50) {
        let command = json!({"method": "wake", "params": n, "oneway": true});
        simulator.post(&format!("/simulator/devices/device-{n}/rpc"), &command);
        assert!(observers[n].receive().text().contains("wake"));
    }
}
