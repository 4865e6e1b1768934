//! Chunks: from the cache to devices, and from ThingsBoard to the cache.
//!
//! ```text
//! wanted ──▶ asked for ──▶ came ──▶ confirmed: in the cache, and those who waited read it
//!                 │          ├────▶ disowned: they begin again
//!                 │          └────▶ recognised: one of a proven package needs no confirmation
//!                 └──▶ refused: they begin again, with tokens of their own
//! ```

use super::assignment::Identity;
use super::cache::Key;
use super::calls::Urgency;
use super::edition::{EditionId, Owner};
use super::packages::{Packages, Stop};
use super::readers::ReaderId;
use super::waiters::{Awaited, Waiter};
use super::{Block, Name, Refusal, Wanted};
use crate::upstream::{Answer, Error, Operation};
use bytes::Bytes;
use std::time::Instant;

/// Chunks that are under way or wait for it.
pub(super) const MOST_FLIGHTS: usize = 4096;
/// The same under one device's token: a download has a few, whatever number of sessions asks for places far apart.
pub(super) const MOST_OF_ONE: usize = 64;
/// ThingsBoard counts bytes in 31 bits; what begins beyond that is in no package.
const LONGEST_PACKAGE: u64 = 1 << 31;

/// A chunk on its way.
#[derive(Debug)]
pub(super) struct Flight {
    /// With whose token.
    reader: ReaderId,
    name: Name,
    /// It has come, and is not yet confirmed.
    came: Option<Bytes>,
}

/// The bytes a device wants, counted from the beginning of the package.
struct Span {
    /// Of the cut, if there is one.
    first: u64,
    from: u64,
    to: u64,
    /// The end of the cut.
    end: u64,
}

impl Span {
    /// Nothing for what no package has.
    fn of(wanted: &Wanted, chunk: usize) -> Option<Span> {
        let (first, end) = match wanted.cut {
            Some(cut) if cut.size > 0 => {
                let first = cut.size.checked_mul(cut.chunk)?;
                (first, first.saturating_add(cut.size))
            }
            // As ThingsBoard has it, a size of zero is no cut.
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

impl Packages {
    /// Puts a block together, or says what is missing.
    pub(super) fn collect(
        &mut self,
        now: Instant,
        waiter: &mut Waiter,
        name: &Name,
        id: EditionId,
    ) -> Result<Block, Stop> {
        let past_the_end = Stop::Refused(Refusal::PastTheEnd);
        let span = Span::of(&waiter.wanted, self.settings.chunk).ok_or(past_the_end)?;
        if self
            .editions
            .get(id)
            .is_none_or(|edition| edition.head().is_none())
        {
            self.lead_or_wait(now, waiter.reader, id)?;
            return Err(self.want(waiter.reader, name, id, 0));
        }
        // RFC 7959 §2.4: blocks of one body have one ETag; what was gathered from another edition is of no use.
        if waiter.edition != Some(id) {
            waiter.edition = Some(id);
            waiter.gathered.clear();
        }
        let chunk = self.chunk;
        loop {
            let gathered = u64::try_from(waiter.gathered.len()).unwrap_or(u64::MAX);
            let position = span.from.saturating_add(gathered);
            let Some(edition) = self.editions.get_mut(id) else {
                return Err(Stop::Refused(Refusal::Unavailable));
            };
            let reaches = edition.reaches(position);
            let full = position >= span.to;
            if reaches == Some(false) || (full && (reaches.is_some() || position >= span.end)) {
                let Some(etag) = edition.etag() else {
                    return Err(self.want(waiter.reader, name, id, 0));
                };
                let size = edition
                    .size()
                    .map(|size| size.min(span.end).saturating_sub(span.first));
                if waiter.gathered.is_empty() && waiter.wanted.offset > 0 {
                    return Err(Stop::Refused(Refusal::PastTheEnd));
                }
                return Ok(Block {
                    payload: Bytes::from(std::mem::take(&mut waiter.gathered)),
                    etag,
                    more: reaches == Some(true) && position < span.end,
                    size,
                });
            }
            let number = position / chunk;
            let key = Key {
                edition: id,
                number,
            };
            // A chunk that is not known to be there is fetched even if it is not to be read: there may be more.
            let Some(bytes) = self.cache.get(key).filter(|_| !full) else {
                return Err(self.want(waiter.reader, name, id, number));
            };
            let within = usize::try_from(position % chunk).unwrap_or(usize::MAX);
            let missing = usize::try_from(span.to - position).unwrap_or(usize::MAX);
            let end = within.saturating_add(missing).min(bytes.len());
            let Some(part) = bytes.get(within..end).filter(|part| !part.is_empty()) else {
                return Err(Stop::Refused(Refusal::Nonsense));
            };
            waiter.gathered.extend_from_slice(part);
            if end * 2 > self.settings.chunk {
                self.want_ahead(waiter.reader, name, id, number + 1);
            }
        }
    }

    /// Has a chunk fetched that a device waits for.
    fn want(&mut self, reader: ReaderId, name: &Name, edition: EditionId, number: u64) -> Stop {
        let key = Key { edition, number };
        if self.flights.contains_key(&key) {
            self.calls.hurry(key);
        } else if !self.fetch(reader, name, key, Urgency::Wanted) {
            self.counters.refused_for_want_of_room += 1;
            return Stop::Refused(Refusal::Unavailable);
        }
        Stop::Waits(Awaited::Chunk(key))
    }

    /// Has a chunk fetched that the device will want next.
    fn want_ahead(&mut self, reader: ReaderId, name: &Name, edition: EditionId, number: u64) {
        let key = Key { edition, number };
        let start = number.saturating_mul(self.chunk);
        let known = self
            .editions
            .get(edition)
            .and_then(|edition| edition.reaches(start));
        if known == Some(false) || self.cache.peek(key).is_some() || self.flights.contains_key(&key)
        {
            return;
        }
        if self.fetch(reader, name, key, Urgency::Ahead) {
            self.counters.chunks_ahead += 1;
        }
    }

    pub(super) fn fetch(
        &mut self,
        reader: ReaderId,
        name: &Name,
        key: Key,
        urgency: Urgency,
    ) -> bool {
        let device = self.readers.get(reader).map(|reader| reader.device.clone());
        let Some(device) = device.filter(|_| self.fetching.take(reader).is_ok()) else {
            return false;
        };
        let flight = Flight {
            reader,
            name: name.clone(),
            came: None,
        };
        self.flights.insert(key, flight);
        let operation = name.chunk(self.chunk, key.number);
        self.calls.fetch(key, device, operation, urgency);
        true
    }

    /// A chunk is on its way no more.
    fn end_flight(&mut self, key: Key) -> Option<Flight> {
        let flight = self.flights.remove(&key)?;
        self.fetching.release(&flight.reader);
        Some(flight)
    }

    /// A chunk has come to its end, one way or the other.
    pub(super) fn chunk_came(&mut self, now: Instant, key: Key, outcome: Result<Answer, Error>) {
        let Some(flight) = self.flights.get_mut(&key) else {
            // Its edition has ended meanwhile.
            self.cache.release();
            return;
        };
        let (reader, name) = (flight.reader, flight.name.clone());
        match outcome {
            Ok(answer) if answer.body.len() <= self.settings.chunk => {
                self.counters.chunks += 1;
                let length = u64::try_from(answer.body.len()).unwrap_or(u64::MAX);
                self.counters.chunk_bytes += length;
                // A copy has no spare room behind it, as what was read from a connection may have.
                flight.came = Some(Bytes::copy_from_slice(&answer.body));
                let edition = self.editions.get(key.edition);
                if edition.is_some_and(|edition| edition.owner().is_none()) {
                    return self.accept(key);
                }
                let arrived = self.next_event();
                let permit = self
                    .readers
                    .get_mut(reader)
                    .and_then(|reader| reader.permit_or_add(&name));
                match permit {
                    Some(permit) => {
                        permit.unconfirmed.push((key, arrived));
                        self.check(now, reader, &name, arrived);
                    }
                    None => self.fail(key, Refusal::Unavailable),
                }
            }
            Ok(_) => self.fail(key, Refusal::Nonsense),
            Err(error) => match Refusal::of(&error) {
                Some(why) => {
                    self.disown(key);
                    self.refused(now, reader, &name, why);
                }
                None => self.fail(key, Refusal::for_want_of_an_answer(&error)),
            },
        }
    }

    /// A chunk is what it should be.
    pub(super) fn accept(&mut self, key: Key) {
        let flight = self.flights.get(&key);
        let came = flight.and_then(|flight| Some((flight.reader, flight.came.clone()?)));
        let (Some((reader, bytes)), Some(edition)) = (came, self.editions.get_mut(key.edition))
        else {
            return self.disown(key);
        };
        if edition.take(key.number, &bytes).is_err() {
            if edition.owner().is_none() {
                self.disown(key);
            }
            return self.contradicted(key.edition, reader);
        }
        let is_own = edition.is_of_one_reader();
        self.end_flight(key);
        self.cache.insert(key, bytes, is_own);
        self.editions.recount(key.edition);
        self.end_surplus(key.edition);
        self.go_on_proving(key.edition);
        self.waiters.wake(&Awaited::Chunk(key));
    }

    /// A chunk that came is not believed, or one was refused: who waited for it begins again.
    pub(super) fn disown(&mut self, key: Key) {
        if let Some(flight) = self.end_flight(key) {
            self.counters.chunks_disowned += u64::from(flight.came.is_some());
            self.cache.release();
            self.chunk_to_prove_lost(key.edition, None);
        }
        self.waiters.wake(&Awaited::Chunk(key));
    }

    /// A chunk will not come now: who waited for it is told so.
    pub(super) fn fail(&mut self, key: Key, why: Refusal) {
        if self.end_flight(key).is_some() {
            self.cache.release();
            self.chunk_to_prove_lost(key.edition, Some(why));
        }
        for id in self.waiters.give_up(&Awaited::Chunk(key)) {
            self.refuse(id, why);
        }
    }

    /// A new edition. Those that were not used for longest give way if there are too many.
    pub(super) fn add_edition(
        &mut self,
        owner: Owner,
        name: Name,
        identity: Identity,
        salt: u64,
    ) -> EditionId {
        let id = self.editions.add(owner, name, identity, salt);
        self.end_surplus(id);
        id
    }

    pub(super) fn end_surplus(&mut self, keep: EditionId) {
        while let Some(surplus) = self.editions.surplus(keep) {
            self.counters.editions_displaced += 1;
            self.end(surplus);
        }
    }

    /// ThingsBoard has shown another content, under the same name and identity, with the token of this reader. What
    /// its owner has is dropped, and what follows gets another ETag. What is proven stays for the others, and this
    /// owner has its own from now on: by no claim can it take their bytes away, or change them.
    pub(super) fn contradicted(&mut self, id: EditionId, reader: ReaderId) {
        let Some(edition) = self.editions.get(id) else {
            return;
        };
        self.counters.contradictions += 1;
        let (name, identity) = (edition.name.clone(), edition.identity.clone());
        let owner = edition.owner().cloned();
        if owner.is_some() {
            self.end(id);
        }
        let Some(owner) = owner.or_else(|| self.readers.owner(reader)) else {
            return;
        };
        if self.editions.owned(&owner, &name, &identity).is_none() {
            let salt = self.random.u64(1..);
            self.add_edition(owner, name.clone(), identity, salt);
        }
        // What it was allowed is not what it has.
        if let Some(permit) = self.readers.permit(reader, &name) {
            permit.lapse();
        }
    }

    pub(super) fn end(&mut self, id: EditionId) {
        self.no_candidate(id, None);
        self.editions.remove(id);
        self.cache.remove_edition(id);
        let keys: Vec<Key> = self
            .flights
            .keys()
            .filter(|key| key.edition == id)
            .copied()
            .collect();
        for key in keys {
            let flight = self.end_flight(key);
            let came = flight.is_some_and(|flight| flight.came.is_some());
            // One that is under way gives its room back when it comes.
            if !self.calls.withdraw(key) && came {
                self.cache.release();
            }
            self.waiters.wake(&Awaited::Chunk(key));
        }
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
