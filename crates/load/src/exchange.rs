//! The client's side of one exchange (RFC 7252 §4.2 and §5.2), without sockets and clock.
//!
//! ```text
//!  Unacknowledged ──ACK, empty──▶ Acknowledged ──▶ over
//!        │  ▲ └──────────────response, reset, too many retransmissions─────────────▲
//!        └──┘ retransmission
//! ```

use super::coap::{EMPTY, Kind, Message, Token};
use std::time::{Duration, Instant};

/// RFC 7252 §4.8.
pub(crate) const ACK_TIMEOUT: Duration = Duration::from_secs(2);
const ACK_RANDOM_FACTOR: f64 = 1.5;
const MAX_RETRANSMIT: u32 = 4;

/// One Confirmable message of ours, and what it is waiting for.
#[derive(Debug)]
pub(crate) struct Exchange {
    id: u16,
    token: Token,
    state: State,
    deadline: Instant,
    /// For a separate response.
    patience: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unacknowledged {
        retransmissions: u32,
        timeout: Duration,
    },
    Acknowledged,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait on, until the deadline.
    Wait,
    /// Send it again.
    Retransmit,
    /// It is over; the response has this code, and must be acknowledged if it has come in a message of its own.
    Response {
        code: u8,
        acknowledge: Option<u16>,
        observe: bool,
    },
    /// It is over: the server has reset it. That is the answer to a ping (RFC 7252 §4.3).
    Reset,
    /// It is over, without an answer.
    GiveUp,
    /// The message belongs to another exchange.
    NotOurs,
}

impl Exchange {
    /// The message with this Message ID and token was sent `now`. `chance` is a random number from 0 to 1.
    pub(crate) fn new(
        id: u16,
        token: Token,
        patience: Duration,
        chance: f64,
        now: Instant,
    ) -> Exchange {
        let timeout = ACK_TIMEOUT.mul_f64(1.0 + (ACK_RANDOM_FACTOR - 1.0) * chance);
        Exchange {
            id,
            token,
            state: State::Unacknowledged {
                retransmissions: 0,
                timeout,
            },
            deadline: now + timeout,
            patience,
        }
    }

    /// When [`timed_out`](Exchange::timed_out) is due.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn timed_out(&mut self, now: Instant) -> Step {
        match &mut self.state {
            State::Unacknowledged {
                retransmissions,
                timeout,
            } if *retransmissions < MAX_RETRANSMIT => {
                // RFC 7252 §4.2: the timeout is doubled.
                *retransmissions += 1;
                *timeout *= 2;
                self.deadline = now + *timeout;
                Step::Retransmit
            }
            State::Unacknowledged { .. } | State::Acknowledged => Step::GiveUp,
        }
    }

    pub(crate) fn receive(&mut self, message: &Message, now: Instant) -> Step {
        let same_id = message.id == self.id;
        match (message.kind, message.code) {
            (Kind::Reset, _) if same_id => Step::Reset,
            (Kind::Acknowledgement, EMPTY) if same_id => {
                if self.state != State::Acknowledged {
                    self.state = State::Acknowledged;
                    self.deadline = now + self.patience;
                }
                Step::Wait
            }
            // RFC 7252 §5.3.2: a piggybacked response has the request's Message ID and token, a separate one the token.
            (Kind::Acknowledgement, code) if same_id && message.token == self.token => {
                Step::Response {
                    code,
                    acknowledge: None,
                    observe: message.observe,
                }
            }
            (Kind::Confirmable | Kind::NonConfirmable, code)
                if code != EMPTY && message.token == self.token =>
            {
                Step::Response {
                    code,
                    acknowledge: (message.kind == Kind::Confirmable).then_some(message.id),
                    observe: message.observe,
                }
            }
            (Kind::Confirmable | Kind::NonConfirmable | Kind::Acknowledgement | Kind::Reset, _) => {
                Step::NotOurs
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::now;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn exchange(start: Instant) -> Exchange {
        Exchange::new(7, [1, 2, 3, 4], PATIENCE, 0.0, start)
    }

    fn message(kind: Kind, code: u8, id: u16, token: &[u8]) -> Message {
        Message {
            kind,
            code,
            id,
            token: token.to_vec(),
            observe: false,
        }
    }

    #[test]
    fn silence_is_met_with_four_retransmissions_at_doubled_intervals_and_then_given_up() {
        let start = now();
        let mut exchange = exchange(start);
        for after in [2, 6, 14, 30] {
            assert_eq!(exchange.deadline(), start + Duration::from_secs(after));
            assert_eq!(exchange.timed_out(exchange.deadline()), Step::Retransmit);
        }
        // MAX_TRANSMIT_WAIT, without the random factor (RFC 7252 §4.8.2).
        assert_eq!(exchange.deadline(), start + Duration::from_secs(62));
        assert_eq!(exchange.timed_out(exchange.deadline()), Step::GiveUp);
    }

    #[test]
    fn chance_stretches_the_first_timeout_to_three_seconds_at_most() {
        let start = now();
        let late = Exchange::new(7, [0; 4], PATIENCE, 1.0, start);
        assert_eq!(late.deadline(), start + Duration::from_secs(3));
    }

    #[test]
    fn an_acknowledged_request_is_not_sent_again_and_its_separate_response_acknowledged() {
        let start = now();
        let mut exchange = exchange(start);
        let acknowledgement = message(Kind::Acknowledgement, EMPTY, 7, &[]);
        assert_eq!(exchange.receive(&acknowledgement, start), Step::Wait);
        assert_eq!(exchange.deadline(), start + PATIENCE);
        let separate = message(Kind::Confirmable, 0x45, 900, &[1, 2, 3, 4]);
        let step = exchange.receive(&separate, start);
        assert_eq!(
            step,
            Step::Response {
                code: 0x45,
                acknowledge: Some(900),
                observe: false
            }
        );
        assert_eq!(exchange.timed_out(exchange.deadline()), Step::GiveUp);
    }

    #[test]
    fn only_an_answer_to_this_very_request_ends_it() {
        let mut exchange = exchange(now());
        for other in [
            message(Kind::Acknowledgement, 0x45, 8, &[1, 2, 3, 4]),
            message(Kind::Acknowledgement, 0x45, 7, &[1, 2, 3]),
            message(Kind::Acknowledgement, EMPTY, 8, &[]),
            message(Kind::Reset, EMPTY, 8, &[]),
            message(Kind::Confirmable, 0x45, 7, &[4, 3, 2, 1]),
            message(Kind::Confirmable, EMPTY, 7, &[]),
        ] {
            assert_eq!(exchange.receive(&other, now()), Step::NotOurs, "{other:?}");
        }
        let piggybacked = message(Kind::Acknowledgement, 0x44, 7, &[1, 2, 3, 4]);
        let step = exchange.receive(&piggybacked, now());
        assert_eq!(
            step,
            Step::Response {
                code: 0x44,
                acknowledge: None,
                observe: false
            }
        );
        assert_eq!(
            exchange.receive(&message(Kind::Reset, EMPTY, 7, &[]), now()),
            Step::Reset
        );
    }
}
