//! A device with a connection ID, and the network between it and the gateway, where a NAT gives it one port after another (RFC
//! 9146), or where it forges its source.

use super::observation::Observation;
use super::upstream::ScriptedUpstream;
use super::{Conditions, Link, certificate, new_core, registry};
use crate::device::CertificateId;
use crate::downlink::Kind;
use crate::dtls::Path;
use crate::gateway::Settings;
use crate::gateway::core::Core;
use bytes::Bytes;
use coap::option::number::{OBSERVE, URI_PATH};
use coap::{Code, Message, Token, Type};
use dtls_server::crypto::signing_key::SigningKey;
use dtls_test_client::{Client, Credentials, Options};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The token of the observation.
const TOKEN: &[u8] = b"t";

/// Bytes from a port and to it, since it was proven last.
#[derive(Debug, Default)]
struct Counted {
    received: usize,
    sent: usize,
}

/// A gateway, its registered device and the network.
pub(super) struct Roaming {
    pub(super) core: Core,
    pub(super) upstream: ScriptedUpstream,
    pub(super) now: Instant,
    pub(super) link: Link,
    pub(super) client: Client,
    /// From which it sends now.
    pub(super) port: u16,
    /// Where it receives. `None`: where it sends from.
    pub(super) receives_at: Option<BTreeSet<u16>>,
    /// Whether it acknowledges messages and answers pings.
    pub(super) acknowledges: bool,
    pub(super) observation: Observation,
    /// Messages that came from the gateway, the latest last.
    pub(super) received: Vec<Message>,
    counted: BTreeMap<u16, Counted>,
    message_id: u16,
    /// The largest share of three times what came that was sent to an unproven port, in percent.
    pub(super) largest_share: usize,
}

fn path(port: u16) -> Path {
    Path {
        remote: ([10, 0, 0, 1], port).into(),
        local: None,
        via: None,
    }
}

impl Roaming {
    /// A device that is connected from port 1 over a network without loss.
    pub(super) fn connected(seed: u64, return_routability_check: bool) -> Roaming {
        let certificate = certificate();
        let id = CertificateId::of(certificate.certificate());
        let core = new_core(
            Settings::default(),
            registry([(0, "TOKEN-0".to_owned(), id)].into_iter()),
            seed,
        );
        let key = SigningKey::from_der(&certificate.ecdsa.private_key).unwrap();
        let credentials = Credentials {
            chain: vec![certificate.certificate().to_vec()],
            signer: Arc::new(key),
        };
        let options = Options {
            return_routability_check,
            ..Options::new(credentials)
        };
        #[expect(clippy::disallowed_methods, reason = "a world needs some start time")]
        let now = Instant::now();
        let mut roaming = Roaming {
            core,
            upstream: ScriptedUpstream::default(),
            now,
            link: Link::new(Conditions::GOOD, seed),
            client: Client::new(options, seed),
            port: 1,
            receives_at: None,
            acknowledges: true,
            observation: Observation::new(Token::new(TOKEN).unwrap(), Kind::Attributes, 1),
            received: Vec::new(),
            counted: BTreeMap::new(),
            message_id: 0,
            largest_share: 0,
        };
        for datagram in roaming.client.start() {
            roaming.send_datagram(datagram);
        }
        roaming.run_for(Duration::from_secs(2));
        assert!(roaming.client.is_connected());
        roaming
    }

    pub(super) fn set_attribute(&mut self, key: &str, value: &str) {
        let platform = &mut self.upstream.platform;
        platform.set_attribute(self.now, "device-0", key, value);
        self.upstream.advance_to(self.now);
    }

    /// The Message ID that the gateway has used last, as far as the device knows.
    pub(super) fn last_message_id(&self) -> u16 {
        let own = (self.received.iter().rev()).find(|one| one.kind != Type::Acknowledgement);
        own.unwrap().message_id
    }

    /// Whether the device knows the attributes as they are.
    pub(super) fn is_up_to_date(&self) -> bool {
        self.observation.state == self.upstream.platform.state("device-0")
    }

    /// From which the gateway has received last.
    pub(super) fn current_port(&self) -> u16 {
        self.core.peer_addresses()[0].port()
    }

    pub(super) fn is_path_unproven(&self) -> bool {
        self.core.is_path_unproven(self.core.session_ids()[0])
    }

    pub(super) fn send_datagram(&mut self, datagram: Vec<u8>) {
        self.link.send(self.now, path(self.port), true, datagram);
    }

    pub(super) fn send(&mut self, message: &Message) {
        let datagram = self.client.send(&message.encode(1200).unwrap());
        self.send_datagram(datagram);
    }

    /// A request with a Message ID of its own.
    pub(super) fn request(&mut self, kind: Type, code: Code, segments: &[&'static str]) -> Message {
        self.message_id += 1;
        Message {
            kind,
            code,
            message_id: self.message_id,
            token: Token::new(&self.message_id.to_be_bytes()).unwrap(),
            options: (segments.iter())
                .map(|one| (URI_PATH, Bytes::from(*one)))
                .collect(),
            payload: Bytes::new(),
        }
    }

    /// Sends telemetry.
    pub(super) fn post(&mut self, kind: Type) {
        let mut message = self.request(kind, Code::POST, &["api", "v1", "telemetry"]);
        message.payload = Bytes::from_static(b"{\"t\":1}");
        self.send(&message);
    }

    /// Sends a GET of attributes, whose response may be long.
    pub(super) fn get(&mut self) {
        let message = self.request(Type::Confirmable, Code::GET, &["api", "v1", "attributes"]);
        self.send(&message);
    }

    /// Registers for attributes.
    pub(super) fn observe(&mut self) {
        let mut message = self.request(Type::Confirmable, Code::GET, &["api", "v1", "attributes"]);
        message.token = Token::new(TOKEN).unwrap();
        message.options.insert(0, (OBSERVE, Bytes::new()));
        self.send(&message);
    }

    /// The device receives a datagram.
    fn device_receives(&mut self, datagram: &[u8]) {
        for answer in self.client.receive(datagram) {
            self.send_datagram(answer);
        }
        for bytes in self.client.take_application_data() {
            let message = Message::decode(&bytes).unwrap();
            let is_response = message.kind == Type::Acknowledgement;
            if message.token == self.observation.token && message.code != Code::EMPTY {
                (self.observation).handle_response(self.now, &message, is_response);
            }
            if message.kind == Type::Confirmable && self.acknowledges {
                let kind = match message.code {
                    Code::EMPTY => Type::Reset,
                    _ => Type::Acknowledgement,
                };
                self.send(&Message::empty(kind, message.message_id));
            }
            self.received.push(message);
        }
    }

    pub(super) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.flush();
            let next = [
                self.link.next_arrival(),
                self.upstream.next_completion(),
                self.core.next_timeout(),
            ];
            let due = next.into_iter().flatten().min();
            let Some(due) = due.filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(due);
            while let Some(arrival) = self.link.pop_arrival(self.now) {
                let port = arrival.path.remote.port();
                if arrival.to_gateway {
                    self.counted.entry(port).or_default().received += arrival.datagram.len();
                    (self.core).receive(self.now, arrival.path, &arrival.datagram);
                    self.flush();
                } else if match &self.receives_at {
                    Some(ports) => ports.contains(&port),
                    None => self.port == port,
                } {
                    self.device_receives(&arrival.datagram);
                }
            }
            while let Some(completion) = self.upstream.pop_completion(self.now) {
                self.core.complete(self.now, completion);
            }
            if self.core.next_timeout().is_some_and(|at| at <= self.now) {
                self.core.handle_timeout(self.now);
            }
        }
        self.now = end;
    }

    /// Passes on what the core sends. Its rule holds for each datagram: RFC 9146 §6.
    fn flush(&mut self) {
        while let Some(transmit) = self.core.poll_transmit() {
            let port = transmit.path.remote.port();
            let is_unproven = !self.core.session_ids().is_empty() && self.is_path_unproven();
            let counted = self.counted.entry(port).or_default();
            if is_unproven {
                counted.sent += transmit.datagram.len();
                let (sent, most) = (counted.sent, 3 * counted.received);
                assert!(sent <= most, "{sent} bytes to port {port}, not {most}");
                self.largest_share = self.largest_share.max(100 * sent / most);
            } else {
                *counted = Counted::default();
            }
            (self.link).send(self.now, transmit.path, false, transmit.datagram);
        }
        while let Some(call) = self.core.poll_call() {
            self.upstream.begin_call(self.now, call);
        }
        while let Some(ticket) = self.core.poll_abort() {
            self.upstream.abort(self.now, ticket);
        }
    }
}
