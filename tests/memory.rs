//! The most memory that one session holds, whatever its client sends, counted by the allocator.
//!
//! This file has a single test, because the allocations of another one would be counted as well.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use coaps_gateway::facade::credentials::{ClientPolicy, ServerCredentials, Validity};
use coaps_gateway::facade::dtls::Settings;
use coaps_gateway::facade::dtls::{self, Endpoint, Event, Parameters, Path};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use test_support::dtls::{Client, Config, Output, Versions, datagrams};
use zeroize::Zeroizing;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The most that one session may hold, in bytes.
const MAX_HELD: usize = 64 * 1024;

/// Bytes allocated and not freed.
fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// A certificate with an extension of `size` bytes.
fn credentials(size: usize) -> ServerCredentials {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec!["device".to_owned()]).unwrap();
    if size > 0 {
        let extension =
            rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55555, 1], vec![4; size]);
        parameters.custom_extensions.push(extension);
    }
    let made = parameters.self_signed(&key).unwrap();
    ServerCredentials::of_certificate(made.der().to_vec(), Zeroizing::new(key.serialize_der()))
}

/// A certificate of exactly `length` bytes. Signatures vary by some bytes, so several are made.
fn sized(length: usize) -> ServerCredentials {
    let overhead = credentials(length).certificate().len() - length;
    (0..200)
        .map(|attempt| credentials(length + 4 - overhead - attempt % 9))
        .find(|made| made.certificate().len() == length)
        .expect("about one in nine has this length")
}

/// A gateway and one client.
struct Pair {
    endpoint: Endpoint,
    client: Client,
    now: Instant,
    path: Path,
    outbox: Vec<Vec<u8>>,
    is_established: bool,
    ended: Vec<String>,
    /// Bytes that the gateway holds now, and its maximum after a datagram.
    holds: isize,
    max_held: isize,
}

fn parameters(versions: Versions) -> Parameters {
    Parameters {
        versions: match versions {
            Versions::Only12 => dtls::Versions::Only12,
            Versions::Only13 => dtls::Versions::Only13,
            Versions::Both => dtls::Versions::Both,
        },
        mtu: 1200,
        ..Parameters::default()
    }
}

impl Pair {
    fn new(versions: Versions, mtu: usize, own: &ServerCredentials) -> Pair {
        let server = Settings::new(&credentials(0), &parameters(versions)).unwrap();
        let (certificate, key) = (own.certificate(), &own.ecdsa.private_key);
        let config = Config::new(certificate.to_vec(), key.to_vec(), versions, mtu);
        let policy = ClientPolicy::new(None, Validity::Ignore).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let (client, outputs) = Client::connect(&config, now);
        let mut pair = Pair {
            endpoint: Endpoint::new(parameters(versions), server, policy),
            client,
            now,
            path: Path {
                remote: SocketAddr::from(([192, 0, 2, 1], 1)),
                local: None,
                via: None,
            },
            outbox: Vec::new(),
            is_established: false,
            ended: Vec::new(),
            holds: 0,
            max_held: 0,
        };
        pair.take(outputs);
        pair
    }

    fn take(&mut self, outputs: Vec<Output>) {
        self.outbox.extend(datagrams(outputs));
    }

    /// Passes a datagram to the gateway and takes its output, so that only what the gateway holds stays allocated.
    fn receive(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let mut output = Vec::with_capacity(64);
        let before = held();
        self.endpoint.receive(self.now, self.path, datagram);
        self.endpoint.handle_timeout(self.now);
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Established { .. } => self.is_established = true,
                Event::Ended { reason, .. } => self.ended.push(reason.to_string()),
                Event::HandshakeFailed { failure, .. } => self.ended.push(format!("{failure:?}")),
                Event::Plaintext { .. } | Event::Moved { .. } => {}
            }
        }
        while let Some(transmit) = self.endpoint.poll_transmit() {
            output.push(transmit.datagram);
        }
        let not_held: usize = output.iter().chain([&Vec::new()]).map(Vec::capacity).sum();
        let ended: usize = self.ended.iter().map(String::capacity).sum();
        self.holds += signed(held()) - signed(before) - signed(not_held);
        self.max_held = self.max_held.max(self.holds - signed(ended));
        output
    }

    /// Delivers the client's datagrams, and the answers to them.
    fn step(&mut self) {
        for datagram in std::mem::take(&mut self.outbox) {
            for answer in self.receive(&datagram) {
                let outputs = self.client.receive(self.now, &answer);
                self.take(outputs.unwrap_or_default());
            }
        }
    }

    fn handshake(&mut self) {
        for _ in 0..6 {
            self.step();
        }
    }

    /// The cookie exchange. The client's flight is next.
    fn begin(&mut self) {
        self.step();
        self.step();
    }

    fn check(&self, what: &str) {
        let (holds, most) = (self.holds, self.max_held);
        eprintln!("{what}: {most} bytes at most, {holds} now");
        assert!(most < signed(MAX_HELD), "{what}: {most} bytes");
    }
}

fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap()
}

fn record(content_type: u8, epoch: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let header = [content_type, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 200];
    [&header, &length[..], content].concat()
}

fn fragment(kind: u8, number: u8, total: usize, offset: usize, length: usize) -> Vec<u8> {
    let u24 = |number: usize| u32::try_from(number).unwrap().to_be_bytes()[1..].to_vec();
    let header = [vec![kind], u24(total), vec![0, number], u24(offset)];
    let content = [header.concat(), u24(length), vec![7; length]].concat();
    record(22, 0, &content)
}

const CERTIFICATE: u8 = 11;
const CLIENT_HELLO: u8 = 1;

fn complete_handshakes() {
    for versions in [Versions::Only12, Versions::Only13, Versions::Both] {
        let mut rests = Vec::new();
        // The client of DTLS 1.3 panics beyond twelve records.
        let small = if versions == Versions::Only12 {
            600
        } else {
            1400
        };
        for (size, mtu) in [(0, 1200), (4097, 1200), (8000, small), (16_384, 2400)] {
            let own = if size == 0 {
                credentials(0)
            } else {
                sized(size)
            };
            let what = format!("{versions:?}, a certificate of {size} bytes in {mtu}");
            let mut pair = Pair::new(versions, mtu, &own);
            pair.handshake();
            pair.check(&what);
            assert!(pair.is_established, "{what}: {:?}", pair.ended);
            rests.push(pair.holds);
            // There are no endless retransmissions.
            for _ in 0..120 {
                pair.now += Duration::from_secs(1);
                let outputs = pair.client.handle_timeout(pair.now).unwrap();
                pair.take(outputs);
                pair.step();
            }
            assert!(pair.outbox.is_empty(), "{what}: {}", pair.outbox.len());
            assert!(pair.ended.is_empty(), "{what}: {:?}", pair.ended);
        }
        let (least, most) = (rests.iter().min().unwrap(), rests.iter().max().unwrap());
        assert!(
            most - least < 8 * 1024,
            "{versions:?}: more than records' buffers is kept: {rests:?}"
        );
    }
}

/// Certificates that are too large are refused, and logged once.
fn too_large() {
    for versions in [Versions::Only12, Versions::Only13] {
        for size in [17_000, 20_000] {
            let what = format!("{versions:?}, a certificate of {size} bytes");
            let mut pair = Pair::new(versions, 2400, &sized(size));
            pair.handshake();
            pair.check(&what);
            // In DTLS 1.2 its beginning could be forged, so that it ends nothing before the deadline.
            pair.now += Duration::from_secs(60);
            pair.receive(&[]);
            assert!(
                !pair.is_established && pair.ended.len() == 1,
                "{:?}",
                pair.ended
            );
            let is_said = ["16 KiB", "TooLarge"].map(|why| pair.ended[0].contains(why));
            assert!(is_said.contains(&true), "{:?}", pair.ended);
            assert_eq!(pair.endpoint.half_open(), 0);
        }
    }
}

/// The most that plaintext datagrams from the client's address can make the gateway hold during a handshake.
fn worst_flights() {
    let own = credentials(0);
    for versions in [Versions::Only12, Versions::Only13] {
        let mut pair = Pair::new(versions, 1200, &own);
        pair.begin();
        for round in 0..40u8 {
            // Fragments of a Certificate message up to its limit, with gaps, and of other messages.
            let offset = 400 * usize::from(round);
            for datagram in [
                fragment(CERTIFICATE, 2, 16_384, offset, 399),
                fragment(CERTIFICATE, 2, 16_384, 16_000, 10).repeat(60),
                fragment(CERTIFICATE, 2 + round, 16_384, offset, 399),
                fragment(CLIENT_HELLO, 1, 16_000, 0, 16_000),
                fragment(CLIENT_HELLO, round, 16_000, 0, 16_000),
                record(22, 1, &vec![7; 16_000]),
                record(23, 1, &[7; 60_000]),
                record(26, 0, &vec![7; 16_000]),
                [
                    record(21, 0, &[1, 100]).repeat(7),
                    record(21, 0, &[1; 60_000]),
                ]
                .concat(),
                [vec![0x2e, 0, round, 0x3e, 0x80], vec![7; 16_000]].concat(),
                [vec![0x2f, 0, round], vec![7; 60_000]].concat(),
            ] {
                pair.receive(&datagram);
            }
        }
        pair.check(&format!("{versions:?}, the worst flight in plaintext"));
        assert_eq!(pair.endpoint.half_open(), 1);
        // Short invalid datagrams hold no memory: they do not reach the DTLS engine.
        #[expect(clippy::disallowed_methods, reason = "a real time is measured")]
        let start = Instant::now();
        for _ in 0..10_000 {
            pair.receive(&record(21, 0, &[1]));
        }
        let took = start.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?} for 10,000");
    }
}

/// Fragmented hellos from an address that is not verified by a cookie.
fn worst_hellos() {
    for versions in [Versions::Only12, Versions::Only13, Versions::Both] {
        let mut pair = Pair::new(versions, 1200, &credentials(0));
        let hello = pair.outbox[0].clone();
        let body = &hello[25..];
        for (total, offset, length) in [(body.len(), 0, 60), (8000, 0, 60), (8000, 7000, 900)] {
            for number in 0..3 {
                let mut piece = fragment(CLIENT_HELLO, number, total, offset, length);
                if offset == 0 {
                    piece[25..].copy_from_slice(&body[..length]);
                }
                for _ in 0..70 {
                    pair.receive(&piece);
                    pair.receive(&[piece.clone(), vec![7; 16_000]].concat());
                    pair.receive(&record(22, 1, &vec![7; 16_000]));
                }
            }
        }
        pair.check(&format!("{versions:?}, fragmented hellos"));
    }
}

/// Forged datagrams from the address of an established session.
fn forged_on_a_session() {
    for versions in [Versions::Only12, Versions::Only13] {
        let mut pair = Pair::new(versions, 1200, &credentials(0));
        pair.handshake();
        assert!(pair.is_established);
        let before = pair.holds;
        for round in 0..50u8 {
            for datagram in [
                [
                    record(21, 0, &[1, 100]).repeat(7),
                    record(21, 0, &[1; 60_000]),
                ]
                .concat(),
                record(23, 1, &[7; 60_000]),
                record(23, 1, &[7; 16_400]),
                record(24, 1, &[7; 16_400]),
                record(22, 1, &[7; 16_400]),
                fragment(CERTIFICATE, 2, 16_000, 0, 16_000),
                fragment(16, 3, 66, 0, 66),
                [vec![0x2f, 0, round], vec![7; 16_000]].concat(),
            ] {
                pair.receive(&datagram);
            }
        }
        let grown = pair.holds - before;
        pair.check(&format!("{versions:?}, forged on a session ({grown} more)"));
        assert!(grown < 20 * 1024, "one record's buffer: {grown}");
        assert!(pair.ended.is_empty());
    }
}

#[test]
fn no_session_holds_more_than_64_kib_whatever_its_client_sends() {
    complete_handshakes();
    too_large();
    worst_flights();
    worst_hellos();
    forged_on_a_session();
}
