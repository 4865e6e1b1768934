//! Places of different sizes that can be taken back, by who holds them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;

/// Which places each holder has, oldest first, what each weighs, and which holder has most by weight.
///
/// A holder's places are searched one by one, so a bound on what one holder has must keep them few.
#[derive(Debug)]
pub struct Weights<H, P> {
    by_holder: HashMap<H, Held<P>>,
    by_weight: BTreeSet<(usize, H)>,
}

#[derive(Debug)]
struct Held<P> {
    places: VecDeque<(P, usize)>,
    weight: usize,
}

impl<H, P> Default for Weights<H, P> {
    /// Nobody holds anything.
    fn default() -> Weights<H, P> {
        Weights {
            by_holder: HashMap::new(),
            by_weight: BTreeSet::new(),
        }
    }
}

impl<H: Clone + Eq + Hash + Ord, P: PartialEq> Weights<H, P> {
    /// The holder takes a place of this weight.
    pub fn add(&mut self, holder: H, place: P, weight: usize) {
        let held = self.by_holder.entry(holder.clone()).or_insert(Held {
            places: VecDeque::new(),
            weight: 0,
        });
        held.places.push_back((place, weight));
        let before = held.weight;
        held.weight += weight;
        let after = held.weight;
        self.weigh_again(holder, before, after);
    }

    /// A place has another weight now. It stays as old as it is.
    pub fn change(&mut self, holder: &H, place: &P, weight: usize) {
        let Some(held) = self.by_holder.get_mut(holder) else {
            return;
        };
        let found = held.places.iter_mut().find(|(other, _)| other == place);
        let Some((_, own)) = found else {
            return;
        };
        let before = held.weight;
        held.weight = before - *own + weight;
        *own = weight;
        let after = held.weight;
        self.weigh_again(holder.clone(), before, after);
    }

    /// The holder gives a place back. Says whether it had it.
    pub fn remove(&mut self, holder: &H, place: &P) -> bool {
        let Some(held) = self.by_holder.get_mut(holder) else {
            return false;
        };
        let Some(at) = held.places.iter().position(|(other, _)| other == place) else {
            return false;
        };
        let before = held.weight;
        let weight = held.places.remove(at).map_or(0, |(_, weight)| weight);
        held.weight -= weight;
        let after = held.weight;
        if held.places.is_empty() {
            self.by_holder.remove(holder);
            self.by_weight.remove(&(before, holder.clone()));
        } else {
            self.weigh_again(holder.clone(), before, after);
        }
        true
    }

    fn weigh_again(&mut self, holder: H, before: usize, after: usize) {
        self.by_weight.remove(&(before, holder.clone()));
        self.by_weight.insert((after, holder));
    }

    /// Who holds most, and what that weighs.
    pub fn heaviest(&self) -> Option<(&H, usize)> {
        let (weight, holder) = self.by_weight.last()?;
        Some((holder, *weight))
    }

    /// All holders, and what they have: the one with most first.
    pub fn heaviest_first(&self) -> impl Iterator<Item = (&H, usize)> {
        let heaviest_first = self.by_weight.iter().rev();
        heaviest_first.map(|(weight, holder)| (holder, *weight))
    }

    /// What this holder has, by weight.
    pub fn held_by(&self, holder: &H) -> usize {
        self.by_holder.get(holder).map_or(0, |held| held.weight)
    }

    /// This holder's places, the oldest first: that gives way first.
    pub fn of(&self, holder: &H) -> impl Iterator<Item = &P> {
        let held = self.by_holder.get(holder);
        let places = held.map(|held| held.places.iter()).unwrap_or_default();
        places.map(|(place, _)| place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_most_by_weight_gives_way_first_and_its_oldest_place_before_others() {
        let mut weights = Weights::default();
        assert_eq!((weights.heaviest(), weights.of(&"a").next()), (None, None));
        for (holder, place, weight) in [("a", 1, 5), ("b", 2, 1), ("b", 3, 1), ("b", 4, 1)] {
            weights.add(holder, place, weight);
        }
        assert_eq!(weights.heaviest(), Some((&"a", 5)));
        weights.change(&"b", &3, 9);
        assert_eq!(weights.heaviest(), Some((&"b", 11)));
        assert!(weights.heaviest_first().eq([(&"b", 11), (&"a", 5)]));
        assert_eq!(weights.held_by(&"a"), 5);
        assert!(weights.of(&"b").eq(&[2, 3, 4]));
        assert!(weights.remove(&"b", &3) && !weights.remove(&"b", &3));
        assert_eq!(weights.heaviest(), Some((&"a", 5)));
    }

    #[test]
    fn nothing_is_kept_of_who_holds_nothing() {
        let mut weights = Weights::default();
        for place in 0..3 {
            weights.add("a", place, 0);
        }
        weights.change(&"b", &1, 7);
        weights.change(&"a", &9, 7);
        for place in 0..3 {
            assert!(weights.remove(&"a", &place));
        }
        assert!(weights.by_holder.is_empty() && weights.by_weight.is_empty());
    }
}
