//! A device's requests and their outcomes: the client side of RFC 7252 §4.2 and §5.2.

use bytes::Bytes;
use coap::{Code, Message, Token, Type};
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// MAX_RETRANSMIT (RFC 7252 §4.8).
const MAX_RETRANSMIT: u32 = 4;
/// How long a device waits for a separate response, or for one to a Non-confirmable request.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(120);

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// No response yet.
    Open,
    /// A response came.
    Response(Code, Bytes),
    /// Not acknowledged after MAX_RETRANSMIT retransmissions.
    Unacknowledged,
    /// Acknowledged, or Non-confirmable, and no response within [`RESPONSE_TIMEOUT`].
    ResponseTimeout,
    /// Rejected by a Reset.
    Reset,
    /// The device was switched off, or began a new session, while it waited.
    Abandoned,
}

impl Outcome {
    /// Whether there was a response with this code.
    pub(crate) fn is(&self, expected: Code) -> bool {
        self.code() == Some(expected)
    }

    /// The code of the response, if there was one.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Outcome::Response(code, _) => Some(*code),
            _ => None,
        }
    }
}

struct Exchange {
    message: Message,
    /// The number of the device's session in which it was sent.
    session: u32,
    opened: Instant,
    encoded: Vec<u8>,
    /// Whether an Acknowledgement has come; always for a Non-confirmable request. If not, it is retransmitted.
    acknowledged: bool,
    retransmissions: u32,
    deadline: Instant,
    outcome: Outcome,
}

/// All requests of one device, by their number: the position in `exchanges`.
#[derive(Default)]
pub(super) struct Requests {
    exchanges: Vec<Exchange>,
    deadlines: BTreeSet<(Instant, usize)>,
    by_token: HashMap<Token, usize>,
}

impl Requests {
    pub(super) fn len(&self) -> usize {
        self.exchanges.len()
    }

    pub(super) fn open(&mut self, now: Instant, session: u32, message: Message) -> Vec<u8> {
        let number = self.exchanges.len();
        let encoded = message.encode(1152).unwrap();
        let confirmable = message.kind == Type::Confirmable;
        let wait = if confirmable {
            retransmission(0)
        } else {
            RESPONSE_TIMEOUT
        };
        self.by_token.insert(message.token, number);
        self.deadlines.insert((now + wait, number));
        self.exchanges.push(Exchange {
            message,
            session,
            opened: now,
            encoded: encoded.clone(),
            acknowledged: !confirmable,
            retransmissions: 0,
            deadline: now + wait,
            outcome: Outcome::Open,
        });
        encoded
    }

    /// The numbers of the requests sent in `session` since `since`.
    pub(super) fn sent_since(&self, session: u32, since: Instant) -> Vec<usize> {
        let exchanges = self.exchanges.iter().enumerate();
        exchanges
            .filter(|(_, e)| e.session == session && e.opened >= since)
            .map(|(number, _)| number)
            .collect()
    }

    pub(super) fn encoded(&self, number: usize) -> &[u8] {
        &self.exchanges[number].encoded
    }

    pub(super) fn message(&self, number: usize) -> &Message {
        &self.exchanges[number].message
    }

    pub(super) fn outcome(&self, number: usize) -> &Outcome {
        &self.exchanges[number].outcome
    }

    pub(super) fn retransmissions(&self, number: usize) -> u32 {
        self.exchanges[number].retransmissions
    }

    pub(super) fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.exchanges.iter().map(|exchange| &exchange.outcome)
    }

    pub(super) fn open_count(&self) -> usize {
        self.deadlines.len()
    }

    /// Whether the newest request with this token was acknowledged.
    pub(super) fn is_acknowledged(&self, token: &Token) -> bool {
        let number = self.by_token.get(token);
        number.is_some_and(|number| self.exchanges[*number].acknowledged)
    }

    /// Handles a response that came in `session`. Returns whether its request was open: a further response is a
    /// notification (RFC 7641). Panics if the session had no such request.
    pub(super) fn on_response(&mut self, session: u32, response: &Message) -> bool {
        let number = self.by_token.get(&response.token);
        let mut number = *number.expect("a response with an unknown token");
        if response.kind == Type::Acknowledgement {
            // Several requests may have one token: the Message ID identifies the acknowledged one.
            let is_answered = |e: &Exchange| {
                e.message.token == response.token && e.message.message_id == response.message_id
            };
            number = self
                .exchanges
                .iter()
                .rposition(is_answered)
                .expect("an Acknowledgement with an unknown Message ID");
        }
        let exchange = &self.exchanges[number];
        assert_eq!(
            exchange.session, session,
            "a response to a request of an earlier session"
        );
        let is_open = exchange.outcome == Outcome::Open;
        self.set_outcome(
            number,
            Outcome::Response(response.code, response.payload.clone()),
        );
        is_open
    }

    /// Handles an empty Acknowledgement or a Reset.
    pub(super) fn on_empty_message(&mut self, now: Instant, empty: &Message) {
        let mut exchanges = self.exchanges.iter_mut().enumerate().rev();
        let found = exchanges.find(|(_, e)| e.message.message_id == empty.message_id);
        let Some((number, exchange)) = found.filter(|(_, e)| e.outcome == Outcome::Open) else {
            return;
        };
        if empty.kind == Type::Reset {
            return self.set_outcome(number, Outcome::Reset);
        }
        if !exchange.acknowledged {
            exchange.acknowledged = true;
            self.deadlines.remove(&(exchange.deadline, number));
            exchange.deadline = now + RESPONSE_TIMEOUT;
            self.deadlines.insert((exchange.deadline, number));
        }
    }

    /// Ends all open requests.
    pub(super) fn abandon(&mut self) {
        while let Some((_, number)) = self.deadlines.first().copied() {
            self.set_outcome(number, Outcome::Abandoned);
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Ends the requests whose deadline has passed. Returns the messages to retransmit.
    pub(super) fn retransmissions_due(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut due = Vec::new();
        while let Some((at, number)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now)
        {
            let exchange = &mut self.exchanges[number];
            if exchange.acknowledged {
                self.set_outcome(number, Outcome::ResponseTimeout);
            } else if exchange.retransmissions == MAX_RETRANSMIT {
                self.set_outcome(number, Outcome::Unacknowledged);
            } else {
                exchange.retransmissions += 1;
                exchange.deadline = now + retransmission(exchange.retransmissions);
                due.push(exchange.encoded.clone());
                self.deadlines.remove(&(at, number));
                self.deadlines.insert((exchange.deadline, number));
            }
        }
        due
    }

    fn set_outcome(&mut self, number: usize, outcome: Outcome) {
        let exchange = &mut self.exchanges[number];
        if exchange.outcome == Outcome::Open {
            exchange.outcome = outcome;
            self.deadlines.remove(&(exchange.deadline, number));
        }
    }
}

/// RFC 7252 §4.2: 2 to 3 s (here always 2.5 s), doubled each time.
fn retransmission(number: u32) -> Duration {
    Duration::from_millis(2500) * 2u32.pow(number)
}
