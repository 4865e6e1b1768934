//! From what the core does to lines of the page.
//!
//! A line says what a message is in the exchange: a retransmission, an acknowledgement whose response will follow, a
//! separate response, a notification. What it takes to know that is remembered for the latest few hundred only.

use super::message::{self, Way};
use super::terms;
use coap::option::number;
use coap::{Class, Message, Token, Type};
use coaps_gateway::calls::{RelayCall, Ticket};
use coaps_gateway::dtls::SessionId;
use coaps_gateway::gateway::tap::{Event, TapRecord};
use coaps_gateway::upstream;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Messages, requests and calls remembered, of each so many.
const REMEMBERED: usize = 256;

/// One page's telling.
pub(super) struct Story {
    started: Instant,
    /// Confirmable messages, and acknowledgements: what comes a second time.
    seen: VecDeque<(SessionId, Way, Type, u16)>,
    requests: VecDeque<(SessionId, Token, Instant)>,
    calls: VecDeque<(Ticket, u64, Instant)>,
    last_call: u64,
}

fn remember<T>(list: &mut VecDeque<T>, one: T) {
    if list.len() >= REMEMBERED {
        list.pop_front();
    }
    list.push_back(one);
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Story {
    /// Times count from `started`.
    pub(super) fn new(started: Instant) -> Story {
        Story {
            started,
            seen: VecDeque::new(),
            requests: VecDeque::new(),
            calls: VecDeque::new(),
            last_call: 0,
        }
    }

    /// A time as the page shows it.
    pub(super) fn time(&self, at: Instant) -> u64 {
        ms(at.saturating_duration_since(self.started))
    }

    /// One event, as JSON for the page.
    pub(super) fn tell(&mut self, heard: &TapRecord) -> Value {
        let mut line = match &heard.event {
            Event::Established { version, .. } => json!({
                "kind": "session",
                "text": format!("DTLS {version} session established, certificate verified"),
            }),
            Event::Ended { reason, .. } => json!({
                "kind": "session",
                "text": format!("DTLS session over: {reason:?}"),
            }),
            Event::Received {
                session,
                message,
                datagram,
            } => self.message(heard.at, *session, Way::In, message, *datagram),
            Event::Sent {
                session,
                message,
                datagram,
            } => self.message(heard.at, *session, Way::Out, message, *datagram),
            Event::CallStarted { ticket, line } => {
                self.last_call += 1;
                remember(&mut self.calls, (*ticket, self.last_call, heard.at));
                json!({
                    "kind": "call",
                    "call": self.last_call,
                    "text": format!("{} {}", line.method, line.target),
                    "bytes": line.body,
                    "why": why(ticket),
                })
            }
            Event::CallEnded { ticket, outcome } => {
                let text = match outcome {
                    Ok(0) => "200".to_owned(),
                    Ok(length) => format!("200, {length} bytes"),
                    Err(error) => error.to_string(),
                };
                // How most long polls end.
                let is_well = matches!(outcome, Ok(_) | Err(upstream::Error::Elapsed));
                self.called(*ticket, heard.at, &text, is_well)
            }
            Event::CallAborted { ticket } => {
                self.called(*ticket, heard.at, "nobody waits for it any more", true)
            }
        };
        if let Some(line) = line.as_object_mut() {
            line.insert("ms".to_owned(), json!(self.time(heard.at)));
            line.insert("device".to_owned(), json!(heard.device.as_deref()));
        }
        line
    }

    fn called(&mut self, ticket: Ticket, at: Instant, text: &str, is_well: bool) -> Value {
        let begun = self.calls.iter().position(|(known, ..)| *known == ticket);
        let begun = begun.and_then(|at| self.calls.remove(at));
        json!({
            "kind": "called",
            "call": begun.map(|(_, number, _)| number),
            "text": text,
            "well": is_well,
            "took": begun.map(|(.., since)| ms(at.saturating_duration_since(since))),
        })
    }

    fn message(
        &mut self,
        at: Instant,
        session: SessionId,
        way: Way,
        bytes: &[u8],
        datagram: usize,
    ) -> Value {
        let is_in = way == Way::In;
        let Ok(message) = Message::decode(bytes) else {
            return json!({
                "kind": "message", "in": is_in, "type": "?", "code": "", "name": "no CoAP message",
                "text": message::payload(bytes), "bytes": bytes.len(), "wire": datagram,
                "parts": [],
            });
        };
        let (is_again, note) = self.note(session, way, &message);
        json!({
            "kind": "message",
            "session": session.0,
            "in": is_in,
            "type": message::type_name(message.kind),
            "code": message.code.to_string(),
            "name": terms::code_name(message.code),
            "well": !matches!(message.code.0 >> 5, 4 | 5) && message.kind != Type::Reset,
            "mid": message.message_id,
            "token": message::hex(message.token.as_bytes()),
            "text": message::summary(&message),
            "options": message::options(&message),
            "bytes": bytes.len(),
            "wire": datagram,
            "note": note,
            "took": if is_again { None } else { self.took(at, session, &message) },
            "parts": message::parts(&message),
            "raw": message::hex(bytes.get(..256).unwrap_or(bytes)),
        })
    }

    /// What the message is in its exchange, where it is anything to remark on.
    /// Also whether it was there before.
    fn note(
        &mut self,
        session: SessionId,
        way: Way,
        message: &Message,
    ) -> (bool, Option<&'static str>) {
        let again = (session, way, message.kind, message.message_id);
        if self.seen.contains(&again) {
            // RFC 7252 §4.2 and §4.5: the same Message ID, and the same answer to it.
            let note = match message.kind {
                Type::Confirmable => "retransmission",
                Type::NonConfirmable => "duplicate",
                Type::Acknowledgement | Type::Reset => "answered again",
            };
            return (true, Some(note));
        }
        remember(&mut self.seen, again);
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

    /// How long the response took, since its request.
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

/// What a call is for.
fn why(ticket: &Ticket) -> &'static str {
    match ticket {
        Ticket::Exchange { .. } => "the device's request",
        Ticket::Relay(_, RelayCall::Poll(..)) => "long poll for what the device observes",
        Ticket::Relay(_, RelayCall::Read(_)) => "what polls may have missed",
        Ticket::Relay(_, RelayCall::Refusal(_)) => "a command that can't be delivered",
        Ticket::Package(_) => "the cache of packages",
    }
}

#[cfg(test)]
mod tests;
