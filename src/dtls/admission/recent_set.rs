//! A fixed-size, lossy set of recently seen keys: one 32-bit tag a slot, and collisions overwrite.

use std::hash::{BuildHasher, Hash, RandomState};

#[derive(Debug)]
pub(in crate::dtls) struct RecentSet {
    /// Keyed at random, so that a peer can't choose keys that collide.
    hasher: RandomState,
    size: usize,
    /// Tags; 0 is an empty slot. Allocated at the first insertion: most gateways never need it.
    slots: Vec<u32>,
}

impl RecentSet {
    /// A set with this many slots, 4 bytes each.
    pub(in crate::dtls) fn new(size: usize) -> RecentSet {
        RecentSet {
            hasher: RandomState::new(),
            size,
            slots: Vec::new(),
        }
    }

    /// Whether the key is in the set.
    pub(in crate::dtls) fn contains(&self, key: &impl Hash) -> bool {
        let (slot, tag) = self.slot(key);
        self.slots.get(slot) == Some(&tag)
    }

    /// Inserts the key, in place of any other in its slot.
    pub(in crate::dtls) fn insert(&mut self, key: &impl Hash) {
        self.slots.resize(self.size, 0);
        let (slot, tag) = self.slot(key);
        if let Some(stored) = self.slots.get_mut(slot) {
            *stored = tag;
        }
    }

    /// Removes the key. Whether it was in the set.
    pub(in crate::dtls) fn remove(&mut self, key: &impl Hash) -> bool {
        let (slot, tag) = self.slot(key);
        let stored = self.slots.get_mut(slot).filter(|stored| **stored == tag);
        stored.map(|stored| *stored = 0).is_some()
    }

    /// Whether inserting `key` would overwrite `other`.
    #[cfg(test)]
    pub(in crate::dtls) fn collide(&self, key: &impl Hash, other: &impl Hash) -> bool {
        self.slot(key).0 == self.slot(other).0
    }

    /// The key's slot and tag.
    fn slot(&self, key: &impl Hash) -> (usize, u32) {
        let [a, b, c, d, e, f, g, h] = self.hasher.hash_one(key).to_le_bytes();
        let number = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or_default();
        let tag = u32::from_le_bytes([e, f, g, h]).max(1);
        (number.checked_rem(self.size).unwrap_or_default(), tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_in_the_set_until_it_is_removed() {
        let mut set = RecentSet::new(1 << 10);
        assert!(!set.contains(&7) && !set.remove(&7));
        assert!(
            set.slots.is_empty(),
            "nothing is allocated before the first"
        );
        set.insert(&7);
        set.insert(&7);
        assert!(set.contains(&7) && !set.contains(&8));
        assert!(set.remove(&7) && !set.remove(&7) && !set.contains(&7));
    }

    #[test]
    fn most_keys_survive_insertions_of_a_fifth_as_many_others_as_there_are_slots() {
        let mut set = RecentSet::new(1 << 12);
        for number in 0..100 {
            set.insert(&number);
        }
        for other in 1000..1800 {
            assert!(!set.contains(&other));
            set.insert(&other);
        }
        let known = (0..100).filter(|number| set.contains(number)).count();
        assert!((60..=100).contains(&known), "{known}");
        assert_eq!(set.slots.len(), 1 << 12);
    }
}
