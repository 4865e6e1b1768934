//! The device's side of CoAP: requests one at a time, again until they are answered (RFC 7252 §4.2, §4.7), and two
//! observations (RFC 7641).
//!
//! ```text
//! waiting ──▶ sent ──(empty ACK)──▶ acknowledged ──▶ answered
//!              │  ▲                      │
//!              ▼  │ 2, 4, 8, 16 s        │ 90 s without the separate response
//!             again ───(four times)──────┴──▶ given up
//! ```
//!
//! Bytes and `now` go in, messages and [`Event`]s come out. No socket, no clock.

use bytes::Bytes;
use coap::option::{encode_unsigned, number};
use coap::{Class, Code, Message, Token, Type};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// ACK_TIMEOUT and MAX_RETRANSMIT (RFC 7252 §4.8).
const ACK_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_RETRANSMIT: u32 = 4;
/// How long a separate response is waited for: the gateway answers within its own deadlines, and sends it again.
const SEPARATE: Duration = Duration::from_secs(90);
/// Requests that may wait for their turn. What is over that is not made.
const MOST_WAITING: usize = 8;
/// Messages remembered, so that one that comes again does nothing again (RFC 7252 §4.5).
const REMEMBERED: usize = 32;
/// The largest message the device sends.
const MAX_MESSAGE: usize = 1152;

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Telemetry, with its body.
    Telemetry(String),
    /// The observation of shared attributes.
    ObserveAttributes,
    /// The observation of commands.
    ObserveCommands,
    /// The reply to a command, with its body.
    Reply(String),
}

/// What became of a request, or came unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A request was answered.
    Answered {
        /// Which.
        purpose: Purpose,
        /// The response's code.
        code: Code,
        /// And payload.
        payload: Bytes,
        /// Since the request was first sent.
        after: Duration,
        /// How often it was sent.
        sent: u32,
        /// Whether an observation stands from now on.
        observes: bool,
    },
    /// News of an observation. Without Observe it is over.
    Notified {
        /// DeviceName.
        purpose: Purpose,
        /// Whether it goes on.
        goes_on: bool,
        /// The new state, or the command.
        payload: Bytes,
    },
    /// A request was not answered: the session is worth nothing any more.
    GaveUp,
}

struct UnderWay {
    purpose: Purpose,
    message: Message,
    first_sent: Instant,
    sent: u32,
    acknowledged: bool,
    deadline: Instant,
}

/// The messages of one session.
pub(super) struct Endpoint {
    message_id: u16,
    waiting: VecDeque<(Purpose, Message)>,
    under_way: Option<UnderWay>,
    observations: Vec<(Token, Purpose)>,
    seen: VecDeque<u16>,
    to_send: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

impl Endpoint {
    /// `message_id` should be random (RFC 7252 §4.4).
    pub(super) fn new(message_id: u16) -> Endpoint {
        Endpoint {
            message_id,
            waiting: VecDeque::new(),
            under_way: None,
            observations: Vec::new(),
            seen: VecDeque::new(),
            to_send: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// A message for the wire.
    pub(super) fn poll_send(&mut self) -> Option<Vec<u8>> {
        self.to_send.pop_front()
    }

    /// What happened, in order.
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted next.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        Some(self.under_way.as_ref()?.deadline)
    }

    /// Posts telemetry, unless the one before still waits: only the newest is worth sending.
    pub(super) fn post_telemetry(&mut self, now: Instant, body: String) {
        let telemetry =
            |(purpose, _): &(Purpose, Message)| matches!(purpose, Purpose::Telemetry(_));
        self.waiting.retain(|request| !telemetry(request));
        let payload = body.clone().into();
        self.request(
            now,
            Purpose::Telemetry(body),
            Code::POST,
            "api/v1/telemetry",
            payload,
        );
    }

    /// Answers a command.
    pub(super) fn reply(&mut self, now: Instant, id: i64, body: String) {
        let (path, payload) = (format!("api/v1/rpc/{id}"), body.clone().into());
        self.request(now, Purpose::Reply(body), Code::POST, &path, payload);
    }

    /// Registers for one of the two.
    pub(super) fn observe(&mut self, now: Instant, purpose: Purpose) {
        let path = match purpose {
            Purpose::ObserveAttributes => "api/v1/attributes",
            Purpose::ObserveCommands | Purpose::Telemetry(_) | Purpose::Reply(_) => "api/v1/rpc",
        };
        self.request(now, purpose, Code::GET, path, Bytes::new());
    }

    fn request(&mut self, now: Instant, purpose: Purpose, code: Code, path: &str, payload: Bytes) {
        if self.waiting.len() >= MOST_WAITING {
            return;
        }
        self.message_id = self.message_id.wrapping_add(1);
        let token = Token::new(&self.message_id.to_be_bytes()).unwrap_or_default();
        let mut options = Vec::new();
        if code == Code::GET {
            // Register (RFC 7641 §2), before the path: options go in order of their numbers.
            options.push((number::OBSERVE, encode_unsigned(0)));
            self.observations
                .retain(|(_, observed)| *observed != purpose);
            self.observations.push((token, purpose.clone()));
        }
        let segments = path.split('/');
        options
            .extend(segments.map(|one| (number::URI_PATH, Bytes::copy_from_slice(one.as_bytes()))));
        if !payload.is_empty() {
            let json = u32::from(coap::option::content_format::JSON);
            options.push((number::CONTENT_FORMAT, encode_unsigned(json)));
        }
        let message = Message {
            kind: Type::Confirmable,
            code,
            message_id: self.message_id,
            token,
            options,
            payload,
        };
        self.waiting.push_back((purpose, message));
        self.go_on(now);
    }

    /// Sends the next request if none is under way. NSTART is 1 (RFC 7252 §4.7).
    fn go_on(&mut self, now: Instant) {
        if self.under_way.is_none()
            && let Some((purpose, message)) = self.waiting.pop_front()
        {
            self.send(&message);
            self.under_way = Some(UnderWay {
                purpose,
                message,
                first_sent: now,
                sent: 1,
                acknowledged: false,
                deadline: now + ACK_TIMEOUT,
            });
        }
    }

    fn send(&mut self, message: &Message) {
        self.to_send.extend(message.encode(MAX_MESSAGE));
    }

    /// Sends a request again, or gives it up.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let Some(request) = self
            .under_way
            .as_mut()
            .filter(|request| request.deadline <= now)
        else {
            return;
        };
        if request.acknowledged || request.sent > MAX_RETRANSMIT {
            self.under_way = None;
            self.events.push_back(Event::GaveUp);
            return;
        }
        // RFC 7252 §4.2: the timeout doubles.
        request.deadline = now + ACK_TIMEOUT * 2u32.pow(request.sent);
        request.sent += 1;
        let again = request.message.encode(MAX_MESSAGE);
        self.to_send.extend(again);
    }

    /// A message came.
    pub(super) fn receive(&mut self, now: Instant, bytes: &[u8]) {
        let Ok(message) = Message::decode(bytes) else {
            return;
        };
        let ours = self.under_way.as_mut();
        let ours = ours.filter(|request| request.message.message_id == message.message_id);
        match (message.kind, message.code.class(), ours) {
            (Type::Acknowledgement, Class::Empty, Some(request)) => {
                request.acknowledged = true;
                request.deadline = now + SEPARATE;
            }
            (Type::Reset, _, Some(_)) => {
                self.under_way = None;
                self.events.push_back(Event::GaveUp);
            }
            (Type::Confirmable | Type::NonConfirmable, Class::Response, _) => {
                self.take_separate(now, &message);
            }
            (Type::Acknowledgement, Class::Response, Some(_)) => self.take(now, &message),
            // RFC 7252 §4.3: a ping, or a request, is not for a client: it is rejected.
            (Type::Confirmable, _, _) => {
                self.send(&Message::empty(Type::Reset, message.message_id));
            }
            _ => {}
        }
        self.go_on(now);
    }

    /// A response in a message of its own.
    fn take_separate(&mut self, now: Instant, message: &Message) {
        // RFC 7641 §3.6: who does not know the token rejects, and so is notified no more.
        let known = self.is_awaited(message.token);
        let answer = if known {
            Type::Acknowledgement
        } else {
            Type::Reset
        };
        if message.kind == Type::Confirmable || !known {
            self.send(&Message::empty(answer, message.message_id));
        }
        if known && !self.seen.contains(&message.message_id) {
            self.seen.push_back(message.message_id);
            if self.seen.len() > REMEMBERED {
                self.seen.pop_front();
            }
            self.take(now, message);
        }
    }

    fn is_awaited(&self, token: Token) -> bool {
        let request = self.under_way.as_ref();
        request.is_some_and(|request| request.message.token == token)
            || self
                .observations
                .iter()
                .any(|(observed, _)| *observed == token)
    }

    fn take(&mut self, now: Instant, message: &Message) {
        let goes_on = message
            .options
            .iter()
            .any(|(option, _)| *option == number::OBSERVE);
        let observed = self
            .observations
            .iter()
            .find(|(token, _)| *token == message.token);
        let observed = observed.map(|(_, purpose)| purpose.clone());
        if !goes_on {
            self.observations
                .retain(|(token, _)| *token != message.token);
        }
        if let Some(request) = self
            .under_way
            .take_if(|request| request.message.token == message.token)
        {
            self.events.push_back(Event::Answered {
                purpose: request.purpose,
                code: message.code,
                payload: message.payload.clone(),
                after: now.saturating_duration_since(request.first_sent),
                sent: request.sent,
                observes: goes_on,
            });
        } else if let Some(purpose) = observed {
            self.events.push_back(Event::Notified {
                purpose,
                goes_on,
                payload: message.payload.clone(),
            });
        }
    }
}

#[cfg(test)]
mod tests;
