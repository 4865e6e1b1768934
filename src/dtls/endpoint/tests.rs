//! The demultiplexer with clients of every version. (With real ones: `tests/`.)

#![allow(clippy::wildcard_enum_match_arm, reason = "a test expects one variant")]

use super::*;
use crate::credentials::{ServerCredentials, Validity};
use crate::dtls::admission::History;
use crate::dtls::tests::client_config;
use crate::dtls::{HandshakeFailure, Versions};
use std::net::SocketAddr;
use std::time::Duration;
use test_support::dtls as client;
use test_support::dtls::{Config as ClientConfig, Output, datagrams};
use zeroize::Zeroizing;

mod bounds;
mod chains;
mod cookies;
mod crowding;
mod forged;
mod fragmented;
mod in_group;
mod moving;
mod random_resumptions;
mod refused;
mod restarts;
mod resuming;
mod sources;
mod stored;
mod tickets;
mod unproven;
mod unregistered;
mod used;
mod worst;

fn credentials() -> ServerCredentials {
    let made = rcgen::generate_simple_self_signed(vec!["device".to_owned()]).unwrap();
    ServerCredentials::of_certificate(
        made.cert.der().to_vec(),
        Zeroizing::new(made.signing_key.serialize_der()),
    )
}

fn path(port: u16) -> Path {
    Path {
        remote: SocketAddr::from(([192, 0, 2, 1], port)),
        local: None,
        via: None,
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// A gateway's sessions, a clock, and clients on a link without loss.
struct Bench {
    endpoint: Endpoint,
    now: Instant,
    client: ClientConfig,
    events: Vec<Event>,
    on_its_way: Vec<Transmit>,
}

struct Client {
    path: Path,
    dtls: client::Client,
    connected: bool,
    closed: bool,
    received: Vec<Vec<u8>>,
    outbox: Vec<Vec<u8>>,
}

impl Bench {
    fn new(parameters: Parameters) -> Bench {
        let settings = Settings::new(&credentials(), &parameters).unwrap();
        let policy = ClientPolicy::new(None, Validity::Ignore).unwrap();
        let client = client_config(&credentials(), parameters.versions, parameters.mtu);
        Bench {
            endpoint: Endpoint::new(parameters, settings, policy),
            #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
            now: Instant::now(),
            client,
            events: Vec::new(),
            on_its_way: Vec::new(),
        }
    }

    fn client(&self, port: u16) -> Client {
        let (dtls, outputs) = client::Client::connect(&self.client, self.now);
        let mut client = Client {
            path: path(port),
            dtls,
            connected: false,
            closed: false,
            received: Vec::new(),
            outbox: Vec::new(),
        };
        client.take(outputs);
        client
    }

    /// Delivers datagrams both ways until there are none.
    fn exchange(&mut self, client: &mut Client) {
        while self.step(client) {}
    }

    fn step(&mut self, client: &mut Client) -> bool {
        let outbox = std::mem::take(&mut client.outbox);
        for datagram in &outbox {
            self.endpoint.receive(self.now, client.path, datagram);
        }
        self.endpoint.handle_timeout(self.now);
        let inbox = self.sent(client.path);
        for datagram in &inbox {
            let outputs = client.dtls.receive(self.now, datagram);
            client.take(outputs.unwrap_or_default());
        }
        self.events
            .extend(std::iter::from_fn(|| self.endpoint.poll_event()));
        !(outbox.is_empty() && inbox.is_empty())
    }

    /// A hello that an engine must see before its address is proven: one datagram, but two records.
    fn hello_in_records(&self, port: u16) -> Vec<u8> {
        let hello = self.client(port).outbox.remove(0);
        let (header, message) = (&hello[..11], &hello[13..]);
        let half = (message.len() - 12) / 2;
        let body = &message[12..];
        let record = |number: u8, offset: usize, piece: &[u8]| {
            let size = u16::try_from(12 + piece.len()).unwrap().to_be_bytes();
            let offset = u32::try_from(offset).unwrap().to_be_bytes();
            let length = u32::try_from(piece.len()).unwrap().to_be_bytes();
            let header = [&header[..10], &[number], &size, &message[..6]].concat();
            [&header, &offset[1..], &length[1..], piece].concat()
        };
        [record(0, 0, &body[..half]), record(1, half, &body[half..])].concat()
    }

    /// Takes the datagrams sent on this path. Others remain in `on_its_way`.
    fn sent(&mut self, path: Path) -> Vec<Vec<u8>> {
        let more = std::iter::from_fn(|| self.endpoint.poll_transmit());
        self.on_its_way.extend(more);
        let there = self
            .on_its_way
            .extract_if(.., |transmit| transmit.path == path);
        there.map(|transmit| transmit.datagram).collect()
    }

    /// There is no session, no handshake, and no trace of one.
    fn assert_empty(&self) {
        let load = self.endpoint.load();
        assert_eq!(
            (self.endpoint.established(), self.endpoint.half_open()),
            (0, 0)
        );
        assert_eq!((load.routes, load.connection_ids, load.hellos), (0, 0, 0));
    }

    fn established(&mut self, client: &mut Client) -> SessionId {
        self.exchange(client);
        assert!(client.connected);
        let last = self.events.iter().rev().find_map(|event| match event {
            Event::Established { session, .. } => Some(*session),
            _ => None,
        });
        last.expect("no session was established")
    }

    fn pass(&mut self, duration: Duration) {
        self.now += duration;
        self.endpoint.handle_timeout(self.now);
        self.events
            .extend(std::iter::from_fn(|| self.endpoint.poll_event()));
    }
}

impl Client {
    fn take(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Transmit(datagram) => self.outbox.push(datagram),
                Output::Connected => self.connected = true,
                Output::Plaintext(bytes) => self.received.push(bytes),
                Output::CloseNotify => self.closed = true,
                Output::ServerCertificate(_) => {}
            }
        }
    }

    /// The path and the random of the hello that it has just made.
    fn hello_key(&self) -> HelloKey {
        (self.path, random_of(&self.outbox[0]))
    }

    fn send(&mut self, now: Instant, bytes: &[u8]) {
        let outputs = self.dtls.send(now, bytes).unwrap();
        self.take(outputs);
    }
}

/// What admission knows a hello by.
type HelloKey = (Path, [u8; 32]);

/// The random in a ClientHello: after the record header (13 bytes), the handshake header (12) and the version (2).
fn random_of(hello: &[u8]) -> [u8; 32] {
    hello[27..59].try_into().unwrap()
}

/// The cookie in our reply: the last bytes of it, in either version.
fn cookie_of(reply: &[u8]) -> Vec<u8> {
    const HELLO_VERIFY_REQUEST: u8 = 3;
    let length = if reply[13] == HELLO_VERIFY_REQUEST {
        dtls_server::cookie::COOKIE_LENGTH
    } else {
        32
    };
    reply[reply.len() - length..].to_vec()
}

fn in_version(versions: Versions) -> Bench {
    Bench::new(Parameters {
        versions,
        ..Parameters::default()
    })
}

/// The first hello of another client.
fn forged_hello(bench: &Bench, versions: Versions) -> Vec<u8> {
    let config = client_config(&credentials(), versions, 1200);
    let (_, outputs) = client::Client::connect(&config, bench.now);
    datagrams(outputs).remove(0)
}

/// Fragments a datagram with one handshake message into records with at most `length` bytes of it.
fn fragmented(datagram: &[u8], length: usize) -> Vec<Vec<u8>> {
    let (header, message) = (&datagram[..11], &datagram[13..]);
    let (kind_and_length, body) = (&message[..6], &message[12..]);
    let mut fragments = Vec::new();
    for (number, piece) in body.chunks(length).enumerate() {
        let mut record = header.to_vec();
        record[10] = u8::try_from(number).unwrap();
        let size = u16::try_from(12 + piece.len()).unwrap();
        record.extend(size.to_be_bytes());
        record.extend(kind_and_length);
        let offset = u32::try_from(number * length).unwrap();
        record.extend(&offset.to_be_bytes()[1..]);
        record.extend(&u32::try_from(piece.len()).unwrap().to_be_bytes()[1..]);
        record.extend(piece);
        fragments.push(record);
    }
    fragments
}

/// The device's hello with its cookie, in fragments of `length` bytes.
fn fragmented_hello(device: &mut Client, length: usize) -> Vec<Vec<u8>> {
    let mut pieces = fragmented(&device.outbox.remove(0), length);
    for piece in &mut pieces {
        piece[10] += 1;
    }
    pieces
}

#[test]
fn a_handshake_completes_and_plaintext_flows_both_ways_in_every_version() {
    for (versions, expected) in [
        (Versions::Only12, "1.2"),
        (Versions::Only13, "1.3"),
        (Versions::Both, "1.3"),
    ] {
        let mut bench = Bench::new(Parameters {
            versions,
            ..Parameters::default()
        });
        let mut client = bench.client(1);
        let session = bench.established(&mut client);
        assert!(
            bench.events.iter().any(
                |event| matches!(event, Event::Established { version, .. } if *version == expected)
            ),
            "{versions:?}: {:?}",
            bench.events
        );
        client.send(bench.now, b"up");
        bench.exchange(&mut client);
        let bytes = b"up".to_vec();
        assert_eq!(
            bench.events.last(),
            Some(&Event::Plaintext { session, bytes })
        );
        bench.endpoint.send(bench.now, session, b"down");
        bench.exchange(&mut client);
        assert_eq!(client.received, [b"down"]);
        assert_eq!(
            (bench.endpoint.established(), bench.endpoint.half_open()),
            (1, 0)
        );
    }
}

/// A policy that rejects all certificates of these tests.
fn trusting_another() -> ClientPolicy {
    let mut another = rcgen::CertificateParams::default();
    another.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let made = another.self_signed(&key).unwrap();
    ClientPolicy::new(Some(made.pem().as_bytes()), Validity::Ignore).unwrap()
}

#[test]
fn a_certificate_revoked_during_its_handshake_is_rejected_at_its_end() {
    for versions in [Versions::Only12, Versions::Only13] {
        let mut bench = Bench::new(Parameters {
            versions,
            mtu: 250,
            ..Parameters::default()
        });
        let mut client = bench.client(1);
        let mut is_changed = false;
        for _ in 0..10 {
            for datagram in std::mem::take(&mut client.outbox) {
                bench.endpoint.receive(bench.now, client.path, &datagram);
                let handshakes = &bench.endpoint.handshakes;
                let is_shown = handshakes
                    .iter()
                    .any(|handshake| handshake.client.is_some());
                if is_shown && !is_changed {
                    assert_eq!(
                        bench.endpoint.established(),
                        0,
                        "the flight is not complete"
                    );
                    bench.endpoint.set_policy(trusting_another());
                    is_changed = true;
                }
            }
            bench.step(&mut client);
        }
        assert!(is_changed, "{versions:?}");
        assert!(
            bench.events.iter().any(|event| matches!(
                event,
                Event::HandshakeFailed {
                    failure: HandshakeFailure::CertificateRefused { .. },
                    ..
                }
            )),
            "{versions:?}: {:?}",
            bench.events
        );
        assert_eq!(
            (bench.endpoint.established(), bench.endpoint.half_open()),
            (0, 0)
        );
    }
}

#[test]
fn a_rebooted_device_on_the_same_address_connects_and_its_old_session_ends() {
    let mut bench = Bench::new(Parameters::default());
    let mut before = bench.client(1);
    let old = bench.established(&mut before);
    let mut after = bench.client(1);
    let new = bench.established(&mut after);
    assert_ne!(old, new);
    let reason = EndReason::Replaced;
    assert!(bench.events.contains(&Event::Ended {
        session: old,
        reason
    }));
    assert_eq!(bench.endpoint.established(), 1);
}

#[test]
fn a_forger_on_a_devices_address_ends_no_session_and_no_handshake() {
    let mut bench = Bench::new(Parameters::default());
    let mut device = bench.client(1);
    let session = bench.established(&mut device);
    for _ in 0..100 {
        let mut forger = bench.client(1);
        // It can send from the device's address, but not receive there.
        for datagram in std::mem::take(&mut forger.outbox) {
            bench.endpoint.receive(bench.now, forger.path, &datagram);
        }
        bench.sent(device.path);
        let alert = record::fatal_alert(9, 40);
        bench.endpoint.receive(bench.now, device.path, &alert);
        bench.endpoint.receive(
            bench.now,
            device.path,
            &[23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 2, 1, 1],
        );
    }
    bench.pass(Duration::from_secs(20));
    device.send(bench.now, b"still here");
    bench.exchange(&mut device);
    let bytes = b"still here".to_vec();
    assert_eq!(
        bench.events.last(),
        Some(&Event::Plaintext { session, bytes })
    );
    assert_eq!(bench.endpoint.half_open(), 0);
}

#[test]
fn a_device_that_loses_power_during_a_handshake_can_start_again_at_once() {
    let mut bench = Bench::new(Parameters::default());
    let mut first = bench.client(1);
    bench.step(&mut first);
    bench.step(&mut first);
    assert_eq!(bench.endpoint.half_open(), 1);
    let mut second = bench.client(1);
    bench.established(&mut second);
    assert_eq!(
        (bench.endpoint.established(), bench.endpoint.half_open()),
        (1, 0)
    );
}

#[test]
fn an_unproven_address_is_sent_no_more_than_it_has_sent_and_nothing_by_timer() {
    let mut bench = Bench::new(Parameters::default());
    let whole = bench.client(1).outbox.remove(0);
    for (hello, kept) in [(whole, 0), (bench.hello_in_records(1), 1)] {
        bench.endpoint.receive(bench.now, path(1), &hello);
        assert_eq!(bench.endpoint.half_open(), kept);
        let answered: usize = bench.sent(path(1)).iter().map(Vec::len).sum();
        assert!(answered > 0 && answered <= hello.len());
        for _ in 0..12 {
            bench.pass(Duration::from_secs(1));
        }
        assert_eq!(bench.sent(path(1)), Vec::<Vec<u8>>::new());
    }
    assert_eq!(bench.endpoint.half_open(), 0, "removed after 10 s");
    assert_eq!(bench.endpoint.counters().unproven_expired, 1);
    bench.assert_empty();
}

#[test]
fn abandoned_hellos_leave_no_state() {
    let mut bench = Bench::new(Parameters::default());
    let hello = bench.hello_in_records(2);
    for port in 1000..2000 {
        bench.endpoint.receive(bench.now, path(port), &hello);
        bench.pass(Duration::from_millis(500));
        assert!(
            bench.endpoint.load().unproven_queue <= 21,
            "ten seconds' worth"
        );
    }
}

#[test]
fn half_open_handshakes_are_bounded_and_a_proven_one_survives_a_flood() {
    let mut bench = Bench::new(Parameters {
        handshakes: 10,
        ..Parameters::default()
    });
    let mut device = bench.client(1);
    bench.step(&mut device);
    bench.step(&mut device);
    let hello = bench.hello_in_records(2);
    for port in 1000..1500 {
        bench.endpoint.receive(bench.now, path(port), &hello);
        assert!(bench.endpoint.half_open() <= 10);
    }
    assert_eq!(bench.endpoint.counters().unproven_evicted, 491);
    bench.established(&mut device);
}

#[test]
fn hellos_are_limited_before_any_engine_exists() {
    let mut bench = Bench::new(Parameters {
        hellos: 20,
        ..Parameters::default()
    });
    let hello = bench.hello_in_records(2);
    for port in 1000..1100 {
        bench.endpoint.receive(bench.now, path(port), &hello);
    }
    assert_eq!(bench.endpoint.half_open(), 10, "half of them may start");
    for _ in 0..100 {
        bench.endpoint.receive(bench.now, path(1000), &hello);
    }
    assert_eq!(bench.endpoint.counters().over_hello_budget, 90 + 90);
}

#[test]
fn at_the_session_limit_new_devices_are_rejected_but_not_a_rebooted_one() {
    let mut bench = Bench::new(Parameters {
        sessions: 1,
        ..Parameters::default()
    });
    let mut device = bench.client(1);
    bench.established(&mut device);
    let mut other = bench.client(2);
    bench.exchange(&mut other);
    assert!(!other.connected);
    let full = HandshakeFailure::SessionsFull;
    assert!(
        bench.events.iter().any(
            |event| matches!(event, Event::HandshakeFailed { failure, .. } if *failure == full)
        )
    );
    let mut rebooted = bench.client(1);
    bench.established(&mut rebooted);
}

#[test]
fn one_proven_address_has_a_limit_of_handshakes_a_second() {
    let mut bench = Bench::new(Parameters {
        handshakes_per_address: 2,
        ..Parameters::default()
    });
    let connected = |bench: &mut Bench, port| {
        let mut client = bench.client(port);
        bench.exchange(&mut client);
        client.connected
    };
    assert_eq!(
        [1, 2, 3].map(|port| connected(&mut bench, port)),
        [true, true, false]
    );
    bench.pass(Duration::from_secs(1));
    assert!(connected(&mut bench, 4));
}

#[test]
fn an_idle_session_ends_with_close_notify_and_garbage_does_not_extend_it() {
    let mut bench = Bench::new(Parameters {
        session_idle: Duration::from_secs(100),
        ..Parameters::default()
    });
    let mut device = bench.client(1);
    let session = bench.established(&mut device);
    bench.pass(Duration::from_secs(90));
    device.send(bench.now, b"awake");
    bench.exchange(&mut device);
    bench.pass(Duration::from_secs(90));
    for _ in 0..10 {
        bench.endpoint.receive(
            bench.now,
            device.path,
            &[23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 2, 1, 1],
        );
    }
    assert_eq!(bench.endpoint.established(), 1);
    bench.pass(Duration::from_secs(10));
    let reason = EndReason::Idle;
    assert_eq!(bench.events.last(), Some(&Event::Ended { session, reason }));
    bench.exchange(&mut device);
    assert!(device.closed);
    bench.assert_empty();
    assert_eq!(bench.endpoint.next_timeout(), None);
}

#[test]
fn a_close_notify_is_answered_and_ends_the_session() {
    let mut bench = Bench::new(Parameters {
        versions: Versions::Only12,
        ..Parameters::default()
    });
    let mut device = bench.client(1);
    let session = bench.established(&mut device);
    let outputs = device.dtls.close().unwrap();
    device.take(outputs);
    bench.exchange(&mut device);
    let reason = EndReason::CloseNotify;
    assert_eq!(bench.events.last(), Some(&Event::Ended { session, reason }));
    assert_eq!(bench.endpoint.established(), 0);
}
