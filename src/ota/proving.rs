//! Whether what one device fetches is what the checksum names that the attributes of others name too.
//!
//! ```text
//!  the first to ask is a candidate ──▶ others ask ──▶ all of it is fetched ahead ──▶ proven: the others read it
//!        │                                │                     │
//!        └──(nobody else asks)──▶ it      │                     └──▶ wrong, or it does not come: the next of those
//!            reads as it likes            └─(30 s)─▶ 5.03            who wait are candidates, twice as many as before
//! ```
//!
//! A device's attributes are written by its tenant, and a checksum in them is a claim. So bytes that came with one
//! device's token are another's only once all of them were hashed to the SHA-256, SHA-384 or SHA-512 that the other's
//! attributes name. Who waits for that waits for somebody who may have lied, or who gets no answers. So candidates that
//! fail are none any more, and there are twice as many in each round: who has many devices that lie gains some rounds.

use super::assignment::Identity;
use super::cache::Key;
use super::calls::Urgency;
use super::edition::{EditionId, Proved};
use super::packages::{Packages, Stop};
use super::readers::ReaderId;
use super::waiters::Awaited;
use super::{Name, Refusal};
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is to be proven: a package's name, and what the attributes say of its content.
pub type Content = (Name, Identity);

/// How long a device waits for a proof before it is told to come again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Chunks that are fetched ahead for one proof.
const AHEAD: u64 = 3;
/// Chunks that are hashed in one call: with a large `ota.chunk`, each takes a millisecond.
const HASHED_PER_CALL: usize = 2;
/// Candidates at once, as a power of two.
const MOST_CANDIDATES: u32 = 6;
/// Contents that it is remembered of how often they failed.
const MOST_REMEMBERED: usize = 256;

/// All that may become proven.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    contents: HashMap<Arc<Content>, Proving>,
    /// Editions of which more can be hashed at once, and since when.
    unhashed: BTreeSet<EditionId>,
    since: Option<Instant>,
    /// When the first of those that wait has waited for too long.
    deadline: Option<Instant>,
}

/// One content that may become proven.
#[derive(Debug, Default)]
struct Proving {
    /// Whose edition, and with whose token it is fetched.
    candidates: Vec<(EditionId, ReaderId)>,
    /// How often all of them have failed.
    rounds: u32,
    /// Somebody else wants it.
    is_wanted: bool,
    deadline: Option<Instant>,
}

impl Packages {
    /// A device has nothing of its package yet. It goes on as a candidate, or as one that shares with nobody; or it
    /// waits for those who were here before.
    pub(super) fn lead_or_wait(
        &mut self,
        now: Instant,
        reader: ReaderId,
        id: EditionId,
    ) -> Result<(), Stop> {
        let Some(edition) = self.editions.get(id) else {
            return Ok(());
        };
        if edition.next_to_prove().is_none() || edition.is_salted() {
            return Ok(());
        }
        let content = Arc::new((edition.name.clone(), edition.identity.clone()));
        let contents = &mut self.proofs.contents;
        if !contents.contains_key(&content) && contents.len() >= MOST_REMEMBERED {
            contents.retain(|_, proving| !proving.candidates.is_empty());
        }
        let proving = contents.entry(content.clone()).or_default();
        if proving.candidates.iter().any(|(known, _)| *known == id) {
            return Ok(());
        }
        if proving.candidates.len() < 1 << proving.rounds.min(MOST_CANDIDATES) {
            proving.candidates.push((id, reader));
            return Ok(());
        }
        proving.is_wanted = true;
        let deadline = *proving.deadline.get_or_insert(now + LONGEST_WAIT);
        let earliest = self.proofs.deadline.get_or_insert(deadline);
        *earliest = deadline.min(*earliest);
        self.counters.waited_for_proof += 1;
        self.fetch_all(&content);
        match self.proofs.contents.get(&content) {
            Some(proving) if !proving.candidates.is_empty() => {
                Err(Stop::Waits(Awaited::Proof(content)))
            }
            Some(_) | None => Err(Stop::Refused(Refusal::Unavailable)),
        }
    }

    /// Whether an edition that nothing was fetched for has a proven one to give way to.
    pub(super) fn is_superseded(&self, id: EditionId) -> bool {
        self.editions.get(id).is_some_and(|edition| {
            edition.head().is_none()
                && edition.owner().is_some()
                && !edition.is_salted()
                && self
                    .editions
                    .proven(&edition.name, &edition.identity)
                    .is_some()
        })
    }

    /// Has the next chunks of all candidates fetched, if somebody waits for them.
    fn fetch_all(&mut self, content: &Content) {
        let Some(proving) = self.proofs.contents.get(content) else {
            return;
        };
        let candidates = match proving.is_wanted {
            true => proving.candidates.clone(),
            false => Vec::new(),
        };
        for (id, reader) in candidates {
            if !self.fetch_to_prove(id, reader) {
                self.no_candidate(id, Some(Refusal::Unavailable));
            }
        }
    }

    /// False if nothing is under way.
    fn fetch_to_prove(&mut self, id: EditionId, reader: ReaderId) -> bool {
        let mut goes_on = self.proofs.unhashed.contains(&id);
        let edition = self.editions.get(id);
        let Some((next, edition)) = edition.and_then(|e| Some((e.next_to_prove()?, e))) else {
            return false;
        };
        let name = edition.name.clone();
        // With the first chunk, before any other: so an edition always has something to compare.
        let ahead = if edition.head().is_some() { AHEAD } else { 1 };
        for number in next..next.saturating_add(ahead) {
            let start = number.saturating_mul(self.chunk);
            let edition = self.editions.get(id);
            let is_past = edition.and_then(|edition| edition.reaches(start)) == Some(false);
            if is_past && number > 0 {
                break;
            }
            let key = Key {
                edition: id,
                number,
            };
            if self.cache.peek(key).is_none() {
                goes_on |= self.flights.contains_key(&key)
                    || self.fetch(reader, &name, key, Urgency::Ahead);
            }
        }
        goes_on
    }

    /// Goes on with the checksum as far as there are chunks in order, some at a time.
    pub(super) fn go_on_proving(&mut self, id: EditionId) {
        self.proofs.unhashed.remove(&id);
        for _ in 0..HASHED_PER_CALL {
            let Some(bytes) = self.next_bytes(id) else {
                break;
            };
            let Some(edition) = self.editions.get_mut(id) else {
                break;
            };
            match edition.prove(&bytes) {
                Proved::SoFar => {}
                Proved::Whole => return self.proven(id),
                Proved::Wrong => return self.has_another_checksum(id),
            }
        }
        let Some(edition) = self.editions.get(id).filter(|e| e.owner().is_some()) else {
            return;
        };
        if edition.next_to_prove().is_none() {
            return self.no_candidate(id, None);
        }
        let content = (edition.name.clone(), edition.identity.clone());
        if self.next_bytes(id).is_some() {
            self.proofs.unhashed.insert(id);
        }
        self.fetch_all(&content);
    }

    fn next_bytes(&self, id: EditionId) -> Option<Bytes> {
        let edition = self.editions.get(id)?;
        let number = edition.next_to_prove()?;
        let start = number.saturating_mul(self.chunk);
        if edition.end().is_some_and(|end| end <= start) {
            return Some(Bytes::new());
        }
        let key = Key {
            edition: id,
            number,
        };
        self.cache.peek(key).cloned()
    }

    /// All of it was hashed to the checksum that its attributes name.
    fn proven(&mut self, id: EditionId) {
        let Some(edition) = self.editions.get(id) else {
            return;
        };
        let content = (edition.name.clone(), edition.identity.clone());
        self.proofs.contents.remove(&content);
        if self.editions.share(id) {
            self.counters.proven += 1;
            self.cache.share(id);
            self.end_surplus(id);
        } else {
            // Another was first. It is the same, byte for byte.
            self.end(id);
        }
        self.waiters.wake(&Awaited::Proof(Arc::new(content)));
    }

    /// The whole has another checksum than its attributes name. That is told by another ETag, once: what is its owner's
    /// is served to it all the same, as ThingsBoard does.
    fn has_another_checksum(&mut self, id: EditionId) {
        let Some(edition) = self.editions.get(id) else {
            return;
        };
        let candidates = self.candidates_of(id);
        let reader = candidates.iter().find(|(known, _)| *known == id);
        match (edition.is_salted(), reader) {
            (true, _) => self.no_candidate(id, None),
            (false, reader) => {
                let reader = reader.map_or_else(ReaderId::default, |(_, reader)| *reader);
                self.counters.wrong_checksums += 1;
                self.contradicted(id, reader);
            }
        }
    }

    fn candidates_of(&self, id: EditionId) -> Vec<(EditionId, ReaderId)> {
        let edition = self.editions.get(id);
        let content = edition.map(|edition| (edition.name.clone(), edition.identity.clone()));
        let proving = content.and_then(|content| self.proofs.contents.get(&content));
        proving.map_or_else(Vec::new, |proving| proving.candidates.clone())
    }

    /// A chunk of an edition has not come, or is not believed.
    pub(super) fn chunk_to_prove_lost(&mut self, id: EditionId, why: Option<Refusal>) {
        let edition = self.editions.get(id).filter(|e| e.owner().is_some());
        let content = edition.map(|edition| (edition.name.clone(), edition.identity.clone()));
        let proving = content.and_then(|content| self.proofs.contents.get(&content));
        if proving.is_some_and(|proving| proving.is_wanted) {
            self.no_candidate(id, why);
        }
    }

    /// An edition will not be proven, and stays its owner's. Once none is left of its round, those who wait are told
    /// why, or are the next candidates.
    pub(super) fn no_candidate(&mut self, id: EditionId, why: Option<Refusal>) {
        self.proofs.unhashed.remove(&id);
        let Some(edition) = self.editions.get(id).filter(|e| e.owner().is_some()) else {
            return;
        };
        let content = (edition.name.clone(), edition.identity.clone());
        let Some(proving) = self.proofs.contents.get_mut(&content) else {
            return;
        };
        let before = proving.candidates.len();
        proving.candidates.retain(|(known, _)| *known != id);
        if proving.candidates.len() == before {
            return;
        }
        if let Some(edition) = self.editions.get_mut(id) {
            edition.give_up_proof();
        }
        if !proving.candidates.is_empty() {
            return;
        }
        proving.rounds = proving.rounds.saturating_add(1);
        (proving.is_wanted, proving.deadline) = (false, None);
        let awaited = Awaited::Proof(Arc::new(content));
        match why {
            None => self.waiters.wake(&awaited),
            Some(why) => {
                for waiter in self.waiters.give_up(&awaited) {
                    self.refuse(waiter, why);
                }
            }
        }
    }

    /// When [`prove_what_is_due`](Self::prove_what_is_due) has something to do.
    pub(super) fn next_proof(&self) -> Option<Instant> {
        let unhashed = self
            .proofs
            .since
            .filter(|_| !self.proofs.unhashed.is_empty());
        [unhashed, self.proofs.deadline].into_iter().flatten().min()
    }

    /// Hashes more of what can be, and tells those who have waited for too long to come again.
    pub(super) fn prove_what_is_due(&mut self, now: Instant) {
        if let Some(id) = self.proofs.unhashed.first().copied() {
            self.go_on_proving(id);
        }
        if self.proofs.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        let mut late = Vec::new();
        for (content, proving) in &mut self.proofs.contents {
            if proving
                .deadline
                .take_if(|deadline| *deadline <= now)
                .is_some()
            {
                late.push(content.clone());
            }
        }
        let deadlines = self.proofs.contents.values().filter_map(|p| p.deadline);
        self.proofs.deadline = deadlines.min();
        for content in late {
            for waiter in self.waiters.give_up(&Awaited::Proof(content)) {
                self.refuse(waiter, Refusal::Unavailable);
            }
        }
    }

    /// The time of a call, at which what can be hashed can be hashed further.
    pub(super) fn note_time(&mut self, now: Instant) {
        self.proofs.since = Some(now);
    }
}
