//! Values of different sizes by holder, for what can be evicted.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;

/// The values of each holder, oldest first, with their weights, and the order of the holders by
/// weight.
///
/// A holder's values are searched one by one, so another bound must keep them few.
#[derive(Debug)]
pub struct Weights<H, V> {
    by_holder: HashMap<H, Held<V>>,
    by_weight: BTreeSet<(usize, H)>,
}

#[derive(Debug)]
struct Held<V> {
    values: VecDeque<(V, usize)>,
    weight: usize,
}

impl<H, V> Default for Weights<H, V> {
    /// Without holders.
    fn default() -> Weights<H, V> {
        Weights {
            by_holder: HashMap::new(),
            by_weight: BTreeSet::new(),
        }
    }
}

impl<H: Clone + Eq + Hash + Ord, V: PartialEq> Weights<H, V> {
    /// Adds a value of this weight.
    pub fn add(&mut self, holder: H, value: V, weight: usize) {
        let held = self.by_holder.entry(holder.clone()).or_insert(Held {
            values: VecDeque::new(),
            weight: 0,
        });
        held.values.push_back((value, weight));
        let before = held.weight;
        held.weight += weight;
        let after = held.weight;
        self.update_weight(holder, before, after);
    }

    /// Changes the weight of a value, which keeps its age.
    pub fn set_weight(&mut self, holder: &H, value: &V, weight: usize) {
        let Some(held) = self.by_holder.get_mut(holder) else {
            return;
        };
        let found = held.values.iter_mut().find(|(other, _)| other == value);
        let Some((_, own)) = found else {
            return;
        };
        let before = held.weight;
        held.weight = before - *own + weight;
        *own = weight;
        let after = held.weight;
        self.update_weight(holder.clone(), before, after);
    }

    /// Removes a value of a holder. Returns whether there was one.
    pub fn remove(&mut self, holder: &H, value: &V) -> bool {
        let Some(held) = self.by_holder.get_mut(holder) else {
            return false;
        };
        let Some(at) = held.values.iter().position(|(other, _)| other == value) else {
            return false;
        };
        let before = held.weight;
        let weight = held.values.remove(at).map_or(0, |(_, weight)| weight);
        held.weight -= weight;
        let after = held.weight;
        if held.values.is_empty() {
            self.by_holder.remove(holder);
            self.by_weight.remove(&(before, holder.clone()));
        } else {
            self.update_weight(holder.clone(), before, after);
        }
        true
    }

    fn update_weight(&mut self, holder: H, before: usize, after: usize) {
        self.by_weight.remove(&(before, holder.clone()));
        self.by_weight.insert((after, holder));
    }

    /// The holder with the largest weight, and its weight.
    pub fn heaviest(&self) -> Option<(&H, usize)> {
        let (weight, holder) = self.by_weight.last()?;
        Some((holder, *weight))
    }

    /// All holders with their weights, the heaviest first.
    pub fn heaviest_first(&self) -> impl Iterator<Item = (&H, usize)> {
        let heaviest_first = self.by_weight.iter().rev();
        heaviest_first.map(|(weight, holder)| (holder, *weight))
    }

    /// The weight of all values of this holder.
    pub fn held_by(&self, holder: &H) -> usize {
        self.by_holder.get(holder).map_or(0, |held| held.weight)
    }

    /// The values of this holder, oldest first.
    pub fn values_of(&self, holder: &H) -> impl Iterator<Item = &V> {
        let held = self.by_holder.get(holder);
        let values = held.map(|held| held.values.iter()).unwrap_or_default();
        values.map(|(value, _)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_are_ordered_by_weight_and_their_values_by_age() {
        let mut weights = Weights::default();
        assert_eq!(
            (weights.heaviest(), weights.values_of(&"a").next()),
            (None, None)
        );
        for (holder, value, weight) in [("a", 1, 5), ("b", 2, 1), ("b", 3, 1), ("b", 4, 1)] {
            weights.add(holder, value, weight);
        }
        assert_eq!(weights.heaviest(), Some((&"a", 5)));
        weights.set_weight(&"b", &3, 9);
        assert_eq!(weights.heaviest(), Some((&"b", 11)));
        assert!(weights.heaviest_first().eq([(&"b", 11), (&"a", 5)]));
        assert_eq!(weights.held_by(&"a"), 5);
        assert!(weights.values_of(&"b").eq(&[2, 3, 4]));
        assert!(weights.remove(&"b", &3) && !weights.remove(&"b", &3));
        assert_eq!(weights.heaviest(), Some((&"a", 5)));
    }

    #[test]
    fn holders_without_values_are_removed() {
        let mut weights = Weights::default();
        for value in 0..3 {
            weights.add("a", value, 0);
        }
        weights.set_weight(&"b", &1, 7);
        weights.set_weight(&"a", &9, 7);
        for value in 0..3 {
            assert!(weights.remove(&"a", &value));
        }
        assert!(weights.by_holder.is_empty() && weights.by_weight.is_empty());
    }
}
