//! A gateway with `state.directory` is killed while devices observe, and started again: no device makes a handshake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::admin::Admin;
use test_support::certificates::Identity;
use test_support::client::Client;
use test_support::coap::{CON, Message, OBSERVE, get, post};
use test_support::fleet::Fleet;
use test_support::libcoap::{CLIENTS, client_with};
use test_support::library::{self, Library};
use test_support::pipe::{Pipe, Stack};
use test_support::scrape::Scrape;
use test_support::terminal::Terminal;
use test_support::world::{Options, World, eventually};

const MANY: usize = 1000;
const THREADS: usize = 4;

/// A gateway that stores sessions, and its devices.
struct Stored {
    world: World,
    identities: Vec<Identity>,
    /// The directory and its key.
    _place: TempDir,
}

impl Stored {
    fn with(devices: usize, dtls: &str) -> Stored {
        let place = tempfile::tempdir().unwrap();
        let (state, key) = (place.path().join("state"), place.path().join("state.key"));
        let fleet = Fleet::new(devices);
        let world = World::with(&Options {
            admin: true,
            // These certificates are issued by another authority than the world's.
            any_issuer: true,
            devices: &fleet.registry,
            dtls,
            limits: "handshakes_per_address = 5000",
            sections: &format!("[state]\ndirectory = {state:?}\nkey_file = {key:?}\n"),
            log_level: Some("info"),
            ..Options::default()
        });
        fleet.create(&world.simulator);
        Stored {
            world,
            identities: fleet.identities,
            _place: place,
        }
    }

    fn scrape(&self) -> Scrape {
        let (status, text) = Admin::of(&self.world.gateway).get("/metrics");
        assert_eq!(status, 200, "{text}");
        Scrape::read(&text)
    }

    /// Sets a device's shared attribute.
    fn change(&self, device: &str, interval: u32) {
        let path = format!("/simulator/devices/{device}/attributes/shared");
        let change = json!({ "interval": interval });
        self.world.simulator.post(&path, &change);
    }

    /// Waits until so many changes are on disk, and no more come.
    fn await_stored(&self, least: f64) {
        let mut before = -1.0;
        eventually("all changes on disk", || {
            let scrape = self.scrape();
            let changes = scrape.value("coaps_gateway_state_changes_total", &[]);
            let pending = scrape.value("coaps_gateway_state_pending", &[]);
            let is_stored = changes >= least && changes == before && pending == 0.0;
            before = changes;
            is_stored
        });
    }

    /// All sessions of the former gateway go on in this one, and there was no handshake, completed or not.
    fn assert_restored(&self, sessions: f64) {
        let scrape = self.scrape();
        let restored = scrape.value("coaps_gateway_sessions_restored_total", &[]);
        assert_eq!(restored, sessions);
        let handshakes = scrape.all("coaps_gateway_handshakes_total");
        let begun: Vec<_> = handshakes.iter().filter(|one| one.value > 0.0).collect();
        assert!(begun.is_empty(), "{begun:?}");
        let registered = [("certificate", "registered")];
        let open = scrape.value("coaps_gateway_sessions", &registered);
        assert_eq!(open, sessions);
    }
}

fn telemetry(body: &str) -> Message {
    post(&["api", "v1", "telemetry"], body)
}

fn observation() -> Message {
    get(&["api", "v1", "attributes"]).option(OBSERVE, [])
}

/// One of many devices.
struct Observer {
    client: Client,
    next_id: u16,
    /// Notifications that came before a response.
    notified: Vec<String>,
}

impl Observer {
    /// Connects, and observes shared attributes.
    fn connect(stored: &Stored, identity: &Identity) -> Observer {
        let mut observer = Observer {
            client: Client::connect(stored.world.address, identity),
            next_id: 1,
            notified: Vec::new(),
        };
        let response = observer.request(observation());
        assert_eq!(response.uint(OBSERVE), Some(0), "{response:?}");
        observer
    }

    fn request(&mut self, mut request: Message) -> Message {
        request.id = self.next_id;
        request.token = self.next_id.to_be_bytes().to_vec();
        self.next_id += 1;
        self.client.send(&request);
        loop {
            let message = self.client.receive();
            if message.token == request.token {
                return message;
            }
            self.notified.push(message.text());
        }
    }

    fn await_notification(&mut self) -> String {
        match self.notified.pop() {
            Some(text) => text,
            None => {
                let message = self.client.receive();
                assert!(message.kind == CON || message.uint(OBSERVE).is_some());
                message.text()
            }
        }
    }
}

/// Does this with each observer, in some threads.
fn each(observers: &mut [(usize, Observer)], work: impl Fn(usize, &mut Observer) + Sync) {
    let of_thread = observers.len().div_ceil(THREADS);
    std::thread::scope(|scope| {
        for some in observers.chunks_mut(of_thread) {
            scope.spawn(|| some.iter_mut().for_each(|(n, one)| work(*n, one)));
        }
    });
}

#[test]
fn a_thousand_observing_devices_go_on_after_a_kill() {
    let mut stored = Stored::with(MANY, "versions = [\"1.2\"]");
    let mut observers: Vec<(usize, Observer)> = std::thread::scope(|scope| {
        let numbers: Vec<usize> = (0..MANY).collect();
        let threads: Vec<_> = (numbers.chunks(MANY.div_ceil(THREADS)))
            .map(|some| {
                let (stored, some) = (&stored, some.to_vec());
                scope.spawn(move || {
                    let connect = |n| (n, Observer::connect(stored, &stored.identities[n]));
                    some.into_iter().map(connect).collect::<Vec<_>>()
                })
            })
            .collect();
        let all = threads.into_iter().map(|thread| thread.join().unwrap());
        all.flatten().collect()
    });
    // A row and a relay of each.
    stored.await_stored(2000.0);
    let Stored { world, .. } = &mut stored;
    world.restart("KILL", |world| {
        for n in (0..MANY).step_by(2) {
            let path = format!("/simulator/devices/device-{n}/attributes/shared");
            world.simulator.post(&path, &json!({"interval": 1}));
        }
    });
    each(&mut observers, |n, observer| {
        let response = observer.request(telemetry("{\"a\":1}"));
        assert_eq!(response.code(), "2.01", "device-{n}");
        // What has changed meanwhile comes by itself.
        if n % 2 == 0 {
            assert_eq!(observer.await_notification(), r#"{"interval":1}"#);
        }
    });
    for n in 0..MANY {
        stored.change(&format!("device-{n}"), 2);
    }
    each(&mut observers, |n, observer| {
        let notification = observer.await_notification();
        assert_eq!(notification, r#"{"interval":2}"#, "device-{n}");
        assert!(observer.notified.is_empty(), "device-{n}");
    });
    stored.assert_restored(1000.0);
}

/// A device with another implementation than ours.
enum Foreign {
    Library(library::Client),
    Stack(Pipe),
    /// One session observes, the other one posts once a second.
    Libcoap {
        observer: Terminal,
        poster: Terminal,
    },
}

const POSTED: &str = r#"{"a":1}"#;

impl Foreign {
    fn of_library(
        stored: &Stored,
        identity: &Identity,
        library: Library,
        arguments: &[&str],
    ) -> Foreign {
        let world = &stored.world;
        let mut client = library.start_with(world, world.address, identity, arguments);
        let observed = client.observe("api/v1/attributes");
        assert_eq!(observed, r#"2.05 {"interval":0}"#, "{library:?}");
        if let [_, length] = arguments {
            let handshake = client.await_line("handshake ");
            let agreed = format!("connection_ids=8/{length}");
            assert!(handshake.contains(&agreed), "{handshake}");
        }
        Foreign::Library(client)
    }

    fn of_stack(stored: &Stored, identity: &Identity, stack: Stack, options: &[&str]) -> Foreign {
        let world = &stored.world;
        let (mut pipe, agreed) = stack.connect_with(world, world.address, identity, options);
        if !options.is_empty() {
            assert!(agreed.contains("connection ID on of 8 bytes"), "{agreed}");
        }
        let observed = pipe.request(&observation()).text();
        assert_eq!(observed, r#"{"interval":0}"#, "{stack:?}");
        Foreign::Stack(pipe)
    }

    fn of_libcoap(stored: &Stored, identity: &Identity, program: &str) -> Foreign {
        let run = |arguments: &[&str], path| {
            let all = [arguments, &["-B", "200"]].concat();
            let client = client_with(&stored.world, program, identity, &all, path);
            Terminal::run(&client)
        };
        let mut observer = run(&["-m", "get", "-s", "200"], "api/v1/attributes");
        observer.await_output(r#"{"interval":0}"#);
        let posts = ["-m", "post", "-t", "50", "-e", POSTED, "-G", "200"];
        let poster = run(&posts, "api/v1/telemetry");
        let libcoap = Foreign::Libcoap { observer, poster };
        libcoap.await_posts(stored, &identity.name, 1);
        libcoap
    }

    fn await_posts(&self, stored: &Stored, device: &str, wanted: usize) {
        eventually("posts", || posts(&stored.world, device) >= wanted);
    }

    /// libcoap would send its next request while there is no gateway, and take the ICMP error for the session's end.
    fn pause(&self) {
        if let Foreign::Libcoap { observer, poster } = self {
            observer.signal("STOP");
            poster.signal("STOP");
        }
    }

    fn go_on(&self) {
        if let Foreign::Libcoap { observer, poster } = self {
            observer.signal("CONT");
            poster.signal("CONT");
        }
    }

    /// Its next request is answered.
    fn assert_served(&mut self, stored: &Stored, device: &str) {
        match self {
            Foreign::Library(client) => {
                let response = client.request(&format!("post api/v1/telemetry {POSTED}"));
                assert_eq!(response, "2.01", "{device}");
            }
            Foreign::Stack(pipe) => {
                assert_eq!(pipe.request(&telemetry(POSTED)).code(), "2.01", "{device}");
            }
            Foreign::Libcoap { .. } => {
                // It posts again only when the one before was answered.
                let before = posts(&stored.world, device);
                self.await_posts(stored, device, before + 2);
            }
        }
    }

    fn await_notification(&mut self, device: &str, interval: u32) {
        let expected = json!({ "interval": interval }).to_string();
        match self {
            Foreign::Library(client) => {
                let notification = client.await_line("notification ");
                assert_eq!(notification, format!("2.05 {expected}"), "{device}");
            }
            Foreign::Stack(pipe) => assert_eq!(pipe.receive().text(), expected, "{device}"),
            Foreign::Libcoap { observer, .. } => observer.await_output(&expected),
        }
    }
}

/// How many POSTs of a device have arrived at ThingsBoard.
fn posts(world: &World, device: &str) -> usize {
    let arrivals = world.simulator.arrivals();
    let is_its = |arrival: &&Value| arrival["method"] == "POST" && arrival["device"] == device;
    arrivals.iter().filter(is_its).count()
}

#[test]
fn clients_of_other_libraries_go_on_after_a_kill() {
    let mut stored = Stored::with(8, "");
    let names: Vec<String> = (stored.identities.iter())
        .map(|identity| identity.name.clone())
        .collect();
    for name in &names {
        stored.change(name, 0);
    }
    let cid = ["--connection-id", "6"];
    let identities = &stored.identities;
    let mut clients = [
        Foreign::of_library(&stored, &identities[0], Library::Californium, &cid),
        Foreign::of_library(&stored, &identities[1], Library::Californium, &[]),
        Foreign::of_library(&stored, &identities[2], Library::Pion, &cid),
        Foreign::of_stack(&stored, &identities[3], Stack::MbedTls, &["cid=01020304"]),
        Foreign::of_stack(&stored, &identities[4], Stack::MbedTls, &[]),
        Foreign::of_stack(&stored, &identities[5], Stack::WolfSsl, &[]),
        Foreign::of_libcoap(&stored, &identities[6], CLIENTS[0]),
        Foreign::of_libcoap(&stored, &identities[7], CLIENTS[1]),
    ];
    clients.iter().for_each(Foreign::pause);
    // Ten sessions, and eight relays.
    stored.await_stored(18.0);
    let Stored { world, .. } = &mut stored;
    world.restart("KILL", |world| {
        for name in &names {
            let path = format!("/simulator/devices/{name}/attributes/shared");
            world.simulator.post(&path, &json!({"interval": 1}));
        }
    });
    clients.iter().for_each(Foreign::go_on);
    for (client, name) in clients.iter_mut().zip(&names) {
        // What has changed meanwhile comes by itself.
        client.await_notification(name, 1);
        client.assert_served(&stored, name);
        stored.change(name, 2);
        client.await_notification(name, 2);
    }
    stored.assert_restored(10.0);
}
