//! Sends responses in blocks (RFC 7959 §2.4), and keeps the response for the blocks that the client
//! will request.
//!
//! A kept response is a *snapshot*: it does not change when its resource does, so that all blocks
//! that a client assembles are of one body. They have one ETag.

use super::block::Block;
use super::body::{Account, ETag, Key, LIFETIME};
use super::code::Code;
use super::evictable::{Evictable, Kind};
use super::request::Response;
use bytes::Bytes;
use std::cmp::Reverse;
use std::ops::Range;
use std::time::Instant;

/// Snapshots of one resource: a client may continue to read one after a notification has brought a
/// newer one.
const MAX_PER_KEY: usize = 2;
/// Snapshots of one endpoint. Beyond either number the least recently used one is dropped.
const MAX_SNAPSHOTS: usize = 8;

/// The block of a response that a request asks for, and whether it asks for the size of the body
/// (Block2 and Size2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockRequest {
    /// Block2 of the request; its M has no meaning.
    pub block: Option<Block>,
    /// Whether the request has a Size2 option.
    pub size2: bool,
}

impl BlockRequest {
    fn offset(self) -> usize {
        self.block.map_or(0, Block::offset)
    }

    /// The block size of the response: the requested one or `largest_szx`, whichever is smaller
    /// (§2.4).
    pub(crate) fn szx(self, largest_szx: u8) -> u8 {
        self.block
            .map_or(largest_szx, |block| block.szx().min(largest_szx))
    }

    /// The requested block of a whole response. `None` if the body ends before it.
    pub(crate) fn block_of(
        self,
        whole: &Response,
        etag: ETag,
        largest_szx: u8,
    ) -> Option<Response> {
        let (length, begin) = (whole.payload.len(), self.offset());
        if begin > 0 && begin >= length {
            return None;
        }
        let szx = self.szx(largest_szx);
        let end = begin.saturating_add(Block::size_of(szx)).min(length);
        let is_whole = begin == 0 && end == length;
        // Without a Size2 option, the first block has the size, so that the client can allocate
        // memory.
        let has_size2 = self.size2 || (begin == 0 && !is_whole);
        Some(Response {
            etag: (!is_whole).then_some(etag).or(whole.etag),
            block2: Some(Block::at(begin, end < length, szx)?),
            size2: has_size2.then_some(u32::try_from(length).ok()?),
            payload: whole.payload.slice(begin..end),
            ..whole.clone()
        })
    }
}

/// The response to a request for a block past the end of a body.
pub(crate) fn past_the_end() -> Response {
    Response::error(Code::BAD_REQUEST, "the body ends before this block")
}

#[derive(Debug)]
struct Snapshot {
    key: Key,
    etag: ETag,
    /// Without its payload.
    response: Response,
    payload: Payload,
    /// The block served last, as offsets into the body.
    last_served: Range<usize>,
    last_used: Instant,
}

#[derive(Debug)]
enum Payload {
    /// The result of a request that can't be repeated.
    Pinned(Bytes),
    /// The state of a resource, which can be read again.
    Evictable(Evictable<Bytes>),
}

impl Payload {
    /// The payload, unless it was evicted.
    fn get(&self) -> Option<Bytes> {
        match self {
            Payload::Pinned(payload) => Some(payload.clone()),
            Payload::Evictable(payload) => payload.with(|bytes| bytes.clone()),
        }
    }

    fn is_evicted(&self) -> bool {
        match self {
            Payload::Pinned(_) => false,
            Payload::Evictable(payload) => payload.is_evicted(),
        }
    }
}

/// The responses whose further blocks one endpoint may request.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    /// In the order of their creation.
    snapshots: Vec<Snapshot>,
}

impl Snapshots {
    /// Keeps a response; `block` of it is sent now. The bytes of its payload are charged already.
    /// `readable_again`: it is the state of a resource. Otherwise it is the result of a request:
    /// then it replaces older results, as a client can only mean the last (§2.5), and is never
    /// evicted.
    #[expect(clippy::too_many_arguments, reason = "the parts of a snapshot")]
    pub(crate) fn keep(
        &mut self,
        now: Instant,
        key: Key,
        etag: ETag,
        readable_again: bool,
        whole: Response,
        block: &Response,
        account: &Account,
    ) {
        self.snapshots
            .retain(|one| one.key != key || (readable_again && one.etag != etag));
        self.remove_evicted();
        let of_this_key = |one: &Snapshot| one.key == key;
        while self.snapshots.iter().filter(|one| of_this_key(one)).count() >= MAX_PER_KEY {
            self.remove_least_recently_used(of_this_key);
        }
        if self.snapshots.len() >= MAX_SNAPSHOTS {
            self.drop_one();
        }
        let (bytes, payload) = (whole.payload.len(), whole.payload.clone());
        self.snapshots.push(Snapshot {
            key,
            etag,
            response: Response {
                payload: Bytes::new(),
                ..whole
            },
            payload: if readable_again {
                Payload::Evictable(account.keep_evictable(Kind::Snapshot, bytes, payload))
            } else {
                Payload::Pinned(payload)
            },
            last_served: range(block),
            last_used: now,
        });
    }

    /// The payload of the snapshot with this ETag, if it equals `payload`.
    pub(crate) fn payload(&self, key: Key, etag: ETag, payload: &Bytes) -> Option<Bytes> {
        let mut snapshots = self.snapshots.iter();
        let same = snapshots.find(|one| (one.key, one.etag) == (key, etag))?;
        same.payload.get().filter(|held| held == payload)
    }

    /// The requested block of a snapshot, or an error if its body ends before it. `None` if there
    /// is no snapshot of this key.
    pub(crate) fn serve(
        &mut self,
        now: Instant,
        key: Key,
        etags: &[ETag],
        block2: BlockRequest,
        largest_szx: u8,
    ) -> Option<Response> {
        self.remove_evicted();
        let snapshot = self.choose(key, etags, block2.offset())?;
        snapshot.last_used = now;
        let whole = Response {
            payload: snapshot.payload.get()?,
            ..snapshot.response.clone()
        };
        let block = block2.block_of(&whole, snapshot.etag, largest_szx);
        if let Some(block) = &block {
            snapshot.last_served = range(block);
        }
        Some(block.unwrap_or_else(past_the_end))
    }

    /// Finds the snapshot that the client is reading: the one with an ETag of the request; or the
    /// one of which it was last sent the block before, or this same block; or the newest.
    fn choose(&mut self, key: Key, etags: &[ETag], offset: usize) -> Option<&mut Snapshot> {
        let rank = |one: &Snapshot| {
            let continues = one.last_served.end == offset || one.last_served.start == offset;
            if etags.contains(&one.etag) {
                (0, None)
            } else if continues {
                // If that holds for two, it is reading the one used last.
                (1, Some(Reverse(one.last_used)))
            } else {
                (2, None)
            }
        };
        // Of equal ranks, `min_by_key` returns the first.
        let newest_first = self.snapshots.iter_mut().rev();
        newest_first
            .filter(|one| one.key == key)
            .min_by_key(|one| rank(one))
    }

    /// Drops the least recently used snapshot. Returns whether there was one.
    pub(crate) fn drop_one(&mut self) -> bool {
        self.remove_evicted();
        self.remove_least_recently_used(|_| true)
    }

    /// Removes snapshots whose payload was evicted.
    fn remove_evicted(&mut self) {
        self.snapshots.retain(|one| !one.payload.is_evicted());
    }

    fn remove_least_recently_used(&mut self, of: impl Fn(&Snapshot) -> bool) -> bool {
        let candidates = self.snapshots.iter().enumerate().filter(|(_, one)| of(one));
        let at = candidates
            .min_by_key(|(_, one)| one.last_used)
            .map(|(at, _)| at);
        at.map(|at| self.snapshots.remove(at)).is_some()
    }

    /// Drops snapshots that were unused for [`LIFETIME`].
    pub(crate) fn expire(&mut self, now: Instant) {
        self.snapshots.retain(|one| now < one.last_used + LIFETIME);
    }

    /// When [`expire`](Self::expire) is due next.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let last_used = self.snapshots.iter().map(|one| one.last_used).min();
        last_used.map(|last_used| last_used + LIFETIME)
    }

    /// Whether there is no snapshot.
    pub(crate) fn is_empty(&self) -> bool {
        self.snapshots.is_empty()
    }
}

/// The offsets of a block in its body.
fn range(block: &Response) -> Range<usize> {
    let begin = block.block2.map_or(0, Block::offset);
    begin..begin + block.payload.len()
}

#[cfg(test)]
mod tests;
