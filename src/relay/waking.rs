//! After an outage: those that wait to try again, because ThingsBoard did not answer, are not left to their back-off
//! once it answers anyone.

use super::RelayId;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// All that wait are woken within this time, one after the other.
const WITHIN: Duration = Duration::from_secs(3);
/// However few they are: no longer between two of them than this.
const AT_MOST: Duration = Duration::from_millis(500);

/// Relays that wait for ThingsBoard to come back.
#[derive(Debug, Default)]
pub(super) struct Waking {
    waiting: BTreeSet<RelayId>,
    /// Whether a call was left unanswered since the last that was not.
    is_away: bool,
    /// When the next is woken, and how long after it the one after it.
    next: Option<(Instant, Duration)>,
}

impl Waking {
    /// A call to ThingsBoard has ended without an answer.
    pub(super) fn unanswered(&mut self) {
        self.is_away = true;
        self.next = None;
    }

    /// ThingsBoard has answered a call, whatever it said. `random` is within 0..1.
    pub(super) fn answered(&mut self, now: Instant, random: impl FnOnce() -> f64) {
        if !std::mem::take(&mut self.is_away) || self.waiting.is_empty() {
            return;
        }
        let count = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        let each = (WITHIN / count).min(AT_MOST);
        self.next = Some((now + each.mul_f64(random()), each));
    }

    /// Whether this relay waits, from now on.
    pub(super) fn set_waiting(&mut self, relay: RelayId, waits: bool) {
        match waits {
            true => self.waiting.insert(relay),
            false => self.waiting.remove(&relay),
        };
    }

    /// The next relay to wake, if its turn has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<RelayId> {
        let (_, each) = self.next.filter(|(at, _)| *at <= now)?;
        let first = self.waiting.pop_first();
        self.next = first.map(|_| (now + each, each));
        first
    }

    /// When [`pop`](Self::pop) has something.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.next.map(|(at, _)| at)
    }
}
