//! Chunks, within the bound of `ota.cache`. Those that are still under way count as well, so that the bound holds
//! for all of them together.
//!
//! Each edition holds what it has. Where room is needed, single devices' own editions give way while they have more
//! than half of it: of these the one that holds most, if that is more than a download needs, and otherwise the chunk
//! that was not used for longest. Else the largest of those that many share gives way. So one device with a large
//! package of its own takes nothing from the fleet, and a thousand of them don't either.

use super::edition::EditionId;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Which chunk of which edition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Of which edition.
    pub edition: EditionId,
    /// Counted from zero.
    pub number: u64,
}

/// Chunks that one device's download may keep: those that are fetched ahead, and as many again.
const MOST_OWN: usize = 16;

#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    /// The number of its last use.
    used: u64,
    /// Where it stands in its holder's order of ages: at this use or a later one. Reading a chunk is frequent and
    /// only stamps it; who looks for the oldest puts those right that it meets.
    listed: u64,
}

/// What one edition has.
#[derive(Debug, Default)]
struct Holder {
    is_own: bool,
    stored: usize,
    ages: BTreeMap<u64, u64>,
}

/// The holders of one kind.
#[derive(Debug, Default)]
struct Pool {
    stored: usize,
    by_size: BTreeSet<(usize, EditionId)>,
    /// By the age of each one's oldest chunk.
    by_age: BTreeSet<(u64, EditionId)>,
}

/// The chunks there are, and room for those that come.
#[derive(Debug)]
pub struct Cache {
    capacity: usize,
    /// Bytes of one chunk that is whole.
    chunk: usize,
    chunks: BTreeMap<Key, Chunk>,
    holders: HashMap<EditionId, Holder>,
    own: Pool,
    shared: Pool,
    last_use: u64,
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
            holders: HashMap::new(),
            own: Pool::default(),
            shared: Pool::default(),
            last_use: 0,
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
        while self.own.stored + self.shared.stored + wanted > self.capacity {
            let oldest = self.oldest_of(self.next_to_give_way()?)?;
            self.remove(oldest);
            displaced += 1;
        }
        self.reserved += 1;
        Some(displaced)
    }

    /// Whose oldest chunk goes next.
    fn next_to_give_way(&self) -> Option<EditionId> {
        let (_, largest_shared) = self.shared.by_size.last().copied().unzip();
        // What is under way may be of either kind.
        let coming = (self.reserved + 1) * self.chunk;
        if self.own.stored + coming <= self.capacity / 2 && largest_shared.is_some() {
            return largest_shared;
        }
        match self.own.by_size.last() {
            Some((stored, edition)) if *stored > MOST_OWN * self.chunk => Some(*edition),
            Some(_) => self.own.by_age.first().map(|(_, edition)| *edition),
            None => largest_shared,
        }
    }

    /// The chunk of this edition that was not used for longest.
    fn oldest_of(&mut self, edition: EditionId) -> Option<Key> {
        let mut oldest = None;
        let chunks = &mut self.chunks;
        change(
            &mut self.holders,
            &mut self.own,
            &mut self.shared,
            edition,
            |holder| {
                while let Some((listed, number)) = holder.ages.pop_first() {
                    let key = Key { edition, number };
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

    /// A chunk that room was made for does not come.
    pub fn release(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// A chunk that room was made for has come. `is_own`: its edition is one device's alone.
    pub fn insert(&mut self, key: Key, bytes: Bytes, is_own: bool) {
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

    fn remove(&mut self, key: Key) {
        if let Some(chunk) = self.chunks.remove(&key) {
            self.change(key.edition, |holder| {
                holder.stored -= chunk.bytes.len();
                holder.ages.remove(&chunk.listed);
            });
        }
    }

    /// What an edition has is for everyone now.
    pub fn share(&mut self, edition: EditionId) {
        self.change(edition, |holder| holder.is_own = false);
    }

    /// All chunks of an edition go.
    pub fn remove_edition(&mut self, edition: EditionId) {
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
        self.own.stored + self.shared.stored + self.reserved * self.chunk
    }

    /// Bytes that are one device's alone.
    pub fn own_bytes(&self) -> usize {
        self.own.stored
    }
}

/// Changes what an edition has, and sees to it that both pools know.
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
