//! After an outage: relays that wait to try again, because ThingsBoard did not answer, are woken as soon as it answers any
//! call, instead of at the end of their back-off.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// All waiting relays are woken within this time, evenly spread.
const WITHIN: Duration = Duration::from_secs(3);
/// The longest time between two of them, however few there are.
const LONGEST_INTERVAL: Duration = Duration::from_millis(500);

/// Relays that wait for ThingsBoard to answer again.
#[derive(Debug)]
pub(crate) struct Recovery<K> {
    waiting: BTreeSet<K>,
    /// Whether the last call that had an outcome was not answered.
    is_outage: bool,
    next: Option<NextWake>,
}

#[derive(Debug, Clone, Copy)]
struct NextWake {
    at: Instant,
    /// From one relay to the next.
    interval: Duration,
}

impl<K> Default for Recovery<K> {
    fn default() -> Self {
        Recovery {
            waiting: BTreeSet::new(),
            is_outage: false,
            next: None,
        }
    }
}

impl<K: Ord> Recovery<K> {
    /// A call to ThingsBoard has ended without an answer.
    pub(crate) fn call_unanswered(&mut self) {
        self.is_outage = true;
        self.next = None;
    }

    /// ThingsBoard has answered a call, with whatever status. `random` is within 0..1.
    pub(crate) fn call_answered(&mut self, now: Instant, random: impl FnOnce() -> f64) {
        if !std::mem::take(&mut self.is_outage) || self.waiting.is_empty() {
            return;
        }
        let count = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        let interval = (WITHIN / count).min(LONGEST_INTERVAL);
        let at = now + interval.mul_f64(random());
        self.next = Some(NextWake { at, interval });
    }

    /// Whether this relay waits for ThingsBoard to answer again.
    pub(crate) fn set_waiting(&mut self, relay: K, waits: bool) {
        match waits {
            true => self.waiting.insert(relay),
            false => self.waiting.remove(&relay),
        };
    }

    /// The next relay to wake, if it is time.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let NextWake { interval, .. } = self.next.filter(|next| next.at <= now)?;
        let first = self.waiting.pop_first();
        let at = now + interval;
        self.next = first.is_some().then_some(NextWake { at, interval });
        first
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// When [`pop_due`](Self::pop_due) has something.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.next.map(|next| next.at)
    }
}
