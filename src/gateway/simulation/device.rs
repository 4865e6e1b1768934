//! A device: a real DTLS client and a CoAP client on top of it.

use super::requests::{Outcome, Requests};
use crate::coap::{Class, Code, Message, Token, Type};
use crate::dtls::engine::{self, Effect, Engine};
use crate::dtls::{self, Path, ServerCredentials, Versions};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// A device, its session and its requests.
pub(in crate::gateway) struct Device {
    index: usize,
    /// The number in the name it is registered under: a twin has another's.
    pub(in crate::gateway) name: usize,
    pub(in crate::gateway) path: Path,
    certificate: ServerCredentials,
    parameters: dtls::Parameters,
    settings: engine::Settings,
    session: Option<Engine>,
    /// How many sessions it has begun.
    pub(super) sessions: u32,
    connected: bool,
    /// The gateway has closed the session.
    pub(in crate::gateway) closed: bool,
    requests: Requests,
    /// How many of them were GETs.
    pub(super) gets: usize,
    next_message_id: u16,
    outbox: Vec<Vec<u8>>,
    /// Messages that came, in order, with their time and the session they came in.
    pub(in crate::gateway) received: Vec<(Instant, u32, Message)>,
}

impl Device {
    pub(super) fn new(
        index: usize,
        path: Path,
        certificate: ServerCredentials,
        parameters: dtls::Parameters,
    ) -> Device {
        Device::with(index, index, path, certificate, parameters)
    }

    /// The same certificate once more.
    pub(super) fn twin(&self, index: usize, path: Path) -> Device {
        let certificate = self.certificate.clone();
        Device::with(index, self.name, path, certificate, self.parameters)
    }

    fn with(
        index: usize,
        name: usize,
        path: Path,
        certificate: ServerCredentials,
        parameters: dtls::Parameters,
    ) -> Device {
        let settings = engine::Settings::new(&certificate, &parameters).unwrap();
        Device {
            certificate,
            parameters,
            index,
            name,
            path,
            settings,
            session: None,
            sessions: 0,
            connected: false,
            closed: false,
            requests: Requests::default(),
            gets: 0,
            next_message_id: u16::try_from(index % 60_000).unwrap(),
            outbox: Vec::new(),
            received: Vec::new(),
        }
    }

    /// Power comes (back): everything is forgotten, and a handshake begins.
    pub(super) fn connect(&mut self, now: Instant) {
        self.switch_off();
        let (engine, effects) = Engine::client(&self.settings, now).unwrap();
        self.session = Some(engine);
        self.sessions += 1;
        self.closed = false;
        self.take(now, effects);
    }

    /// From its next session on it speaks these versions of DTLS.
    pub(in crate::gateway) fn speak(&mut self, versions: Versions) {
        self.parameters.versions = versions;
        self.settings = engine::Settings::new(&self.certificate, &self.parameters).unwrap();
    }

    /// Its Message IDs begin anew, as those of a device without memory do.
    pub(in crate::gateway) fn restart_message_ids(&mut self) {
        self.next_message_id = 0;
    }

    /// Power goes, without a word.
    pub(in crate::gateway) fn switch_off(&mut self) {
        self.requests.abandon();
        (self.session, self.connected) = (None, false);
        self.outbox.clear();
    }

    pub(in crate::gateway) fn is_on(&self) -> bool {
        self.session.is_some()
    }

    pub(in crate::gateway) fn is_connected(&self) -> bool {
        self.connected
    }

    pub(in crate::gateway) fn outcome(&self, number: usize) -> &Outcome {
        self.requests.outcome(number)
    }

    pub(in crate::gateway) fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.requests.outcomes()
    }

    /// Requests it has made.
    pub(in crate::gateway) fn requests(&self) -> usize {
        self.requests.len()
    }

    /// Its requests of this session and of so long ago at most.
    pub(in crate::gateway) fn asked_within(&self, now: Instant, duration: Duration) -> Vec<usize> {
        self.requests.since(self.sessions, now - duration)
    }

    /// Requests whose outcome is [`Outcome::Open`].
    pub(in crate::gateway) fn open_requests(&self) -> usize {
        self.requests.open_count()
    }

    pub(in crate::gateway) fn retransmissions(&self, number: usize) -> u32 {
        self.requests.retransmissions(number)
    }

    /// The message IDs and kinds of what came for a request, acknowledgements included, in order.
    pub(in crate::gateway) fn replies(&self, number: usize) -> Vec<(Type, Code)> {
        let request = self.requests.message(number);
        let mut own = Vec::new();
        for (_, _, message) in &self.received {
            let empty = message.code == Code::EMPTY;
            if empty && message.message_id == request.message_id
                || !empty && message.token == request.token
            {
                own.push((message.kind, message.code));
            }
        }
        own
    }

    pub(super) fn post(&mut self, now: Instant, kind: Type) -> usize {
        self.post_with(now, kind, Vec::new())
    }

    /// Posts telemetry that no other message of any device has, with more options.
    pub(super) fn post_with(
        &mut self,
        now: Instant,
        kind: Type,
        options: Vec<(u16, Bytes)>,
    ) -> usize {
        let (name, by, number) = (self.name, self.index, self.requests.len());
        let body = format!(r#"{{"device":{name},"by":{by},"message":{number}}}"#);
        self.request(now, kind, Code::POST, "telemetry", options, body.into())
    }

    pub(super) fn get(&mut self, now: Instant) -> usize {
        self.gets += 1;
        let kind = Type::Confirmable;
        self.request(now, kind, Code::GET, "attributes", Vec::new(), Bytes::new())
    }

    fn request(
        &mut self,
        now: Instant,
        kind: Type,
        code: Code,
        feature: &'static str,
        more: Vec<(u16, Bytes)>,
        payload: Bytes,
    ) -> usize {
        let number = self.requests.len();
        self.next_message_id = self.next_message_id.wrapping_add(1);
        let unique = u32::try_from(self.index << 20 | number).unwrap();
        let mut options: Vec<_> = ["api", "v1", feature]
            .map(|segment| (11, Bytes::from_static(segment.as_bytes())))
            .into();
        options.extend(more);
        let message = Message {
            kind,
            code,
            message_id: self.next_message_id,
            token: Token::new(&unique.to_be_bytes()).unwrap(),
            options,
            payload,
        };
        let bytes = self.requests.open(now, self.sessions, message);
        self.send(now, &bytes);
        if !self.is_on() {
            self.requests.abandon();
        }
        number
    }

    /// Sends a request's very bytes once more, as a device does that has missed the answer.
    pub(super) fn repeat(&mut self, now: Instant, number: usize) {
        let bytes = self.requests.encoded(number).to_vec();
        self.send(now, &bytes);
    }

    /// Encrypts and sends any bytes.
    pub(super) fn send(&mut self, now: Instant, plaintext: &[u8]) {
        if let Some(session) = &mut self.session {
            let effects = session.send(now, plaintext).unwrap_or_default();
            self.take(now, effects);
        }
    }

    pub(super) fn receive(&mut self, now: Instant, datagram: &[u8]) {
        if let Some(session) = &mut self.session {
            match session.receive(now, datagram) {
                Ok(effects) => self.take(now, effects),
                // A fatal alert, or what its engine takes for the end.
                Err(_) => self.switch_off(),
            }
        }
    }

    fn take(&mut self, now: Instant, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Transmit(datagram) => self.outbox.push(datagram),
                Effect::Connected => self.connected = true,
                Effect::Plaintext(bytes) => self.take_message(now, &bytes),
                Effect::CloseNotify => (self.connected, self.closed) = (false, true),
                Effect::PeerCertificate(_) => {}
            }
        }
    }

    fn take_message(&mut self, now: Instant, bytes: &[u8]) {
        let message = Message::decode(bytes).expect("the gateway sent what is no message");
        if message.code.class() == Class::Response {
            if message.kind == Type::Confirmable {
                let acknowledgement = Message::empty(Type::Acknowledgement, message.message_id);
                self.send(now, &acknowledgement.encode(4).unwrap());
            }
            self.requests.answer(self.sessions, &message);
        } else if message.code == Code::EMPTY {
            self.requests.acknowledge(now, &message);
        }
        self.received.push((now, self.sessions, message));
    }

    pub(super) fn poll_transmit(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.outbox)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let session = self.session.as_ref()?;
        let deadlines = [session.next_timeout(), self.requests.next_timeout()];
        deadlines.into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let Some(session) = &mut self.session else {
            return;
        };
        match session.handle_timeout(now) {
            Ok(effects) => self.take(now, effects),
            // A handshake that came to nothing.
            Err(_) => return self.switch_off(),
        }
        for bytes in self.requests.due(now) {
            self.send(now, &bytes);
        }
    }
}
