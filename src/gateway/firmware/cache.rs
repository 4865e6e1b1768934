//! Chunks, within the bound of `ota.cache`. Those that are still under way count as well, so that the bound holds
//! for all of them together.

use super::edition::EditionId;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Which chunk of which edition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Of which edition.
    pub edition: EditionId,
    /// Counted from zero.
    pub number: u64,
}

#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    /// The number of its last use.
    used: u64,
    /// Where it stands in the order of ages: at this use or a later one. Reading a chunk is frequent and only
    /// stamps it; who looks for the oldest puts those right that it meets.
    listed: u64,
}

/// The chunks there are, and room for those that come.
#[derive(Debug)]
pub struct Cache {
    capacity: usize,
    /// Bytes of one chunk that is whole.
    chunk: usize,
    chunks: BTreeMap<Key, Chunk>,
    ages: BTreeMap<u64, Key>,
    last_use: u64,
    stored: usize,
    /// Chunks under way.
    reserved: usize,
}

impl Cache {
    /// Empty. Both in bytes.
    pub fn new(capacity: usize, chunk: usize) -> Cache {
        Cache {
            capacity,
            chunk,
            chunks: BTreeMap::new(),
            ages: BTreeMap::new(),
            last_use: 0,
            stored: 0,
            reserved: 0,
        }
    }

    /// A chunk, which counts as used by that.
    pub fn get(&mut self, key: Key) -> Option<&Bytes> {
        let chunk = self.chunks.get_mut(&key)?;
        self.last_use += 1;
        chunk.used = self.last_use;
        Some(&chunk.bytes)
    }

    /// A chunk, as if nobody had looked.
    pub fn peek(&self, key: Key) -> Option<&Bytes> {
        self.chunks.get(&key).map(|chunk| &chunk.bytes)
    }

    /// Makes room for a chunk that is to be fetched, or says that what is under way takes all of it. Returns how
    /// many chunks had to go.
    pub fn reserve(&mut self) -> Option<usize> {
        let wanted = (self.reserved + 1) * self.chunk;
        if wanted > self.capacity {
            return None;
        }
        let mut displaced = 0;
        while self.stored + wanted > self.capacity {
            let (listed, key) = self.ages.pop_first()?;
            let chunk = self.chunks.get_mut(&key)?;
            if chunk.used > listed {
                chunk.listed = chunk.used;
                self.ages.insert(chunk.listed, key);
            } else {
                self.remove(key);
                displaced += 1;
            }
        }
        self.reserved += 1;
        Some(displaced)
    }

    /// A chunk that room was made for does not come.
    pub fn release(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// A chunk that room was made for has come.
    pub fn insert(&mut self, key: Key, bytes: Bytes) {
        self.release();
        self.remove(key);
        if bytes.is_empty() {
            return;
        }
        self.last_use += 1;
        self.ages.insert(self.last_use, key);
        self.stored += bytes.len();
        let chunk = Chunk {
            bytes,
            used: self.last_use,
            listed: self.last_use,
        };
        self.chunks.insert(key, chunk);
    }

    fn remove(&mut self, key: Key) {
        if let Some(chunk) = self.chunks.remove(&key) {
            self.ages.remove(&chunk.listed);
            self.stored -= chunk.bytes.len();
        }
    }

    /// All chunks of an edition go.
    pub fn remove_edition(&mut self, edition: EditionId) {
        while let Some((key, _)) = self.next_of(edition, 0) {
            self.remove(key);
        }
    }

    /// The first chunk of an edition from this number on.
    pub fn next_of(&self, edition: EditionId, number: u64) -> Option<(Key, &Bytes)> {
        let all = Cache::range(edition, number);
        let (key, chunk) = self.chunks.range(all).next()?;
        Some((*key, &chunk.bytes))
    }

    /// The number of an edition's last chunk.
    pub fn last_of(&self, edition: EditionId) -> Option<u64> {
        let all = Cache::range(edition, 0);
        self.chunks
            .range(all)
            .next_back()
            .map(|(key, _)| key.number)
    }

    fn range(edition: EditionId, number: u64) -> std::ops::RangeInclusive<Key> {
        let last = Key {
            edition,
            number: u64::MAX,
        };
        Key { edition, number }..=last
    }

    /// Chunks that room is made for.
    #[cfg(test)]
    pub(super) fn reserved(&self) -> usize {
        self.reserved
    }

    /// Bytes that are stored or reserved.
    pub fn load(&self) -> usize {
        self.stored + self.reserved * self.chunk
    }
}
