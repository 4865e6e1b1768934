//! A gateway core and one device with a DTLS session, without sockets: for benchmarks and fuzz targets.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a benchmark or a fuzz target may panic"
)]

use bytes::Bytes;
use coap::option::number;
use coap::{Code, Message, Token, Type};
use coap_client::dtls::{Client, Config, Output};
use coaps_gateway::facade::calls::Completion;
use coaps_gateway::facade::credentials::{ClientPolicy, ServerCredentials, Validity};
use coaps_gateway::facade::device::{AccessToken, CertificateId, Device, Fingerprint, Registry};
use coaps_gateway::facade::dtls;
use coaps_gateway::facade::dtls::Path;
use coaps_gateway::facade::gateway::Core;
use coaps_gateway::facade::gateway::Settings;
use coaps_gateway::facade::upstream::{Answer, Operation, Request};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// A gateway core, and one device with an established session.
pub struct Pair {
    pub core: Core,
    pub device: Client,
    pub path: Path,
    pub now: Instant,
    /// The package that is assigned to the device.
    pub image: Bytes,
    message_id: u16,
}

/// A self-signed certificate.
pub fn certificate() -> ServerCredentials {
    let made = rcgen::generate_simple_self_signed(vec!["harness".to_owned()]).unwrap();
    ServerCredentials::of_certificate(
        made.cert.der().to_vec(),
        Zeroizing::new(made.signing_key.serialize_der()),
    )
}

impl Pair {
    /// Blocks of 1,024 bytes in the package.
    pub const BLOCKS: usize = 1024;

    /// Performs the handshake.
    pub fn new(server: &ServerCredentials, own: &ServerCredentials) -> Pair {
        let settings = Settings::default();
        let mut registry = Registry::default();
        let sha256 = CertificateId::of(own.certificate()).sha256;
        let device = Device {
            name: "harness".into(),
            token: AccessToken::new("TOKEN").unwrap(),
        };
        registry
            .add(device, &[Fingerprint::Sha256(sha256)])
            .unwrap();
        let engine = dtls::Settings::new(server, &settings.dtls).unwrap();
        let policy = ClientPolicy::new(None, Validity::Ignore).unwrap();
        #[expect(
            clippy::disallowed_methods,
            reason = "the clock of a harness begins at some time"
        )]
        let now = Instant::now();
        let client =
            Config::new(own.certificate().to_vec(), own.ecdsa.private_key.to_vec()).unwrap();
        let (device, hello) = Client::connect(&client, now).unwrap();
        let mut pair = Pair {
            core: Core::new(settings, engine, policy, Arc::new(registry), 7),
            device,
            path: Path {
                remote: SocketAddr::from(([127, 0, 0, 1], 40_000)),
                local: None,
                via: None,
            },
            now,
            image: Bytes::from(vec![7; Pair::BLOCKS * 1024]),
            message_id: 0,
        };
        pair.deliver(hello);
        assert_eq!(pair.core.sessions(), 1);
        pair
    }

    /// Delivers datagrams in both directions until none is left. Returns the last plaintext to the device.
    pub fn deliver(&mut self, mut outputs: Vec<Output>) -> Option<Vec<u8>> {
        let mut plaintext = None;
        loop {
            let mut is_idle = true;
            for output in std::mem::take(&mut outputs) {
                match output {
                    Output::Transmit(datagram) => {
                        self.core.receive(self.now, self.path, &datagram);
                        is_idle = false;
                    }
                    Output::Plaintext(bytes) => plaintext = Some(bytes),
                    Output::ServerCertificate(_) | Output::Connected | Output::CloseNotify => {}
                }
            }
            // As after each turn of the gateway's loop, in which handshakes begin.
            self.core.handle_timeout(self.now);
            while let Some(call) = self.core.poll_call() {
                let body = self.answer(&call.request);
                let completion = Completion::parse(call.ticket, Ok(Answer { body }));
                self.core.complete(self.now, completion);
            }
            while let Some(transmit) = self.core.poll_transmit() {
                outputs.extend(self.device.receive(self.now, &transmit.datagram).unwrap());
                is_idle = false;
            }
            if is_idle && outputs.is_empty() {
                return plaintext;
            }
        }
    }

    /// Answers in place of ThingsBoard, which has a package for the device.
    fn answer(&self, request: &Request) -> Bytes {
        let Request::Device { operation, .. } = request else {
            return Bytes::new();
        };
        match operation {
            Operation::ReadAssignment(_) => {
                let size = self.image.len();
                let shared = format!(r#""fw_title":"harness","fw_version":"1","fw_size":{size}"#);
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

    /// Posts telemetry. Returns the response code.
    pub fn post_telemetry(&mut self) -> Code {
        let path =
            ["api", "v1", "telemetry"].map(|segment| (number::URI_PATH, Bytes::from(segment)));
        let body = Bytes::from_static(br#"{"temperature":25.1,"humidity":40}"#);
        self.request(Code::POST, path.into(), body).code
    }

    /// Gets block `num` of 1,024 bytes of the package.
    pub fn get_block(&mut self, num: u32) -> Bytes {
        let block2 = coap::Block::new(num, false, 6).unwrap().encode();
        let options = vec![
            (number::URI_PATH, Bytes::from_static(b"fw")),
            (number::BLOCK2, coap::option::encode_unsigned(block2)),
        ];
        let response = self.request(Code::GET, options, Bytes::new());
        assert_eq!(response.code, Code::CONTENT);
        response.payload
    }

    fn request(&mut self, code: Code, options: Vec<(u16, Bytes)>, payload: Bytes) -> Message {
        // Message IDs repeat after 65,536 messages, which must be more than EXCHANGE_LIFETIME later.
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
        let outputs = self.device.send(self.now, &bytes).unwrap();
        let reply = self.deliver(outputs).unwrap();
        Message::decode(&reply).unwrap()
    }
}

/// Splits a fuzzer's input into datagrams: each is a byte for the caller, two bytes of length, and that many bytes.
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
