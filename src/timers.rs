//! A timer queue for many keys, one timer each.
//!
//! Deadlines often move later (every message extends them) and rarely earlier. So the queue only ever moves a timer
//! *earlier*; when it fires too early, its owner checks the real deadline and arms it again. A busy session costs one
//! queue operation per deadline, not one per message.

pub(crate) mod moment;

use moment::Moment;
use std::collections::BTreeSet;
use std::time::Instant;

/// The queue. It contains each key at most once; the key's [`Slot`] ensures that.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    queue: BTreeSet<(Moment, K)>,
}

/// When a key's timer is armed for. Stored with the key's owner.
#[derive(Debug, Default)]
pub(crate) struct Slot(Option<Moment>);

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers {
            queue: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Copy> Timers<K> {
    /// Arms the timer of `key` so that it fires at `at` or earlier.
    pub(crate) fn arm(&mut self, key: K, slot: &mut Slot, at: Instant) {
        let at = Moment::from(at);
        if slot.0.is_some_and(|armed| armed <= at) {
            return;
        }
        self.disarm(key, slot);
        self.queue.insert((at, key));
        slot.0 = Some(at);
    }

    /// Removes `key` from the queue.
    pub(crate) fn disarm(&mut self, key: K, slot: &mut Slot) {
        if let Some(armed) = slot.0.take() {
            self.queue.remove(&(armed, key));
        }
    }

    /// Removes and returns a key whose time has come, if there is one. Its owner must call [`Slot::fired`].
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let first = self.queue.first()?;
        if first.0 > Moment::from(now) {
            return None;
        }
        self.queue.pop_first().map(|(_, key)| key)
    }

    /// The number of armed timers.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// When the next timer fires.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| Instant::from(*at))
    }
}

impl Slot {
    /// Marks the timer as no longer armed, after it has fired.
    pub(crate) fn fired(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_deadline_moves_earlier_but_not_later_and_fires_once() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        let mut slot = Slot::default();
        timers.arm('a', &mut slot, at(5));
        timers.arm('a', &mut slot, at(9));
        assert_eq!(timers.next(), Some(at(5)));
        timers.arm('a', &mut slot, at(2));
        assert_eq!(timers.next(), Some(at(2)));
        assert_eq!(timers.pop_due(at(1)), None);
        assert_eq!(timers.pop_due(at(2)), Some('a'));
        slot.fired();
        assert_eq!(timers.next(), None);
        timers.arm('a', &mut slot, at(7));
        timers.disarm('a', &mut slot);
        assert_eq!(timers.next(), None);
    }
}
