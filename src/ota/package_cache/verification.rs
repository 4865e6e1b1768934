//! Verification: whether what one device fetches has the checksum that the attributes of others name too.
//!
//! ```text
//!  the first device to read is a candidate ──▶ others read ──▶ all of it is prefetched ──▶ verified: the others read it
//!        │                                          │                    │
//!        └──(no other device reads)──▶ it           │                    └──▶ mismatch, or no chunks: the next of those
//!            reads as it likes                      └─(30 s)─▶ 5.03           that wait are candidates, twice as many
//! ```
//!
//! A device's attributes are written by its tenant, and a checksum in them is a claim. So bytes that were fetched with one
//! device's token are served to another only once all of them were hashed to the SHA-256, SHA-384 or SHA-512 that the other's
//! attributes name. Requests that wait for that may wait for a device whose attributes are wrong, or that gets no answers. So a
//! candidate that fails is none any more, and each round has twice as many: many devices with wrong attributes delay the
//! others by a few rounds only.

use super::{PackageCache, Stop};
use crate::ota::PackageError;
use crate::ota::assignment::Content;
use crate::ota::calls::Priority;
use crate::ota::edition::Verification;
use crate::ota::ids::{ChunkKey, DownloaderId, EditionId};
use crate::ota::pending_requests::Awaited;
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a request waits for a verification before it is refused with 5.03.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Chunks that are prefetched for one candidate.
const AHEAD: u64 = 3;
/// Chunks that are hashed in one call: with a large `ota.chunk`, each takes a millisecond.
const HASHED_PER_CALL: usize = 2;
/// Candidates at once, as a power of two.
const MAX_CANDIDATES: u32 = 6;
/// Contents whose failed rounds are remembered.
const MAX_REMEMBERED: usize = 256;

/// All contents that are being verified.
#[derive(Debug, Default)]
pub(super) struct Verifications {
    contents: HashMap<Arc<Content>, Candidates>,
    /// Editions with cached chunks that are to be hashed next.
    unhashed: BTreeSet<EditionId>,
    /// The time of the last call, from which on more can be hashed.
    hash_at: Option<Instant>,
    /// When the first of the waiting requests has waited for too long.
    deadline: Option<Instant>,
}

/// The candidates for one content.
#[derive(Debug, Default)]
struct Candidates {
    /// Their editions, and the devices whose tokens fetch them.
    editions: Vec<(EditionId, DownloaderId)>,
    /// How often all of them have failed.
    rounds: u32,
    /// Whether another device waits for them.
    is_awaited: bool,
    deadline: Option<Instant>,
}

impl PackageCache {
    /// A device requests a package of which its edition has nothing yet. It goes on as a candidate, or because its edition
    /// can't be verified; or it waits for the present candidates.
    pub(super) fn become_candidate_or_wait(
        &mut self,
        now: Instant,
        downloader: DownloaderId,
        id: EditionId,
    ) -> Result<(), Stop> {
        let Some(edition) = self.editions.get(id) else {
            return Ok(());
        };
        if edition.next_to_verify().is_none() || edition.was_contradicted() {
            return Ok(());
        }
        let content = Arc::new((edition.name.clone(), edition.identity.clone()));
        let contents = &mut self.verifications.contents;
        if !contents.contains_key(&content) && contents.len() >= MAX_REMEMBERED {
            contents.retain(|_, candidates| !candidates.editions.is_empty());
        }
        let candidates = contents.entry(content.clone()).or_default();
        if candidates.editions.iter().any(|(known, _)| *known == id) {
            return Ok(());
        }
        if candidates.editions.len() < 1 << candidates.rounds.min(MAX_CANDIDATES) {
            candidates.editions.push((id, downloader));
            return Ok(());
        }
        candidates.is_awaited = true;
        let deadline = *candidates.deadline.get_or_insert(now + LONGEST_WAIT);
        let earliest = self.verifications.deadline.get_or_insert(deadline);
        *earliest = deadline.min(*earliest);
        self.counters.waited_for_verification += 1;
        self.fetch_for_candidates(&content);
        match self.verifications.contents.get(&content) {
            Some(candidates) if !candidates.editions.is_empty() => {
                Err(Stop::Waits(Awaited::Verification(content)))
            }
            Some(_) | None => Err(Stop::Refused(PackageError::Unavailable)),
        }
    }

    /// Whether an edition of which nothing was fetched can be replaced by a verified one.
    pub(super) fn is_superseded(&self, id: EditionId) -> bool {
        self.editions.get(id).is_some_and(|edition| {
            edition.head().is_none()
                && edition.owner().is_some()
                && !edition.was_contradicted()
                && self
                    .editions
                    .verified(&edition.name, &edition.identity)
                    .is_some()
        })
    }

    /// Prefetches the next chunks of all candidates, if requests wait for them.
    fn fetch_for_candidates(&mut self, content: &Content) {
        let Some(candidates) = self.verifications.contents.get(content) else {
            return;
        };
        let editions = match candidates.is_awaited {
            true => candidates.editions.clone(),
            false => Vec::new(),
        };
        for (id, downloader) in editions {
            if !self.fetch_for_verification(id, downloader) {
                self.remove_candidate(id, Some(PackageError::Unavailable));
            }
        }
    }

    /// Returns false if the verification of this edition can't go on.
    fn fetch_for_verification(&mut self, id: EditionId, downloader: DownloaderId) -> bool {
        let mut goes_on = self.verifications.unhashed.contains(&id);
        let edition = self.editions.get(id);
        let Some((next, edition)) = edition.and_then(|e| Some((e.next_to_verify()?, e))) else {
            return false;
        };
        let name = edition.name.clone();
        // The first chunk is fetched before any other, so that an edition always has something to compare.
        let ahead = if edition.head().is_some() { AHEAD } else { 1 };
        for number in next..next.saturating_add(ahead) {
            let start = number.saturating_mul(self.chunk_size);
            let edition = self.editions.get(id);
            let is_past = edition.and_then(|edition| edition.contains(start)) == Some(false);
            if is_past && number > 0 {
                break;
            }
            let key = ChunkKey {
                edition: id,
                number,
            };
            if self.cache.peek(key).is_none() {
                goes_on |= self.fetches.contains(key)
                    || self.fetch(downloader, &name, key, Priority::Prefetch);
            }
        }
        goes_on
    }

    /// Hashes the next chunks in order that are cached, some at a time.
    pub(super) fn continue_verification(&mut self, id: EditionId) {
        self.verifications.unhashed.remove(&id);
        for _ in 0..HASHED_PER_CALL {
            let Some(bytes) = self.next_to_hash(id) else {
                break;
            };
            let Some(edition) = self.editions.get_mut(id) else {
                break;
            };
            match edition.verify_next(&bytes) {
                Verification::Incomplete => {}
                Verification::Match => return self.verified(id),
                Verification::Mismatch => return self.checksum_mismatch(id),
            }
        }
        let Some(edition) = self.editions.get(id).filter(|e| e.owner().is_some()) else {
            return;
        };
        if edition.next_to_verify().is_none() {
            return self.remove_candidate(id, None);
        }
        let content = (edition.name.clone(), edition.identity.clone());
        if self.next_to_hash(id).is_some() {
            self.verifications.unhashed.insert(id);
        }
        self.fetch_for_candidates(&content);
    }

    fn next_to_hash(&self, id: EditionId) -> Option<Bytes> {
        let edition = self.editions.get(id)?;
        let number = edition.next_to_verify()?;
        let start = number.saturating_mul(self.chunk_size);
        if edition.end().is_some_and(|end| end <= start) {
            return Some(Bytes::new());
        }
        let key = ChunkKey {
            edition: id,
            number,
        };
        self.cache.peek(key).cloned()
    }

    /// The whole has the checksum that the attributes name: shares the edition.
    fn verified(&mut self, id: EditionId) {
        let Some(edition) = self.editions.get(id) else {
            return;
        };
        let content = (edition.name.clone(), edition.identity.clone());
        self.verifications.contents.remove(&content);
        if self.editions.share(id) {
            self.counters.verified += 1;
            self.cache.share(id);
            self.end_surplus(id);
        } else {
            // Another edition was verified first. It is the same, byte for byte.
            self.end_edition(id);
        }
        self.pending.wake(&Awaited::Verification(Arc::new(content)));
    }

    /// The whole has another checksum than the attributes name. The owner is shown that once, by another ETag, and is served
    /// the package all the same, as ThingsBoard does.
    fn checksum_mismatch(&mut self, id: EditionId) {
        let Some(edition) = self.editions.get(id) else {
            return;
        };
        let candidates = self.candidates_of(id);
        let downloader = candidates.iter().find(|(known, _)| *known == id);
        match (edition.was_contradicted(), downloader) {
            (true, _) => self.remove_candidate(id, None),
            (false, downloader) => {
                let downloader =
                    downloader.map_or_else(DownloaderId::default, |(_, downloader)| *downloader);
                self.counters.wrong_checksums += 1;
                self.contradicted(id, downloader);
            }
        }
    }

    /// All candidates for the content of this edition.
    fn candidates_of(&self, id: EditionId) -> Vec<(EditionId, DownloaderId)> {
        let edition = self.editions.get(id);
        let content = edition.map(|edition| (edition.name.clone(), edition.identity.clone()));
        let candidates = content.and_then(|content| self.verifications.contents.get(&content));
        candidates.map_or_else(Vec::new, |candidates| candidates.editions.clone())
    }

    /// A chunk of an edition could not be fetched, or was discarded: if requests wait for it, it is no candidate any more.
    pub(super) fn candidate_chunk_lost(&mut self, id: EditionId, error: Option<PackageError>) {
        let edition = self.editions.get(id).filter(|e| e.owner().is_some());
        let content = edition.map(|edition| (edition.name.clone(), edition.identity.clone()));
        let candidates = content.and_then(|content| self.verifications.contents.get(&content));
        if candidates.is_some_and(|candidates| candidates.is_awaited) {
            self.remove_candidate(id, error);
        }
    }

    /// An edition will not be verified, and stays its owner's. If it was the last of its round, the waiting requests are
    /// refused with this error, or become the next candidates.
    pub(super) fn remove_candidate(&mut self, id: EditionId, error: Option<PackageError>) {
        self.verifications.unhashed.remove(&id);
        let Some(edition) = self.editions.get(id).filter(|e| e.owner().is_some()) else {
            return;
        };
        let content = (edition.name.clone(), edition.identity.clone());
        let Some(candidates) = self.verifications.contents.get_mut(&content) else {
            return;
        };
        let before = candidates.editions.len();
        candidates.editions.retain(|(known, _)| *known != id);
        if candidates.editions.len() == before {
            return;
        }
        if let Some(edition) = self.editions.get_mut(id) {
            edition.give_up_verification();
        }
        if !candidates.editions.is_empty() {
            return;
        }
        candidates.rounds = candidates.rounds.saturating_add(1);
        (candidates.is_awaited, candidates.deadline) = (false, None);
        let awaited = Awaited::Verification(Arc::new(content));
        match error {
            None => self.pending.wake(&awaited),
            Some(error) => self.refuse_waiting(&awaited, error),
        }
    }

    /// When [`handle_verification_timeout`](Self::handle_verification_timeout) has something to do.
    pub(super) fn next_verification(&self) -> Option<Instant> {
        let unhashed = self
            .verifications
            .hash_at
            .filter(|_| !self.verifications.unhashed.is_empty());
        [unhashed, self.verifications.deadline]
            .into_iter()
            .flatten()
            .min()
    }

    /// Hashes more chunks, and refuses the requests that have waited for too long.
    pub(super) fn handle_verification_timeout(&mut self, now: Instant) {
        if let Some(id) = self.verifications.unhashed.first().copied() {
            self.continue_verification(id);
        }
        let deadline = self.verifications.deadline;
        if deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        let mut late = Vec::new();
        for (content, candidates) in &mut self.verifications.contents {
            if candidates
                .deadline
                .take_if(|deadline| *deadline <= now)
                .is_some()
            {
                late.push(content.clone());
            }
        }
        let contents = self.verifications.contents.values();
        self.verifications.deadline = contents.filter_map(|content| content.deadline).min();
        for content in late {
            self.refuse_waiting(&Awaited::Verification(content), PackageError::Unavailable);
        }
    }

    /// The time of a call: hashing may go on at once.
    pub(super) fn note_time(&mut self, now: Instant) {
        self.verifications.hash_at = Some(now);
    }
}
