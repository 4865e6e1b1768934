//! Keys of `[upstream]` with the real binary: TLS to ThingsBoard's MQTT behind a proxy, HTTP beside MQTT, and a token that is
//! in the registry twice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::json;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;
use test_support::certificates::{Authority, Identity};
use test_support::coap::{ACK, BLOCK1, Message, OBSERVE, get, post};
use test_support::device::{Device, code};
use test_support::tls_front::TlsFront;
use test_support::world::{METER_TOKEN, Options, World, eventually};

/// A proxy with a certificate of its own authority for `localhost`, and the gateway's files for it.
struct Proxy {
    directory: TempDir,
    front: TlsFront,
    /// The gateway's.
    client: Identity,
}

impl Proxy {
    /// `wants_client`: whether it wants a certificate of its clients.
    async fn start(wants_client: bool) -> Proxy {
        let authority = Authority::new("Upstream CA");
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("ca.pem"), &authority.pem).unwrap();
        let client = authority.device("gateway");
        client.write(directory.path());
        let client_ca = wants_client.then_some(authority.pem.as_str());
        let server = authority.server_for(&["localhost"]);
        Proxy {
            directory,
            front: TlsFront::start(&server, client_ca).await,
            client,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn ca(&self) -> String {
        format!("ca = {:?}\n", self.path("ca.pem"))
    }

    fn client(&self) -> String {
        let (certificate, key) = (self.path("gateway.pem"), self.path("gateway.key"));
        format!("client_certificate = {certificate:?}\nclient_key = {key:?}\n")
    }

    /// A world behind it.
    fn world(&self, host: &str, upstream: &str) -> World {
        let mut world = World::with(&Options {
            url: Some(format!("mqtts://{host}:{}", self.front.port)),
            upstream,
            ..Options::default()
        });
        world.keep_secret(self.client.secret());
        self.front.forward_to(world.simulator.mqtt);
        world
    }
}

/// The reason in the log line that ThingsBoard can't be reached.
fn reason(world: &World) -> String {
    let line = world.await_log("ThingsBoard can't be reached\",\"reason");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    line["reason"].as_str().unwrap().to_owned()
}

async fn observe_commands(device: &Device) {
    let request = get(&["api", "v1", "rpc"]).option(OBSERVE, []);
    let response = device.request(request).await.message;
    assert_eq!(response.uint(OBSERVE), Some(0), "{response:?}");
}

async fn notification(device: &Device) -> Message {
    let message = Message::decode(&device.receive().await);
    let empty = Message {
        kind: ACK,
        id: message.id,
        ..Message::default()
    };
    device.send(&empty.encode()).await;
    message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_with_an_own_authority_may_want_a_certificate_of_the_gateway() {
    for wants_client in [false, true] {
        let proxy = Proxy::start(wants_client).await;
        let files = proxy.ca() + &proxy.client();
        let world = proxy.world("localhost", &files);
        let device = world.meter().await;
        assert_eq!(device.post_telemetry("{a:1}").await, "2.01");
        observe_commands(&device).await;
        let command = json!({"method": "reboot", "params": {}, "oneway": true});
        let _caller = world.simulator.send_command("meter-17", &command);
        assert!(notification(&device).await.text().contains("reboot"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_certificate_that_a_proxy_wants_devices_get_5_03_and_the_log_says_why() {
    let proxy = Proxy::start(true).await;
    let world = proxy.world("localhost", &proxy.ca());
    let device = world.meter().await;
    assert_eq!(device.post_telemetry("{a:1}").await, "5.03");
    let reason = reason(&world);
    assert!(reason.contains("CertificateRequired"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_another_authority_or_name_gets_5_03_and_the_log_says_why() {
    let proxy = Proxy::start(false).await;
    let other = TempDir::new().unwrap();
    let other_ca = other.path().join("ca.pem");
    fs::write(&other_ca, Authority::new("Other CA").pem).unwrap();
    let other_ca = format!("ca = {other_ca:?}\n");
    for (host, ca, expected) in [
        ("localhost", other_ca, "UnknownIssuer"),
        ("127.0.0.1", proxy.ca(), "not valid for name"),
    ] {
        let world = proxy.world(host, &ca);
        let device = world.meter().await;
        assert_eq!(device.post_telemetry("{a:1}").await, "5.03");
        let reason = reason(&world);
        assert!(reason.contains(expected), "{reason}");
    }
}

/// Also while connections that were opened before stay open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_for_tls_are_reloaded() {
    let proxy = Proxy::start(true).await;
    let good = fs::read(proxy.path("ca.pem")).unwrap();
    let (certificate, key) = (proxy.path("gateway.pem"), proxy.path("gateway.key"));
    let own = [&certificate, &key].map(|path| fs::read(path).unwrap());
    fs::write(proxy.path("ca.pem"), Authority::new("Other CA").pem).unwrap();
    let other = Authority::new("Other CA").device("gateway");
    other.write(proxy.directory.path());
    let mut world = proxy.world("localhost", &(proxy.ca() + &proxy.client()));
    world.keep_secret(other.secret());
    let device = world.meter().await;
    assert_eq!(device.post_telemetry("{a:1}").await, "5.03");
    fs::write(&certificate, &own[0]).unwrap();
    // Until the key is there, too.
    world.await_log("authorities and client certificate of the upstream not reloaded");
    fs::write(&key, &own[1]).unwrap();
    fs::write(proxy.path("ca.pem"), good).unwrap();
    world.await_log("authorities and client certificate of the upstream reloaded");
    // It backs off for a moment.
    for _ in 0..100 {
        if device.post_telemetry("{a:2}").await == "2.01" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    panic!("the new files are not used");
}

async fn post_in_blocks(device: &Device, path: &[&str], body: &str) -> String {
    let mut last = String::new();
    let blocks: Vec<&[u8]> = body.as_bytes().chunks(1024).collect();
    for (number, block) in (0_u32..).zip(&blocks) {
        let more = u32::from(usize::try_from(number).unwrap() + 1 < blocks.len());
        let block1 = (number << 4 | more << 3 | 6).to_be_bytes();
        let request = post(path, "").option(BLOCK1, &block1[1..]).payload(block);
        last = code(&device.request(request).await);
        if last != "2.31" {
            break;
        }
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_mqtt_goes_over_http_and_nothing_else_does() {
    let world = World::with(&Options {
        mqtt: true,
        http_url: true,
        sections: "[coap]\nmax_body = 100000",
        ..Options::default()
    });
    let device = world.meter().await;
    observe_commands(&device).await;
    let large = format!(r#"{{"t":"{}"}}"#, "x".repeat(70_000));
    for feature in ["telemetry", "attributes"] {
        let path = ["api", "v1", feature];
        assert_eq!(code(&device.request(post(&path, "{a:1}")).await), "2.01");
        assert_eq!(post_in_blocks(&device, &path, &large).await, "2.01");
    }
    // The reply to a command that came over MQTT.
    let command = json!({"method": "dump", "params": {}});
    let caller = world.simulator.send_command("meter-17", &command);
    let received = notification(&device).await;
    let received: serde_json::Value = serde_json::from_slice(&received.payload).unwrap();
    let id = received["id"].to_string();
    let path = ["api", "v1", "rpc", &id];
    // HTTP takes so much of RPC, too, and no more.
    assert_eq!(post_in_blocks(&device, &path, &large).await, "4.13");
    let reply = format!(r#"{{"t":"{}"}}"#, "x".repeat(65_536 - 8));
    assert_eq!(post_in_blocks(&device, &path, &reply).await, "2.01");
    assert!(caller.join().unwrap().contains(&reply));
    let posts: Vec<_> = world.simulator.arrivals();
    let over_http = posts.iter().filter(|arrival| arrival["method"] == "POST");
    assert_eq!(over_http.count(), 4, "{posts:?}");
}

/// While a device's certificate is renewed, the registry has both, each with the device's one access token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_certificates_of_one_device_share_its_connection() {
    let renewed = Authority::new("New CA").device("meter-17-renewed");
    let fingerprint = &renewed.fingerprint;
    let entry = format!(
        "[[device]]\nname = \"renewed\"\nfingerprint = {fingerprint:?}\ntoken = {METER_TOKEN:?}\n"
    );
    let world = World::with(&Options {
        mqtt: true,
        any_issuer: true,
        devices: &entry,
        ..Options::default()
    });
    let (old, new) = (world.meter().await, world.connect(&renewed).await);
    for device in [&old, &new] {
        observe_commands(device).await;
        assert_eq!(device.post_telemetry("{a:1}").await, "2.01");
    }
    let counts = || world.simulator.mqtt_counts("meter-17");
    eventually("the subscription", || counts()["rpcSubscribed"] == true);
    // Each has it, as over HTTP. Either may reply, and the first reply counts.
    let command = json!({"method": "reboot", "params": {}});
    let caller = world.simulator.send_command("meter-17", &command);
    for device in [&old, &new] {
        let received = notification(device).await;
        let received: serde_json::Value = serde_json::from_slice(&received.payload).unwrap();
        let path = ["api", "v1", "rpc", &received["id"].to_string()];
        assert_eq!(code(&device.request(post(&path, "{}")).await), "2.01");
    }
    assert_eq!(caller.join().unwrap(), "{}");
    assert_eq!(counts()["connects"], 1, "{}", counts());
    assert!(!world.log().contains("another client"));
}
