//! Three gateways that share their sessions in Redis, behind nginx as UDP balancer: one is killed, stopped, or the store is, and no
//! device makes a second handshake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::zombie_processes,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::{Value, json};
use std::fs;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use test_support::admin::Admin;
use test_support::certificates::Identity;
use test_support::coap::{Message, OBSERVE, get, post};
use test_support::fleet::Fleet;
use test_support::library::{self, Library};
use test_support::pipe::{Pipe, Stack};
use test_support::process::Process;
use test_support::scrape::Scrape;
use test_support::world::{Options, World, eventually};

const GATEWAYS: usize = 3;
const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// The bar is five seconds; other tests run beside this one.
const AT_MOST: Duration = Duration::from_secs(15);

/// A server that is stopped in the end.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // nginx's workers end with it then.
        let pid = self.0.id().to_string();
        _ = Command::new("kill").args(["-TERM", &pid]).status();
        _ = self.0.wait();
    }
}

/// A loopback address that no other server has.
fn own_address() -> SocketAddr {
    let [a, b, c] = [(); 3].map(|()| fastrand::u8(1..255));
    SocketAddr::from(([127, a, b, c], fastrand::u16(20_000..30_000)))
}

fn start_redis(directory: &Path, address: SocketAddr) -> Server {
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let child = Command::new("redis-server")
        .args(["--port", &port, "--bind", &ip, "--save", ""])
        .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
        .arg(directory)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server, of Debian's package redis-server");
    let server = Server(child);
    eventually("Redis", || TcpStream::connect(address).is_ok());
    server
}

fn configure_nginx(directory: &Path, address: SocketAddr, gateways: &[SocketAddr]) {
    let servers: String = (gateways.iter())
        .map(|gateway| format!("server {gateway};\n"))
        .collect();
    let configuration = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;
         daemon off; worker_processes 1; pid nginx.pid; error_log error.log;
         events {{ worker_connections 1024; }}
         stream {{
           upstream gateways {{ {servers} }}
           server {{ listen {address} udp; proxy_pass gateways; proxy_timeout 10m; }}
         }}"
    );
    fs::write(directory.join("nginx.conf"), configuration).unwrap();
}

/// A balancer that keeps a client's packets at one gateway.
fn start_nginx(directory: &Path, address: SocketAddr, gateways: &[SocketAddr]) -> Server {
    configure_nginx(directory, address, gateways);
    let child = Command::new("nginx")
        .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
        .arg(directory)
        .stderr(Stdio::null())
        .spawn()
        .expect("nginx, of Debian's packages nginx-light and libnginx-mod-stream");
    let server = Server(child);
    eventually("nginx", || UdpSocket::bind(address).is_err());
    server
}

/// Three gateways, their store, their balancer, and devices.
struct Group {
    world: World,
    others: Vec<Process>,
    identities: Vec<Identity>,
    balancer: SocketAddr,
    redis_at: SocketAddr,
    redis: Option<Server>,
    nginx: Server,
    addresses: Vec<SocketAddr>,
    place: TempDir,
}

impl Group {
    fn with(devices: usize) -> Group {
        let place = tempfile::tempdir().unwrap();
        let redis_at = own_address();
        // The clients of other libraries send to localhost.
        let balancer = SocketAddr::from(([127, 0, 0, 1], own_address().port()));
        let redis = start_redis(place.path(), redis_at);
        let key = place.path().join("group.key");
        fs::write(&key, SECRET).unwrap();
        let fleet = Fleet::new(devices);
        let world = World::with(&Options {
            admin: true,
            // These certificates are issued by another authority than the world's.
            any_issuer: true,
            devices: &fleet.registry,
            dtls: "versions = [\"1.2\"]",
            limits: "handshakes_per_address = 5000",
            sections: &format!(
                "[state]\nurl = \"redis://{redis_at}\"\nkey_file = {key:?}\nlisten = \"127.0.0.1:0\"\n"
            ),
            log_level: Some("debug"),
            ..Options::default()
        });
        fleet.create(&world.simulator);
        let mut addresses = vec![world.address];
        let mut others = Vec::new();
        for _ in 1..GATEWAYS {
            let (gateway, address) = world.start_second_gateway();
            addresses.push(address);
            others.push(gateway);
        }
        let nginx = start_nginx(place.path(), balancer, &addresses);
        // Until each may take sessions over.
        std::thread::sleep(Duration::from_secs(6));
        Group {
            world,
            others,
            identities: fleet.identities,
            balancer,
            redis_at,
            redis: Some(redis),
            nginx,
            addresses,
            place,
        }
    }

    /// The balancer sees that a gateway is gone, as the readiness probe of an orchestrator does. nginx by itself loses a packet for
    /// each of its own tries.
    fn remove_from_balancer(&mut self, gateway: SocketAddr) {
        self.addresses.retain(|address| *address != gateway);
        configure_nginx(self.place.path(), self.balancer, &self.addresses);
        let pid = self.nginx.0.id().to_string();
        let signalled = Command::new("kill").args(["-HUP", &pid]).status();
        assert!(signalled.unwrap().success());
    }

    fn change(&self, device: &str, interval: u32) {
        let path = format!("/simulator/devices/{device}/attributes/shared");
        self.world
            .simulator
            .post(&path, &json!({ "interval": interval }));
    }

    /// Handshakes that were completed, at the gateways that are not killed.
    fn handshakes(&self) -> Vec<f64> {
        let of = |gateway: &Process| {
            let (status, text) = Admin::of(gateway).get("/metrics");
            assert_eq!(status, 200, "{text}");
            let completed = [("outcome", "completed")];
            Scrape::read(&text).value("coaps_gateway_handshakes_total", &completed)
        };
        self.others.iter().map(of).collect()
    }

    /// Each device observes, by nginx.
    fn connect(&self) -> Vec<Device> {
        let cid = ["--connection-id", "6"];
        (self.identities.iter().enumerate())
            .map(|(n, identity)| {
                self.change(&identity.name, 0);
                match n {
                    0 => Device::of_library(self, identity, Library::Californium, &cid),
                    1 => Device::of_library(self, identity, Library::Pion, &cid),
                    _ => Device::of_stack(self, identity),
                }
            })
            .collect()
    }

    /// Each device posts and is answered, then is notified of a change. Returns how long the slowest took for the first.
    fn assert_all_served(&self, devices: &mut [Device], interval: u32) -> Duration {
        let mut slowest = Duration::ZERO;
        for (device, identity) in devices.iter_mut().zip(&self.identities) {
            let begin = Instant::now();
            device.post(&identity.name);
            slowest = slowest.max(begin.elapsed());
        }
        for identity in &self.identities {
            self.change(&identity.name, interval);
        }
        for (device, identity) in devices.iter_mut().zip(&self.identities) {
            device.await_notification(&identity.name, interval);
        }
        slowest
    }

    /// How many POSTs of each device have arrived at ThingsBoard.
    fn assert_posts(&self, each: usize) {
        let arrivals = self.world.simulator.arrivals();
        for Identity { name, .. } in &self.identities {
            let is_its = |arrival: &&Value| {
                arrival["method"] == "POST" && arrival["device"] == name.as_str()
            };
            assert_eq!(arrivals.iter().filter(is_its).count(), each, "{name}");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for other in &self.others {
                eprintln!("the log of another gateway:\n{}", other.log());
            }
        }
    }
}

enum Device {
    Library(library::Client),
    Stack(Pipe),
}

impl Device {
    fn of_library(group: &Group, identity: &Identity, library: Library, cid: &[&str]) -> Device {
        let world = &group.world;
        let mut client = library.start_with(world, group.balancer, identity, cid);
        let observed = client.observe("api/v1/attributes");
        assert_eq!(observed, r#"2.05 {"interval":0}"#, "{library:?}");
        let handshake = client.await_line("handshake ");
        assert!(handshake.contains("connection_ids=8/6"), "{handshake}");
        Device::Library(client)
    }

    fn of_stack(group: &Group, identity: &Identity) -> Device {
        let cid = ["cid=01020304"];
        let world = &group.world;
        let (mut pipe, agreed) = Stack::MbedTls.connect_with(world, group.balancer, identity, &cid);
        assert!(agreed.contains("connection ID on of 8 bytes"), "{agreed}");
        let observe: Message = get(&["api", "v1", "attributes"]).option(OBSERVE, []);
        assert_eq!(pipe.request(&observe).text(), r#"{"interval":0}"#);
        Device::Stack(pipe)
    }

    fn post(&mut self, name: &str) {
        match self {
            Device::Library(client) => {
                let response = client.request("post api/v1/telemetry {\"a\":1}");
                assert_eq!(response, "2.01", "{name}");
            }
            Device::Stack(pipe) => {
                let response = pipe.request(&post(&["api", "v1", "telemetry"], "{\"a\":1}"));
                assert_eq!(response.code(), "2.01", "{name}");
            }
        }
    }

    fn await_notification(&mut self, name: &str, interval: u32) {
        let expected = json!({ "interval": interval }).to_string();
        match self {
            Device::Library(client) => {
                let notification = client.await_line("notification ");
                assert_eq!(notification, format!("2.05 {expected}"), "{name}");
            }
            Device::Stack(pipe) => assert_eq!(pipe.receive().text(), expected, "{name}"),
        }
    }
}

#[test]
fn all_devices_go_on_when_a_gateway_is_killed_and_another_is_stopped() {
    let mut group = Group::with(12);
    let mut devices = group.connect();
    group.assert_all_served(&mut devices, 1);
    let before = group.handshakes();
    assert!(before.iter().all(|count| *count > 0.0), "{before:?}");

    let killed = group.world.address;
    group.world.gateway.stop();
    group.remove_from_balancer(killed);
    let slowest = group.assert_all_served(&mut devices, 2);
    eprintln!("after a kill the slowest device was answered after {slowest:?}");
    assert!(slowest < AT_MOST, "{slowest:?}");
    assert_eq!(group.handshakes(), before);

    let mut stopped = group.others.remove(0);
    stopped.signal("TERM");
    let address = group.addresses[0];
    group.remove_from_balancer(address);
    stopped.await_end();
    let slowest = group.assert_all_served(&mut devices, 3);
    eprintln!("after a stop the slowest device was answered after {slowest:?}");
    assert!(slowest < AT_MOST, "{slowest:?}");
    assert_eq!(group.handshakes(), before[1..]);
    group.assert_posts(3);
}

#[test]
fn all_devices_are_served_while_the_store_is_away_and_protected_when_it_is_back() {
    let mut group = Group::with(6);
    let mut devices = group.connect();
    group.assert_all_served(&mut devices, 1);
    group.redis = None;
    std::thread::sleep(Duration::from_secs(8));
    group.assert_all_served(&mut devices, 2);
    group.redis = Some(start_redis(group.place.path(), group.redis_at));
    std::thread::sleep(Duration::from_secs(8));
    let before = group.handshakes();
    let killed = group.world.address;
    group.world.gateway.stop();
    group.remove_from_balancer(killed);
    let slowest = group.assert_all_served(&mut devices, 3);
    assert!(slowest < AT_MOST, "{slowest:?}");
    assert_eq!(group.handshakes(), before);
    group.assert_posts(3);
}
