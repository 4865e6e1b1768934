//! Calls to ThingsBoard: how they end, and how long they take.

use crate::gateway::call::{Errand, Ticket};
use crate::gateway::reading::Reading;
use crate::metrics::{Histogram, Tally};
use crate::upstream::Error;
use std::collections::HashMap;
use std::time::Instant;

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A device's request.
    Request,
    /// A long poll.
    Poll,
    /// A read, or a refusal, that a relay wants.
    Read,
    /// The cache of packages.
    Package,
}

impl Lane {
    /// All of them.
    pub const ALL: [Lane; 4] = [Lane::Request, Lane::Poll, Lane::Read, Lane::Package];

    fn of(ticket: &Ticket) -> Lane {
        match ticket {
            Ticket::Exchange { .. } => Lane::Request,
            Ticket::Relay(_, Errand::Poll(..)) => Lane::Poll,
            Ticket::Relay(_, Errand::Read(_) | Errand::Refusal(_)) => Lane::Read,
            Ticket::Package(_) => Lane::Package,
        }
    }

    /// As a label.
    pub fn name(self) -> &'static str {
        match self {
            Lane::Request => "request",
            Lane::Poll => "poll",
            Lane::Read => "read",
            Lane::Package => "package",
        }
    }
}

/// How a call ended.
pub const OUTCOMES: [&str; 8] = [
    "ok",
    // A long poll's time was over without news, which is how most of them end.
    "elapsed",
    "timeout",
    "unreachable",
    "overloaded",
    "rejected_4xx",
    "rejected_5xx",
    "unintelligible",
];

/// The calls of one lane that have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// By [`OUTCOMES`].
    pub outcomes: Tally<{ OUTCOMES.len() }>,
    /// How long they took. Of polls nothing: they last as long as they may.
    pub times: Histogram,
}

impl Default for Ended {
    fn default() -> Ended {
        Ended {
            outcomes: Tally::of(OUTCOMES),
            times: Histogram::default(),
        }
    }
}

/// Calls under way, and counts of those that were.
#[derive(Debug, Default)]
pub struct UpstreamCalls {
    /// When each was begun, but for polls. The core bounds how many there are.
    begun: HashMap<Ticket, Instant>,
    requests: Ended,
    polls: Ended,
    reads: Ended,
    packages: Ended,
}

impl UpstreamCalls {
    /// One begins.
    pub fn begin(&mut self, now: Instant, ticket: Ticket) {
        if !ticket.is_poll() {
            self.begun.insert(ticket, now);
        }
    }

    /// One has ended.
    pub fn end(&mut self, now: Instant, ticket: &Ticket, outcome: &Result<Reading, Error>) {
        let begun = self.begun.remove(ticket);
        let ended = match Lane::of(ticket) {
            Lane::Request => &mut self.requests,
            Lane::Poll => &mut self.polls,
            Lane::Read => &mut self.reads,
            Lane::Package => &mut self.packages,
        };
        ended.outcomes.add(outcome_of(outcome));
        if let Some(begun) = begun {
            ended.times.observe(now.saturating_duration_since(begun));
        }
    }

    /// Nobody waits for this one any more.
    pub fn given_up(&mut self, ticket: &Ticket) {
        self.begun.remove(ticket);
    }

    /// Those of a lane that have ended.
    pub fn ended(&self, lane: Lane) -> &Ended {
        match lane {
            Lane::Request => &self.requests,
            Lane::Poll => &self.polls,
            Lane::Read => &self.reads,
            Lane::Package => &self.packages,
        }
    }

    /// Calls under way that are no polls.
    #[cfg(test)]
    pub(crate) fn under_way(&self) -> usize {
        self.begun.len()
    }
}

fn outcome_of(outcome: &Result<Reading, Error>) -> &'static str {
    match outcome {
        // ThingsBoard would have refused it.
        Ok(Reading::NotSent(_)) => "rejected_4xx",
        Ok(_) => "ok",
        Err(Error::Elapsed) => "elapsed",
        Err(Error::Timeout) => "timeout",
        Err(Error::Unreachable) => "unreachable",
        Err(Error::RetryAfter(retry_after)) if retry_after.code == 429 => "rejected_4xx",
        Err(Error::Overloaded | Error::RetryAfter(_)) => "overloaded",
        Err(Error::Rejected(status)) if status.code < 500 => "rejected_4xx",
        Err(Error::Rejected(_)) => "rejected_5xx",
        Err(Error::Unintelligible(_)) => "unintelligible",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::SessionId;
    use crate::mapping::translate::Expect;
    use crate::upstream::Status;
    use coap::ExchangeId;
    use std::time::Duration;

    #[test]
    fn a_call_is_counted_in_its_lane_by_its_outcome_and_its_time() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let mut calls = UpstreamCalls::default();
        let ticket = Ticket::Exchange {
            session: SessionId(1),
            exchange: ExchangeId(1),
            expect: Expect::Created,
        };
        let status = |code| {
            let has_text = false;
            Err(Error::Rejected(Status { code, has_text }))
        };
        for outcome in [status(404), status(500), Err(Error::Timeout)] {
            calls.begin(now, ticket);
            calls.end(now + Duration::from_millis(40), &ticket, &outcome);
        }
        let ended = calls.ended(Lane::Request);
        for name in ["rejected_4xx", "rejected_5xx", "timeout"] {
            assert_eq!(ended.outcomes.get(name), 1, "{name}");
        }
        assert_eq!(ended.times.count(), 3);
        assert_eq!(ended.times.sum(), Duration::from_millis(120));
        assert_eq!(calls.ended(Lane::Poll), &Ended::default());
        assert_eq!(calls.under_way(), 0);
    }
}
