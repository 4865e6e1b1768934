//! What must hold after each event.

use crate::id::SessionKey;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A request of a device: its session, and a Message ID that is never used again.
pub(super) type Request = (SessionKey, u64);

/// Why two nodes serve a session, where that is known to be possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Exception {
    /// One of them is cut off from the store, together with all nodes that it knows, and doesn't know the other one.
    UnknownNode,
}

/// What was seen in a run.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// Send numbers that were used in each session.
    numbers: BTreeSet<(SessionKey, u64)>,
    /// When each request was answered, with a row in the store that says so.
    answered: BTreeMap<Request, Instant>,
    pub(super) forwarded: u64,
    pub(super) exceptions: Vec<(SessionKey, Exception)>,
    /// Events at which a node served by promises alone.
    pub(super) detached: u64,
    /// The longest time in which a device waited for an answer.
    pub(super) longest_gap: Duration,
    /// And in which session that was.
    pub(super) slowest: Option<SessionKey>,
}

impl Checks {
    /// A record is sent. Returns whether its number is new.
    pub(super) fn number(&mut self, key: SessionKey, number: u64) -> bool {
        self.numbers.insert((key, number))
    }

    /// A request is forwarded to ThingsBoard. Returns whether it was answered before.
    pub(super) fn forward(&mut self, request: Request) -> bool {
        self.forwarded += 1;
        self.answered.contains_key(&request)
    }

    /// An answer leaves whose row is in the store.
    pub(super) fn answer(&mut self, now: Instant, request: Request) {
        self.answered.entry(request).or_insert(now);
    }
}
