//! What has come before, as far as a table remembers that never grows: a few bits of each, and what falls on the same place
//! takes it over.

use std::hash::{BuildHasher, Hash, RandomState};

/// The table.
#[derive(Debug)]
pub(super) struct RecentSet {
    /// Without which nobody could know who shares a place with whom.
    hasher: RandomState,
    size: usize,
    /// None before the first: most gateways never need them.
    places: Vec<u32>,
}

impl RecentSet {
    /// With so many places.
    pub(super) fn new(size: usize) -> RecentSet {
        RecentSet {
            hasher: RandomState::new(),
            size,
            places: Vec::new(),
        }
    }

    /// Whether this is remembered.
    pub(super) fn has(&self, what: &impl Hash) -> bool {
        let (place, mark) = self.place(what);
        self.places.get(place) == Some(&mark)
    }

    /// Remembers this.
    pub(super) fn put(&mut self, what: &impl Hash) {
        self.places.resize(self.size, 0);
        let (place, mark) = self.place(what);
        if let Some(there) = self.places.get_mut(place) {
            *there = mark;
        }
    }

    /// Forgets this, and says whether it was remembered.
    pub(super) fn take(&mut self, what: &impl Hash) -> bool {
        let (place, mark) = self.place(what);
        let there = self.places.get_mut(place).filter(|there| **there == mark);
        there.map(|there| *there = 0).is_some()
    }

    fn place(&self, what: &impl Hash) -> (usize, u32) {
        let [a, b, c, d, e, f, g, h] = self.hasher.hash_one(what).to_le_bytes();
        let number = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or_default();
        // 0 is nobody's.
        let mark = u32::from_le_bytes([e, f, g, h]).max(1);
        (number.checked_rem(self.size).unwrap_or_default(), mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_there_is_remembered_until_it_is_taken() {
        let mut marks = RecentSet::new(1 << 10);
        assert!(!marks.has(&7) && !marks.take(&7));
        assert!(marks.places.is_empty(), "nothing is kept before the first");
        marks.put(&7);
        marks.put(&7);
        assert!(marks.has(&7) && !marks.has(&8));
        assert!(marks.take(&7) && !marks.take(&7) && !marks.has(&7));
    }

    #[test]
    fn most_is_still_remembered_after_a_fifth_as_many_others_as_there_are_places() {
        let mut marks = RecentSet::new(1 << 12);
        for number in 0..100 {
            marks.put(&number);
        }
        for other in 1000..1800 {
            assert!(!marks.has(&other));
            marks.put(&other);
        }
        let known = (0..100).filter(|number| marks.has(number)).count();
        assert!((60..=100).contains(&known), "{known}");
        assert_eq!(marks.places.len(), 1 << 12);
    }
}
