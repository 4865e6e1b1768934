//! Assembles request bodies from blocks (RFC 7959 §2.5).
//!
//! ```text
//!            block 0, more follow         the next block, more follow
//!  (nothing) ─────────────────────▶ held ───────────────┐
//!                  2.31              ▲ │        2.31     │
//!                                    └─┼─────────────────┘
//!     ▲   the last block: the request  │
//!     ├────────────────────────────────┤
//!     │   too large (4.13), no memory (5.03), unused for LIFETIME, evicted
//!     └────────────────────────────────┘
//! ```
//!
//! Block 0 starts a body again, whatever is held. A block that is held already is answered with
//! 2.31 again, if its bytes are the same; any other block out of sequence is answered with 4.08 and
//! changes nothing.

use super::block::Block;
use super::body::{Account, Charge, Key, LIFETIME};
use super::evictable::{Evictable, Kind};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;

/// Concurrent uploads of one endpoint, distinguished by resource and Request-Tag. Beyond it the
/// least recently used one is dropped.
const MAX_UPLOADS: usize = 4;
/// Bytes first allocated for a body.
const FIRST_CAPACITY: usize = 1024;

/// One block of a body, as one message carries it.
#[derive(Debug)]
pub(crate) struct UploadBlock {
    /// The body it belongs to.
    pub key: Key,
    /// Its place in the body.
    pub block: Block,
    /// Size1: the size of the whole body in bytes, if the client says so.
    pub size1: Option<u32>,
    /// The bytes of the block.
    pub payload: Bytes,
}

/// The state of a body after a block was accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The block is held, and more must follow.
    Continue,
    /// It was the last block; this is the whole body.
    Complete(Bytes),
}

/// Why a block is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UploadError {
    /// The payload does not have the length of the block.
    Malformed,
    /// The block does not follow the held bytes.
    Incomplete,
    /// The body is larger than allowed. It is dropped.
    TooLarge,
    /// There is no memory left for it. The body is dropped.
    NoRoom,
}

#[derive(Debug)]
struct Upload {
    key: Key,
    partial: Evictable<PartialBody>,
    last_used: Instant,
}

/// The blocks received so far.
#[derive(Debug)]
struct PartialBody {
    body: Vec<u8>,
    /// For the capacity of `body`.
    charge: Charge,
}

/// The uploads of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    uploads: Vec<Upload>,
}

impl Uploads {
    /// Adds a block to a body of `largest` bytes at most. `make_room` evicts something else so that
    /// the charge may become that many bytes, and returns whether it could.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        part: UploadBlock,
        largest: usize,
        account: &Arc<Account>,
        make_room: impl FnMut(&Charge, usize) -> bool,
    ) -> Result<Progress, UploadError> {
        let (block, length) = (part.block, part.payload.len());
        // Only the last block may be short.
        if length > block.size() || (block.more() && length < block.size()) {
            return Err(UploadError::Malformed);
        }
        if block.num() == 0 {
            // §2.5: an unfinished body is overwritten; the client may have restarted.
            self.remove(part.key);
            // §4: an estimate, which says nothing of a body that is whole.
            let size1 = part.size1.filter(|_| block.more());
            let announced = size1.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
            if announced.unwrap_or(length).max(length) > largest {
                return Err(UploadError::TooLarge);
            }
            if !block.more() {
                return Ok(Progress::Complete(part.payload));
            }
            self.start(now, part.key, account);
        }
        let mut uploads = self.uploads.iter_mut();
        let upload = uploads.find(|upload| upload.key == part.key);
        let upload = upload.ok_or(UploadError::Incomplete)?;
        match upload.receive(now, &part, largest, make_room) {
            Ok(()) if block.more() => Ok(Progress::Continue),
            Ok(()) => {
                let whole = self
                    .remove(part.key)
                    .and_then(|upload| upload.partial.take());
                let whole = whole.ok_or(UploadError::Incomplete)?;
                Ok(Progress::Complete(whole.into_bytes()))
            }
            Err(error) => {
                if matches!(error, UploadError::TooLarge | UploadError::NoRoom) {
                    self.remove(part.key);
                }
                Err(error)
            }
        }
    }

    fn start(&mut self, now: Instant, key: Key, account: &Arc<Account>) {
        if self.uploads.len() >= MAX_UPLOADS {
            let least_recently_used = self.uploads.iter().min_by_key(|upload| upload.last_used);
            if let Some(key) = least_recently_used.map(|upload| upload.key) {
                self.remove(key);
            }
        }
        let partial = PartialBody {
            body: Vec::new(),
            charge: account.new_charge(),
        };
        self.uploads.push(Upload {
            key,
            partial: account.keep_evictable(Kind::Upload, 0, partial),
            last_used: now,
        });
    }

    fn remove(&mut self, key: Key) -> Option<Upload> {
        let at = self.uploads.iter().position(|upload| upload.key == key)?;
        Some(self.uploads.swap_remove(at))
    }

    /// Drops uploads that were unused for [`LIFETIME`]. Returns how many.
    pub(crate) fn expire(&mut self, now: Instant) -> u64 {
        let expired = |upload: &Upload| upload.last_used + LIFETIME <= now;
        let number = self.uploads.iter().map(|one| u64::from(expired(one))).sum();
        self.uploads.retain(|upload| !expired(upload));
        number
    }

    /// When [`expire`](Self::expire) is due next.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let last_used = self.uploads.iter().map(|upload| upload.last_used).min();
        last_used.map(|last_used| last_used + LIFETIME)
    }

    /// Whether no upload is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.uploads.is_empty()
    }
}

impl Upload {
    fn receive(
        &mut self,
        now: Instant,
        part: &UploadBlock,
        largest: usize,
        make_room: impl FnMut(&Charge, usize) -> bool,
    ) -> Result<(), UploadError> {
        let taken = self.partial.with(|partial| {
            partial.receive(part, largest, make_room)?;
            Ok(partial.body.capacity())
        });
        // It may have been evicted since the last block.
        let bytes = taken.ok_or(UploadError::Incomplete)??;
        self.partial.set_bytes(bytes);
        self.last_used = now;
        Ok(())
    }
}

impl PartialBody {
    fn receive(
        &mut self,
        part: &UploadBlock,
        largest: usize,
        make_room: impl FnMut(&Charge, usize) -> bool,
    ) -> Result<(), UploadError> {
        // In bytes, because the block size may shrink during the transfer (§2.5), and NUM grows
        // with it.
        let begin = part.block.offset();
        let end = begin.saturating_add(part.payload.len());
        if begin == self.body.len() {
            if end > largest {
                return Err(UploadError::TooLarge);
            }
            if !self.reserve(end, largest, make_room) {
                return Err(UploadError::NoRoom);
            }
            self.body.extend_from_slice(&part.payload);
        } else {
            // If its 2.31 was lost, the client may send the same block as a new request.
            let held = self.body.get(begin..end);
            if !part.block.more() || held.is_none_or(|held| held != part.payload) {
                return Err(UploadError::Incomplete);
            }
        }
        Ok(())
    }

    /// Reserves and charges memory so that the body can have `length` bytes.
    fn reserve(
        &mut self,
        length: usize,
        largest: usize,
        mut make_room: impl FnMut(&Charge, usize) -> bool,
    ) -> bool {
        let capacity = self.body.capacity();
        if length <= capacity {
            return true;
        }
        // Doubles the capacity, so that the body is not copied for every block; or takes just
        // enough.
        let ample = capacity.saturating_mul(2).max(FIRST_CAPACITY);
        let ample = ample.min(largest).max(length);
        let granted = loop {
            if let Some(granted) = [ample, length]
                .into_iter()
                .find(|bytes| self.charge.resize(*bytes))
            {
                break granted;
            }
            if !make_room(&self.charge, length) {
                return false;
            }
        };
        self.body.reserve_exact(granted - self.body.len());
        true
    }

    fn into_bytes(mut self) -> Bytes {
        self.body.shrink_to_fit();
        // Shrinking always succeeds.
        let _ = self.charge.resize(self.body.len());
        self.charge.attach_to(self.body)
    }
}

#[cfg(test)]
mod tests;
