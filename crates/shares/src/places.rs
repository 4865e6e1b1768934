//! Places that can be taken back, by who holds them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;

/// Which places each holder has, oldest first, and which holder has most.
///
/// A holder's places are searched one by one when one is removed, so a bound on the whole must keep them few.
#[derive(Debug)]
pub struct Places<H, P> {
    by_holder: HashMap<H, VecDeque<P>>,
    by_count: BTreeSet<(usize, H)>,
    count: usize,
}

impl<H, P> Default for Places<H, P> {
    /// Nobody holds anything.
    fn default() -> Places<H, P> {
        Places {
            by_holder: HashMap::new(),
            by_count: BTreeSet::new(),
            count: 0,
        }
    }
}

impl<H: Clone + Eq + Hash + Ord, P: PartialEq> Places<H, P> {
    /// The holder takes one more place.
    pub fn add(&mut self, holder: H, place: P) {
        let places = self.by_holder.entry(holder.clone()).or_default();
        let before = places.len();
        places.push_back(place);
        self.recount(holder, before, before + 1);
        self.count += 1;
    }

    /// The holder gives a place back. Says whether it had it.
    pub fn remove(&mut self, holder: &H, place: &P) -> bool {
        let Some(places) = self.by_holder.get_mut(holder) else {
            return false;
        };
        let before = places.len();
        let Some(at) = places.iter().position(|other| other == place) else {
            return false;
        };
        places.remove(at);
        if places.is_empty() {
            self.by_holder.remove(holder);
        }
        self.recount(holder.clone(), before, before - 1);
        self.count -= 1;
        true
    }

    fn recount(&mut self, holder: H, before: usize, after: usize) {
        self.by_count.remove(&(before, holder.clone()));
        if after > 0 {
            self.by_count.insert((after, holder));
        }
    }

    /// Places held by all.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Places held by this holder.
    pub fn held_by(&self, holder: &H) -> usize {
        self.by_holder.get(holder).map_or(0, VecDeque::len)
    }

    /// Who holds most, and how many.
    pub fn largest(&self) -> Option<(&H, usize)> {
        let (count, holder) = self.by_count.last()?;
        Some((holder, *count))
    }

    /// The oldest place of the holder that has most: what gives way first.
    pub fn oldest_of_largest(&self) -> Option<&P> {
        let (holder, _) = self.largest()?;
        self.by_holder.get(holder)?.front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_place_of_who_holds_most_gives_way_first() {
        let mut places = Places::default();
        assert_eq!((places.largest(), places.oldest_of_largest()), (None, None));
        for (holder, place) in [("a", 1), ("b", 2), ("b", 3), ("a", 4), ("b", 5)] {
            places.add(holder, place);
        }
        assert_eq!(places.largest(), Some((&"b", 3)));
        assert_eq!(places.oldest_of_largest(), Some(&2));
        assert!(places.remove(&"b", &2) && places.remove(&"b", &3));
        assert!(!places.remove(&"b", &3) && !places.remove(&"c", &1));
        assert_eq!(places.oldest_of_largest(), Some(&1));
        assert_eq!((places.count(), places.held_by(&"a")), (3, 2));
    }

    #[test]
    fn nothing_is_kept_of_who_holds_nothing() {
        let mut places = Places::default();
        places.add("a", 1);
        places.remove(&"a", &1);
        assert!(places.by_holder.is_empty() && places.by_count.is_empty());
        assert_eq!(places.count(), 0);
    }
}
