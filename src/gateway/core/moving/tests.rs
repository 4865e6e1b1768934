//! A registered device with a connection ID, whose port changes.

use super::*;
use crate::calls::Completion;
use crate::credentials::{ClientPolicy, ServerCredentials, Validity};
use crate::device::{AccessToken, CertificateId, Device, Fingerprint, Registry};
use crate::dtls;
use crate::gateway::Settings;
use crate::upstream::Answer;
use bytes::Bytes;
use coap::option::number;
use coap::{Code, Message, Token, Type};
use dtls_test_client::{Client, Credentials, KeyType, Options};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

struct Bench {
    core: Core,
    client: Client,
    now: Instant,
    message_id: u16,
    /// Where each datagram for the device went.
    sent_to: Vec<u16>,
}

fn path(port: u16) -> Path {
    Path {
        remote: SocketAddr::from(([192, 0, 2, 1], port)),
        local: None,
        via: None,
    }
}

impl Bench {
    /// A device that is connected from port 1.
    fn new() -> Bench {
        let own = Credentials::generate(KeyType::P256);
        let sha256 = CertificateId::of(&own.chain[0]).sha256;
        let mut registry = Registry::default();
        let device = Device {
            name: "meter".into(),
            token: AccessToken::new("TOKEN").unwrap(),
        };
        registry
            .add(device, &[Fingerprint::Sha256(sha256)])
            .unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["gateway".to_owned()]).unwrap();
        let server = ServerCredentials::of_certificate(
            made.cert.der().to_vec(),
            Zeroizing::new(made.signing_key.serialize_der()),
        );
        let settings = Settings::default();
        let engine = dtls::Settings::new(&server, &settings.dtls).unwrap();
        let policy = ClientPolicy::new(None, Validity::Ignore).unwrap();
        let options = Options {
            return_routability_check: false,
            ..Options::new(own)
        };
        let mut bench = Bench {
            core: Core::new(settings, engine, policy, Arc::new(registry), 7),
            client: Client::new(options, 1),
            #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
            now: Instant::now(),
            message_id: 0,
            sent_to: Vec::new(),
        };
        let hello = bench.client.start();
        bench.deliver(1, hello);
        assert!(bench.client.is_connected());
        bench
    }

    /// Delivers datagrams from this port, and what is sent to the device wherever that goes.
    fn deliver(&mut self, port: u16, mut to_core: Vec<Vec<u8>>) {
        while !to_core.is_empty() {
            for datagram in to_core.drain(..) {
                self.core.receive(self.now, path(port), &datagram);
            }
            self.core.handle_timeout(self.now);
            while let Some(call) = self.core.poll_call() {
                let body = Bytes::new();
                let completion = Completion::parse(call.ticket, Ok(Answer { body }));
                self.core.complete(self.now, completion);
            }
            while let Some(transmit) = self.core.poll_transmit() {
                self.sent_to.push(transmit.path.remote.port());
                to_core.extend(self.client.receive(&transmit.datagram));
            }
        }
    }

    /// Posts telemetry from this port. Returns the response.
    fn post(&mut self, port: u16) -> Message {
        self.now += Duration::from_secs(1);
        self.message_id += 1;
        let segments = ["api", "v1", "telemetry"];
        let message = Message {
            kind: Type::Confirmable,
            code: Code::POST,
            message_id: self.message_id,
            token: Token::new(&self.message_id.to_be_bytes()).unwrap(),
            options: segments
                .map(|segment| (number::URI_PATH, Bytes::from(segment)))
                .into(),
            payload: Bytes::from_static(br#"{"temperature":25.1}"#),
        };
        let datagram = self.client.send(&message.encode(1152).unwrap());
        self.deliver(port, vec![datagram]);
        let received = self.client.take_application_data();
        Message::decode(received.last().unwrap()).unwrap()
    }

    fn is_unproven(&self) -> bool {
        let session = self.core.session_ids()[0];
        self.core.sessions.dtls.is_path_unproven(session)
    }
}

#[test]
fn a_device_with_another_port_is_answered_there_and_its_next_requests_prove_nothing() {
    let mut bench = Bench::new();
    assert_eq!(bench.post(1).code, Code::CREATED);
    bench.sent_to.clear();
    // Nor is anything needed: no response is too long.
    for _ in 0..5 {
        assert_eq!(bench.post(2).code, Code::CREATED);
        assert!(bench.is_unproven());
    }
    assert_eq!(bench.sent_to, [2; 5]);
    let counters = bench.core.counters().dtls;
    assert_eq!((counters.moved, counters.handshakes_completed), (1, 1));
    assert_eq!(bench.core.sessions(), 1);
}
