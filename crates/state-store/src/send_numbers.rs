//! Which numbers a session may send with, so that none is used twice whatever is lost (RFC 6347 §4.1, RFC 5288 §3).
//!
//! Each stored row has a *bound*, and the generation in which it was written: each opening of the store begins one. From a row
//! of generation g, generation G > g may take the numbers
//!
//! ```text
//!   bound + (G − g − 1) × BLOCK  ≤  number  <  bound + (G − g) × BLOCK
//! ```
//!
//! Generation g itself takes none at or above the bound. So the blocks of all generations that may restore the row are disjoint,
//! and a restored session sends at once: what reserves its block is that the generation is on disk, not a write for each
//! session. The first row that is written then has a bound in the new generation.
//!
//! While a session runs, several of its rows may be on disk after a crash: the last one that was synced, and any that was
//! pushed since. Numbers are usable below the bounds of *all* of them. So a higher bound counts only once a row with it is
//! [synced](Synced); and a new session, of which no row is on disk, may use any number until its first row is pushed.

use crate::queue::{Synced, Ticket};

/// Numbers have 48 bits (RFC 6347 §4.1).
const END: u64 = (1 << 48) - 1;

/// How many numbers a row reserves.
///
/// So many that a session needs another block seldom, and goes on for days while the disk is broken: at a record a second it
/// takes twelve days to use them up. 2^48 numbers are 2^28 blocks, so 268 million restarts use all numbers up.
pub(crate) const BLOCK: Block = Block(1 << 20);

/// The size of a block. Part of the format: all who open a store must agree on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block(pub(crate) u64);

/// What a stored bound is a multiple of, so that it takes two or three bytes.
const UNIT: u64 = 1 << 12;

/// A bound as it is stored, in units. It is rounded up: below it are all numbers that are below the bound.
pub(crate) const fn stored_bound(bound: u64) -> u64 {
    bound.div_ceil(UNIT)
}

/// The bound that was stored. `None`: it is too high for any number.
pub(crate) fn bound_that_was_stored(units: u64) -> Option<u64> {
    units.checked_mul(UNIT)
}

/// The number that is not sent with any more. Made by [`SendNumbers::limit`] alone, from what is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendLimit(u64);

impl SendLimit {
    /// The first number that must not be used.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether a record may be sent with this number.
    #[must_use]
    pub const fn allows(self, number: u64) -> bool {
        number < self.0
    }
}

/// The numbers of one session. They can't be copied, nor made other than for a new session or by restoring one.
#[derive(Debug)]
pub struct SendNumbers {
    /// Below the bounds of all rows that may be on disk.
    limit: u64,
    /// A higher bound, of a row that is not synced yet.
    pushed: Option<(Ticket, u64)>,
    /// Whether a row may be on disk.
    is_stored: bool,
}

impl SendNumbers {
    /// The numbers of a session that begins now.
    #[must_use]
    pub const fn of_new_session() -> SendNumbers {
        SendNumbers {
            limit: END,
            pushed: None,
            is_stored: false,
        }
    }

    /// The numbers in this generation of a session whose row was written in an earlier one, and the first of them.
    /// `None`: all are used up.
    pub(crate) fn restored(
        block: Block,
        bound: u64,
        written: u32,
        now: u32,
    ) -> Option<(SendNumbers, u64)> {
        let generations = u64::from(now.checked_sub(written)?);
        let skipped = generations.checked_sub(1)?.checked_mul(block.0)?;
        let first = bound.checked_add(skipped)?;
        let limit = first.checked_add(block.0)?.min(END);
        let numbers = SendNumbers {
            limit,
            pushed: None,
            is_stored: true,
        };
        (first < limit).then_some((numbers, first))
    }

    /// Where the session must stop sending, as far as rows are synced.
    pub fn limit(&mut self, synced: Synced) -> SendLimit {
        if let Some((ticket, bound)) = self.pushed
            && synced.includes(ticket)
        {
            self.limit = bound;
            self.pushed = None;
        }
        SendLimit(self.limit)
    }

    /// The bound of a row that is pushed now, where `next` is the next number: the present one, until half a block is left.
    pub(crate) fn bound(&self, block: Block, next: u64) -> u64 {
        let present = match self.pushed {
            Some((_, bound)) => bound,
            None if self.is_stored => self.limit,
            None => 0,
        };
        if present >= next.saturating_add(block.0 / 2) {
            return present;
        }
        // Never lower than before, and so that all numbers until `next` are below it.
        present.max(next.saturating_add(block.0)).min(END)
    }

    /// Whether a row of this session was pushed, which those that follow belong to.
    pub(crate) const fn is_stored(&self) -> bool {
        self.is_stored
    }

    /// A row with this bound was pushed.
    pub(crate) fn pushed(&mut self, bound: u64, ticket: Ticket) {
        if !self.is_stored {
            self.is_stored = true;
            self.limit = bound;
        } else if bound > self.pushed.map_or(self.limit, |(_, bound)| bound) {
            self.pushed = Some((ticket, bound));
        }
    }
}

#[cfg(test)]
mod tests;
