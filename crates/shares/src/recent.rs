//! A fixed-size, lossy set of keys that were seen lately.

use std::hash::{BuildHasher, Hash, RandomState};
use std::time::{Duration, Instant};

/// Remembers keys for a time: 8 bytes for each slot, one slot for each key, and the later of two keys that fall on the
/// same slot is kept. So it never grows and is never searched.
#[derive(Debug)]
pub struct Recent {
    /// Random, so that nobody can choose a key that falls on another's slot.
    hasher: RandomState,
    size: usize,
    lasts: Duration,
    /// When the first key was put: slots count seconds from then.
    start: Option<Instant>,
    /// Empty before the first.
    slots: Vec<Slot>,
}

/// A key's mark, 0 if there is none, and when it was put.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    mark: u32,
    second: u32,
}

impl Recent {
    /// With so many slots, for keys that were put within this time.
    pub fn new(size: usize, lasts: Duration) -> Recent {
        Recent {
            hasher: RandomState::new(),
            size,
            lasts,
            start: None,
            slots: Vec::new(),
        }
    }

    /// Remembers a key from now on.
    pub fn put(&mut self, now: Instant, key: &impl Hash) {
        self.slots.resize(self.size, Slot::default());
        let start = *self.start.get_or_insert(now);
        let (at, mark) = self.slot_of(key);
        if let Some(slot) = self.slots.get_mut(at) {
            let second = seconds(start, now);
            *slot = Slot { mark, second };
        }
    }

    /// Whether a key was put lately.
    pub fn has(&self, now: Instant, key: &impl Hash) -> bool {
        let (at, mark) = self.slot_of(key);
        let slot = self.slots.get(at).filter(|slot| slot.mark == mark);
        slot.zip(self.start).is_some_and(|(slot, start)| {
            let age = seconds(start, now).saturating_sub(slot.second);
            u64::from(age) < self.lasts.as_secs()
        })
    }

    fn slot_of(&self, key: &impl Hash) -> (usize, u32) {
        let [a, b, c, d, e, f, g, h] = self.hasher.hash_one(key).to_le_bytes();
        let number = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or_default();
        let mark = u32::from_le_bytes([e, f, g, h]).max(1);
        (number.checked_rem(self.size).unwrap_or_default(), mark)
    }
}

fn seconds(start: Instant, now: Instant) -> u32 {
    let passed = now.saturating_duration_since(start).as_secs();
    u32::try_from(passed).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        Instant::now()
    }

    #[test]
    fn a_key_is_remembered_for_its_time_from_when_it_was_put_last() {
        let (mut recent, now) = (Recent::new(1 << 10, HOUR), start());
        assert!(!recent.has(now, &7) && recent.slots.is_empty());
        recent.put(now, &7);
        assert!(recent.has(now, &7) && !recent.has(now, &8));
        let almost = now + HOUR - Duration::from_secs(1);
        assert!(recent.has(almost, &7) && !recent.has(now + HOUR, &7));
        recent.put(almost, &7);
        assert!(recent.has(now + HOUR, &7));
    }

    #[test]
    fn it_does_not_grow_and_forgets_few_while_it_has_slots_enough() {
        let (mut recent, now) = (Recent::new(1 << 10, HOUR), start());
        for key in 0..100 {
            recent.put(now, &key);
        }
        let known = (0..100).filter(|key| recent.has(now, key)).count();
        assert!(known >= 80, "{known}");
        for key in 100..100_000 {
            recent.put(now, &key);
        }
        assert_eq!(recent.slots.len(), 1 << 10);
    }
}
