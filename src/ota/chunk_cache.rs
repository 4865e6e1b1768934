//! Cached chunks, within the bound of `ota.cache`. Chunks that are being fetched have room reserved, so that the bound holds
//! for all of them together.
//!
//! Which chunk is evicted when room is needed: while the editions of single devices have more than half of it, one of theirs,
//! from the edition that has most if that is more than a download needs, and otherwise the least recently used one. Otherwise
//! one of the largest shared edition. So neither one device with a large package of its own nor a thousand of them take room
//! from the fleet.

use super::ids::{ChunkKey, EditionId};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Chunks that one device's download may keep: the prefetched ones, and others.
const MAX_OWN: usize = 16;

#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    /// The number of its last use.
    used: u64,
    /// Its key in its edition's order of ages, which may be outdated: a use is frequent, and only sets `used`. The search for
    /// the oldest corrects those that it meets.
    listed: u64,
}

/// The chunks of one edition.
#[derive(Debug, Default)]
struct Holder {
    /// Whether only one device may have them.
    is_own: bool,
    /// Bytes.
    stored: usize,
    /// Numbers of chunks, by their last use or an earlier one.
    ages: BTreeMap<u64, u64>,
}

/// The editions that one device may have, or the shared ones.
#[derive(Debug, Default)]
struct Pool {
    stored: usize,
    by_size: BTreeSet<(usize, EditionId)>,
    /// By the age of each edition's oldest chunk.
    by_age: BTreeSet<(u64, EditionId)>,
}

/// All cached chunks, and the room reserved for those that are being fetched.
#[derive(Debug)]
pub(crate) struct ChunkCache {
    capacity: usize,
    /// Bytes of a whole chunk.
    chunk: usize,
    chunks: BTreeMap<ChunkKey, Chunk>,
    holders: HashMap<EditionId, Holder>,
    own: Pool,
    shared: Pool,
    last_use: u64,
    /// Chunks that room is reserved for.
    reserved: usize,
}

impl ChunkCache {
    /// Both in bytes.
    pub(crate) fn new(capacity: usize, chunk: usize) -> ChunkCache {
        ChunkCache {
            capacity,
            chunk,
            chunks: BTreeMap::new(),
            holders: HashMap::new(),
            own: Pool::default(),
            shared: Pool::default(),
            last_use: 0,
            reserved: 0,
        }
    }

    /// A chunk, which counts as a use.
    pub(crate) fn get(&mut self, key: ChunkKey) -> Option<&Bytes> {
        let chunk = self.chunks.get_mut(&key)?;
        self.last_use += 1;
        chunk.used = self.last_use;
        Some(&chunk.bytes)
    }

    /// A chunk, which does not count as a use.
    pub(crate) fn peek(&self, key: ChunkKey) -> Option<&Bytes> {
        self.chunks.get(&key).map(|chunk| &chunk.bytes)
    }

    /// Reserves room for a chunk that is to be fetched, and returns how many were evicted for it. `None` if all room is
    /// reserved.
    pub(crate) fn reserve(&mut self) -> Option<usize> {
        let wanted = (self.reserved + 1) * self.chunk;
        if wanted > self.capacity {
            return None;
        }
        let mut evicted = 0;
        while self.own.stored + self.shared.stored + wanted > self.capacity {
            let oldest = self.oldest_of(self.next_to_evict_from()?)?;
            self.remove(oldest);
            evicted += 1;
        }
        self.reserved += 1;
        Some(evicted)
    }

    /// The edition whose oldest chunk is evicted next.
    fn next_to_evict_from(&self) -> Option<EditionId> {
        let (_, largest_shared) = self.shared.by_size.last().copied().unzip();
        // Chunks that are being fetched may be of either kind.
        let coming = (self.reserved + 1) * self.chunk;
        if self.own.stored + coming <= self.capacity / 2 && largest_shared.is_some() {
            return largest_shared;
        }
        match self.own.by_size.last() {
            Some((stored, edition)) if *stored > MAX_OWN * self.chunk => Some(*edition),
            Some(_) => self.own.by_age.first().map(|(_, edition)| *edition),
            None => largest_shared,
        }
    }

    /// The least recently used chunk of an edition.
    fn oldest_of(&mut self, edition: EditionId) -> Option<ChunkKey> {
        let mut oldest = None;
        let chunks = &mut self.chunks;
        change(
            &mut self.holders,
            &mut self.own,
            &mut self.shared,
            edition,
            |holder| {
                while let Some((listed, number)) = holder.ages.pop_first() {
                    let key = ChunkKey { edition, number };
                    let Some(chunk) = chunks.get_mut(&key) else {
                        continue;
                    };
                    let is_oldest = chunk.used == listed;
                    chunk.listed = chunk.used;
                    holder.ages.insert(chunk.listed, number);
                    if is_oldest {
                        oldest = Some(key);
                        break;
                    }
                }
            },
        );
        oldest
    }

    /// Releases the room of a chunk that was not fetched.
    pub(crate) fn release(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// Adds a chunk that room was reserved for. `is_own`: only one device may have its edition.
    pub(crate) fn insert(&mut self, key: ChunkKey, bytes: Bytes, is_own: bool) {
        self.release();
        self.remove(key);
        if bytes.is_empty() {
            return;
        }
        self.last_use += 1;
        let (number, used, length) = (key.number, self.last_use, bytes.len());
        let fresh = || Holder {
            is_own,
            ..Holder::default()
        };
        self.holders.entry(key.edition).or_insert_with(fresh);
        self.change(key.edition, |holder| {
            holder.stored += length;
            holder.ages.insert(used, number);
        });
        let chunk = Chunk {
            bytes,
            used,
            listed: used,
        };
        self.chunks.insert(key, chunk);
    }

    fn remove(&mut self, key: ChunkKey) {
        if let Some(chunk) = self.chunks.remove(&key) {
            self.change(key.edition, |holder| {
                holder.stored -= chunk.bytes.len();
                holder.ages.remove(&chunk.listed);
            });
        }
    }

    /// An edition is shared from now on.
    pub(crate) fn share(&mut self, edition: EditionId) {
        self.change(edition, |holder| holder.is_own = false);
    }

    /// Removes all chunks of an edition.
    pub(crate) fn remove_edition(&mut self, edition: EditionId) {
        while let Some((key, _)) = self.next_of(edition, 0) {
            self.remove(key);
        }
    }

    fn change(&mut self, edition: EditionId, work: impl FnOnce(&mut Holder)) {
        change(
            &mut self.holders,
            &mut self.own,
            &mut self.shared,
            edition,
            work,
        );
    }

    /// The first chunk of an edition from this number on.
    pub(crate) fn next_of(&self, edition: EditionId, number: u64) -> Option<(ChunkKey, &Bytes)> {
        let all = ChunkCache::range(edition, number);
        let (key, chunk) = self.chunks.range(all).next()?;
        Some((*key, &chunk.bytes))
    }

    /// The number of an edition's last chunk.
    pub(crate) fn last_of(&self, edition: EditionId) -> Option<u64> {
        let all = ChunkCache::range(edition, 0);
        self.chunks
            .range(all)
            .next_back()
            .map(|(key, _)| key.number)
    }

    fn range(edition: EditionId, number: u64) -> std::ops::RangeInclusive<ChunkKey> {
        let last = ChunkKey {
            edition,
            number: u64::MAX,
        };
        ChunkKey { edition, number }..=last
    }

    /// Chunks that room is reserved for.
    #[cfg(test)]
    pub(super) fn reserved(&self) -> usize {
        self.reserved
    }

    /// Bytes that are stored or reserved.
    pub(crate) fn load(&self) -> usize {
        self.own.stored + self.shared.stored + self.reserved * self.chunk
    }

    /// Bytes of editions that only one device may have.
    pub(crate) fn own_bytes(&self) -> usize {
        self.own.stored
    }
}

/// Changes the chunks of an edition, and updates the pools.
fn change(
    holders: &mut HashMap<EditionId, Holder>,
    own: &mut Pool,
    shared: &mut Pool,
    edition: EditionId,
    work: impl FnOnce(&mut Holder),
) {
    let Some(holder) = holders.get_mut(&edition) else {
        return;
    };
    let oldest = |holder: &Holder| holder.ages.first_key_value().map(|(age, _)| *age);
    let pool = if holder.is_own {
        &mut *own
    } else {
        &mut *shared
    };
    pool.stored -= holder.stored;
    pool.by_size.remove(&(holder.stored, edition));
    if let Some(age) = oldest(holder) {
        pool.by_age.remove(&(age, edition));
    }
    work(holder);
    let Some(age) = oldest(holder) else {
        holders.remove(&edition);
        return;
    };
    let pool = if holder.is_own { own } else { shared };
    pool.stored += holder.stored;
    pool.by_size.insert((holder.stored, edition));
    pool.by_age.insert((age, edition));
}

#[cfg(test)]
mod tests;
