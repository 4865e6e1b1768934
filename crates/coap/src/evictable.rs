//! Snapshots and unfinished uploads that may be evicted when memory is needed.
//!
//! A resource can be read again, and a client can start an upload again. So when `coap.body_bytes`
//! are held, the holder with the most bytes loses its oldest snapshot or upload, and no device can
//! fill the memory of all others. Each value is owned by its endpoint ([`Evictable`]) and can be
//! reached from the common table ([`Evictables`]): the endpoint takes it, or an eviction does.

use shares::Weights;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// How many holders are searched for something to evict, the largest first.
const MAX_HOLDERS_TRIED: usize = 8;

/// The holder that bytes count for: a device with all its sessions, or a source
/// address with certificates that are not registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder<'a> {
    /// A device, by its name.
    Device(&'a str),
    /// An address, or the network that stands for one ([`shares::source`]).
    Source(IpAddr),
}

/// A value that the table can evict.
trait Evict: Send {
    /// Drops the value. Returns false if it is in use, or gone.
    fn evict(&self) -> bool;
}

impl<T: Send> Evict for Mutex<Option<T>> {
    fn evict(&self) -> bool {
        match self.try_lock() {
            Ok(mut slot) => slot.take().is_some(),
            Err(_) => false,
        }
    }
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A response that can be read again.
    Snapshot,
    /// An unfinished body that its client has to send again.
    Upload,
}

#[derive(Clone)]
struct Entry {
    id: u64,
    kind: Kind,
    slot: Weak<dyn Evict + Sync>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.id == other.id
    }
}

#[derive(Default)]
struct Table {
    weights: Weights<u64, Entry>,
    next: u64,
}

/// The evictable values of all endpoints. Clones share their state.
#[derive(Clone, Default)]
pub(crate) struct Evictables(Arc<Mutex<Table>>);

impl fmt::Debug for Evictables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Evictables")
    }
}

impl Evictables {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a value that takes this many bytes, and counts for this holder.
    pub(crate) fn insert<T: Send + 'static>(
        &self,
        holder: u64,
        kind: Kind,
        bytes: usize,
        value: T,
    ) -> Evictable<T> {
        let slot = Arc::new(Mutex::new(Some(value)));
        let weak: Weak<Mutex<Option<T>>> = Arc::downgrade(&slot);
        let mut table = self.table();
        let id = table.next;
        table.next = id.wrapping_add(1);
        let entry = Entry {
            id,
            kind,
            slot: weak,
        };
        table.weights.add(holder, entry, bytes);
        drop(table);
        Evictable {
            slot,
            evictables: self.clone(),
            holder,
            id,
        }
    }

    /// Evicts a value so that this holder may have `more` bytes: the oldest snapshot of the largest
    /// other holder, if that has at least as much as this one would have; an unfinished upload only
    /// of a holder that has at least twice as much, so that two uploads don't evict each other for
    /// ever; otherwise the oldest snapshot of its own. Returns whether something was evicted.
    pub(crate) fn evict_one(&self, holder: u64, more: usize) -> bool {
        // Not under the lock of the table: the user of a value locks it first, and then
        // the table.
        let candidates = self.candidates(holder, more);
        let mut candidates = candidates.into_iter();
        let evicted =
            candidates.find(|(_, entry)| entry.slot.upgrade().is_some_and(|slot| slot.evict()));
        evicted.is_some_and(|(of, entry)| self.table().weights.remove(&of, &entry))
    }

    fn candidates(&self, holder: u64, more: usize) -> Vec<(u64, Entry)> {
        let table = self.table();
        let would_have = table.weights.held_by(&holder).saturating_add(more);
        let mut candidates = Vec::new();
        let mut add = |holder: u64, kind: Kind| {
            let entries = table.weights.values_of(&holder);
            let entries = entries.filter(|entry| entry.kind == kind);
            candidates.extend(entries.map(|entry| (holder, entry.clone())));
        };
        let heaviest_first = table.weights.heaviest_first();
        let others = heaviest_first.filter(|(other, _)| **other != holder);
        let others = others.take_while(|(_, weight)| *weight >= would_have);
        for (other, weight) in others.take(MAX_HOLDERS_TRIED) {
            add(*other, Kind::Snapshot);
            if weight / 2 >= would_have {
                add(*other, Kind::Upload);
            }
        }
        add(holder, Kind::Snapshot);
        candidates
    }
}

/// A value, unless it was evicted.
#[derive(Debug)]
pub(crate) struct Evictable<T> {
    slot: Arc<Mutex<Option<T>>>,
    evictables: Evictables,
    holder: u64,
    id: u64,
}

impl<T> Evictable<T> {
    fn slot(&self) -> MutexGuard<'_, Option<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls a function with the value, which can't be evicted until it returns. `None` if it was evicted before.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.slot().as_mut().map(work)
    }

    /// Takes the value, unless it was evicted.
    pub(crate) fn take(self) -> Option<T> {
        self.slot().take()
    }

    /// Whether the value was evicted.
    pub(crate) fn is_evicted(&self) -> bool {
        self.slot().is_none()
    }

    /// Changes the number of bytes of the value.
    pub(crate) fn set_bytes(&self, bytes: usize) {
        let entry = self.entry();
        self.evictables
            .table()
            .weights
            .set_weight(&self.holder, &entry, bytes);
    }

    fn entry(&self) -> Entry {
        Entry {
            id: self.id,
            kind: Kind::Snapshot,
            slot: Weak::<Mutex<Option<()>>>::new(),
        }
    }
}

impl<T> Drop for Evictable<T> {
    fn drop(&mut self) {
        let entry = self.entry();
        self.evictables.table().weights.remove(&self.holder, &entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTER: u64 = 9;

    #[test]
    fn the_oldest_value_of_the_largest_holder_is_evicted_unless_it_is_in_use() {
        let evictables = Evictables::default();
        let [a, b, c, d] = [(1, 60, 'a'), (2, 50, 'b'), (2, 30, 'c'), (1, 10, 'd')]
            .map(|(holder, bytes, value)| evictables.insert(holder, Kind::Snapshot, bytes, value));
        let evict = || evictables.evict_one(REQUESTER, 30);
        // The second has 80 bytes, the first 70.
        assert!(evict());
        assert_eq!(
            [a.is_evicted(), b.is_evicted(), c.is_evicted()],
            [false, true, false]
        );
        let evicted = a.with(|_| evict());
        assert_eq!(
            (evicted, a.is_evicted(), d.is_evicted()),
            (Some(true), false, true)
        );
        c.set_bytes(100);
        assert!(evict() && c.is_evicted());
        assert_eq!(a.take(), Some('a'));
        assert!(!evict());
        drop([b, c, d]);
        assert_eq!(evictables.table().weights.heaviest(), None);
    }

    #[test]
    fn a_holder_that_would_be_the_largest_evicts_no_value_of_others() {
        let evictables = Evictables::default();
        let others = evictables.insert(1, Kind::Snapshot, 60, ());
        let own = evictables.insert(REQUESTER, Kind::Snapshot, 20, ());
        let unfinished = evictables.insert(REQUESTER, Kind::Upload, 20, ());
        assert!(evictables.evict_one(REQUESTER, 30) && own.is_evicted());
        assert!(!evictables.evict_one(REQUESTER, 50));
        assert!(!others.is_evicted() && !unfinished.is_evicted());
        assert!(evictables.evict_one(REQUESTER, 40) && others.is_evicted());
    }

    #[test]
    fn an_unfinished_upload_is_evicted_only_for_a_holder_that_would_have_half_as_much() {
        let evictables = Evictables::default();
        let upload = evictables.insert(1, Kind::Upload, 60, ());
        let snapshot = evictables.insert(1, Kind::Snapshot, 40, ());
        assert!(evictables.evict_one(REQUESTER, 50) && snapshot.is_evicted());
        assert!(!evictables.evict_one(REQUESTER, 31) && !upload.is_evicted());
        assert!(evictables.evict_one(REQUESTER, 30) && upload.is_evicted());
    }
}
