//! MQTT through a socket. What each packet does is tested without one, in `mqtt/session/tests`.

use super::{TOKEN, start};
use crate::{MqttCounts, RpcStatus, ServerRpc};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(20);

struct Mqtt(TcpStream);

impl Mqtt {
    /// Connects with MQTT 5, and waits for the CONNACK.
    async fn connect(address: SocketAddr) -> Mqtt {
        let mut mqtt = Mqtt(TcpStream::connect(address).await.unwrap());
        let length = u8::try_from(TOKEN.len()).unwrap();
        let head = [0x10, 15 + length];
        let connect = b"\0\x04MQTT\x05\x82\0\0\0\0\0\0";
        let packet = [&head[..], connect, &[length], TOKEN.as_bytes()].concat();
        mqtt.send(&packet).await;
        assert_eq!(mqtt.receive().await, [0x20, 3, 0, 0, 0]);
        mqtt
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next packet, which is shorter than 128 bytes.
    async fn receive(&mut self) -> Vec<u8> {
        let read = async {
            let mut packet = vec![0; 2];
            self.0.read_exact(&mut packet).await.unwrap();
            let mut body = vec![0; usize::from(packet[1])];
            self.0.read_exact(&mut body).await.unwrap();
            packet.extend(body);
            packet
        };
        tokio::time::timeout(TIMEOUT, read).await.expect("a packet")
    }

    /// All bytes until the connection closes; a reset is a close, too.
    async fn rest(mut self) -> Vec<u8> {
        super::client::rest(&mut self.0).await
    }
}

#[tokio::test]
async fn a_device_posts_over_mqtt_and_is_read_over_http() {
    let server = start().await;
    let mut mqtt = Mqtt::connect(server.mqtt).await;
    mqtt.send(b"\x32\x12\0\x06v2/a/j\0\x07\0{\"a\":1}").await;
    assert_eq!(mqtt.receive().await, [0x40, 2, 0, 7]);
    let connected = server.control.activity("meter").unwrap();
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(
        server.get("attributes").await.body,
        "{\"client\":{\"a\":1}}"
    );
    let read = server.control.activity("meter").unwrap();
    assert!(read.last_activity_time > connected.last_activity_time);
    assert_eq!(read.last_connect_time, connected.last_connect_time);
    // The DISCONNECT arrives although there are more bytes than are read.
    let long = [&b"\x30\xff\xff\x7f"[..], &[0; 50_000]].concat();
    mqtt.send(&long).await;
    assert_eq!(mqtt.rest().await, [0xe0, 2, 0x81, 0]);
    server.stop().await;
}

#[tokio::test]
async fn a_command_over_mqtt_reaches_its_caller_and_a_poll_beside_gets_it_as_well() {
    let server = start().await;
    let mut mqtt = Mqtt::connect(server.mqtt).await;
    mqtt.send(b"\x82\x12\0\x09\0\0\x0cv2/r/req/j/+\x01").await;
    assert_eq!(mqtt.receive().await, [0x90, 4, 0, 9, 0, 1]);
    let (control, poll) = (server.control.clone(), server.get("rpc?timeout=20000"));
    let command = async {
        while control.subscriptions("meter").unwrap().rpc.live == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        control
            .command("meter", ServerRpc::twoway("m", &1.into()))
            .await
    };
    let device = async {
        let command = mqtt.receive().await;
        assert!(command.ends_with(b"{\"method\":\"m\",\"params\":1}"));
        mqtt.send(b"\x40\x02\0\x01").await;
        mqtt.send(b"\x32\x12\0\x0cv2/r/res/j/0\0\x08\x007").await;
        assert_eq!(mqtt.receive().await, [0x40, 2, 0, 8]);
    };
    let (outcome, poll, ()) = tokio::join!(command, poll, device);
    assert_eq!(outcome, Ok(crate::CommandOutcome::Reply("7".to_owned())));
    assert_eq!(poll.body, "{\"id\":0,\"method\":\"m\",\"params\":1}");
    let counts = server.control.mqtt_counts("meter").unwrap();
    let expected = MqttCounts {
        connections: 1,
        connects: 1,
        publishes: 1,
        subscribes: 1,
        downlinks: 1,
        pubacks: 1,
        command_pubacks: 1,
        rpc_subscribed: true,
        ..MqttCounts::default()
    };
    assert_eq!(counts, expected);
    assert_eq!(server.control.mqtt_totals().publishes, 1);
    server.stop().await;
}

/// A device that subscribes and then requests all attributes misses no change: the request is behind the subscription.
#[tokio::test]
async fn the_answer_to_a_request_comes_when_the_subscription_before_it_works() {
    let server = start().await;
    let mut mqtt = Mqtt::connect(server.mqtt).await;
    for value in 1..=20 {
        let request = b"\x32\x13\0\x0cv2/a/req/j/1\0\x07\0{}";
        mqtt.send(b"\x82\x0c\0\x09\0\0\x06v2/a/j\x01").await;
        mqtt.send(request).await;
        assert_eq!(mqtt.receive().await, [0x90, 4, 0, 9, 0, 1]);
        assert_eq!(mqtt.receive().await, [0x40, 2, 0, 7]);
        let answer = mqtt.receive().await;
        assert!(answer.ends_with(b"}"), "{answer:?}");
        let set = server
            .control
            .set_shared_attribute("meter", "s", &value.into());
        set.unwrap();
        let change = mqtt.receive().await;
        assert!(change.ends_with(format!("{{\"s\":{value}}}").as_bytes()));
        mqtt.send(b"\xa2\x0b\0\x0a\0\0\x06v2/a/j").await;
        assert_eq!(mqtt.receive().await, [0xb0, 4, 0, 10, 0, 0]);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_restart_cuts_all_connections_and_keeps_commands_that_were_never_sent() {
    let server = start().await;
    // Accepted before the one that has its CONNACK.
    let without_connect = Mqtt(TcpStream::connect(server.mqtt).await.unwrap());
    let mqtt = Mqtt::connect(server.mqtt).await;
    let rpc = ServerRpc::oneway("m", &1.into()).with_timeout(Duration::from_secs(60));
    let command = server.control.persistent_command("meter", rpc, None);
    server.control.restart(Duration::from_millis(200));
    assert_eq!(mqtt.rest().await, b"");
    assert_eq!(without_connect.rest().await, b"");
    let refused = Mqtt(TcpStream::connect(server.mqtt).await.unwrap());
    assert_eq!(refused.rest().await, b"");
    tokio::time::sleep(Duration::from_millis(250)).await;
    let mut mqtt = Mqtt::connect(server.mqtt).await;
    mqtt.send(b"\x82\x12\0\x09\0\0\x0cv2/r/req/j/+\x01").await;
    mqtt.receive().await;
    let sent = mqtt.receive().await;
    assert!(sent.ends_with(b"{\"method\":\"m\",\"params\":1}"));
    mqtt.send(b"\x40\x02\0\x01\xc0\0").await;
    mqtt.send(b"\xc0\0").await;
    assert_eq!(mqtt.receive().await, [0xd0, 0]);
    let status = server.control.rpc_status(command.unwrap());
    assert_eq!(status, Some((RpcStatus::Delivered, None)));
    assert!(server.control.cut_mqtt("meter"));
    assert_eq!(mqtt.rest().await, [0xd0, 0]);
    assert!(!server.control.cut_mqtt("meter"));
    server.stop().await;
}

#[tokio::test]
async fn the_controls_over_http() {
    let server = start().await;
    let mut mqtt = Mqtt::connect(server.mqtt).await;
    let set = "{\"telemetryLimit\":\"1:10\",\"pubackDelayMs\":1}";
    let set = server.call("PUT", "/simulator/mqtt", set).await;
    assert_eq!(set.status, 204);
    let settings = server.call("GET", "/simulator/mqtt", "").await.json();
    assert_eq!(settings["telemetryLimit"], "1:10");
    assert_eq!(settings["subscriptionDelayMs"], 20);
    let wrong = server
        .call("PUT", "/simulator/mqtt", "{\"messageLimit\":\"often\"}")
        .await;
    assert_eq!(wrong.status, 400);
    let publish = b"\x32\x12\0\x06v2/t/j\0\x07\0{\"a\":1}";
    mqtt.send(publish).await;
    assert_eq!(mqtt.receive().await, [0x40, 2, 0, 7]);
    let counts = server
        .call("GET", "/simulator/devices/meter/mqtt", "")
        .await
        .json();
    assert_eq!(counts["publishes"], 1);
    let rpc = "{\"method\":\"m\",\"params\":1,\"persistent\":true}";
    let rpc = server.call("POST", "/simulator/devices/meter/rpc", rpc);
    let path = format!("/simulator/commands/{}", rpc.await.json()["rpcId"]);
    let status = server.call("GET", &path, "").await.json();
    assert_eq!(status["status"], "QUEUED");
    let cut = server
        .call("DELETE", "/simulator/devices/meter/mqtt", "")
        .await;
    assert_eq!(cut.status, 204);
    assert_eq!(mqtt.rest().await, b"");
    server.stop().await;
}

#[tokio::test]
async fn stopping_closes_connections() {
    let server = start().await;
    let mqtt = Mqtt::connect(server.mqtt).await;
    server.stop().await;
    assert_eq!(mqtt.rest().await, b"");
}
