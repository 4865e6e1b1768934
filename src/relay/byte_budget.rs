//! How many bytes the relays of all devices may hold, in queued commands and observed attributes: `relay.bytes`.
//!
//! The rules are those of [`shares`]: once half of the whole is held, no device may have more than an even share of it,
//! so that a device that comes later finds room, whatever the others hold.

#[derive(Debug)]
pub(super) struct ByteBudget {
    whole: usize,
    held: usize,
    /// Devices that hold any.
    holders: usize,
}

impl ByteBudget {
    pub(super) fn new(whole: usize) -> ByteBudget {
        ByteBudget {
            whole,
            held: 0,
            holders: 0,
        }
    }

    /// How many more bytes a device may hold that holds `own` of them.
    pub(super) fn room(&self, own: usize) -> usize {
        let free = self.whole.saturating_sub(self.held);
        if self.held < self.whole / 2 {
            return free;
        }
        let holders = self.holders + usize::from(own == 0);
        let even = self.whole.checked_div(holders).unwrap_or(self.whole);
        free.min(even.saturating_sub(own))
    }

    /// Replaces what one device holds.
    pub(super) fn replace(&mut self, before: usize, now: usize) {
        self.held = self.held.saturating_sub(before).saturating_add(now);
        let holders = self.holders.saturating_sub(usize::from(before > 0));
        self.holders = holders.saturating_add(usize::from(now > 0));
    }

    /// Bytes held by all devices.
    pub(super) fn held(&self) -> usize {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_half_of_the_whole_on_shares_are_even_and_another_device_finds_room() {
        let mut budget = ByteBudget::new(1000);
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
