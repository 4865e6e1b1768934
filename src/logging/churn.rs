//! Events that are logged by their number, where a log line each time would be too much: sessions that come and go.

use std::collections::HashMap;
use std::hash::Hash;

/// Holders counted by themselves in one period. Events of all others are counted together.
const MAX_HOLDERS: usize = 16_384;
/// Holders that are named at the end of a period.
const MAX_NAMED: usize = 16;

/// Of each holder the first few events of a period are logged at once; the others are counted, and their number is logged
/// when the period ends.
#[derive(Debug)]
pub struct Churn<H> {
    told_at_once: u64,
    counts: HashMap<H, u64>,
    /// Those that have had more.
    named: Vec<H>,
    others: u64,
    /// Events that were not logged at once, since the start.
    pub held_back: u64,
}

/// How many events were not logged at once in a period.
#[derive(Debug, PartialEq, Eq)]
pub struct More<H> {
    /// By holder.
    pub named: Vec<(H, u64)>,
    /// Of all other holders.
    pub others: u64,
}

impl<H: Clone + Eq + Hash> Churn<H> {
    /// So many of each holder are logged at once.
    pub fn telling(told_at_once: u64) -> Churn<H> {
        Churn {
            told_at_once,
            counts: HashMap::new(),
            named: Vec::new(),
            others: 0,
            held_back: 0,
        }
    }

    /// One more event of this holder. Says whether it is to be logged at once.
    pub fn count(&mut self, holder: &H) -> bool {
        let has_room = self.counts.len() < MAX_HOLDERS;
        let count = match self.counts.get_mut(holder) {
            Some(count) => {
                *count = count.saturating_add(1);
                *count
            }
            None if has_room => {
                self.counts.insert(holder.clone(), 1);
                1
            }
            None => u64::MAX,
        };
        if count <= self.told_at_once {
            return true;
        }
        self.held_back += 1;
        if count == self.told_at_once + 1 && self.named.len() < MAX_NAMED {
            self.named.push(holder.clone());
        } else if !self.named.contains(holder) {
            self.others += 1;
        }
        false
    }

    /// A period ends.
    pub fn take(&mut self) -> More<H> {
        let counts = std::mem::take(&mut self.counts);
        let named = std::mem::take(&mut self.named);
        let more = named.into_iter().filter_map(|holder| {
            let count = counts.get(&holder)?.saturating_sub(self.told_at_once);
            Some((holder, count))
        });
        More {
            named: more.collect(),
            others: std::mem::take(&mut self.others),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_told_at_once_and_the_rest_by_their_number() {
        let mut churn = Churn::telling(3);
        assert_eq!((0..10).filter(|_| churn.count(&"a")).count(), 3);
        assert_eq!((0..2).filter(|_| churn.count(&"b")).count(), 2);
        let named = vec![("a", 7)];
        assert_eq!(churn.take(), More { named, others: 0 });
        assert!(churn.count(&"a"));
        let (named, others) = (vec![], 0);
        assert_eq!(churn.take(), More { named, others });
        assert_eq!(churn.held_back, 7);
    }

    #[test]
    fn so_many_are_told_apart_and_fewer_are_named() {
        let mut churn = Churn::telling(1);
        for _ in 0..2 {
            let told = (0..20_000).filter(|holder| churn.count(holder)).count();
            assert!(told == MAX_HOLDERS || told == 0);
        }
        let more = churn.take();
        let times: u64 = more.named.iter().map(|(_, times)| times).sum();
        assert_eq!(more.named.len(), MAX_NAMED);
        assert_eq!(times + more.others, 40_000 - 16_384);
    }
}
