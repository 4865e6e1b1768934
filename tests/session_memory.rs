//! What a gateway keeps for a session at rest, after one POST, counted by the allocator.
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

use bytes::Bytes;
use coap::option::number;
use coap::{Code, Message, Token, Type};
use coap_client::dtls::{Client, Config, Output, Versions};
use coaps_gateway::facade::calls::Completion;
use coaps_gateway::facade::credentials::{ClientPolicy, ServerCredentials, Validity};
use coaps_gateway::facade::device::{AccessToken, CertificateId, Device, Fingerprint, Registry};
use coaps_gateway::facade::dtls::{Demux, Parameters, Path, engine};
use coaps_gateway::facade::gateway::{Core, Settings};
use coaps_gateway::facade::upstream::Answer;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes allocated and not freed, with what the allocator adds to each allocation.
fn held() -> isize {
    const OVERHEAD: isize = 8;
    let stats = ALLOCATOR.stats();
    let signed = |number: usize| isize::try_from(number).unwrap();
    signed(stats.bytes_allocated) - signed(stats.bytes_deallocated)
        + OVERHEAD * (signed(stats.allocations) - signed(stats.deallocations))
}

struct Own {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
}

fn certificate(name: &str) -> Own {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    Own {
        certificate: made.cert.der().to_vec(),
        private_key: made.signing_key.serialize_der(),
    }
}

/// What receives datagrams: the whole core, or its DTLS alone.
trait Receiver {
    fn receive(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Vec<Vec<u8>>;
}

impl Receiver for Core {
    fn receive(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Vec<Vec<u8>> {
        Core::receive(self, now, path, datagram);
        self.handle_timeout(now);
        while let Some(call) = self.poll_call() {
            let body = Bytes::new();
            self.complete(now, Completion::parse(call.ticket, Ok(Answer { body })));
        }
        std::iter::from_fn(|| self.poll_transmit().map(|transmit| transmit.datagram)).collect()
    }
}

impl Receiver for Demux {
    fn receive(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Vec<Vec<u8>> {
        Demux::receive(self, now, path, datagram);
        self.handle_timeout(now);
        while self.poll_event().is_some() {}
        std::iter::from_fn(|| self.poll_transmit().map(|transmit| transmit.datagram)).collect()
    }
}

struct Bench<R> {
    receiver: R,
    now: Instant,
    holds: isize,
}

impl<R: Receiver> Bench<R> {
    /// Delivers datagrams in both directions until none is left.
    fn deliver(&mut self, client: &mut Client, path: Path, mut outputs: Vec<Output>) {
        while !outputs.is_empty() {
            for output in std::mem::take(&mut outputs) {
                if let Output::Transmit(datagram) = output {
                    let before = held();
                    let mut answers = self.receiver.receive(self.now, path, &datagram);
                    // They are no longer the receiver's.
                    let mut copies: Vec<Vec<u8>> = Vec::with_capacity(8);
                    copies.append(&mut answers);
                    let given: usize = copies.iter().map(|answer| answer.capacity() + 8).sum();
                    drop(answers);
                    self.holds += held() - before - isize::try_from(given).unwrap() - 8 - 8 * 24;
                    for answer in copies {
                        outputs.extend(client.receive(self.now, &answer).unwrap());
                    }
                }
            }
        }
    }
}

#[test]
fn measure() {
    let server = certificate("gateway");
    let server =
        ServerCredentials::of_certificate(server.certificate, Zeroizing::new(server.private_key));
    let n: u16 = std::env::var("N").map_or(300, |n| n.parse().unwrap());
    let own: Vec<_> = (0..n)
        .map(|n| certificate(&format!("device-{n}")))
        .collect();
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    let now = Instant::now();
    let before = held();
    let mut registry = Registry::default();
    for (n, own) in own.iter().enumerate() {
        let device = Device {
            name: format!("device-{n:06}").into(),
            token: AccessToken::new(format!("A1b2C3d4E5f6G7h8{n:04}")).unwrap(),
        };
        let sha256 = CertificateId::of(&own.certificate).sha256;
        registry
            .add(device, &[Fingerprint::Sha256(sha256)])
            .unwrap();
    }
    registry.shrink_to_fit();
    eprintln!(
        "registry: {} a device",
        (held() - before) / isize::try_from(n).unwrap()
    );
    let settings = Settings {
        dtls: Parameters {
            handshakes_per_address: 1_000_000,
            ..Parameters::default()
        },
        ..Settings::default()
    };
    let engine = || engine::Settings::new(&server, &settings.dtls).unwrap();
    let policy = || ClientPolicy::new(None, Validity::Ignore).unwrap();
    let core = Core::new(settings, engine(), policy(), Arc::new(registry), 7);
    let demux = Demux::new(settings.dtls, engine(), policy());
    run(core, &own, now, "core");
    run(demux, &own, now, "dtls");
}

fn run<R: Receiver>(receiver: R, own: &[Own], mut now: Instant, what: &str) {
    let mut bench = Bench {
        receiver,
        now,
        holds: 0,
    };
    let mut last = 0;
    let half_of = own_half(own.len());
    for (n, own) in own.iter().enumerate() {
        now += Duration::from_millis(50);
        bench.now = now;
        let config = Config::new(own.certificate.clone(), own.private_key.clone()).unwrap();
        let config = config.with_versions(Versions::Only12);
        let (mut client, hello) = Client::connect(&config, now).unwrap();
        let [high, low] = u16::try_from(n).unwrap().to_be_bytes();
        let path = Path {
            remote: SocketAddr::from(([10, 0, high, low], 40_000)),
            local: None,
        };
        let sent = held();
        let _ = sent;
        bench.deliver(&mut client, path, hello);
        let message = Message {
            kind: Type::Confirmable,
            code: Code::POST,
            message_id: 7,
            token: Token::new(&[7]).unwrap(),
            options: ["api", "v1", "telemetry"]
                .map(|s| (number::URI_PATH, Bytes::from(s)))
                .into(),
            payload: Bytes::from_static(br#"{"temperature":25.1}"#),
        };
        let outputs = client.send(now, &message.encode(1152).unwrap()).unwrap();
        bench.deliver(&mut client, path, outputs);
        if n == half_of {
            last = bench.holds;
        }
    }
    // Answers given out were counted as held: they are freed outside.
    let half = isize::try_from(own.len() - 1 - own_half(own.len())).unwrap();
    eprintln!("{what}: {} a session", (bench.holds - last) / half);
    let before = held();
    drop(bench.receiver);
    eprintln!(
        "{what}: {} a session freed in all",
        (before - held()) / isize::try_from(own.len()).unwrap()
    );
}

fn own_half(n: usize) -> usize {
    n / 2
}

#[test]
fn registry() {
    for n in [10_000_u32, 100_000, 110_000, 120_000] {
        let before = held();
        let mut registry = Registry::default();
        for n in 0..n {
            let device = Device {
                name: format!("device-{n:06}").into(),
                token: AccessToken::new(format!("A1b2C3d4E5f6G7h8{:04}", n % 10_000)).unwrap(),
            };
            let sha256 = CertificateId::of(&n.to_be_bytes()).sha256;
            registry
                .add(device, &[Fingerprint::Sha256(sha256)])
                .unwrap();
        }
        registry.shrink_to_fit();
        eprintln!(
            "registry {n}: {} a device",
            (held() - before) / isize::try_from(n).unwrap()
        );
    }
}
