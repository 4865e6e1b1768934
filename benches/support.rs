//! A core with one device on the other end of a DTLS session, without sockets: what benchmarks and
//! fuzz targets drive.

#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm,
    reason = "for benchmarks and fuzz targets, each of which uses a part"
)]

use bytes::Bytes;
use coap::{self, Code, Message, Token, Type};
use coaps_gateway::device::{AccessToken, CertificateId, Device, Fingerprint, Registry};
use coaps_gateway::dtls::engine::{self, Effect, Engine};
use coaps_gateway::dtls::{ClientPolicy, Path, ServerCredentials, Validity};
use coaps_gateway::gateway::Settings;
use coaps_gateway::gateway::call::Completion;
use coaps_gateway::gateway::core::Core;
use coaps_gateway::upstream::{Answer, Operation, Request};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// A gateway, and one device with an established session.
pub struct Pair {
    pub core: Core,
    pub device: Engine,
    pub path: Path,
    pub now: Instant,
    /// The package that is assigned to the device.
    pub image: Bytes,
    message_id: u16,
}

pub fn certificate() -> ServerCredentials {
    let made = rcgen::generate_simple_self_signed(vec!["bench".to_owned()]).unwrap();
    ServerCredentials {
        certificate: made.cert.der().to_vec(),
        private_key: Zeroizing::new(made.signing_key.serialize_der()),
    }
}

impl Pair {
    /// Blocks of 1,024 bytes in the package.
    pub const BLOCKS: u32 = 1024;

    /// Up to the established session.
    pub fn new(server: &ServerCredentials, own: &ServerCredentials) -> Pair {
        let settings = Settings::default();
        let mut registry = Registry::default();
        let sha256 = CertificateId::of(&own.certificate).sha256;
        let device = Device {
            name: "bench".into(),
            token: AccessToken::new("TOKEN").unwrap(),
        };
        registry
            .add(device, &[Fingerprint::Sha256(sha256)])
            .unwrap();
        let engine = engine::Settings::new(server, &settings.dtls).unwrap();
        let policy = ClientPolicy::new(None, Validity::Ignore).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a benchmark begins at some time")]
        let now = Instant::now();
        let client = engine::Settings::new(own, &settings.dtls).unwrap();
        let (device, hello) = Engine::client(&client, now).unwrap();
        let mut pair = Pair {
            core: Core::new(settings, engine, policy, Arc::new(registry), 7),
            device,
            path: Path {
                remote: SocketAddr::from(([127, 0, 0, 1], 40_000)),
                local: None,
            },
            now,
            image: Bytes::from(vec![7; Pair::BLOCKS as usize * 1024]),
            message_id: 0,
        };
        pair.pass(hello);
        assert_eq!(pair.core.sessions(), 1);
        pair
    }

    /// Delivers datagrams both ways until nothing is left; returns the last plaintext.
    pub fn pass(&mut self, mut effects: Vec<Effect>) -> Option<Vec<u8>> {
        let mut plaintext = None;
        loop {
            let mut quiet = true;
            for effect in std::mem::take(&mut effects) {
                match effect {
                    Effect::Transmit(datagram) => {
                        self.core.receive(self.now, self.path, &datagram);
                        quiet = false;
                    }
                    Effect::Plaintext(bytes) => plaintext = Some(bytes),
                    Effect::PeerCertificate(_) | Effect::Connected | Effect::CloseNotify => {}
                }
            }
            // As after each turn of the loop: a handshake begins then.
            self.core.handle_timeout(self.now);
            while let Some(call) = self.core.poll_call() {
                let body = self.answer(&call.request);
                let completion = Completion::read(call.ticket, Ok(Answer { body }));
                self.core.complete(self.now, completion);
            }
            while let Some(transmit) = self.core.poll_transmit() {
                effects.extend(self.device.receive(self.now, &transmit.datagram).unwrap());
                quiet = false;
            }
            if quiet && effects.is_empty() {
                return plaintext;
            }
        }
    }

    /// ThingsBoard: it takes what it is sent, and has a package for the device.
    fn answer(&self, request: &Request) -> Bytes {
        let Request::Device { operation, .. } = request else {
            return Bytes::new();
        };
        match operation {
            Operation::ReadAssignment(_) => {
                let size = self.image.len();
                let shared = format!(r#""fw_title":"bench","fw_version":"1","fw_size":{size}"#);
                Bytes::from(format!("{{\"shared\":{{{shared}}}}}"))
            }
            Operation::GetPackage { size, chunk, .. } => {
                let size = usize::try_from(*size).unwrap();
                let from = (usize::try_from(*chunk).unwrap() * size).min(self.image.len());
                self.image.slice(from..(from + size).min(self.image.len()))
            }
            _ => Bytes::new(),
        }
    }

    /// A telemetry post and its answer.
    pub fn exchange(&mut self) -> Code {
        let path = ["api", "v1", "telemetry"].map(|segment| (11, Bytes::from(segment)));
        let body = Bytes::from_static(br#"{"temperature":25.1,"humidity":40}"#);
        self.request(Code::POST, path.into(), body).code
    }

    /// Block `num` of 1,024 bytes of the package.
    pub fn block(&mut self, num: u32) -> Bytes {
        let block2 = coap::Block::new(num, false, 6).unwrap().encode();
        let options = vec![
            (11, Bytes::from_static(b"fw")),
            (23, coap::option::encode_unsigned(block2)),
        ];
        let response = self.request(Code::GET, options, Bytes::new());
        assert_eq!(response.code, Code::CONTENT);
        response.payload
    }

    fn request(&mut self, code: Code, options: Vec<(u16, Bytes)>, payload: Bytes) -> Message {
        // Message IDs come round after 65,536 messages; their lifetime must be over by then.
        self.now += Duration::from_millis(5);
        self.message_id = self.message_id.wrapping_add(1);
        let message = Message {
            kind: Type::Confirmable,
            code,
            message_id: self.message_id,
            token: Token::new(&self.message_id.to_be_bytes()).unwrap(),
            options,
            payload,
        };
        let bytes = message.encode(1152).unwrap();
        let effects = self.device.send(self.now, &bytes).unwrap();
        let reply = self.pass(effects).unwrap();
        Message::decode(&reply).unwrap()
    }
}

/// Cuts a fuzzer's input into datagrams: a byte of head, two of length, the datagram.
pub fn datagrams(mut input: &[u8]) -> Vec<(u8, &[u8])> {
    let mut found = Vec::new();
    while let [head, high, low, rest @ ..] = input {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (datagram, rest) = rest.split_at(length);
        found.push((*head, datagram));
        input = rest;
    }
    found
}
