//! What a gateway holds for a session at rest after one POST, counted by the allocator: DTLS 1.2, CoAP, the device's entry in
//! every index. Not counted is the registry, which has the device whether or not it is there.
//!
//! This file has a single test, because the allocations of another one would be counted as well.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use bytes::Bytes;
use coap::option::number;
use coap::{Code, Message, Token, Type};
use coaps_gateway::facade::calls::Completion;
use coaps_gateway::facade::credentials::{ClientPolicy, ServerCredentials, Validity};
use coaps_gateway::facade::device::{AccessToken, CertificateId, Device, Fingerprint, Registry};
use coaps_gateway::facade::dtls::{self, Path};
use coaps_gateway::facade::gateway::{Core, Settings};
use coaps_gateway::facade::upstream::Answer;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use test_support::dtls::{Client, Config, Output, Versions};
use zeroize::Zeroizing;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Sessions. With this number the table of sessions is full, and hash tables are half empty, which is the worst they are.
/// (Half of a table of sessions that has just grown is memory that was never touched, and not resident.)
const SESSIONS: usize = 1000;
/// The most bytes of a session at rest. Half-empty hash tables are counted in full.
const MAX_BYTES: usize = 896;
/// The same while the device may still repeat its last flight or its request.
const MAX_BYTES_AT_ONCE: usize = 1024;
/// What a session has besides, if there are trust anchors: how its client's certificate was verified.
const MAX_BYTES_OF_ANCHORS: usize = 64;

/// Bytes allocated and not freed, with what an allocator needs for each allocation.
fn held() -> usize {
    const OVERHEAD: usize = 8;
    let stats = ALLOCATOR.stats();
    let allocations = stats.allocations - stats.deallocations;
    stats.bytes_allocated - stats.bytes_deallocated + OVERHEAD * allocations
}

/// A certificate, and its key.
type Identity = (Vec<u8>, Vec<u8>);

fn certificate() -> Identity {
    let made = rcgen::generate_simple_self_signed(vec!["device".to_owned()]).unwrap();
    (made.cert.der().to_vec(), made.signing_key.serialize_der())
}

/// Certificates of devices, which an authority below a root has issued, with their keys; and both authorities, PEM.
fn issued() -> (Vec<Identity>, String) {
    let params = |name: &str| {
        let mut params = rcgen::CertificateParams::default();
        let common_name = rcgen::DnType::CommonName;
        params.distinguished_name.push(common_name, name);
        params
    };
    let authority = |name: &str| {
        let mut params = params(name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
    };
    let (root_key, key) = (
        rcgen::KeyPair::generate().unwrap(),
        rcgen::KeyPair::generate().unwrap(),
    );
    let root = authority("root").self_signed(&root_key).unwrap();
    let issuer = rcgen::Issuer::new(authority("root"), root_key);
    let upper = authority("upper").signed_by(&key, &issuer).unwrap();
    let issuer = rcgen::Issuer::new(authority("upper"), key);
    let devices = (0..SESSIONS).map(|_| {
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = params("device").signed_by(&key, &issuer).unwrap();
        (leaf.der().to_vec(), key.serialize_der())
    });
    (devices.collect(), root.pem() + &upper.pem())
}

fn core(devices: &[Identity], anchors: Option<&str>) -> Core {
    let mut registry = Registry::default();
    for (number, (certificate, _)) in devices.iter().enumerate() {
        let device = Device {
            name: format!("device-{number:06}").into(),
            token: AccessToken::new("A1b2C3d4E5f6G7h8I9j0").unwrap(),
        };
        let sha256 = CertificateId::of(certificate).sha256;
        let fingerprints = [Fingerprint::Sha256(sha256)];
        registry.add(device, &fingerprints).unwrap();
    }
    let settings = Settings {
        dtls: dtls::Parameters {
            // These have a bound of their own.
            resumable_sessions: 0,
            ..dtls::Parameters::default()
        },
        ..Settings::default()
    };
    let (certificate, key) = certificate();
    let server = ServerCredentials::of_certificate(certificate, Zeroizing::new(key));
    let dtls = dtls::Settings::new(&server, &settings.dtls).unwrap();
    let policy = ClientPolicy::new(anchors.map(str::as_bytes), Validity::Ignore).unwrap();
    Core::new(settings, dtls, policy, Arc::new(registry), 7)
}

struct Bench {
    core: Core,
    now: Instant,
}

impl Bench {
    /// Lets the gateway do what there is to do, and takes what it sends.
    fn run(&mut self) -> Vec<Vec<u8>> {
        self.core.handle_timeout(self.now);
        while let Some(call) = self.core.poll_call() {
            let body = Bytes::new();
            let completion = Completion::parse(call.ticket, Ok(Answer { body }));
            self.core.complete(self.now, completion);
        }
        std::iter::from_fn(|| Some(self.core.poll_transmit()?.datagram)).collect()
    }

    /// Delivers datagrams in both directions until none is left. Returns the last plaintext to the client.
    fn deliver(&mut self, client: &mut Client, path: Path, mut outputs: Vec<Output>) -> Vec<u8> {
        let mut plaintext = Vec::new();
        while !outputs.is_empty() {
            for output in std::mem::take(&mut outputs) {
                match output {
                    Output::Transmit(datagram) => {
                        self.core.receive(self.now, path, &datagram);
                        for answer in self.run() {
                            outputs.extend(client.receive(self.now, &answer).unwrap());
                        }
                    }
                    Output::Plaintext(bytes) => plaintext = bytes,
                    Output::ServerCertificate(_) | Output::Connected | Output::CloseNotify => {}
                }
            }
        }
        plaintext
    }

    /// A handshake and a POST, after which the client is gone.
    fn serve(&mut self, number: usize, (certificate, key): &(Vec<u8>, Vec<u8>)) {
        self.now += Duration::from_millis(100);
        let [.., high, low] = number.to_be_bytes();
        let path = Path {
            remote: SocketAddr::from(([10, 0, high, low], 40_000)),
            local: None,
            via: None,
        };
        let config = Config::new(certificate.clone(), key.clone(), Versions::Only12, 1200);
        let (mut client, hello) = Client::connect(&config, self.now);
        self.deliver(&mut client, path, hello);
        let telemetry = ["api", "v1", "telemetry"];
        let message = Message {
            kind: Type::Confirmable,
            code: Code::POST,
            message_id: 7,
            token: Token::new(&[7]).unwrap(),
            options: telemetry
                .map(|segment| (number::URI_PATH, Bytes::from(segment)))
                .into(),
            payload: Bytes::from_static(br#"{"temperature":25.1}"#),
        };
        let sent = client.send(self.now, &message.encode(1152).unwrap());
        let answer = self.deliver(&mut client, path, sent.unwrap());
        assert_eq!(Message::decode(&answer).unwrap().code, Code::CREATED);
    }
}

/// Bytes a session: right after its POST, and at rest.
fn measure(devices: &[Identity], anchors: Option<&str>) -> (usize, usize) {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    let now = Instant::now();
    let mut bench = Bench {
        core: core(devices, anchors),
        now,
    };
    // What is allocated once is not counted.
    let few = 2;
    let mut begun = (0, 0);
    for (number, device) in devices.iter().enumerate() {
        if number == few {
            begun = (held(), bench.core.sessions());
        }
        bench.serve(number, device);
    }
    let sessions = bench.core.sessions() - begun.1;
    assert_eq!(sessions, SESSIONS - few);
    let at_once = (held() - begun.0) / sessions;
    // The device may still send something again: what is kept for that goes a minute later, or five.
    bench.now += Duration::from_secs(300);
    for _ in 0..SESSIONS {
        bench.run();
    }
    (at_once, (held() - begun.0) / sessions)
}

#[test]
fn a_session_at_rest_takes_no_more_than_a_kibibyte() {
    let devices: Vec<_> = (0..SESSIONS).map(|_| certificate()).collect();
    let (at_once, at_rest) = measure(&devices, None);
    eprintln!("{at_once} bytes a session right after its POST, {at_rest} at rest");
    assert!(
        at_rest <= MAX_BYTES && at_once <= MAX_BYTES_AT_ONCE,
        "{at_once} bytes, {at_rest} at rest"
    );
    let (devices, anchors) = issued();
    let (at_once, at_rest) = measure(&devices, Some(&anchors));
    eprintln!("with trust anchors {at_once} and {at_rest}");
    let more = MAX_BYTES_OF_ANCHORS;
    assert!(
        at_rest <= MAX_BYTES + more && at_once <= MAX_BYTES_AT_ONCE + more,
        "{at_once} bytes, {at_rest} at rest with trust anchors"
    );
}
