//! Persistent commands through the real binary over MQTT: what ThingsBoard takes for delivered, and what it sends again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::{Value, json};
use std::time::Duration;
use test_support::coap::{ACK, CON, Message, NON, OBSERVE, get, post};
use test_support::device::{Device, code};
use test_support::world::{Options, World, eventually};

const METER: &str = "meter-17";

fn mqtt(relay: &str) -> World {
    World::with(&Options {
        mqtt: true,
        relay,
        ..Options::default()
    })
}

/// Sends a persistent command with this number as its parameters. Returns its id in ThingsBoard.
fn send(world: &World, number: u64) -> Value {
    let command = json!({"method": "set", "params": number, "persistent": true, "oneway": true, "timeoutMs": 600_000});
    let path = "/simulator/devices/meter-17/rpc";
    let answer = world.simulator.control("POST", path, &command.to_string());
    serde_json::from_str::<Value>(&answer).unwrap()["rpcId"].clone()
}

fn status(world: &World, command: &Value) -> String {
    let path = format!("/simulator/commands/{command}");
    let answer = world.simulator.control("GET", &path, "");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["status"].as_str().unwrap().to_owned()
}

fn await_status(world: &World, command: &Value, expected: &str) {
    eventually(expected, || status(world, command) == expected);
}

fn await_subscribed(world: &World, is_subscribed: bool) {
    eventually("rpcSubscribed", || {
        world.simulator.mqtt_counts(METER)["rpcSubscribed"] == is_subscribed
    });
}

async fn observe(device: &Device, kind: u8) {
    let mut request = get(&["api", "v1", "rpc"]).option(OBSERVE, []);
    request.kind = kind;
    let response = device.request(request).await.message;
    assert_eq!(response.uint(OBSERVE), Some(0), "{response:?}");
}

/// The number of the next command that comes, and its message.
async fn command(device: &Device) -> (u64, Message) {
    let message = Message::decode(&device.receive().await);
    let body: Value = serde_json::from_slice(&message.payload).unwrap();
    (body["params"].as_u64().unwrap(), message)
}

async fn acknowledge(device: &Device, message: &Message) {
    let empty = Message {
        kind: ACK,
        id: message.id,
        ..Message::default()
    };
    device.send(&empty.encode()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_non_confirmable_observer_has_a_command_delivered_at_once() {
    let world = mqtt("");
    let device = world.meter().await;
    observe(&device, NON).await;
    await_subscribed(&world, true);
    let sent = send(&world, 1);
    let (number, message) = command(&device).await;
    assert_eq!((number, message.kind), (1, NON));
    await_status(&world, &sent, "DELIVERED");
}

/// ThingsBoard keeps the commands of a sleeping device, and the gateway has none of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_mode_on_uplink_commands_wait_in_thingsboard_for_the_next_message() {
    let world = mqtt("rpc = \"on-uplink\"\nattributes = \"on-uplink\"");
    let device = world.meter().await;
    observe(&device, CON).await;
    await_subscribed(&world, true);
    await_subscribed(&world, false);
    let waiting = [send(&world, 1), send(&world, 2)];
    tokio::time::sleep(Duration::from_millis(500)).await;
    for command in &waiting {
        assert_eq!(status(&world, command), "QUEUED");
    }
    let post = post(&["api", "v1", "telemetry"], "{a:1}");
    assert_eq!(code(&device.request(post).await), "2.01");
    for expected in [1, 2] {
        let (number, message) = command(&device).await;
        assert_eq!(number, expected);
        acknowledge(&device, &message).await;
    }
    for command in &waiting {
        await_status(&world, command, "DELIVERED");
    }
    await_subscribed(&world, false);
}

/// A device that does not acknowledge: SENT, and TIMEOUT after ThingsBoard's ten seconds. When it acknowledges after that,
/// ThingsBoard sends the command once more, and the device does not get it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_sent_then_timed_out_and_delivered_once_the_device_acknowledges_it() {
    let world = mqtt("");
    let device = world.meter().await;
    observe(&device, CON).await;
    await_subscribed(&world, true);
    let sent = send(&world, 1);
    let (_, first) = command(&device).await;
    assert_eq!(status(&world, &sent), "SENT");
    let (_, second) = command(&device).await;
    assert_eq!(second.id, first.id, "a retransmission");
    eventually("TIMEOUT", || status(&world, &sent) == "TIMEOUT");
    // The third retransmission comes 14 s after the first transmission, or later.
    let (mut last, mut retransmissions) = (second, 1);
    while retransmissions < 3 {
        (_, last) = command(&device).await;
        retransmissions += 1;
    }
    assert_eq!(last.id, first.id);
    acknowledge(&device, &last).await;
    await_status(&world, &sent, "DELIVERED");
    let next = send(&world, 2);
    let (number, message) = command(&device).await;
    assert_eq!(number, 2, "the first did not come again");
    acknowledge(&device, &message).await;
    await_status(&world, &next, "DELIVERED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_gateways_crash_thingsboard_sends_again_what_was_not_acknowledged() {
    let mut world = mqtt("");
    let device = world.meter().await;
    observe(&device, CON).await;
    await_subscribed(&world, true);
    let delivered = send(&world, 1);
    let (_, message) = command(&device).await;
    acknowledge(&device, &message).await;
    await_status(&world, &delivered, "DELIVERED");
    let sent = send(&world, 2);
    let (number, _) = command(&device).await;
    assert_eq!((number, status(&world, &sent).as_str()), (2, "SENT"));
    world.gateway.signal("KILL");
    (world.gateway, world.address) = world.start_second_gateway();
    let device = world.meter().await;
    observe(&device, CON).await;
    let (number, message) = command(&device).await;
    assert_eq!(number, 2, "the first was delivered");
    acknowledge(&device, &message).await;
    await_status(&world, &sent, "DELIVERED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_thingsboards_restart_new_commands_come_and_delivered_ones_do_not() {
    let world = mqtt("");
    let device = world.meter().await;
    observe(&device, CON).await;
    await_subscribed(&world, true);
    let delivered = send(&world, 1);
    let (_, message) = command(&device).await;
    acknowledge(&device, &message).await;
    await_status(&world, &delivered, "DELIVERED");
    let down = json!({"downMs": 1500});
    world.simulator.post("/simulator/restart", &down);
    tokio::time::sleep(Duration::from_millis(1600)).await;
    let waiting = send(&world, 2);
    let (number, message) = command(&device).await;
    assert_eq!(number, 2);
    acknowledge(&device, &message).await;
    await_status(&world, &waiting, "DELIVERED");
    assert_eq!(status(&world, &delivered), "DELIVERED");
}
