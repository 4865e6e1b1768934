//! What is kept of bodies only for convenience, and gives way when others need the room.
//!
//! A snapshot can be read from the gateway again, and a client can begin an upload again. So when `coap.body_bytes` are
//! held, whoever has most of them kept gives way, the oldest first: no device fills them for all others. What is kept is
//! in its endpoint's hands and in [`Evictables`]'s; whoever comes first takes it.

use shares::Weights;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// How many holders are tried for something that can be given up, those that keep most first.
const MAX_HOLDERS_TRIED: usize = 8;

/// Who holds bytes: a device, whatever number of sessions it has, or the source of certificates that are no device's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder<'a> {
    /// A device, by its name.
    Device(&'a str),
    /// An address, or the network that stands for one ([`shares::source`]).
    Source(IpAddr),
}

/// Something that can be given up from outside.
trait Evict: Send {
    /// Drops it. Returns false if it is in use.
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

/// What something kept is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It can be read again.
    Snapshot,
    /// It has to be sent again.
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

/// All that is kept. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct Evictables(Arc<Mutex<Table>>);

impl fmt::Debug for Evictables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Evictables")
    }
}

impl Evictables {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps something of so many bytes for this holder, until it is dropped or given up.
    pub(super) fn insert<T: Send + 'static>(
        &self,
        holder: u64,
        kind: Kind,
        bytes: usize,
        what: T,
    ) -> Evictable<T> {
        let slot = Arc::new(Mutex::new(Some(what)));
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

    /// Gives up something of another, so that this holder may keep so many bytes more: the oldest snapshot of whoever has
    /// most and as much as it would have itself; an unfinished upload only of who has twice that, so that two that upload
    /// don't end each other's for ever. Of its own only snapshots. Returns whether there was any.
    pub(super) fn evict_one(&self, holder: u64, more: usize) -> bool {
        // Not under the lock of the table: who works on what is kept holds that of the slot, and takes this one.
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
        let mut add = |of: u64, kind: Kind| {
            let entries = table.weights.of(&of).filter(|entry| entry.kind == kind);
            candidates.extend(entries.map(|entry| (of, entry.clone())));
        };
        let heaviest_first = table.weights.heaviest_first();
        let others = heaviest_first.filter(|(of, _)| **of != holder);
        let others = others.take_while(|(_, weight)| *weight >= would_have);
        for (of, weight) in others.take(MAX_HOLDERS_TRIED) {
            add(*of, Kind::Snapshot);
            if weight / 2 >= would_have {
                add(*of, Kind::Upload);
            }
        }
        add(holder, Kind::Snapshot);
        candidates
    }
}

/// Something kept, unless it was given up.
#[derive(Debug)]
pub(super) struct Evictable<T> {
    slot: Arc<Mutex<Option<T>>>,
    evictables: Evictables,
    holder: u64,
    id: u64,
}

impl<T> Evictable<T> {
    fn slot(&self) -> MutexGuard<'_, Option<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on what is evictable; nothing if it was given up. It is in use meanwhile.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.slot().as_mut().map(work)
    }

    /// Takes what is kept.
    pub(super) fn take(self) -> Option<T> {
        self.slot().take()
    }

    /// Whether it was given up.
    pub(super) fn is_evicted(&self) -> bool {
        self.slot().is_none()
    }

    /// It has so many bytes now.
    pub(super) fn set_bytes(&self, bytes: usize) {
        let entry = self.entry();
        self.evictables
            .table()
            .weights
            .change(&self.holder, &entry, bytes);
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

    const ASKING: u64 = 9;

    #[test]
    fn the_oldest_of_who_has_most_is_given_up_unless_it_is_in_use() {
        let evictables = Evictables::default();
        let [a, b, c, d] = [(1, 60, 'a'), (2, 50, 'b'), (2, 30, 'c'), (1, 10, 'd')]
            .map(|(holder, bytes, what)| evictables.insert(holder, Kind::Snapshot, bytes, what));
        let evict = || evictables.evict_one(ASKING, 30);
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
    fn who_would_have_more_than_anyone_gets_nothing_of_others() {
        let evictables = Evictables::default();
        let others = evictables.insert(1, Kind::Snapshot, 60, ());
        let own = evictables.insert(ASKING, Kind::Snapshot, 20, ());
        let unfinished = evictables.insert(ASKING, Kind::Upload, 20, ());
        assert!(evictables.evict_one(ASKING, 30) && own.is_evicted());
        assert!(!evictables.evict_one(ASKING, 50));
        assert!(!others.is_evicted() && !unfinished.is_evicted());
        assert!(evictables.evict_one(ASKING, 40) && others.is_evicted());
    }

    #[test]
    fn an_unfinished_upload_gives_way_only_to_who_would_have_half_as_much() {
        let evictables = Evictables::default();
        let upload = evictables.insert(1, Kind::Upload, 60, ());
        let snapshot = evictables.insert(1, Kind::Snapshot, 40, ());
        assert!(evictables.evict_one(ASKING, 50) && snapshot.is_evicted());
        assert!(!evictables.evict_one(ASKING, 31) && !upload.is_evicted());
        assert!(evictables.evict_one(ASKING, 30) && upload.is_evicted());
    }
}
