//! Logs the first few events of each key in a period, and then the number of the others: for sessions that come and go.

use std::collections::HashMap;
use std::hash::Hash;

/// Keys that are counted separately in one period. Events of all other keys are counted together.
const MAX_KEYS: usize = 16_384;
/// Keys that are named at the end of a period.
const MAX_NAMED: usize = 16;

/// Admits the first few events of each key in a period, and counts the others, whose number is logged when the period
/// ends.
#[derive(Debug)]
pub(crate) struct Sampler<K> {
    admitted: u64,
    counts: HashMap<K, u64>,
    /// Keys that had more events than are admitted.
    named: Vec<K>,
    others: u64,
    /// Events that were not admitted, since the start.
    pub suppressed: u64,
}

/// How many events were not admitted in a period.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Suppressed<K> {
    pub named: Vec<(K, u64)>,
    /// Of all other keys.
    pub others: u64,
}

impl<K: Clone + Eq + Hash> Sampler<K> {
    /// Admits this many events of each key in a period.
    pub(crate) fn new(admitted: u64) -> Sampler<K> {
        Sampler {
            admitted,
            counts: HashMap::new(),
            named: Vec::new(),
            others: 0,
            suppressed: 0,
        }
    }

    /// Counts an event, and returns whether it is logged at once.
    pub(crate) fn admits(&mut self, key: &K) -> bool {
        let has_room = self.counts.len() < MAX_KEYS;
        let count = match self.counts.get_mut(key) {
            Some(count) => {
                *count = count.saturating_add(1);
                *count
            }
            None if has_room => {
                self.counts.insert(key.clone(), 1);
                1
            }
            None => u64::MAX,
        };
        if count <= self.admitted {
            return true;
        }
        self.suppressed += 1;
        if count == self.admitted + 1 && self.named.len() < MAX_NAMED {
            self.named.push(key.clone());
        } else if !self.named.contains(key) {
            self.others += 1;
        }
        false
    }

    pub(crate) fn take(&mut self) -> Suppressed<K> {
        let counts = std::mem::take(&mut self.counts);
        let named = std::mem::take(&mut self.named);
        let suppressed = named.into_iter().filter_map(|key| {
            let count = counts.get(&key)?.saturating_sub(self.admitted);
            Some((key, count))
        });
        Suppressed {
            named: suppressed.collect(),
            others: std::mem::take(&mut self.others),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_events_are_admitted_and_the_others_are_counted() {
        let mut sampler = Sampler::new(3);
        assert_eq!((0..10).filter(|_| sampler.admits(&"a")).count(), 3);
        assert_eq!((0..2).filter(|_| sampler.admits(&"b")).count(), 2);
        let named = vec![("a", 7)];
        assert_eq!(sampler.take(), Suppressed { named, others: 0 });
        assert!(sampler.admits(&"a"));
        let (named, others) = (vec![], 0);
        assert_eq!(sampler.take(), Suppressed { named, others });
        assert_eq!(sampler.suppressed, 7);
    }

    #[test]
    fn the_numbers_of_counted_and_of_named_keys_are_bounded() {
        let mut sampler = Sampler::new(1);
        for _ in 0..2 {
            let admitted = (0..20_000).filter(|key| sampler.admits(key)).count();
            assert!(admitted == MAX_KEYS || admitted == 0);
        }
        let suppressed = sampler.take();
        let times: u64 = suppressed.named.iter().map(|(_, times)| times).sum();
        assert_eq!(suppressed.named.len(), MAX_NAMED);
        assert_eq!(times + suppressed.others, 40_000 - 16_384);
    }
}
