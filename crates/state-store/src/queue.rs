//! Changes on their way to the disk: bounded, and only the last one of each key.
//!
//! ```text
//!  push ──▶ pending ──take──▶ in flight ──┬─ committed ──▶ synced
//!              ▲                          │
//!              └──── kept, unless newer ──┴─ failed
//! ```
//!
//! Everything that is pending is taken at once, so when a ticket is synced, so are all before it.

use crate::table::{Place, Table};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use zeroize::Zeroizing;

/// When a change was pushed: later ones have higher tickets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// How far changes are on disk, and synced. Made by the queue alone, from commits that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Synced(pub(crate) u64);

impl Synced {
    /// Whether this change, or a later one of the same key, is synced.
    #[must_use]
    pub const fn includes(self, ticket: Ticket) -> bool {
        ticket.0 <= self.0
    }
}

/// What becomes of one key.
pub(crate) enum Change {
    /// It has this row.
    Put {
        /// The bound of its send numbers, if it is a session.
        bound: Option<u64>,
        row: Zeroizing<Vec<u8>>,
    },
    /// It has none.
    Delete,
}

/// The queue takes no more keys. The change is to be made again later; until then what is on disk is older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue of changes to the store is full")]
pub struct Full;

/// What is written in one commit.
pub(crate) struct Batch {
    pub(crate) changes: HashMap<Place, Change>,
    last: Ticket,
}

/// The changes that are not on disk.
pub(crate) struct Queue {
    pending: HashMap<Place, Change>,
    /// Keys of the batch that is being written.
    in_flight: usize,
    capacity: usize,
    last: Ticket,
    synced: Synced,
    /// Changes that were refused.
    pub(crate) refused: u64,
}

impl Queue {
    /// A queue for changes of at most this many keys, those in flight included.
    pub(crate) fn new(capacity: usize) -> Queue {
        Queue {
            pending: HashMap::new(),
            in_flight: 0,
            capacity,
            last: Ticket(0),
            synced: Synced(0),
            refused: 0,
        }
    }

    /// Adds a change, which takes the place of a pending one of the same key.
    pub(crate) fn push(&mut self, place: Place, change: Change) -> Result<Ticket, Full> {
        if place.table == Table::Sessions {
            // It has a newer one, or belongs to another session.
            self.pending.remove(&Place::window(place.key));
        }
        let held = self.len();
        match self.pending.entry(place) {
            Entry::Occupied(mut pending) => {
                pending.insert(change);
            }
            Entry::Vacant(free) if held < self.capacity => {
                free.insert(change);
            }
            Entry::Vacant(_) => {
                self.refused = self.refused.saturating_add(1);
                return Err(Full);
            }
        }
        self.last = Ticket(self.last.0.saturating_add(1));
        Ok(self.last)
    }

    /// The keys that are pending or in flight.
    pub(crate) fn len(&self) -> usize {
        self.pending.len().saturating_add(self.in_flight)
    }

    pub(crate) fn is_half_full(&self) -> bool {
        self.len() >= self.capacity / 2
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(crate) fn synced(&self) -> Synced {
        self.synced
    }

    /// Everything that is pending.
    pub(crate) fn take(&mut self) -> Batch {
        // The table stays as large as it was, so that a busy queue does not allocate it again for each batch.
        let next = HashMap::with_capacity(self.pending.len());
        let changes = std::mem::replace(&mut self.pending, next);
        self.in_flight = changes.len();
        Batch {
            changes,
            last: self.last,
        }
    }

    /// The batch is on disk, and synced.
    pub(crate) fn committed(&mut self, batch: Batch) {
        self.in_flight = 0;
        self.synced = Synced(batch.last.0);
    }

    /// The batch is not known to be on disk. It is pending again, but for what has a newer change.
    pub(crate) fn failed(&mut self, batch: Batch) {
        self.in_flight = 0;
        for (place, change) in batch.changes {
            let session = Place::session(place.key);
            if place.table == Table::Windows && self.pending.contains_key(&session) {
                continue;
            }
            self.pending.entry(place).or_insert(change);
        }
    }
}

#[cfg(test)]
mod tests;
