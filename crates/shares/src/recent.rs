//! A fixed-size, lossy set of recently inserted keys.

use std::hash::{BuildHasher, Hash, RandomState};
use std::time::{Duration, Instant};

/// A set of keys that expire: a hash table with one 8-byte slot for each hash, in which a later key
/// overwrites an earlier one with the same slot. So it never grows, and a look-up is one
/// comparison.
#[derive(Debug)]
pub struct Recent {
    /// With random keys, so that a peer can't choose a key with the slot of another.
    hasher: RandomState,
    size: usize,
    lifetime: Duration,
    /// When the first key was inserted: slots count seconds from then.
    start: Option<Instant>,
    /// Empty before the first key.
    slots: Vec<Slot>,
}

/// The tag of a key, 0 if there is none, and when it was inserted.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    tag: u32,
    second: u32,
}

impl Recent {
    /// A set with `size` slots, whose keys expire after `lifetime`.
    pub fn new(size: usize, lifetime: Duration) -> Recent {
        Recent {
            hasher: RandomState::new(),
            size,
            lifetime,
            start: None,
            slots: Vec::new(),
        }
    }

    /// Inserts a key, or renews it.
    pub fn insert(&mut self, now: Instant, key: &impl Hash) {
        self.slots.resize(self.size, Slot::default());
        let start = *self.start.get_or_insert(now);
        let (at, tag) = self.slot_of(key);
        if let Some(slot) = self.slots.get_mut(at) {
            let second = seconds(start, now);
            *slot = Slot { tag, second };
        }
    }

    /// Whether a key was inserted and has not expired.
    pub fn contains(&self, now: Instant, key: &impl Hash) -> bool {
        let (at, tag) = self.slot_of(key);
        let slot = self.slots.get(at).filter(|slot| slot.tag == tag);
        slot.zip(self.start).is_some_and(|(slot, start)| {
            let age = seconds(start, now).saturating_sub(slot.second);
            u64::from(age) < self.lifetime.as_secs()
        })
    }

    fn slot_of(&self, key: &impl Hash) -> (usize, u32) {
        let [a, b, c, d, e, f, g, h] = self.hasher.hash_one(key).to_le_bytes();
        let number = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or_default();
        let tag = u32::from_le_bytes([e, f, g, h]).max(1);
        (number.checked_rem(self.size).unwrap_or_default(), tag)
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
    fn a_key_expires_after_its_lifetime_from_when_it_was_inserted_last() {
        let (mut recent, now) = (Recent::new(1 << 10, HOUR), start());
        assert!(!recent.contains(now, &7) && recent.slots.is_empty());
        recent.insert(now, &7);
        assert!(recent.contains(now, &7) && !recent.contains(now, &8));
        let almost = now + HOUR - Duration::from_secs(1);
        assert!(recent.contains(almost, &7) && !recent.contains(now + HOUR, &7));
        recent.insert(almost, &7);
        assert!(recent.contains(now + HOUR, &7));
    }

    #[test]
    fn it_does_not_grow_and_loses_few_keys_while_it_has_enough_slots() {
        let (mut recent, now) = (Recent::new(1 << 10, HOUR), start());
        for key in 0..100 {
            recent.insert(now, &key);
        }
        let known = (0..100).filter(|key| recent.contains(now, key)).count();
        assert!(known >= 80, "{known}");
        for key in 100..100_000 {
            recent.insert(now, &key);
        }
        assert_eq!(recent.slots.len(), 1 << 10);
    }
}
