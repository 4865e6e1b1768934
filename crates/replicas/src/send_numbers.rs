//! Which numbers a session may send with (RFC 6347 §4.1, RFC 5288 §3).
//!
//! The store gives them out in blocks, each one once. So two owners of a session, whatever made them both believe that they
//! are it, never use a number twice. A session that is new may use any number until it is sent to the store, as until then no
//! one else can have it.

/// Numbers have 48 bits (RFC 6347 §4.1).
const END: u64 = (1 << 48) - 1;

/// The numbers that a session has: those of one block, and of a second one that comes after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SendNumbers {
    next: u64,
    end: u64,
    spare: Option<(u64, u64)>,
}

impl SendNumbers {
    /// Those of a session that was never sent to the store; `next` is the first that it has not used.
    pub(crate) const fn of_new_session(next: u64) -> SendNumbers {
        SendNumbers {
            next,
            end: END,
            spare: None,
        }
    }

    /// Those of one block.
    pub(crate) fn of_block(start: u64, end: u64) -> SendNumbers {
        SendNumbers {
            next: start,
            end: end.min(END),
            spare: None,
        }
    }

    /// Whether it is time for another block of this size.
    pub(crate) fn are_low(&self, block: u64) -> bool {
        self.spare.is_none() && self.end.saturating_sub(self.next) <= block / 2
    }

    /// All numbers below this one are used.
    pub(crate) fn used(&mut self, next: u64) {
        if next >= self.end
            && let Some((start, end)) = self.spare.take_if(|(start, _)| next >= *start)
        {
            (self.next, self.end) = (start, end);
        }
        self.next = self.next.max(next);
    }

    /// The block that comes after the first one.
    pub(crate) const fn spare(&self) -> Option<(u64, u64)> {
        self.spare
    }

    /// The end of the first block.
    pub(crate) const fn first_end(&self) -> u64 {
        self.end
    }

    /// The number that is taken next, if there is one.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Above all numbers that were given to this session.
    pub(crate) fn end(&self) -> u64 {
        self.spare.map_or(self.end, |(_, end)| end)
    }

    /// The session is sent to the store, which gives out no number below `end` to others.
    pub(crate) fn stop_at(&mut self, end: u64) {
        self.end = self.end.min(end);
    }

    /// Adds a block. Blocks only rise; one that doesn't is not added, which wastes it.
    pub(crate) fn add(&mut self, start: u64, end: u64) {
        let end = end.min(END);
        if start < self.end() || start >= end {
            return;
        }
        match &mut self.spare {
            None if start == self.end => self.end = end,
            None => self.spare = Some((start, end)),
            Some((_, spare_end)) if *spare_end == start => *spare_end = end,
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
