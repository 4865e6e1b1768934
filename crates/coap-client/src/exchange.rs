//! One Confirmable message of a client and what answers it (RFC 7252 §4.2, §5.2).
//!
//! ```text
//!  Unacknowledged ──empty ACK──▶ Acknowledged ──▶ over
//!     │  ▲   └─────response, Reset, timeout after four retransmissions─────▲
//!     └──┘ retransmission
//! ```

use coap::{Class, Message, Token, Type};
use std::time::{Duration, Instant};

/// RFC 7252 §4.8.
pub(crate) const ACK_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_RETRANSMIT: u32 = 4;

#[derive(Debug)]
pub(crate) struct Exchange {
    message_id: u16,
    token: Token,
    state: State,
    deadline: Instant,
    /// How long a separate response may take after the acknowledgement.
    separate_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unacknowledged {
        retransmissions: u32,
        timeout: Duration,
    },
    Acknowledged,
}

/// What a received message means for the exchange.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// An acknowledgement: the response is sent later.
    Acknowledgement,
    /// The response, which ends the exchange.
    Response,
    /// A Reset, which ends the exchange. It is the answer to a ping (RFC 7252 §4.3).
    Reset,
    /// The message belongs to another exchange.
    Unrelated,
}

/// What is due at the deadline.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Retransmission,
    /// The exchange is over without a response.
    TimedOut,
}

impl Exchange {
    /// The message was sent `now`. `ack_timeout` is ACK_TIMEOUT times a random factor (RFC 7252 §4.2).
    pub(crate) fn new(
        message_id: u16,
        token: Token,
        ack_timeout: Duration,
        separate_timeout: Duration,
        now: Instant,
    ) -> Exchange {
        Exchange {
            message_id,
            token,
            state: State::Unacknowledged {
                retransmissions: 0,
                timeout: ack_timeout,
            },
            deadline: now + ack_timeout,
            separate_timeout,
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The deadline has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Due {
        match &mut self.state {
            State::Unacknowledged {
                retransmissions,
                timeout,
            } if *retransmissions < MAX_RETRANSMIT => {
                // RFC 7252 §4.2: the timeout is doubled.
                *retransmissions += 1;
                *timeout *= 2;
                self.deadline = now + *timeout;
                Due::Retransmission
            }
            State::Unacknowledged { .. } | State::Acknowledged => Due::TimedOut,
        }
    }

    pub(crate) fn receive(&mut self, message: &Message, now: Instant) -> Received {
        let same_id = message.message_id == self.message_id;
        let is_response = message.code.class() == Class::Response && message.token == self.token;
        match message.kind {
            Type::Reset if same_id => Received::Reset,
            // RFC 7252 §5.3.2: a piggybacked response has the request's Message ID and token, a separate one the token.
            Type::Acknowledgement if same_id && is_response => Received::Response,
            Type::Confirmable | Type::NonConfirmable if is_response => Received::Response,
            Type::Acknowledgement if same_id && message.code.class() == Class::Empty => {
                if self.state != State::Acknowledged {
                    self.state = State::Acknowledged;
                    self.deadline = now + self.separate_timeout;
                }
                Received::Acknowledgement
            }
            Type::Confirmable | Type::NonConfirmable | Type::Acknowledgement | Type::Reset => {
                Received::Unrelated
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coap::Code;

    const SEPARATE_TIMEOUT: Duration = Duration::from_secs(30);

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test begins at some time")]
        Instant::now()
    }

    fn exchange(start: Instant) -> Exchange {
        let token = Token::new(&[1, 2, 3, 4]).unwrap();
        Exchange::new(7, token, ACK_TIMEOUT, SEPARATE_TIMEOUT, start)
    }

    fn message(kind: Type, code: Code, message_id: u16, token: &[u8]) -> Message {
        Message {
            code,
            token: Token::new(token).unwrap(),
            ..Message::empty(kind, message_id)
        }
    }

    #[test]
    fn it_is_retransmitted_four_times_at_doubled_intervals_and_then_times_out() {
        let start = start();
        let mut exchange = exchange(start);
        for after in [2, 6, 14, 30] {
            assert_eq!(exchange.deadline(), start + Duration::from_secs(after));
            let due = exchange.handle_timeout(exchange.deadline());
            assert_eq!(due, Due::Retransmission);
        }
        // MAX_TRANSMIT_WAIT, without the random factor (RFC 7252 §4.8.2).
        assert_eq!(exchange.deadline(), start + Duration::from_secs(62));
        let due = exchange.handle_timeout(exchange.deadline());
        assert_eq!(due, Due::TimedOut);
    }

    #[test]
    fn an_acknowledged_request_is_not_retransmitted_and_takes_a_separate_response() {
        let start = start();
        let mut exchange = exchange(start);
        let acknowledgement = Message::empty(Type::Acknowledgement, 7);
        assert_eq!(
            exchange.receive(&acknowledgement, start),
            Received::Acknowledgement
        );
        assert_eq!(exchange.deadline(), start + SEPARATE_TIMEOUT);
        let separate = message(Type::Confirmable, Code::CONTENT, 900, &[1, 2, 3, 4]);
        assert_eq!(exchange.receive(&separate, start), Received::Response);
        let due = exchange.handle_timeout(exchange.deadline());
        assert_eq!(due, Due::TimedOut);
    }

    #[test]
    fn only_an_answer_to_this_very_request_ends_it() {
        let start = start();
        let mut exchange = exchange(start);
        for other in [
            message(Type::Acknowledgement, Code::CONTENT, 8, &[1, 2, 3, 4]),
            message(Type::Acknowledgement, Code::CONTENT, 7, &[1, 2, 3]),
            message(Type::Acknowledgement, Code::EMPTY, 8, &[]),
            message(Type::Reset, Code::EMPTY, 8, &[]),
            message(Type::Confirmable, Code::CONTENT, 7, &[4, 3, 2, 1]),
            message(Type::Confirmable, Code::GET, 7, &[1, 2, 3, 4]),
            message(Type::Confirmable, Code::EMPTY, 7, &[]),
        ] {
            assert_eq!(
                exchange.receive(&other, start),
                Received::Unrelated,
                "{other:?}"
            );
        }
        let piggybacked = message(Type::Acknowledgement, Code::CREATED, 7, &[1, 2, 3, 4]);
        assert_eq!(exchange.receive(&piggybacked, start), Received::Response);
        let reset = Message::empty(Type::Reset, 7);
        assert_eq!(exchange.receive(&reset, start), Received::Reset);
    }
}
