//! Responses that go out in blocks (RFC 7959 §2.4): a block is cut from a response, and the response
//! is kept for the blocks that will be asked for.
//!
//! What is kept is a *snapshot*: it does not change when its resource does, so that all blocks a
//! client puts together are of one body. Their ETag says so.

use super::block::Block;
use super::body::{Account, ETag, Key, LIFETIME};
use super::code::Code;
use super::evictable::{Evictable, Kind};
use super::request::Response;
use bytes::Bytes;
use std::cmp::Reverse;
use std::ops::Range;
use std::time::Instant;

/// Snapshots of one resource: a client may go on with the one it is reading though a notification
/// has brought a newer one.
const MAX_PER_KEY: usize = 2;
/// Snapshots of one endpoint. Beyond either number the one untouched for longest makes room.
const MAX_SNAPSHOTS: usize = 8;

/// Which block of a response a client wants, and what else it wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRequest {
    /// The block, if it says so: M means nothing.
    pub block: Option<Block>,
    /// Whether it asks for the size of the body.
    pub size2: bool,
}

impl BlockRequest {
    fn offset(self) -> usize {
        self.block.map_or(0, Block::offset)
    }

    /// The size of the blocks that are sent: the client's or `largest_szx`, whichever is smaller (§2.4).
    pub fn szx(self, largest_szx: u8) -> u8 {
        self.block
            .map_or(largest_szx, |block| block.szx().min(largest_szx))
    }

    /// Cuts the wanted block from a whole response. Nothing if the body ends before it.
    pub fn cut(self, whole: &Response, etag: ETag, largest_szx: u8) -> Option<Response> {
        let (length, begin) = (whole.payload.len(), self.offset());
        if begin > 0 && begin >= length {
            return None;
        }
        let szx = self.szx(largest_szx);
        let end = begin.saturating_add(Block::size_of(szx)).min(length);
        let alone = begin == 0 && end == length;
        // Who does not ask is told once, to find room for all of it.
        let told_size = self.size2 || (begin == 0 && !alone);
        Some(Response {
            etag: (!alone).then_some(etag).or(whole.etag),
            block2: Some(Block::at(begin, end < length, szx)?),
            size2: told_size.then_some(u32::try_from(length).ok()?),
            payload: whole.payload.slice(begin..end),
            ..whole.clone()
        })
    }
}

/// The answer to who asks for what lies behind the end of a body.
pub fn past_the_end() -> Response {
    Response::error(Code::BAD_REQUEST, "the body ends before this block")
}

#[derive(Debug)]
struct Snapshot {
    key: Key,
    etag: ETag,
    /// Without its payload.
    response: Response,
    payload: Payload,
    /// What was served last, as offsets into the body.
    served: Range<usize>,
    last_used: Instant,
}

#[derive(Debug)]
enum Payload {
    /// What a request has brought about: it can't be read again.
    Pinned(Bytes),
    /// What a resource has.
    Evictable(Evictable<Bytes>),
}

impl Payload {
    /// The payload, unless it was given up.
    fn get(&self) -> Option<Bytes> {
        match self {
            Payload::Pinned(payload) => Some(payload.clone()),
            Payload::Evictable(kept) => kept.with(|payload| payload.clone()),
        }
    }

    fn is_evicted(&self) -> bool {
        match self {
            Payload::Pinned(_) => false,
            Payload::Evictable(kept) => kept.is_evicted(),
        }
    }
}

/// The responses one endpoint may ask for further blocks of.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// The newest last.
    snapshots: Vec<Snapshot>,
}

impl Snapshots {
    /// Keeps a response of which `block` is sent now. The bytes of its payload are charged already.
    /// `content`: it is what a resource had at a time. Of what requests have brought about, a client
    /// can only mean the last (§2.5), and it is not given up for others.
    #[expect(clippy::too_many_arguments, reason = "all that a snapshot is")]
    pub(super) fn keep(
        &mut self,
        now: Instant,
        key: Key,
        etag: ETag,
        content: bool,
        whole: Response,
        block: &Response,
        account: &Account,
    ) {
        self.snapshots
            .retain(|one| one.key != key || (content && one.etag != etag));
        self.remove_evicted();
        let of_this_key = |one: &Snapshot| one.key == key;
        while self.snapshots.iter().filter(|one| of_this_key(one)).count() >= MAX_PER_KEY {
            self.remove_least_recently_used(of_this_key);
        }
        if self.snapshots.len() >= MAX_SNAPSHOTS {
            self.evict_one();
        }
        let (bytes, payload) = (whole.payload.len(), whole.payload.clone());
        self.snapshots.push(Snapshot {
            key,
            etag,
            response: Response {
                payload: Bytes::new(),
                ..whole
            },
            payload: if content {
                Payload::Evictable(account.keep_evictable(Kind::Snapshot, bytes, payload))
            } else {
                Payload::Pinned(payload)
            },
            served: range(block),
            last_used: now,
        });
    }

    /// The payload of the snapshot with this tag, if it is the same.
    pub fn payload(&self, key: Key, etag: ETag, payload: &Bytes) -> Option<Bytes> {
        let mut snapshots = self.snapshots.iter();
        let same = snapshots.find(|one| (one.key, one.etag) == (key, etag))?;
        same.payload.get().filter(|held| held == payload)
    }

    /// Serves a block of a snapshot, or says that its body ends before it. Nothing if there is no
    /// snapshot of this key.
    pub fn serve(
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
        let block = block2.cut(&whole, snapshot.etag, largest_szx);
        if let Some(block) = &block {
            snapshot.served = range(block);
        }
        Some(block.unwrap_or_else(past_the_end))
    }

    /// Which of a resource's snapshots a client is reading: the one whose tag it names; or the one it
    /// was served the block before of, or this same block, which was lost; or the newest.
    fn choose(&mut self, key: Key, etags: &[ETag], offset: usize) -> Option<&mut Snapshot> {
        let rank = |one: &Snapshot| {
            let goes_on = one.served.end == offset || one.served.start == offset;
            if etags.contains(&one.etag) {
                (0, None)
            } else if goes_on {
                // Should that be so of two, it is reading the one it asked for last.
                (1, Some(Reverse(one.last_used)))
            } else {
                (2, None)
            }
        };
        // Of equals this is the first.
        let newest_first = self.snapshots.iter_mut().rev();
        newest_first
            .filter(|one| one.key == key)
            .min_by_key(|one| rank(one))
    }

    /// Gives up the snapshot untouched for longest. Returns whether there was one.
    pub fn evict_one(&mut self) -> bool {
        self.remove_evicted();
        self.remove_least_recently_used(|_| true)
    }

    /// Lets go of what was given up for others.
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

    /// Forgets what nobody asked for since [`LIFETIME`].
    pub fn expire(&mut self, now: Instant) {
        self.snapshots.retain(|one| now < one.last_used + LIFETIME);
    }

    /// When [`expire`](Self::expire) has something next.
    pub fn next_timeout(&self) -> Option<Instant> {
        let last_used = self.snapshots.iter().map(|one| one.last_used).min();
        last_used.map(|last_used| last_used + LIFETIME)
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.snapshots.is_empty()
    }
}

/// Where in the body a block lies.
fn range(block: &Response) -> Range<usize> {
    let begin = block.block2.map_or(0, Block::offset);
    begin..begin + block.payload.len()
}

#[cfg(test)]
mod tests;
