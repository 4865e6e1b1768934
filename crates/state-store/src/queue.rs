//! Changes on their way to the disk: bounded, and only the last one of each key.
//!
//! ```text
//!  push ──▶ pending ──take──▶ in flight ──┬─ committed ──▶ synced
//!              ▲                          │
//!              └──── kept, unless newer ──┴─ failed
//! ```
//!
//! Everything that is pending is taken at once, so when a ticket is synced, so are all before it.

use crate::changes::{Changes, RecordChange, SessionChange, Window};
use crate::record::RecordKey;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

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

/// The queue takes no more keys. The change is to be made again later; until then what is on disk is older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue of changes to the store is full")]
pub struct Full;

/// What is written in one commit.
pub(crate) struct Batch {
    pub(crate) changes: Changes,
    last: Ticket,
}

/// The changes that are not on disk.
pub(crate) struct Queue {
    pending: Changes,
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
            pending: Changes::default(),
            in_flight: 0,
            capacity,
            last: Ticket(0),
            synced: Synced(0),
            refused: 0,
        }
    }

    /// Adds a change of a session's row. What is beside the former one is not written any more.
    pub(crate) fn push_session(&mut self, key: u64, change: SessionChange) -> Result<Ticket, Full> {
        // It has a newer one, or belongs to another session.
        self.pending.windows.remove(&key);
        let free = self.has_room();
        let inserted = insert(&mut self.pending.sessions, key, change, free);
        self.ticket(inserted)
    }

    /// Adds what is beside a session's row.
    pub(crate) fn push_window(&mut self, key: u64, window: Window) -> Result<Ticket, Full> {
        let free = self.has_room();
        let inserted = insert(&mut self.pending.windows, key, window, free);
        self.ticket(inserted)
    }

    /// Adds a change of a record.
    pub(crate) fn push_record(
        &mut self,
        key: RecordKey,
        change: RecordChange,
    ) -> Result<Ticket, Full> {
        let free = self.has_room();
        let inserted = insert(&mut self.pending.records, key, change, free);
        self.ticket(inserted)
    }

    fn has_room(&self) -> bool {
        self.len() < self.capacity
    }

    fn ticket(&mut self, inserted: Result<(), Full>) -> Result<Ticket, Full> {
        if let Err(full) = inserted {
            self.refused = self.refused.saturating_add(1);
            return Err(full);
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
        self.pending.len() > 0
    }

    pub(crate) fn synced(&self) -> Synced {
        self.synced
    }

    /// Everything that is pending.
    pub(crate) fn take(&mut self) -> Batch {
        // The tables stay as large as they were, so that a busy queue does not allocate them again for each batch.
        let next = Changes::with_room_of(&self.pending);
        let changes = std::mem::replace(&mut self.pending, next);
        self.in_flight = changes.len();
        Batch {
            changes,
            last: self.last,
        }
    }

    /// The batch is on disk, and synced. It is dropped by the caller, who must not hold a lock meanwhile.
    pub(crate) fn committed(&mut self, batch: &Batch) {
        self.in_flight = 0;
        self.synced = Synced(batch.last.0);
    }

    /// The batch is not known to be on disk. It is pending again, but for what has a newer change.
    pub(crate) fn failed(&mut self, batch: Batch) {
        self.in_flight = 0;
        let newer = std::mem::replace(&mut self.pending, batch.changes);
        self.pending.add_newer(newer);
    }
}

/// Inserts in place of a pending change of the same key, or where there is room.
fn insert<K: Eq + Hash, V>(
    pending: &mut HashMap<K, V>,
    key: K,
    change: V,
    has_room: bool,
) -> Result<(), Full> {
    match pending.entry(key) {
        Entry::Occupied(mut pending) => {
            pending.insert(change);
        }
        Entry::Vacant(free) if has_room => {
            free.insert(change);
        }
        Entry::Vacant(_) => return Err(Full),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
