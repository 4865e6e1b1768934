//! Turns the events of the gateway's tap into lines of the page.
//!
//! A line says what a message is in its exchange: a retransmission, an empty acknowledgement, a separate response, a
//! notification. For that, the latest few hundred messages, requests and calls are remembered.

use super::message::{self, Direction};
use super::terms;
use coap::option::number;
use coap::{Class, Message, Token, Type};
use coaps_gateway::facade::calls::{RelayCall, Ticket};
use coaps_gateway::facade::dtls::SessionId;
use coaps_gateway::facade::gateway::tap::{Event, TapRecord};
use coaps_gateway::facade::upstream;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many messages, requests and calls are remembered.
const MAX_REMEMBERED: usize = 256;

/// The lines of one page.
pub(super) struct Lines {
    started: Instant,
    /// Messages that were sent or received, to recognise retransmissions and duplicates.
    seen: VecDeque<(SessionId, Direction, Type, u16)>,
    requests: VecDeque<(SessionId, Token, Instant)>,
    calls: VecDeque<(Ticket, u64, Instant)>,
    last_call: u64,
}

fn remember<T>(list: &mut VecDeque<T>, one: T) {
    if list.len() >= MAX_REMEMBERED {
        list.pop_front();
    }
    list.push_back(one);
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Lines {
    /// Times count from `started`.
    pub(super) fn new(started: Instant) -> Lines {
        Lines {
            started,
            seen: VecDeque::new(),
            requests: VecDeque::new(),
            calls: VecDeque::new(),
            last_call: 0,
        }
    }

    /// A time as the page shows it, in milliseconds.
    pub(super) fn time(&self, at: Instant) -> u64 {
        ms(at.saturating_duration_since(self.started))
    }

    /// The line of one event, as JSON.
    pub(super) fn line(&mut self, record: &TapRecord) -> Value {
        let mut line = match &record.event {
            Event::Established { version, .. } => json!({
                "kind": "session",
                "text": format!("DTLS {version} session established, certificate verified"),
            }),
            Event::Ended { reason, .. } => json!({
                "kind": "session",
                "text": format!("DTLS session ended: {reason:?}"),
            }),
            Event::Received {
                session,
                message,
                datagram,
            } => self.message(record.at, *session, Direction::In, message, *datagram),
            Event::Sent {
                session,
                message,
                datagram,
            } => self.message(record.at, *session, Direction::Out, message, *datagram),
            Event::CallStarted { ticket, line } => {
                self.last_call += 1;
                remember(&mut self.calls, (*ticket, self.last_call, record.at));
                json!({
                    "kind": "call",
                    "call": self.last_call,
                    "text": format!("{} {}", line.method, line.target),
                    "bytes": line.body,
                    "purpose": purpose(ticket),
                })
            }
            Event::CallEnded { ticket, outcome } => {
                let text = match outcome {
                    Ok(0) => "200".to_owned(),
                    Ok(length) => format!("200, {length} bytes"),
                    Err(error) => error.to_string(),
                };
                // Most long polls end by timeout.
                let is_success = matches!(outcome, Ok(_) | Err(upstream::Error::Elapsed));
                self.call_ended(*ticket, record.at, &text, is_success)
            }
            Event::CallAborted { ticket } => self.call_ended(*ticket, record.at, "cancelled", true),
        };
        if let Some(line) = line.as_object_mut() {
            line.insert("ms".to_owned(), json!(self.time(record.at)));
            line.insert("device".to_owned(), json!(record.device.as_deref()));
        }
        line
    }

    fn call_ended(&mut self, ticket: Ticket, at: Instant, text: &str, is_success: bool) -> Value {
        let begun = self.calls.iter().position(|(known, ..)| *known == ticket);
        let begun = begun.and_then(|at| self.calls.remove(at));
        json!({
            "kind": "call_ended",
            "call": begun.map(|(_, number, _)| number),
            "text": text,
            "success": is_success,
            "took": begun.map(|(.., since)| ms(at.saturating_duration_since(since))),
        })
    }

    fn message(
        &mut self,
        at: Instant,
        session: SessionId,
        direction: Direction,
        bytes: &[u8],
        datagram: usize,
    ) -> Value {
        let is_in = direction == Direction::In;
        let Ok(message) = Message::decode(bytes) else {
            return json!({
                "kind": "message", "in": is_in, "type": "?", "code": "", "name": "not a CoAP message",
                "text": message::payload(bytes), "bytes": bytes.len(), "datagram": datagram,
                "parts": [],
            });
        };
        let (is_again, note) = self.note(session, direction, &message);
        json!({
            "kind": "message",
            "session": session.0,
            "in": is_in,
            "type": message::type_name(message.kind),
            "code": message.code.to_string(),
            "name": terms::code_name(message.code),
            "success": !matches!(message.code.0 >> 5, 4 | 5) && message.kind != Type::Reset,
            "mid": message.message_id,
            "token": message::hex(message.token.as_bytes()),
            "text": message::summary(&message),
            "options": message::options(&message),
            "bytes": bytes.len(),
            "datagram": datagram,
            "note": note,
            "took": if is_again { None } else { self.took(at, session, &message) },
            "parts": message::parts(&message),
            "raw": message::hex(bytes.get(..256).unwrap_or(bytes)),
        })
    }

    /// Whether the message was seen before, and its role in the exchange.
    fn note(
        &mut self,
        session: SessionId,
        direction: Direction,
        message: &Message,
    ) -> (bool, Option<&'static str>) {
        let key = (session, direction, message.kind, message.message_id);
        if self.seen.contains(&key) {
            // RFC 7252 §4.2 and §4.5: the same Message ID, and the same answer to it.
            let note = match message.kind {
                Type::Confirmable => "retransmission",
                Type::NonConfirmable => "duplicate",
                Type::Acknowledgement | Type::Reset => "answered again",
            };
            return (true, Some(note));
        }
        remember(&mut self.seen, key);
        let has_observe = || {
            message
                .options
                .iter()
                .any(|(option, _)| *option == number::OBSERVE)
        };
        let note = match (message.kind, message.code.class()) {
            (Type::Acknowledgement, Class::Empty) => Some("empty acknowledgement"),
            (Type::Acknowledgement, Class::Response) => Some("piggybacked response"),
            (Type::Confirmable, Class::Empty) => Some("ping"),
            (Type::Confirmable, Class::Response) if has_observe() => Some("notification"),
            (Type::NonConfirmable, Class::Response) if has_observe() => Some("notification"),
            (Type::Confirmable, Class::Response) => Some("separate response"),
            _ => None,
        };
        (false, note)
    }

    /// The time since the request, if the message is its response.
    fn took(&mut self, at: Instant, session: SessionId, message: &Message) -> Option<u64> {
        let is_of = |(known, token, _): &(SessionId, Token, Instant)| {
            *known == session && *token == message.token
        };
        match message.code.class() {
            Class::Request => {
                if !self.requests.iter().any(is_of) {
                    remember(&mut self.requests, (session, message.token, at));
                }
                None
            }
            Class::Response => {
                let begun = self.requests.iter().position(is_of);
                let (.., since) = begun.and_then(|at| self.requests.remove(at))?;
                Some(ms(at.saturating_duration_since(since)))
            }
            Class::Empty | Class::Reserved => None,
        }
    }
}

/// The purpose of a call.
fn purpose(ticket: &Ticket) -> &'static str {
    match ticket {
        Ticket::Exchange { .. } => "the device's request",
        Ticket::Relay(_, RelayCall::Poll(..)) => "long poll for what the device observes",
        Ticket::Relay(_, RelayCall::Read(_)) => "reading what polls may have missed",
        Ticket::Relay(_, RelayCall::GatewayReply(_)) => "a command that can't be delivered",
        Ticket::Package(_) => "the cache of packages",
    }
}

#[cfg(test)]
mod tests;
