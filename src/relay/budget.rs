//! How many bytes the relays of all devices may hold, in commands that wait and attributes that are observed.
//!
//! The rules are those of [`shares`]: once half of the whole is held, no device may have more than an even share of
//! it, so that one that comes late finds room, whatever the others hold.

/// Bytes of a whole, by those who hold some.
#[derive(Debug)]
pub(super) struct Budget {
    whole: usize,
    held: usize,
    holders: usize,
}

impl Budget {
    /// Nothing is held of so many bytes.
    pub(super) fn new(whole: usize) -> Budget {
        Budget {
            whole,
            held: 0,
            holders: 0,
        }
    }

    /// How many more bytes a device may take that holds so many.
    pub(super) fn room(&self, own: usize) -> usize {
        let free = self.whole.saturating_sub(self.held);
        if self.held < self.whole / 2 {
            return free;
        }
        let holders = self.holders + usize::from(own == 0);
        let even = self.whole.checked_div(holders).unwrap_or(self.whole);
        free.min(even.saturating_sub(own))
    }

    /// What a device holds has become more or less.
    pub(super) fn replace(&mut self, before: usize, now: usize) {
        self.held = self.held.saturating_sub(before).saturating_add(now);
        let holders = self.holders.saturating_sub(usize::from(before > 0));
        self.holders = holders.saturating_add(usize::from(now > 0));
    }

    /// Bytes held by all.
    pub(super) fn held(&self) -> usize {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_half_of_the_whole_on_shares_are_even_and_a_newcomer_finds_room() {
        let mut budget = Budget::new(1000);
        assert_eq!(budget.room(0), 1000);
        budget.replace(0, 400);
        assert_eq!(budget.room(400), 600);
        budget.replace(400, 600);
        assert_eq!(budget.room(600), 400, "alone, it has all");
        assert_eq!(budget.room(0), 400);
        budget.replace(0, 250);
        assert_eq!((budget.room(600), budget.room(250)), (0, 150));
        assert_eq!(budget.room(0), 150, "what is free of an even share of 333");
        budget.replace(600, 0);
        assert_eq!((budget.held(), budget.room(250)), (250, 750));
        budget.replace(250, 0);
        assert_eq!((budget.held, budget.holders), (0, 0));
    }
}
