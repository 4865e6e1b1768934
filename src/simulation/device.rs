//! A device: a real DTLS client and a CoAP client on top of it.

use super::observing::Observation;
use super::requests::{Outcome, Requests};
use crate::credentials::ServerCredentials;
use crate::device::CertificateId;
use crate::dtls::engine::{self, Engine, EngineOutput};
use crate::dtls::{self, Path, Versions};
use crate::relay::Kind;
use bytes::Bytes;
use coap::option::number::OBSERVE;
use coap::{Class, Code, Message, Token, Type};
use std::time::{Duration, Instant};

/// A device, its session and its requests.
pub(crate) struct Device {
    index: usize,
    /// The number in the name it is registered under: a twin has another's.
    pub(crate) name: usize,
    pub(crate) path: Path,
    certificate: ServerCredentials,
    parameters: dtls::Parameters,
    settings: engine::Settings,
    session: Option<Engine>,
    /// How many sessions it has begun.
    pub(super) sessions: u32,
    connected: bool,
    /// The gateway has closed the session.
    pub(crate) closed: bool,
    requests: Requests,
    pub(crate) observations: Vec<Observation>,
    /// Whether it replies to commands.
    pub(crate) replies_to_commands: bool,
    /// Whether it answers an empty Confirmable message, as RFC 7252 §4.3 would have it.
    pub(super) answers_pings: bool,
    /// The Message ID of all its messages, if its library has but one.
    pub(super) only_message_id: Option<u16>,
    /// Whether it ignores Confirmable responses: it neither acknowledges nor rejects them.
    pub(super) is_deaf_to_separate: bool,
    /// How many of them were GETs.
    pub(super) gets: usize,
    next_message_id: u16,
    outbox: Vec<Vec<u8>>,
    /// Messages that came, in order, with their time and the session they came in.
    pub(crate) received: Vec<(Instant, u32, Message)>,
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

    /// What its certificate is called.
    pub(super) fn certificate_id(&self) -> CertificateId {
        CertificateId::of(&self.certificate.certificate)
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
            observations: Vec::new(),
            replies_to_commands: true,
            answers_pings: true,
            only_message_id: None,
            is_deaf_to_separate: false,
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
    pub(crate) fn speak(&mut self, versions: Versions) {
        self.parameters.versions = versions;
        self.settings = engine::Settings::new(&self.certificate, &self.parameters).unwrap();
    }

    /// Its Message IDs begin anew, as those of a device without memory do.
    pub(crate) fn restart_message_ids(&mut self) {
        self.next_message_id = 0;
    }

    /// Power goes, without a word.
    pub(crate) fn switch_off(&mut self) {
        self.requests.abandon();
        (self.session, self.connected) = (None, false);
        self.outbox.clear();
    }

    pub(crate) fn is_on(&self) -> bool {
        self.session.is_some()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    pub(crate) fn outcome(&self, number: usize) -> &Outcome {
        self.requests.outcome(number)
    }

    pub(crate) fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.requests.outcomes()
    }

    /// Requests it has made.
    pub(crate) fn requests(&self) -> usize {
        self.requests.len()
    }

    /// Its requests of this session and of so long ago at most.
    pub(crate) fn asked_within(&self, now: Instant, duration: Duration) -> Vec<usize> {
        self.requests.since(self.sessions, now - duration)
    }

    /// Requests whose outcome is [`Outcome::Open`].
    pub(crate) fn open_requests(&self) -> usize {
        self.requests.open_count()
    }

    pub(crate) fn retransmissions(&self, number: usize) -> u32 {
        self.requests.retransmissions(number)
    }

    /// The token of a request.
    pub(crate) fn token(&self, number: usize) -> Token {
        self.requests.message(number).token
    }

    /// The message IDs and kinds of what came for a request, acknowledgements included, in order.
    pub(crate) fn replies(&self, number: usize) -> Vec<(Type, Code)> {
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
        self.new_request(now, kind, Code::POST, "telemetry", options, body.into())
    }

    pub(super) fn get(&mut self, now: Instant) -> usize {
        self.gets += 1;
        let kind = Type::Confirmable;
        self.new_request(now, kind, Code::GET, "attributes", Vec::new(), Bytes::new())
    }

    /// Sends any request; returns its number, under which its response is found.
    pub(super) fn request(
        &mut self,
        now: Instant,
        code: Code,
        feature: &'static str,
        options: Vec<(u16, Bytes)>,
        payload: Bytes,
    ) -> usize {
        self.gets += usize::from(code == Code::GET && feature == "attributes");
        let kind = Type::Confirmable;
        self.new_request(now, kind, code, feature, options, payload)
    }

    /// The response to a request, if one has come.
    pub(super) fn response(&self, number: usize) -> Option<&Message> {
        let token = self.requests.message(number).token;
        let mut newest_first = self.received.iter().rev();
        let found = newest_first.find(|(_, _, message)| {
            message.token == token && message.code.class() == Class::Response
        });
        found.map(|(_, _, message)| message)
    }

    /// Registers for one of the two kinds; returns the number of the observation.
    pub(super) fn observe(&mut self, now: Instant, kind: Type, what: Kind) -> usize {
        let token = self.new_token();
        self.observations
            .push(Observation::new(token, what, self.sessions));
        self.observe_request(now, kind, what, token, 0);
        self.observations.len() - 1
    }

    /// Sends GET with Observe `value` under an observation's token once more: 0 renews it, 1 ends it.
    pub(super) fn register_again(&mut self, now: Instant, kind: Type, number: usize, value: u8) {
        let Observation {
            token, kind: what, ..
        } = self.observations[number];
        self.observe_request(now, kind, what, token, value);
    }

    fn observe_request(&mut self, now: Instant, kind: Type, what: Kind, token: Token, value: u8) {
        let feature = match what {
            Kind::Attributes => "attributes",
            Kind::Commands => "rpc",
        };
        self.gets += usize::from(what == Kind::Attributes);
        let value = [value];
        let value = if value == [0] { &[][..] } else { &value[..] };
        let observe = (OBSERVE, Bytes::copy_from_slice(value));
        let (code, body) = (Code::GET, Bytes::new());
        self.request_with(now, kind, code, &[feature], vec![observe], body, token);
    }

    /// The last observation of a kind that stands.
    pub(crate) fn observation(&self, kind: Kind) -> Option<&Observation> {
        let mut newest_first = self.observations.iter().rev();
        newest_first.find(|o| o.kind == kind && o.session == self.sessions && o.stands())
    }

    fn new_request(
        &mut self,
        now: Instant,
        kind: Type,
        code: Code,
        feature: &'static str,
        more: Vec<(u16, Bytes)>,
        payload: Bytes,
    ) -> usize {
        let token = self.new_token();
        self.request_with(now, kind, code, &[feature], more, payload, token)
    }

    fn new_token(&self) -> Token {
        let unique = u32::try_from(self.index << 20 | self.requests.len()).unwrap();
        Token::new(&unique.to_be_bytes()).unwrap()
    }

    #[expect(clippy::too_many_arguments, reason = "all that a request is")]
    pub(super) fn request_with(
        &mut self,
        now: Instant,
        kind: Type,
        code: Code,
        feature: &[&str],
        mut options: Vec<(u16, Bytes)>,
        payload: Bytes,
        token: Token,
    ) -> usize {
        let number = self.requests.len();
        self.next_message_id = match self.only_message_id {
            Some(only) => only,
            None => self.next_message_id.wrapping_add(1),
        };
        for segment in ["api", "v1"].iter().chain(feature) {
            options.push((11, Bytes::copy_from_slice(segment.as_bytes())));
        }
        options.sort_by_key(|(number, _)| *number);
        let message = Message {
            kind,
            code,
            message_id: self.next_message_id,
            token,
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

    fn take(&mut self, now: Instant, effects: Vec<EngineOutput>) {
        for effect in effects {
            match effect {
                EngineOutput::Transmit(datagram) => self.outbox.push(datagram),
                EngineOutput::Connected => self.connected = true,
                EngineOutput::Plaintext(bytes) => self.take_message(now, &bytes),
                EngineOutput::CloseNotify => (self.connected, self.closed) = (false, true),
                EngineOutput::PeerCertificate(_) => {}
            }
        }
    }

    fn take_message(&mut self, now: Instant, bytes: &[u8]) {
        let message = Message::decode(bytes).expect("the gateway sent what is no message");
        if message.code.class() == Class::Response {
            let observation = self
                .observations
                .iter()
                .position(|o| o.token == message.token);
            let forgotten = observation.is_some_and(|n| self.observations[n].forgotten);
            let acknowledges = !self.is_deaf_to_separate
                && observation.is_none_or(|n| !self.observations[n].unacknowledged);
            if (message.kind == Type::Confirmable && acknowledges) || forgotten {
                let kind = match forgotten {
                    true => Type::Reset,
                    false => Type::Acknowledgement,
                };
                let empty = Message::empty(kind, message.message_id);
                self.send(now, &empty.encode(4).unwrap());
            }
            // A Confirmable response to a request that is not acknowledged may be a notification that came
            // before it; the first response of a token has the number 0.
            let first = observation.is_none_or(|_| observe_number(&message).is_none_or(|n| n == 0));
            let answers = message.kind != Type::Confirmable
                || first
                || self.requests.is_acknowledged(&message.token);
            let answers = answers && self.requests.answer(self.sessions, &message);
            if let Some(number) = observation.filter(|_| !forgotten) {
                let command = self.observations[number].take(now, &message, answers);
                if let Some(id) = command.filter(|_| self.replies_to_commands) {
                    self.reply(now, id);
                }
            }
        } else if message.kind == Type::Confirmable {
            // RFC 7252 §4.3: an empty Confirmable message asks whether we live.
            if self.answers_pings {
                let reset = Message::empty(Type::Reset, message.message_id);
                self.send(now, &reset.encode(4).unwrap());
            }
        } else if message.code == Code::EMPTY {
            self.requests.acknowledge(now, &message);
        }
        self.received.push((now, self.sessions, message));
    }

    /// Replies to a command.
    pub(super) fn reply(&mut self, now: Instant, id: u32) {
        let token = self.new_token();
        let id = id.to_string();
        let body = Bytes::from_static(br#"{"ok":true}"#);
        let (kind, code) = (Type::Confirmable, Code::POST);
        self.request_with(now, kind, code, &["rpc", &id], Vec::new(), body, token);
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

/// The value of the Observe option.
pub(super) fn observe_number(message: &Message) -> Option<u32> {
    let (_, value) = message.options.iter().find(|(n, _)| *n == OBSERVE)?;
    Some(
        value
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte)),
    )
}
