//! Calls to ThingsBoard by how they ended, and their duration.

use crate::calls::parsing::Parsed;
use crate::calls::{RelayCall, Ticket};
use crate::metrics::{Histogram, Tally};
use crate::upstream::{Error, Rejection, RetryCause};
use std::collections::HashMap;
use std::time::Instant;

/// The purpose of a call, as a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    Request,
    Poll,
    /// A relay's read of attributes, or its reply to a command.
    Read,
    /// A part of a package, or its assignment.
    Package,
}

impl CallKind {
    pub const ALL: [CallKind; 4] = [
        CallKind::Request,
        CallKind::Poll,
        CallKind::Read,
        CallKind::Package,
    ];

    fn of(ticket: &Ticket) -> CallKind {
        match ticket {
            Ticket::Exchange { .. } => CallKind::Request,
            Ticket::Relay(_, RelayCall::Poll(..)) => CallKind::Poll,
            Ticket::Relay(_, RelayCall::Read(_) | RelayCall::GatewayReply(_)) => CallKind::Read,
            Ticket::Package(_) => CallKind::Package,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            CallKind::Request => "request",
            CallKind::Poll => "poll",
            CallKind::Read => "read",
            CallKind::Package => "package",
        }
    }
}

/// How a call ended.
pub(crate) const OUTCOMES: [&str; 8] = [
    "ok",
    // A long poll that ended without news, as most do.
    "elapsed",
    "timeout",
    "unreachable",
    "overloaded",
    "rejected_4xx",
    "rejected_5xx",
    "unintelligible",
];

/// The calls of one kind that have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// By [`OUTCOMES`].
    pub outcomes: Tally<{ OUTCOMES.len() }>,
    /// Durations; none of long polls.
    pub durations: Histogram,
}

impl Default for Ended {
    fn default() -> Ended {
        Ended {
            outcomes: Tally::of(OUTCOMES),
            durations: Histogram::default(),
        }
    }
}

/// Open calls, and counts of ended ones.
#[derive(Debug, Default)]
pub(crate) struct UpstreamCalls {
    /// When each began, except long polls. The core bounds their number.
    begun: HashMap<Ticket, Instant>,
    requests: Ended,
    polls: Ended,
    reads: Ended,
    packages: Ended,
}

impl UpstreamCalls {
    pub(crate) fn begin(&mut self, now: Instant, ticket: Ticket) {
        if !ticket.is_poll() {
            self.begun.insert(ticket, now);
        }
    }

    pub(crate) fn end(&mut self, now: Instant, ticket: &Ticket, outcome: &Result<Parsed, Error>) {
        let begun = self.begun.remove(ticket);
        let ended = match CallKind::of(ticket) {
            CallKind::Request => &mut self.requests,
            CallKind::Poll => &mut self.polls,
            CallKind::Read => &mut self.reads,
            CallKind::Package => &mut self.packages,
        };
        ended.outcomes.add(outcome_of(outcome));
        if let Some(begun) = begun {
            ended
                .durations
                .observe(now.saturating_duration_since(begun));
        }
    }

    /// Removes an aborted call.
    pub(crate) fn aborted(&mut self, ticket: &Ticket) {
        self.begun.remove(ticket);
    }

    /// Ended calls of a kind.
    pub(crate) fn ended(&self, kind: CallKind) -> &Ended {
        match kind {
            CallKind::Request => &self.requests,
            CallKind::Poll => &self.polls,
            CallKind::Read => &self.reads,
            CallKind::Package => &self.packages,
        }
    }

    /// Open calls that are no long polls.
    #[cfg(test)]
    pub(crate) fn open(&self) -> usize {
        self.begun.len()
    }
}

fn outcome_of(outcome: &Result<Parsed, Error>) -> &'static str {
    match outcome {
        // The gateway has refused it in ThingsBoard's place.
        Ok(Parsed::NotSent(_)) => "rejected_4xx",
        Ok(_) => "ok",
        Err(Error::Elapsed) => "elapsed",
        Err(Error::Timeout) => "timeout",
        Err(Error::Unreachable) => "unreachable",
        Err(Error::RetryAfter(retry_after)) => match retry_after.cause {
            RetryCause::RateLimited => "rejected_4xx",
            RetryCause::NotServing => "overloaded",
        },
        Err(Error::Overloaded) => "overloaded",
        Err(Error::Rejected(rejection)) => match rejection {
            Rejection::BadRequest
            | Rejection::TokenRefused
            | Rejection::Forbidden
            | Rejection::NotFound
            | Rejection::TooLarge
            | Rejection::RateLimited
            | Rejection::UnexpectedClientError(_) => "rejected_4xx",
            Rejection::Unparsable | Rejection::Failed | Rejection::UnexpectedServerError(_) => {
                "rejected_5xx"
            }
        },
        Err(Error::Unintelligible(_)) => "unintelligible",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::SessionId;
    use crate::mapping::response::AnswerKind;
    use coap::ExchangeId;
    use std::time::Duration;

    #[test]
    fn a_call_is_counted_by_its_kind_its_outcome_and_its_duration() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let mut calls = UpstreamCalls::default();
        let ticket = Ticket::Exchange {
            session: SessionId(1),
            exchange: ExchangeId(1),
            expect: AnswerKind::Created,
        };
        let status = |status| Err(Error::Rejected(Rejection::new(status, false)));
        for outcome in [status(404), status(500), Err(Error::Timeout)] {
            calls.begin(now, ticket);
            calls.end(now + Duration::from_millis(40), &ticket, &outcome);
        }
        let ended = calls.ended(CallKind::Request);
        for name in ["rejected_4xx", "rejected_5xx", "timeout"] {
            assert_eq!(ended.outcomes.get(name), 1, "{name}");
        }
        assert_eq!(ended.durations.count(), 3);
        assert_eq!(ended.durations.sum(), Duration::from_millis(120));
        assert_eq!(calls.ended(CallKind::Poll), &Ended::default());
        assert_eq!(calls.open(), 0);
    }
}
