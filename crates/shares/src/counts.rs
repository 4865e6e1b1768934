//! Counts by holder, for what can't be taken back.

use std::collections::HashMap;
use std::hash::Hash;

/// How many places of a total each holder has.
///
/// A holder may have at most `each`; and once half of the total is taken, at most an even share of
/// it. So a new holder always finds a free place, whatever the others hold.
#[derive(Debug)]
pub struct Counts<H> {
    each: usize,
    whole: usize,
    by_holder: HashMap<H, usize>,
    count: usize,
}

/// Why a place is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The holder has its share: the limit for one holder, or an even share of the total.
    Share,
    /// All places are taken.
    Whole,
}

impl<H: Eq + Hash> Counts<H> {
    /// A total of `whole` places; each holder may have `each` of them.
    pub fn new(whole: usize, each: usize) -> Counts<H> {
        Counts {
            each: each.min(whole),
            whole,
            by_holder: HashMap::new(),
            count: 0,
        }
    }

    /// Takes a place for this holder.
    pub fn take(&mut self, holder: H) -> Result<(), Refused> {
        if self.count >= self.whole {
            return Err(Refused::Whole);
        }
        let held = self.held_by(&holder);
        if held >= self.share(held == 0) {
            return Err(Refused::Share);
        }
        *self.by_holder.entry(holder).or_default() += 1;
        self.count += 1;
        Ok(())
    }

    /// Whether this holder would be refused because of its share.
    pub fn has_its_share(&self, holder: &H) -> bool {
        let held = self.held_by(holder);
        held >= self.share(held == 0)
    }

    /// Whether any holder may have its share: a quick check that spares the look-up of a holder.
    pub fn is_shared(&self) -> bool {
        self.count >= self.each || self.count >= self.whole / 2
    }

    /// The number of places that one holder may have now.
    fn share(&self, is_new: bool) -> usize {
        if self.count < self.whole / 2 {
            return self.each;
        }
        let holders = self.by_holder.len() + usize::from(is_new);
        let even = self.whole.checked_div(holders).unwrap_or(self.whole);
        self.each.min(even.max(1))
    }

    /// Releases a place of this holder.
    pub fn release(&mut self, holder: &H) {
        let Some(held) = self.by_holder.get_mut(holder) else {
            return;
        };
        *held = held.saturating_sub(1);
        self.count = self.count.saturating_sub(1);
        if *held == 0 {
            self.by_holder.remove(holder);
        }
    }

    /// Places held by all holders.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Places held by this holder.
    pub fn held_by(&self, holder: &H) -> usize {
        self.by_holder.get(holder).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(counts: &mut Counts<&'static str>, holder: &'static str) -> usize {
        std::iter::from_fn(|| counts.take(holder).ok()).count()
    }

    #[test]
    fn a_holder_gets_its_share_and_no_more() {
        let mut counts = Counts::new(1000, 64);
        assert_eq!(take_all(&mut counts, "a"), 64);
        assert_eq!(counts.take("a"), Err(Refused::Share));
        counts.release(&"a");
        assert_eq!(take_all(&mut counts, "a"), 1);
        assert_eq!((counts.count(), counts.held_by(&"a")), (64, 64));
    }

    #[test]
    fn from_half_of_the_total_on_shares_are_even_and_a_new_holder_finds_a_place() {
        let mut counts = Counts::new(100, 60);
        assert_eq!(take_all(&mut counts, "a"), 60);
        assert_eq!(take_all(&mut counts, "b"), 40);
        assert_eq!(counts.take("c"), Err(Refused::Whole));
        for _ in 0..20 {
            counts.release(&"a");
        }
        // 80 of 100 are taken by two; three would have 33 each.
        assert_eq!(counts.take("a"), Ok(()));
        assert_eq!(take_all(&mut counts, "c"), 19);
        assert_eq!(counts.count(), 100);
    }

    #[test]
    fn holders_without_places_are_removed_and_a_surplus_release_is_harmless() {
        let mut counts = Counts::new(2, 2);
        assert_eq!(take_all(&mut counts, "a"), 2);
        for _ in 0..3 {
            counts.release(&"a");
        }
        counts.release(&"b");
        assert!(counts.by_holder.is_empty());
        assert_eq!(counts.count(), 0);
        assert_eq!(Counts::new(0, 64).take("a"), Err(Refused::Whole));
    }
}
