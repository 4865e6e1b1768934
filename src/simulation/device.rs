//! A device: a real DTLS client with a CoAP client on top.

use super::observation::Observation;
use super::requests::{Outcome, Requests};
use crate::credentials::ServerCredentials;
use crate::device::CertificateId;
use crate::downlink::Kind;
use crate::dtls::tests::client_config;
use crate::dtls::{Parameters, Path, Versions};
use bytes::Bytes;
use coap::option::number::OBSERVE;
use coap::{Class, Code, Message, Token, Type};
use std::time::{Duration, Instant};
use test_support::dtls::{Client, Config, Output};

/// A message that came.
pub(crate) struct ReceivedMessage {
    pub(crate) at: Instant,
    /// The number of the device's session: see [`Device::sessions`].
    pub(crate) session: u32,
    pub(crate) message: Message,
}

/// A device, its session and its requests.
pub(crate) struct Device {
    pub(super) index: usize,
    /// The number in its name in the registry. A client with another device's certificate has that device's.
    pub(crate) registered_as: usize,
    pub(crate) path: Path,
    certificate: ServerCredentials,
    parameters: Parameters,
    config: Config,
    session: Option<Client>,
    /// The number of sessions it has begun: the number of the current one.
    pub(super) sessions: u32,
    connected: bool,
    /// Whether the gateway has closed the session by close_notify.
    pub(crate) closed: bool,
    requests: Requests,
    pub(crate) observations: Vec<Observation>,
    /// Whether it replies to commands.
    pub(crate) replies_to_commands: bool,
    /// Whether it is_response an empty Confirmable message by a Reset (RFC 7252 §4.3).
    pub(super) answers_pings: bool,
    /// If set, the Message ID of all its requests.
    pub(super) fixed_message_id: Option<u16>,
    /// Whether it neither acknowledges nor rejects Confirmable responses.
    pub(super) ignores_separate_responses: bool,
    /// The number of GETs of attributes that it has sent.
    pub(super) gets: usize,
    next_message_id: u16,
    outbox: Vec<Vec<u8>>,
    /// Messages in the order in which they came.
    pub(crate) received: Vec<ReceivedMessage>,
}

impl Device {
    pub(super) fn new(
        index: usize,
        path: Path,
        certificate: ServerCredentials,
        parameters: Parameters,
    ) -> Device {
        Device::with(index, index, path, certificate, parameters)
    }

    pub(super) fn certificate_id(&self) -> CertificateId {
        CertificateId::of(self.certificate.certificate())
    }

    /// Another client with the same certificate.
    pub(super) fn with_same_certificate(&self, index: usize, path: Path) -> Device {
        let certificate = self.certificate.clone();
        Device::with(
            index,
            self.registered_as,
            path,
            certificate,
            self.parameters,
        )
    }

    fn with(
        index: usize,
        registered_as: usize,
        path: Path,
        certificate: ServerCredentials,
        parameters: Parameters,
    ) -> Device {
        let config = client_config(&certificate, parameters.versions, parameters.mtu);
        Device {
            certificate,
            parameters,
            index,
            registered_as,
            path,
            config,
            session: None,
            sessions: 0,
            connected: false,
            closed: false,
            requests: Requests::default(),
            observations: Vec::new(),
            replies_to_commands: true,
            answers_pings: true,
            fixed_message_id: None,
            ignores_separate_responses: false,
            gets: 0,
            next_message_id: u16::try_from(index % 60_000).unwrap(),
            outbox: Vec::new(),
            received: Vec::new(),
        }
    }

    /// Starts without any state of an earlier session, and begins a handshake.
    pub(super) fn connect(&mut self, now: Instant) {
        self.switch_off();
        let (client, outputs) = Client::connect(&self.config, now);
        self.session = Some(client);
        self.sessions += 1;
        self.closed = false;
        self.handle_outputs(now, outputs);
    }

    /// Sets the DTLS versions of its next sessions.
    pub(crate) fn set_versions(&mut self, versions: Versions) {
        self.parameters.versions = versions;
        self.config = client_config(&self.certificate, versions, self.parameters.mtu);
    }

    /// Its Message IDs start at 1 again, as after a reboot without persistent state.
    pub(crate) fn restart_message_ids(&mut self) {
        self.next_message_id = 0;
    }

    /// Ends the session without close_notify, as a loss of power does.
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

    /// The number of requests it has sent.
    pub(crate) fn requests(&self) -> usize {
        self.requests.len()
    }

    /// The numbers of the requests that it sent in this session, and no longer ago than `duration`.
    pub(crate) fn requests_within(&self, now: Instant, duration: Duration) -> Vec<usize> {
        self.requests.sent_since(self.sessions, now - duration)
    }

    /// The number of requests whose outcome is [`Outcome::Open`].
    pub(crate) fn open_requests(&self) -> usize {
        self.requests.open_count()
    }

    pub(crate) fn retransmissions(&self, number: usize) -> u32 {
        self.requests.retransmissions(number)
    }

    /// Whether a request is one of telemetry.
    pub(crate) fn is_post(&self, number: usize) -> bool {
        let request = self.requests.message(number);
        let mut segments = request.options.iter();
        request.code == Code::POST && segments.any(|(_, value)| value == "telemetry")
    }

    pub(crate) fn token(&self, number: usize) -> Token {
        self.requests.message(number).token
    }

    /// The type and code of each message that came for a request, empty Acknowledgements included, in order.
    pub(crate) fn messages_for(&self, number: usize) -> Vec<(Type, Code)> {
        let request = self.requests.message(number);
        let mut own = Vec::new();
        for ReceivedMessage { message, .. } in &self.received {
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

    /// Posts telemetry with a unique body, and with options in addition to the path's.
    pub(super) fn post_with(
        &mut self,
        now: Instant,
        kind: Type,
        options: Vec<(u16, Bytes)>,
    ) -> usize {
        let (name, by, number) = (self.registered_as, self.index, self.requests.len());
        let body = format!(r#"{{"device":{name},"by":{by},"message":{number}}}"#);
        self.new_request(now, kind, Code::POST, "telemetry", options, body.into())
    }

    pub(super) fn get(&mut self, now: Instant) -> usize {
        self.gets += 1;
        let kind = Type::Confirmable;
        self.new_request(now, kind, Code::GET, "attributes", Vec::new(), Bytes::new())
    }

    /// Sends a Confirmable request. Returns its number.
    pub(super) fn request(
        &mut self,
        now: Instant,
        code: Code,
        resource: &'static str,
        options: Vec<(u16, Bytes)>,
        payload: Bytes,
    ) -> usize {
        self.gets += usize::from(code == Code::GET && resource == "attributes");
        let kind = Type::Confirmable;
        self.new_request(now, kind, code, resource, options, payload)
    }

    /// The newest response to a request, if one has come.
    pub(super) fn response(&self, number: usize) -> Option<&Message> {
        let token = self.requests.message(number).token;
        let newest_first = self.received.iter().rev();
        let mut messages = newest_first.map(|received| &received.message);
        messages.find(|message| message.token == token && message.code.class() == Class::Response)
    }

    /// Registers for attributes or commands. Returns the number of the observation.
    pub(super) fn observe(&mut self, now: Instant, kind: Type, observed: Kind) -> usize {
        let token = self.new_token();
        self.observations
            .push(Observation::new(token, observed, self.sessions));
        self.send_observe_request(now, kind, observed, token, 0);
        self.observations.len() - 1
    }

    /// Sends GET with Observe `value` and an observation's token: 0 registers again, 1 deregisters (RFC 7641 §2).
    pub(super) fn send_observe(&mut self, now: Instant, kind: Type, number: usize, value: u8) {
        let Observation {
            token,
            kind: observed,
            ..
        } = self.observations[number];
        self.send_observe_request(now, kind, observed, token, value);
    }

    fn send_observe_request(
        &mut self,
        now: Instant,
        kind: Type,
        observed: Kind,
        token: Token,
        value: u8,
    ) {
        let resource = match observed {
            Kind::Attributes => "attributes",
            Kind::Commands => "rpc",
        };
        self.gets += usize::from(observed == Kind::Attributes);
        let value = [value];
        let value = if value == [0] { &[][..] } else { &value[..] };
        let observe = (OBSERVE, Bytes::copy_from_slice(value));
        let (code, body) = (Code::GET, Bytes::new());
        self.request_with(now, kind, code, &[resource], vec![observe], body, token);
    }

    /// The newest active observation of a kind, in this session.
    pub(crate) fn observation(&self, kind: Kind) -> Option<&Observation> {
        let mut newest_first = self.observations.iter().rev();
        newest_first.find(|o| o.kind == kind && o.session == self.sessions && o.is_active())
    }

    fn new_request(
        &mut self,
        now: Instant,
        kind: Type,
        code: Code,
        resource: &'static str,
        more: Vec<(u16, Bytes)>,
        payload: Bytes,
    ) -> usize {
        let token = self.new_token();
        self.request_with(now, kind, code, &[resource], more, payload, token)
    }

    fn new_token(&self) -> Token {
        let unique = u32::try_from(self.index << 20 | self.requests.len()).unwrap();
        Token::new(&unique.to_be_bytes()).unwrap()
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a request")]
    pub(super) fn request_with(
        &mut self,
        now: Instant,
        kind: Type,
        code: Code,
        segments: &[&str],
        mut options: Vec<(u16, Bytes)>,
        payload: Bytes,
        token: Token,
    ) -> usize {
        let number = self.requests.len();
        self.next_message_id = match self.fixed_message_id {
            Some(only) => only,
            None => self.next_message_id.wrapping_add(1),
        };
        for segment in ["api", "v1"].iter().chain(segments) {
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

    /// Sends the bytes of an earlier request again: a duplicate (RFC 7252 §4.5).
    pub(super) fn send_duplicate(&mut self, now: Instant, number: usize) {
        let bytes = self.requests.encoded(number).to_vec();
        self.send(now, &bytes);
    }

    /// Encrypts and sends `plaintext`.
    pub(super) fn send(&mut self, now: Instant, plaintext: &[u8]) {
        if let Some(session) = &mut self.session {
            let outputs = session.send(now, plaintext).unwrap_or_default();
            self.handle_outputs(now, outputs);
        }
    }

    pub(super) fn receive(&mut self, now: Instant, datagram: &[u8]) {
        if let Some(session) = &mut self.session {
            match session.receive(now, datagram) {
                Ok(outputs) => self.handle_outputs(now, outputs),
                // A fatal alert, or an error that ends the engine.
                Err(_) => self.switch_off(),
            }
        }
    }

    fn handle_outputs(&mut self, now: Instant, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Transmit(datagram) => self.outbox.push(datagram),
                Output::Connected => self.connected = true,
                Output::Plaintext(bytes) => self.handle_message(now, &bytes),
                Output::CloseNotify => (self.connected, self.closed) = (false, true),
                Output::ServerCertificate(_) => {}
            }
        }
    }

    fn handle_message(&mut self, now: Instant, bytes: &[u8]) {
        let message = Message::decode(bytes).expect("the gateway sends well-formed messages");
        if message.code.class() == Class::Response {
            let observation = self
                .observations
                .iter()
                .position(|o| o.token == message.token);
            let rejects = observation.is_some_and(|n| self.observations[n].rejects);
            let acknowledges = !self.ignores_separate_responses
                && observation.is_none_or(|n| !self.observations[n].withholds_acks);
            if (message.kind == Type::Confirmable && acknowledges) || rejects {
                let kind = match rejects {
                    true => Type::Reset,
                    false => Type::Acknowledgement,
                };
                let empty = Message::empty(kind, message.message_id);
                self.send(now, &empty.encode(4).unwrap());
            }
            // A Confirmable response to an unacknowledged request may be a notification that overtook the response;
            // the first response for a token has the sequence number 0.
            let first = observation.is_none_or(|_| observe_number(&message).is_none_or(|n| n == 0));
            let is_response = message.kind != Type::Confirmable
                || first
                || self.requests.is_acknowledged(&message.token);
            let is_response = is_response && self.requests.on_response(self.sessions, &message);
            if let Some(number) = observation.filter(|_| !rejects) {
                let command = self.observations[number].handle_response(now, &message, is_response);
                if let Some(id) = command.filter(|_| self.replies_to_commands) {
                    self.reply(now, id);
                }
            }
        } else if message.kind == Type::Confirmable {
            // RFC 7252 §4.3: CoAP ping.
            if self.answers_pings {
                let reset = Message::empty(Type::Reset, message.message_id);
                self.send(now, &reset.encode(4).unwrap());
            }
        } else if message.code == Code::EMPTY {
            self.requests.on_empty_message(now, &message);
        }
        self.received.push(ReceivedMessage {
            at: now,
            session: self.sessions,
            message,
        });
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
            Ok(outputs) => self.handle_outputs(now, outputs),
            // The handshake has timed out.
            Err(_) => return self.switch_off(),
        }
        for bytes in self.requests.retransmissions_due(now) {
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
