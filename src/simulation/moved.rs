//! A device with a connection ID goes on at another port (RFC 9146).

use super::upstream::ScriptedUpstream;
use super::{certificate, new_core, registry};
use crate::device::CertificateId;
use crate::dtls::Path;
use crate::gateway::Settings;
use crate::gateway::core::Core;
use bytes::Bytes;
use coap::option::number::URI_PATH;
use coap::{Code, Message, Type};
use dtls_server::crypto::signing_key::SigningKey;
use dtls_test_client::{Client, Credentials, Options};
use std::sync::Arc;
use std::time::Instant;

/// Of which a GET is answered with more than three times its bytes.
const ATTRIBUTES: [&str; 3] = ["api", "v1", "attributes"];

/// A gateway and its registered device, without loss or delay.
struct Moving {
    core: Core,
    upstream: ScriptedUpstream,
    now: Instant,
    client: Client,
    port: u16,
}

impl Moving {
    fn connected() -> Moving {
        let certificate = certificate();
        let id = CertificateId::of(certificate.certificate());
        let core = new_core(
            Settings::default(),
            registry([(0, "TOKEN-0".to_owned(), id)].into_iter()),
            1,
        );
        let key = SigningKey::from_der(&certificate.ecdsa.private_key).unwrap();
        let credentials = Credentials {
            chain: vec![certificate.certificate().to_vec()],
            signer: Arc::new(key),
        };
        let options = Options {
            return_routability_check: false,
            ..Options::new(credentials)
        };
        #[expect(clippy::disallowed_methods, reason = "a world needs some start time")]
        let now = Instant::now();
        let mut upstream = ScriptedUpstream::default();
        let value = "long ".repeat(100);
        upstream
            .platform
            .set_attribute(now, "device-0", "attribute", &value);
        let mut moving = Moving {
            core,
            upstream,
            now,
            client: Client::new(options, 7),
            port: 1,
        };
        let hello = moving.client.start();
        moving.exchange(hello);
        assert!(moving.client.is_connected());
        moving
    }

    /// Delivers datagrams both ways until there are none.
    fn exchange(&mut self, mut to_gateway: Vec<Vec<u8>>) {
        let path = Path {
            remote: ([10, 0, 0, 1], self.port).into(),
            local: None,
        };
        while !to_gateway.is_empty() {
            for datagram in to_gateway.drain(..) {
                self.core.receive(self.now, path, &datagram);
                self.core.handle_timeout(self.now);
            }
            while let Some(call) = self.core.poll_call() {
                self.upstream.begin_call(self.now, call);
            }
            self.now += self.upstream.delay;
            while let Some(completion) = self.upstream.pop_completion(self.now) {
                self.core.complete(self.now, completion);
            }
            while let Some(transmit) = self.core.poll_transmit() {
                assert_eq!(transmit.path, path);
                to_gateway.extend(self.client.receive(&transmit.datagram));
            }
        }
    }

    /// Sends a message. Returns what comes then.
    fn send(&mut self, message: &Message) -> Vec<Message> {
        let datagram = self.client.send(&message.encode(1200).unwrap());
        self.exchange(vec![datagram]);
        let received = self.client.take_application_data().into_iter();
        received
            .map(|bytes| Message::decode(&bytes).unwrap())
            .collect()
    }

    /// Sends a GET. Returns what comes then.
    fn get(&mut self, message_id: u16, segments: &[&'static str]) -> Vec<Message> {
        self.send(&Message {
            kind: Type::Confirmable,
            code: Code::GET,
            message_id,
            token: Default::default(),
            options: (segments.iter())
                .map(|one| (URI_PATH, Bytes::from(*one)))
                .collect(),
            payload: Bytes::new(),
        })
    }
}

/// Otherwise a download would not go on: each block is more than three times its request, and the device repeats its request
/// as often as it has no response.
#[test]
fn a_device_that_has_moved_gets_a_long_response_once_it_has_answered_a_ping() {
    let mut moving = Moving::connected();
    let at_home = moving.get(1, &ATTRIBUTES);
    assert_eq!((at_home.len(), at_home[0].code), (1, Code::CONTENT));
    moving.port = 2;
    let first = moving.get(2, &ATTRIBUTES);
    assert_eq!(first.len(), 1, "{first:?}");
    let ping = &first[0];
    assert_eq!((ping.kind, ping.code), (Type::Confirmable, Code::EMPTY));
    let reset = Message::empty(Type::Reset, ping.message_id);
    let waited = moving.send(&reset);
    assert_eq!((waited.len(), waited[0].message_id), (1, 2));
    assert_eq!(waited[0].payload, at_home[0].payload);
    // From now on, it is as before.
    let next = moving.get(3, &ATTRIBUTES);
    assert_eq!((next.len(), next[0].code), (1, Code::CONTENT));
}

#[test]
fn a_device_that_has_moved_gets_a_short_response_at_once_and_no_ping() {
    let mut moving = Moving::connected();
    moving.port = 2;
    for message_id in 1..4 {
        let received = moving.get(message_id, &["not", "here"]);
        assert_eq!((received.len(), received[0].code), (1, Code::NOT_FOUND));
    }
}
