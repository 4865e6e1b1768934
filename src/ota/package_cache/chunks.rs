//! Chunks: from ThingsBoard to the cache, and from there into blocks.
//!
//! ```text
//! queued ──▶ in flight ──▶ arrived ──▶ confirmed by a check: cached, and the waiting requests read it
//!                │            ├─────▶ discarded: the waiting requests start again
//!                │            └─────▶ recognised by its hash, if the edition is verified: cached without a check
//!                └──▶ rejected by ThingsBoard: the waiting requests start again, with their own devices' tokens
//! ```

use super::{PackageCache, Stop};
use crate::ota::calls::Priority;
use crate::ota::ids::{ChunkKey, DownloaderId, EditionId};
use crate::ota::pending_requests::{Awaited, PendingRequest};
use crate::ota::{Name, PackageBlock, PackageError, ReadRequest};
use crate::upstream::{Answer, Error, Operation};
use bytes::Bytes;
use std::time::Instant;

/// ThingsBoard counts bytes in 31 bits, so no package has a byte beyond that.
const LONGEST_PACKAGE: u64 = 1 << 31;

/// The bytes that a request is for, counted from the beginning of the package.
struct Span {
    /// Where the cut begins, if there is one.
    first: u64,
    from: u64,
    to: u64,
    /// Where the cut ends.
    end: u64,
}

impl Span {
    /// `None` if no package has these bytes.
    fn of(wanted: &ReadRequest, chunk: usize) -> Option<Span> {
        let (first, end) = match wanted.cut {
            Some(cut) if cut.size > 0 => {
                let first = cut.size.checked_mul(cut.chunk)?;
                (first, first.saturating_add(cut.size))
            }
            // To ThingsBoard a size of zero is no cut.
            Some(_) | None => (0, u64::MAX),
        };
        let from = first.checked_add(wanted.offset)?;
        let length = u64::try_from(wanted.length.min(chunk)).ok()?;
        let to = from.saturating_add(length).min(end);
        let exists = from < LONGEST_PACKAGE && (from < end || wanted.offset == 0);
        exists.then_some(Span {
            first,
            from,
            to,
            end,
        })
    }
}

impl PackageCache {
    /// Assembles a block from cached chunks, or requests the one that is missing.
    pub(super) fn assemble(
        &mut self,
        now: Instant,
        request: &mut PendingRequest,
        name: &Name,
        id: EditionId,
    ) -> Result<PackageBlock, Stop> {
        let past_the_end = Stop::Refused(PackageError::PastTheEnd);
        let span = Span::of(&request.wanted, self.settings.chunk).ok_or(past_the_end)?;
        if self
            .editions
            .get(id)
            .is_none_or(|edition| edition.head().is_none())
        {
            self.become_candidate_or_wait(now, request.downloader, id)?;
            return Err(self.request_chunk(request.downloader, name, id, 0));
        }
        // RFC 7959 §2.4: the blocks of one body have one ETag, so bytes of another edition are not used.
        if request.edition != Some(id) {
            request.edition = Some(id);
            request.gathered.clear();
        }
        let chunk = self.chunk_size;
        loop {
            let gathered = u64::try_from(request.gathered.len()).unwrap_or(u64::MAX);
            let position = span.from.saturating_add(gathered);
            let Some(edition) = self.editions.get_mut(id) else {
                return Err(Stop::Refused(PackageError::Unavailable));
            };
            let goes_on = edition.contains(position);
            let is_full = position >= span.to;
            if goes_on == Some(false) || (is_full && (goes_on.is_some() || position >= span.end)) {
                let Some(etag) = edition.etag() else {
                    return Err(self.request_chunk(request.downloader, name, id, 0));
                };
                let size = edition
                    .size()
                    .map(|size| size.min(span.end).saturating_sub(span.first));
                if request.gathered.is_empty() && request.wanted.offset > 0 {
                    return Err(Stop::Refused(PackageError::PastTheEnd));
                }
                return Ok(PackageBlock {
                    payload: Bytes::from(std::mem::take(&mut request.gathered)),
                    etag,
                    more: goes_on == Some(true) && position < span.end,
                    size,
                });
            }
            let number = position / chunk;
            let key = ChunkKey {
                edition: id,
                number,
            };
            // If it is not known whether the package goes on, the next chunk is fetched although none of it is read.
            let Some(bytes) = self.cache.get(key).filter(|_| !is_full) else {
                return Err(self.request_chunk(request.downloader, name, id, number));
            };
            let within = usize::try_from(position % chunk).unwrap_or(usize::MAX);
            let missing = usize::try_from(span.to - position).unwrap_or(usize::MAX);
            let end = within.saturating_add(missing).min(bytes.len());
            let Some(part) = bytes.get(within..end).filter(|part| !part.is_empty()) else {
                return Err(Stop::Refused(PackageError::MalformedAnswer));
            };
            request.gathered.extend_from_slice(part);
            if end * 2 > self.settings.chunk {
                self.prefetch(request.downloader, name, id, number + 1);
            }
        }
    }

    /// Fetches a chunk that a request waits for, unless it is on its way.
    fn request_chunk(
        &mut self,
        downloader: DownloaderId,
        name: &Name,
        edition: EditionId,
        number: u64,
    ) -> Stop {
        let key = ChunkKey { edition, number };
        if self.fetches.contains(key) {
            self.calls.prioritise(key);
        } else if !self.fetch(downloader, name, key, Priority::Requested) {
            self.counters.refused_no_room += 1;
            return Stop::Refused(PackageError::Unavailable);
        }
        Stop::Waits(Awaited::Chunk(key))
    }

    /// Fetches the chunk that the device will read next.
    fn prefetch(&mut self, downloader: DownloaderId, name: &Name, edition: EditionId, number: u64) {
        let key = ChunkKey { edition, number };
        let start = number.saturating_mul(self.chunk_size);
        let exists = self
            .editions
            .get(edition)
            .and_then(|edition| edition.contains(start));
        if exists == Some(false) || self.cache.peek(key).is_some() || self.fetches.contains(key) {
            return;
        }
        if self.fetch(downloader, name, key, Priority::Prefetch) {
            self.counters.chunks_prefetched += 1;
        }
    }

    /// Queues a call for a chunk. Returns false if there are too many.
    pub(super) fn fetch(
        &mut self,
        downloader: DownloaderId,
        name: &Name,
        key: ChunkKey,
        priority: Priority,
    ) -> bool {
        let Some(device) = self.device(downloader) else {
            return false;
        };
        if !self.fetches.insert(key, downloader, name.clone()) {
            return false;
        }
        let operation = name.chunk(self.chunk_size, key.number);
        self.calls.fetch(key, device, operation, priority);
        true
    }

    /// The call for a chunk has ended.
    pub(super) fn chunk_fetched(
        &mut self,
        now: Instant,
        key: ChunkKey,
        outcome: Result<Answer, Error>,
    ) {
        let Some(fetch) = self.fetches.get_mut(key) else {
            // Its edition has ended meanwhile.
            self.cache.release();
            return;
        };
        let (downloader, name) = (fetch.downloader, fetch.name.clone());
        match outcome {
            Ok(answer) if answer.body.len() <= self.settings.chunk => {
                self.counters.chunks += 1;
                let length = u64::try_from(answer.body.len()).unwrap_or(u64::MAX);
                self.counters.chunk_bytes += length;
                // A copy, because what was read from a connection may have spare capacity behind it.
                fetch.arrived = Some(Bytes::copy_from_slice(&answer.body));
                let edition = self.editions.get(key.edition);
                if edition.is_some_and(|edition| edition.owner().is_none()) {
                    return self.accept_chunk(key);
                }
                let arrived = self.next_event();
                let permit = self
                    .downloaders
                    .get_mut(downloader)
                    .and_then(|downloader| downloader.permit_or_add(&name));
                match permit {
                    Some(permit) => {
                        permit.unconfirmed.push((key, arrived));
                        self.start_check(now, downloader, &name, arrived);
                    }
                    None => self.fail_chunk(key, PackageError::Unavailable),
                }
            }
            Ok(_) => self.fail_chunk(key, PackageError::MalformedAnswer),
            Err(error) => match PackageError::of(&error) {
                Some(error) => {
                    self.discard_chunk(key);
                    self.check_refused(now, downloader, &name, error);
                }
                None => self.fail_chunk(key, PackageError::unanswered(&error)),
            },
        }
    }

    /// A chunk is confirmed: caches it, unless it contradicts its edition.
    pub(super) fn accept_chunk(&mut self, key: ChunkKey) {
        let fetch = self.fetches.get(key);
        let arrived = fetch.and_then(|fetch| Some((fetch.downloader, fetch.arrived.clone()?)));
        let (Some((downloader, bytes)), Some(edition)) =
            (arrived, self.editions.get_mut(key.edition))
        else {
            return self.discard_chunk(key);
        };
        if edition.add_chunk(key.number, &bytes).is_err() {
            if edition.owner().is_none() {
                self.discard_chunk(key);
            }
            return self.contradicted(key.edition, downloader);
        }
        let is_own = edition.is_of_one_device();
        self.fetches.remove(key);
        self.cache.insert(key, bytes, is_own);
        self.editions.recount(key.edition);
        self.end_surplus(key.edition);
        self.continue_verification(key.edition);
        self.pending.wake(&Awaited::Chunk(key));
    }

    /// A chunk was not confirmed, or ThingsBoard rejected the device that it was fetched for: the waiting requests start
    /// again.
    pub(super) fn discard_chunk(&mut self, key: ChunkKey) {
        if let Some(fetch) = self.fetches.remove(key) {
            self.counters.chunks_discarded += u64::from(fetch.arrived.is_some());
            self.cache.release();
            self.candidate_chunk_lost(key.edition, None);
        }
        self.pending.wake(&Awaited::Chunk(key));
    }

    /// A chunk can't be fetched now: the waiting requests are refused.
    pub(super) fn fail_chunk(&mut self, key: ChunkKey, error: PackageError) {
        if self.fetches.remove(key).is_some() {
            self.cache.release();
            self.candidate_chunk_lost(key.edition, Some(error));
        }
        self.refuse_waiting(&Awaited::Chunk(key), error);
    }
}

impl Name {
    /// The request for a chunk of this package.
    pub(super) fn chunk(&self, size: u64, chunk: u64) -> Operation {
        Operation::GetPackage {
            package: self.package,
            title: self.title.clone(),
            version: self.version.clone(),
            size: u32::try_from(size).unwrap_or(u32::MAX),
            chunk,
        }
    }
}
