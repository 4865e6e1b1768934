//! Three gateways that share their sessions in Redis, behind nginx as UDP balancer: one is killed, stopped, or the store is, and no
//! device makes a second handshake. Without nginx, a device sends to each of them from the same address.
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
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use test_support::admin::Admin;
use test_support::certificates::Identity;
use test_support::coap::{ACK, Message, OBSERVE, get, post};
use test_support::device;
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

/// Between one device and the gateways: all see the device at the same address, whichever of them it sends to.
struct Switch {
    address: SocketAddr,
    ends: Arc<Ends>,
    threads: Vec<JoinHandle<()>>,
}

struct Ends {
    inside: UdpSocket,
    outside: UdpSocket,
    device: Mutex<Option<SocketAddr>>,
    gateway: Mutex<SocketAddr>,
    /// Which gateway the latest datagram came from.
    latest: Mutex<Option<SocketAddr>>,
    is_stopped: AtomicBool,
}

impl Switch {
    fn to(gateway: SocketAddr) -> Switch {
        let [inside, outside] = [(); 2].map(|()| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let turn = Duration::from_millis(200);
            socket.set_read_timeout(Some(turn)).unwrap();
            socket
        });
        let address = inside.local_addr().unwrap();
        let ends = Arc::new(Ends {
            inside,
            outside,
            device: Mutex::default(),
            gateway: Mutex::new(gateway),
            latest: Mutex::default(),
            is_stopped: AtomicBool::new(false),
        });
        let threads = [Ends::up, Ends::down].map(|forward| {
            let ends = Arc::clone(&ends);
            std::thread::spawn(move || {
                let mut datagram = vec![0; 65_536];
                while !ends.is_stopped.load(Ordering::Relaxed) {
                    forward(&ends, &mut datagram);
                }
            })
        });
        Switch {
            address,
            ends,
            threads: threads.into(),
        }
    }

    /// From now on the device sends to this gateway.
    fn switch(&self, gateway: SocketAddr) {
        *self.ends.gateway.lock().unwrap() = gateway;
    }

    fn latest(&self) -> Option<SocketAddr> {
        *self.ends.latest.lock().unwrap()
    }
}

impl Ends {
    /// An error is the time that is over, or belongs to a gateway that is gone.
    fn up(&self, datagram: &mut [u8]) {
        let Ok((length, device)) = self.inside.recv_from(datagram) else {
            return;
        };
        *self.device.lock().unwrap() = Some(device);
        let gateway = *self.gateway.lock().unwrap();
        _ = self.outside.send_to(&datagram[..length], gateway);
    }

    fn down(&self, datagram: &mut [u8]) {
        let Ok((length, gateway)) = self.outside.recv_from(datagram) else {
            return;
        };
        *self.latest.lock().unwrap() = Some(gateway);
        if let Some(device) = *self.device.lock().unwrap() {
            _ = self.inside.send_to(&datagram[..length], device);
        }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.ends.is_stopped.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            _ = thread.join();
        }
    }
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
                    _ => Device::of_stack(self, self.balancer, identity),
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

    fn of_stack(group: &Group, gateway: SocketAddr, identity: &Identity) -> Device {
        let cid = ["cid=01020304"];
        let world = &group.world;
        let (mut pipe, agreed) = Stack::MbedTls.connect_with(world, gateway, identity, &cid);
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

/// Posts as a CoAP client does, which repeats a request that is not answered (RFC 7252 §4.2): the other gateways know the address of
/// a new session up to a second later. Returns how many times it was sent.
async fn post_until_answered(device: &device::Device, id: u16) -> usize {
    let request = Message {
        id,
        token: id.to_be_bytes().to_vec(),
        ..post(&["api", "v1", "telemetry"], "{\"a\":1}")
    };
    for (sent, wait) in [2, 4, 8, 16].into_iter().enumerate() {
        device.send(&request.encode()).await;
        let answer = device.receive_within(Duration::from_secs(wait)).await;
        if let Some(answer) = answer {
            let answer = Message::decode(&answer);
            assert_eq!((answer.code(), answer.id), ("2.01".to_owned(), id));
            return sent + 1;
        }
    }
    panic!("no answer to four transmissions")
}

/// Of a device without connection ID.
async fn await_notification_at(device: &device::Device, interval: u32) {
    let message = Message::decode(&device.receive().await);
    let expected = json!({ "interval": interval }).to_string();
    assert_eq!(message.text(), expected, "{message:?}");
    let acknowledgement = Message {
        kind: ACK,
        id: message.id,
        ..Message::default()
    };
    device.send(&acknowledgement.encode()).await;
}

/// nginx gives a device another address when it chooses another gateway. Here the address stays, so that a session without
/// connection ID is found by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_gateway_serves_a_device_at_the_same_address_with_and_without_connection_id() {
    let mut group = Group::with(2);
    let addresses = group.addresses.clone();
    let switches = [(); 2].map(|()| Switch::to(addresses[0]));
    let names = [0, 1].map(|n: usize| group.identities[n].name.clone());
    for name in &names {
        group.change(name, 0);
    }
    let mut with = Device::of_stack(&group, switches[0].address, &group.identities[0]);
    let authority = &group.world.authority.pem;
    let without = (switches[1].address, &group.identities[1], authority);
    let without = device::Device::connect(without.0, without.1, without.2).await;
    let observe = get(&["api", "v1", "attributes"]).option(OBSERVE, []);
    let observed = without.request(observe).await.message;
    assert_eq!(observed.text(), r#"{"interval":0}"#);

    // The last one is its own.
    let turns = [addresses[1], addresses[2], addresses[0]];
    for (id, gateway) in (1..).zip(turns) {
        for switch in &switches {
            switch.switch(gateway);
        }
        with.post(&names[0]);
        let sent = post_until_answered(&without, id).await;
        eprintln!("without connection ID, at another gateway: sent {sent} times");
        // A device takes an answer from the address that it has sent to, and from no other.
        let latest = [0, 1].map(|n: usize| switches[n].latest());
        assert_eq!(latest, [Some(gateway); 2]);
    }
    assert_eq!(group.handshakes(), [0.0, 0.0]);

    group.world.gateway.stop();
    for switch in &switches {
        switch.switch(addresses[1]);
    }
    let begin = Instant::now();
    with.post(&names[0]);
    let elapsed = begin.elapsed();
    let begin = Instant::now();
    let sent = post_until_answered(&without, 4).await;
    let elapsed = [elapsed, begin.elapsed()];
    eprintln!("after a kill, without connection ID: sent {sent} times");
    eprintln!("after a kill, with and without connection ID: {elapsed:?}");
    assert!(elapsed.iter().all(|one| *one < AT_MOST), "{elapsed:?}");
    for name in &names {
        group.change(name, 1);
    }
    with.await_notification(&names[0], 1);
    await_notification_at(&without, 1).await;
    assert_eq!(group.handshakes(), [0.0, 0.0]);
    group.assert_posts(4);
}
