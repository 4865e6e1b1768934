//! The memory of many sessions in a gateway's core: `sessions NUMBER [--anchors]`.
//!
//! Each session is imported, as one of DTLS 1.2 with a connection ID, from an address of its own and of a registered device of
//! its own. Then it makes one post, which is answered. So the core has what it has in `serve` when so many devices have
//! connected and made a post, but for the handshakes. With `--anchors` there are trust anchors, so that each session keeps its
//! client's certificate.
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
use coaps_gateway::facade::credentials::{ClientPolicy, Validity};
use coaps_gateway::facade::device::{AccessToken, CertificateId, Device, Fingerprint, Registry};
use coaps_gateway::facade::dtls::{self, Path};
use coaps_gateway::facade::gateway::{Core, Settings};
use coaps_gateway::facade::upstream::Answer;
use core_harness::certificate;
use dtls_server::association::{Association, Parameters};
use dtls_server::crypto::aead::Keys;
use dtls_server::record::{ContentType, records};
use dtls_server::suite::CipherSuite;
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

/// A certificate as large as a device's. Only its bytes tell it apart: nothing verifies it here.
fn leaf(template: &[u8], index: u32) -> Vec<u8> {
    let mut leaf = template.to_vec();
    let end = leaf.len() - 4;
    leaf.splice(end.., index.to_be_bytes());
    leaf
}

fn registry(sessions: u32, template: &[u8]) -> Registry {
    let mut registry = Registry::default();
    for index in 0..sessions {
        let sha256 = CertificateId::of(&leaf(template, index)).sha256;
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
    template: &[u8],
    random: &mut fastrand::Rng,
) {
    let (server, mut client) = associations(index, random);
    let path = path(index);
    core.import(now, path, server, vec![leaf(template, index)])
        .unwrap();
    let mut datagram = Vec::new();
    let request = post(random.u16(..));
    client
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
            let response = client.unprotect(&record).unwrap();
            codes.push(Message::decode(&response.content).unwrap().code);
        }
    }
    assert_eq!(codes, [Code::CREATED]);
}

/// The certificate of an authority, PEM.
fn anchor() -> String {
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    authority.self_signed(&key).unwrap().pem()
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
    let template = server.certificate().to_vec();
    let mut settings = Settings::default();
    settings.dtls.sessions = usize::try_from(sessions).unwrap();
    let anchor = anchor();
    let policy = ClientPolicy::new(has_anchors.then_some(anchor.as_bytes()), Validity::Ignore);
    let engine = dtls::Settings::new(&server, &settings.dtls).unwrap();
    let registry = Arc::new(registry(sessions, &template));
    let mut core = Core::new(settings, engine, policy.unwrap(), registry, 7);
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
    println!(
        "{sessions} sessions, certificates of {} bytes, trust anchors: {has_anchors}",
        template.len()
    );
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
