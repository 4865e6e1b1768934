//! A fleet that observes, held by one gateway. 100 devices where all tests are run; the bar is
//! `COAPS_GATEWAY_FLEET=5000 cargo test --release --test fleet -- --nocapture`, which prints what each costs.
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

mod support;

use coaps_gateway::dtls::engine::{Effect, Engine, Settings};
use coaps_gateway::dtls::{self, ServerCredentials};
use serde_json::json;
use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use support::certificates::Identity;
use support::coap::{ACK, CON, Message, OBSERVE, get};
use support::process::now;
use support::world::{Wishes, World, eventually};

const FEW: usize = 100;

/// A device with a session of the gateway's own engine: five thousand are wanted, and cheap.
struct Observer {
    engine: Engine,
    socket: UdpSocket,
}

impl Observer {
    fn connect(gateway: SocketAddr, identity: &Identity) -> Observer {
        let (certificate, key) = (&identity.certificate_pem, &identity.key_pem);
        let own = ServerCredentials::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        let settings = Settings::new(&own, &dtls::Parameters::default()).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(gateway).unwrap();
        let half_a_second = Some(Duration::from_millis(500));
        socket.set_read_timeout(half_a_second).unwrap();
        let (engine, effects) = Engine::client(&settings, now()).unwrap();
        let mut observer = Observer { engine, socket };
        observer.transmit(&effects);
        for _ in 0..100 {
            if observer.next().contains(&Effect::Connected) {
                return observer;
            }
        }
        panic!("no handshake");
    }

    fn transmit(&self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Transmit(datagram) = effect {
                self.socket.send(datagram).unwrap();
            }
        }
    }

    /// What comes of the next datagram, or of half a second without one.
    fn next(&mut self) -> Vec<Effect> {
        let mut buffer = [0; 2048];
        let effects = match self.socket.recv(&mut buffer) {
            Ok(length) => self.engine.receive(now(), &buffer[..length]).unwrap(),
            Err(_) => self.engine.handle_timeout(now()).unwrap(),
        };
        self.transmit(&effects);
        effects
    }

    fn send(&mut self, message: &Message) {
        // The engine's own timers may be long overdue: its turn comes once in a while here.
        let overdue = self.engine.handle_timeout(now()).unwrap();
        self.transmit(&overdue);
        let effects = self.engine.send(now(), &message.encode()).unwrap();
        self.transmit(&effects);
    }

    /// The next message with a code, acknowledged if it wants to be.
    fn hear(&mut self) -> Message {
        for _ in 0..60 {
            for effect in self.next() {
                let Effect::Plaintext(bytes) = effect else {
                    continue;
                };
                let message = Message::decode(&bytes);
                if message.kind == CON {
                    let id = message.id;
                    self.send(&Message {
                        kind: ACK,
                        id,
                        ..Message::default()
                    });
                }
                if message.code != 0 {
                    return message;
                }
            }
        }
        panic!("nothing heard for half a minute");
    }

    fn observe(&mut self, feature: &str, id: u16) {
        let mut request = get(&["api", "v1", feature]).option(OBSERVE, []);
        (request.id, request.token) = (id, id.to_be_bytes().to_vec());
        self.send(&request);
        assert_eq!(self.hear().uint(OBSERVE), Some(0), "{feature}");
    }
}

fn fleet() -> usize {
    let number = std::env::var("COAPS_GATEWAY_FLEET");
    number.map_or(FEW, |number| number.parse().expect("a number of devices"))
}

#[test]
fn a_fleet_that_observes_is_held_and_each_of_it_reached() {
    let fleet = fleet();
    let authority = support::certificates::Authority::new("Fleet CA");
    let identities: Vec<Identity> = (0..fleet)
        .map(|n| authority.device(&format!("device-{n}")))
        .collect();
    let mut devices = String::new();
    for (n, identity) in identities.iter().enumerate() {
        let fingerprint = &identity.fingerprint;
        write!(
            devices,
            "[[device]]\nname = \"device-{n}\"\nfingerprint = {fingerprint:?}\ntoken = \"FleetToken{n}\"\n"
        )
        .unwrap();
    }
    let world = World::with(&Wishes {
        // These certificates have another authority than the world's.
        any_issuer: true,
        devices: &devices,
        relay: "max_polls = 12000",
        limits: "handshakes_per_address = 5000",
        log_level: Some("info"),
        ..Wishes::default()
    });
    let simulator = &world.simulator;
    simulator.put("/simulator/connections", &json!({"max": 20000}));
    for n in 0..fleet {
        let token = json!({"token": format!("FleetToken{n}")});
        simulator.put(&format!("/simulator/devices/device-{n}"), &token);
    }
    let empty = world.resident();
    let mut observers: Vec<Observer> = Vec::new();
    for identity in &identities {
        observers.push(Observer::connect(world.address, identity));
    }
    let connected = world.resident();
    for (n, observer) in observers.iter_mut().enumerate() {
        observer.observe("attributes", 1);
        observer.observe("rpc", 2);
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
        assert_eq!(observers[n].hear().text(), json!({"n": n}).to_string());
        let command = json!({"method": "wake", "params": n, "oneway": true});
        simulator.post(&format!("/simulator/devices/device-{n}/rpc"), &command);
        assert!(observers[n].hear().text().contains("wake"));
    }
    let kib = |more: u64| more as f64 / fleet as f64;
    println!(
        "{fleet} devices, {} polls: resident {empty} KiB at first; {:.1} KiB a session, and {:.1} KiB for observing both",
        2 * fleet,
        kib(connected.saturating_sub(empty)),
        kib(observing.saturating_sub(connected)),
    );
}
