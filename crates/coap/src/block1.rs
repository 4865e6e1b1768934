//! Bodies that come in blocks (RFC 7959 §2.5): each is put together, and handed on once.
//!
//! ```text
//!            block 0, more to come        the next block, more to come
//!  (nothing) ─────────────────────▶ held ───────────────┐
//!                  2.31              ▲ │        2.31     │
//!                                    └─┼─────────────────┘
//!     ▲   the last block: the request  │
//!     ├────────────────────────────────┤
//!     │   too large (4.13), no room (5.03), untouched for LIFETIME, given up for others
//!     └────────────────────────────────┘
//! ```
//!
//! A block 0 begins a body anew, whatever is held. One that is held already is told to go on again,
//! if it is the same; anything else out of sequence is 4.08 and changes nothing.

use super::block::Block;
use super::body::{Account, Charge, Key, LIFETIME};
use super::evictable::{Evictable, Kind};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;

/// Bodies one endpoint may send at the same time, told apart by resource or Request-Tag. Beyond it
/// the one untouched for longest makes room.
const MAX_UPLOADS: usize = 4;
/// Bytes first taken to a body.
const FIRST_CAPACITY: usize = 1024;

/// One message's part of a body.
#[derive(Debug)]
pub struct UploadBlock {
    /// Which body.
    pub key: Key,
    /// Which block of it.
    pub block: Block,
    /// How large the body will be, if the client says so.
    pub size1: Option<u32>,
    /// The block.
    pub payload: Bytes,
}

/// What a part comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// Held: more must follow.
    Continue,
    /// It was the last: the body.
    Complete(Bytes),
}

/// Why a part is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadError {
    /// Its payload is not as long as its block.
    Malformed,
    /// It does not follow what is held.
    Incomplete,
    /// The body would be larger than it may be. Nothing of it is held any more.
    TooLarge,
    /// So many bytes can't be held now. Nothing of the body is held any more.
    NoRoom,
}

#[derive(Debug)]
struct Upload {
    key: Key,
    partial: Evictable<PartialBody>,
    last_used: Instant,
}

/// What has come of a body.
#[derive(Debug)]
struct PartialBody {
    body: Vec<u8>,
    /// For the capacity of `body`.
    charge: Charge,
}

/// The bodies one endpoint is sending.
#[derive(Debug, Default)]
pub struct Uploads {
    uploads: Vec<Upload>,
}

impl Uploads {
    /// Takes a part of a body of `largest` bytes at most. `make_room` gives up something else, so that the
    /// charge may become so many bytes, and returns whether there was anything.
    pub(super) fn receive(
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
            // §2.5: what is under way is overwritten; its client may have restarted.
            self.remove(part.key);
            let announced = part.size1.and_then(|size| usize::try_from(size).ok());
            if announced.unwrap_or(length).max(length) > largest {
                return Err(UploadError::TooLarge);
            }
            if !block.more() {
                return Ok(Progress::Complete(part.payload));
            }
            self.begin(now, part.key, account);
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
            Err(refusal) => {
                if matches!(refusal, UploadError::TooLarge | UploadError::NoRoom) {
                    self.remove(part.key);
                }
                Err(refusal)
            }
        }
    }

    fn begin(&mut self, now: Instant, key: Key, account: &Arc<Account>) {
        if self.uploads.len() >= MAX_UPLOADS {
            let longest_untouched = self.uploads.iter().min_by_key(|upload| upload.last_used);
            if let Some(key) = longest_untouched.map(|upload| upload.key) {
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

    /// Forgets what nobody went on with for [`LIFETIME`]. Returns how many bodies that were.
    pub fn expire(&mut self, now: Instant) -> u64 {
        let expired = |upload: &Upload| upload.last_used + LIFETIME <= now;
        let number = self.uploads.iter().map(|one| u64::from(expired(one))).sum();
        self.uploads.retain(|upload| !expired(upload));
        number
    }

    /// When [`expire`](Self::expire) has something next.
    pub fn next_timeout(&self) -> Option<Instant> {
        let last_used = self.uploads.iter().map(|upload| upload.last_used).min();
        last_used.map(|last_used| last_used + LIFETIME)
    }

    /// Whether no body is under way.
    pub fn is_empty(&self) -> bool {
        self.uploads.is_empty()
    }
}

impl Upload {
    /// Takes a part, be it the last or not.
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
        // It may have been given up for others since the last part came.
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
        // In bytes: the size of blocks may shrink on the way (§2.5), and NUM grows with it.
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
            // Its 2.31 was lost, and the client has made a new request of it: then it is the same.
            let held = self.body.get(begin..end);
            if !part.block.more() || held.is_none_or(|held| held != part.payload) {
                return Err(UploadError::Incomplete);
            }
        }
        Ok(())
    }

    /// Sees to it that the body can have `length` bytes, and that they are charged.
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
        // Twice as much each time, so that a body is not copied for every block; or just enough.
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
        // Fewer always fit.
        let _ = self.charge.resize(self.body.len());
        self.charge.attach_to(self.body)
    }
}

#[cfg(test)]
mod tests;
