//! The memory of many sessions in a gateway's core: `sessions NUMBER [--anchors]`.
//!
//! Each session is imported, as one of DTLS 1.2 with a connection ID, from an address of its own and of a registered device of
//! its own. Then it makes one post, which is answered. So the core has what it has in `serve` when so many devices have
//! connected and made a post, but for the handshakes. With `--anchors` there are trust anchors, so that each session keeps how its
//! client was verified: over an intermediate that the client has sent.
//!
//! It prints resident memory with the registry alone, after the last post, and when what CoAP and DTLS remember for some
//! minutes has expired.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement may panic, and prints its results"
)]

use bytes::Bytes;
use coap::option::number;
use coap::{Code, Message, Token, Type};
use coaps_gateway::facade::calls::Completion;
use coaps_gateway::facade::credentials::{AuthorityPaths, ClientPolicy, KnownClient, Validity};
use coaps_gateway::facade::device::{AccessToken, CertificateId, Device, Fingerprint, Registry};
use coaps_gateway::facade::dtls::{self, Path};
use coaps_gateway::facade::gateway::{Core, Settings};
use coaps_gateway::facade::upstream::Answer;
use core_harness::certificate;
use dtls_server::association::{Association, Parameters};
use dtls_server::crypto::aead::Keys;
use dtls_server::record::{ContentType, records};
use dtls_server::suite::CipherSuite;
use rustls_pki_types::UnixTime;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SUITE: CipherSuite = CipherSuite::EcdheEcdsaAes128Ccm8;
/// How far apart the sessions are.
const BETWEEN: Duration = Duration::from_micros(100);
/// Longer than EXCHANGE_LIFETIME (RFC 7252 §4.8.2), and than DTLS remembers a handshake.
const LATER: Duration = Duration::from_secs(300);

/// Both sides of a session.
fn associations(index: u32, random: &mut fastrand::Rng) -> (Association, Association) {
    let mut bytes = [0; 40];
    random.fill(&mut bytes);
    let (keys, ivs) = bytes.split_at(32);
    let keys = |half: usize| {
        let key = keys.chunks(16).nth(half).unwrap();
        Keys::new(SUITE.aead(), key, ivs.chunks(4).nth(half).unwrap()).unwrap()
    };
    // The first byte is the node's.
    let connection_id = (u64::from(index) << 24 | u64::from(random.u32(..) >> 8)).to_be_bytes();
    let side = |write, read, own: &[u8], peer: &[u8]| {
        Association::new(Parameters {
            suite: SUITE,
            extended_master_secret: true,
            write: keys(write),
            read: keys(read),
            own_connection_id: own,
            peer_connection_id: peer,
            send_limit: 1 << 14,
            receive_limit: 1 << 14,
            return_routability_check: false,
        })
        .unwrap()
    };
    (
        side(0, 1, &connection_id, &[]),
        side(1, 0, &[], &connection_id),
    )
}

/// A client that differs from the others in its certificate's fingerprints alone: what is kept of its verification is as large
/// as any other's.
fn client(template: &KnownClient, index: u32) -> KnownClient {
    KnownClient {
        id: CertificateId::of(&index.to_be_bytes()),
        ..template.clone()
    }
}

fn registry(sessions: u32) -> Registry {
    let mut registry = Registry::default();
    for index in 0..sessions {
        let sha256 = CertificateId::of(&index.to_be_bytes()).sha256;
        let device = Device {
            name: format!("device-{index:07}").as_str().into(),
            token: AccessToken::new(format!("AccessToken{index:09}")).unwrap(),
        };
        registry
            .add(device, &[Fingerprint::Sha256(sha256)])
            .unwrap();
    }
    registry
}

/// An address and port of its own.
fn path(index: u32) -> Path {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + index);
    Path {
        remote: SocketAddr::from((address, 40_000)),
        local: Some(Ipv4Addr::LOCALHOST.into()),
        via: None,
    }
}

fn post(message_id: u16) -> Vec<u8> {
    let path = ["api", "v1", "telemetry"].map(|part| (number::URI_PATH, Bytes::from(part)));
    let message = Message {
        kind: Type::Confirmable,
        code: Code::POST,
        message_id,
        token: Token::new(&message_id.to_be_bytes()).unwrap(),
        options: path.into(),
        payload: Bytes::from_static(br#"{"temperature":21.5,"humidity":47}"#),
    };
    message.encode(1152).unwrap()
}

/// Imports a session and makes its post.
fn establish(
    core: &mut Core,
    now: Instant,
    index: u32,
    template: &KnownClient,
    random: &mut fastrand::Rng,
) {
    let (server, mut device) = associations(index, random);
    let path = path(index);
    let deadline = now + Duration::from_secs(24 * 3600);
    core.import(now, path, server, client(template, index), deadline)
        .unwrap();
    let mut datagram = Vec::new();
    let request = post(random.u16(..));
    device
        .protect(ContentType::APPLICATION_DATA, &request, &mut datagram)
        .unwrap();
    core.receive(now, path, &datagram);
    core.handle_timeout(now);
    while let Some(call) = core.poll_call() {
        let answer = Answer { body: Bytes::new() };
        core.complete(now, Completion::parse(call.ticket, Ok(answer)));
    }
    let mut codes = Vec::new();
    while let Some(transmit) = core.poll_transmit() {
        for record in records(&transmit.datagram, 0) {
            let response = device.unprotect(&record).unwrap();
            codes.push(Message::decode(&response.content).unwrap().code);
        }
    }
    assert_eq!(codes, [Code::CREATED]);
}

/// A policy, and a client that it has accepted.
fn accepted(has_anchors: bool) -> (ClientPolicy, KnownClient) {
    let authority = |name: &str| {
        let mut params = rcgen::CertificateParams::default();
        let common_name = rcgen::DnType::CommonName;
        params.distinguished_name.push(common_name, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
    };
    let keys: [rcgen::KeyPair; 3] = std::array::from_fn(|_| rcgen::KeyPair::generate().unwrap());
    let [root_key, upper_key, key] = keys;
    let root = authority("root").self_signed(&root_key).unwrap();
    let issuer = rcgen::Issuer::new(authority("root"), root_key);
    let upper = authority("upper").signed_by(&upper_key, &issuer).unwrap();
    let issuer = rcgen::Issuer::new(authority("upper"), upper_key);
    let params = rcgen::CertificateParams::new(vec!["device".to_owned()]).unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    let anchors = root.pem();
    let anchors = has_anchors.then_some(anchors.as_bytes());
    let policy = ClientPolicy::new(anchors, Validity::Ignore).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600));
    let chain: [&[u8]; 2] = [leaf.der(), upper.der()];
    let client = policy.verify(&chain, now, &mut AuthorityPaths::default());
    (policy, client.unwrap())
}

/// Resident memory in bytes.
fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u32 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    f64::from(pages) * 4096.0
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let sessions: u32 = arguments.first().map_or(10_000, |one| one.parse().unwrap());
    let has_anchors = arguments.iter().any(|one| one == "--anchors");
    let server = certificate();
    let mut settings = Settings::default();
    settings.dtls.sessions = usize::try_from(sessions).unwrap();
    let (policy, template) = accepted(has_anchors);
    let engine = dtls::Settings::new(&server, &settings.dtls).unwrap();
    let registry = Arc::new(registry(sessions));
    let mut core = Core::new(settings, engine, policy, registry, 7);
    let before = resident();
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock of a measurement begins at some time"
    )]
    let mut now = Instant::now();
    let mut random = fastrand::Rng::with_seed(1);
    let report = |what: &str, now: f64| {
        let each = (now - before) / f64::from(sessions);
        println!(
            "{what}: {:.1} MiB, {each:.0} bytes a session",
            now / 1048576.0
        );
    };
    println!("{sessions} sessions, trust anchors: {has_anchors}");
    report("with the registry alone", before);
    for index in 0..sessions {
        now += BETWEEN;
        establish(&mut core, now, index, &template, &mut random);
    }
    assert_eq!(core.sessions(), usize::try_from(sessions).unwrap());
    report("after the last post", resident());
    let until = now + LATER;
    while let Some(at) = core.next_timeout().filter(|at| *at <= until) {
        now = now.max(at);
        core.handle_timeout(now);
        while core.poll_transmit().is_some() || core.poll_call().is_some() {}
    }
    assert_eq!(core.sessions(), usize::try_from(sessions).unwrap());
    report("five minutes later", resident());
}
