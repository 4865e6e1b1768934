//! The whole: requests of devices in, requests to ThingsBoard and answers out.

use super::cache::{Cache, Key};
use super::calls::{CallId, Calls, Purpose};
use super::chunks::{Flight, MOST_FLIGHTS, MOST_OF_ONE};
use super::edition::EditionId;
use super::editions::Editions;
use super::proving::Proofs;
use super::readers::{ReaderId, Readers};
use super::waiters::{Awaited, Waiter, Waiters};
use super::{Block, Counters, Effect, Name, Refusal, WaiterId, Wanted};
use crate::device::Device;
use crate::ota::Settings;
use crate::upstream::{Answer, Error};
use shares::Counts;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// All packages of all devices.
#[derive(Debug)]
pub struct Packages {
    pub(super) settings: Settings,
    /// `ota.chunk`, as positions in packages are counted.
    pub(super) chunk: u64,
    pub(super) readers: Readers,
    pub(super) editions: Editions,
    pub(super) cache: Cache,
    pub(super) flights: HashMap<Key, Flight>,
    /// With whose token they are fetched.
    pub(super) fetching: Counts<ReaderId>,
    pub(super) proofs: Proofs,
    pub(super) calls: Calls,
    pub(super) waiters: Waiters,
    pub(super) random: fastrand::Rng,
    pub(super) counters: Counters,
    last_event: u64,
    effects: VecDeque<Effect>,
}

/// Why a request goes no further now.
#[derive(Debug)]
pub(super) enum Stop {
    Refused(Refusal),
    Waits(Awaited),
}

impl Packages {
    /// Nothing yet. `seed` should be random.
    pub fn new(settings: Settings, seed: u64) -> Packages {
        let chunk = u64::try_from(settings.chunk).unwrap_or(u64::MAX);
        Packages {
            settings,
            chunk,
            readers: Readers::default(),
            editions: Editions::new(chunk),
            cache: Cache::new(settings.cache, settings.chunk),
            flights: HashMap::new(),
            fetching: Counts::new(MOST_FLIGHTS, MOST_OF_ONE),
            proofs: Proofs::default(),
            calls: Calls::default(),
            waiters: Waiters::default(),
            random: fastrand::Rng::with_seed(seed),
            counters: Counters::default(),
            last_event: 0,
            effects: VecDeque::new(),
        }
    }

    /// A device wants to read. The answer is an effect: now if all is there, later otherwise. `group`: with whom it
    /// shares bytes that are not proven.
    pub fn read(
        &mut self,
        now: Instant,
        device: &Arc<Device>,
        group: Option<&Arc<str>>,
        wanted: Wanted,
        id: WaiterId,
    ) {
        let reader = self.readers.find_or_add(now, device, group, wanted.package);
        let before = self.counters.blocks;
        self.go(now, id, Waiter::new(reader, wanted));
        self.counters.blocks_at_once += self.counters.blocks - before;
        self.go_on(now);
    }

    /// A request to ThingsBoard has come to its end.
    pub fn completed(&mut self, now: Instant, call: CallId, outcome: Result<Answer, Error>) {
        match self.calls.end(call) {
            Some(Purpose::Assignment(reader)) => self.assignment_read(now, reader, outcome),
            Some(Purpose::Probe(reader, name, check)) => {
                self.probed(now, reader, &name, check, outcome);
            }
            Some(Purpose::Chunk(key)) => self.chunk_came(now, key, outcome),
            None => return,
        }
        self.go_on(now);
    }

    /// What is to be done next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.readers.forget_idle(now);
        if self.next_proof().is_some_and(|at| at <= now) {
            self.prove_what_is_due(now);
            self.go_on(now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted.
    pub fn next_timeout(&self) -> Option<Instant> {
        let times = [self.readers.next_timeout(), self.next_proof()];
        times.into_iter().flatten().min()
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes of packages that are kept, or that room is made for: never more than `ota.cache`.
    pub fn cached_bytes(&self) -> usize {
        self.cache.load()
    }

    /// Bytes of them that are for one device alone.
    pub fn own_bytes(&self) -> usize {
        self.cache.own_bytes()
    }

    /// Devices, counted once for each kind of package, that something is known of.
    pub fn readers(&self) -> usize {
        self.readers.count()
    }

    /// Editions that are kept in mind.
    pub fn editions(&self) -> usize {
        self.editions.count()
    }

    /// Requests of devices that wait.
    pub fn waiting(&self) -> usize {
        self.waiters.count()
    }

    /// Requests to ThingsBoard under way: never more than [`Settings::CONNECTIONS`].
    pub fn under_way(&self) -> usize {
        self.calls.under_way()
    }

    /// Nothing is under way, nobody waits, and nothing is kept for either.
    #[cfg(test)]
    pub(super) fn assert_at_rest(&self) {
        assert_eq!((self.calls.under_way(), self.calls.waiting()), (0, 0));
        assert_eq!((self.waiters.count(), self.waiters.queues()), (0, 0));
        assert!(self.flights.is_empty(), "{:?}", self.flights);
        assert_eq!(self.fetching.count(), 0);
        assert_eq!(self.cache.reserved(), 0);
    }

    /// Counts up: what has the smaller number happened first, also within one moment.
    pub(super) fn next_event(&mut self) -> u64 {
        self.last_event += 1;
        self.last_event
    }

    /// Has every request that may go on do so, and then begins what can be begun. Only that makes room in the
    /// cache, so a chunk that has come stays until all who waited for it have read it.
    pub(super) fn go_on(&mut self, now: Instant) {
        self.note_time(now);
        while let Some((id, waiter)) = self.waiters.pop_woken() {
            self.go(now, id, waiter);
        }
        while let Some((effect, displaced)) = self.calls.begin(&mut self.cache) {
            self.counters.chunks_displaced += u64::try_from(displaced).unwrap_or(u64::MAX);
            self.effects.push_back(effect);
        }
    }

    /// One request goes as far as it gets.
    fn go(&mut self, now: Instant, id: WaiterId, mut waiter: Waiter) {
        match self.walk(now, &mut waiter) {
            Ok(block) => {
                self.counters.blocks += 1;
                self.effects.push_back(Effect::Answer(id, Ok(block)));
            }
            Err(Stop::Refused(why)) => self.refuse(id, why),
            Err(Stop::Waits(awaited)) => {
                if waiter.is_tired() {
                    self.refuse(id, Refusal::Unavailable);
                } else if !self.waiters.wait(id, waiter, awaited) {
                    self.counters.refused_for_want_of_room += 1;
                    self.refuse(id, Refusal::Unavailable);
                }
            }
        }
    }

    /// The walk of one request, from its beginning to what is missing.
    fn walk(&mut self, now: Instant, waiter: &mut Waiter) -> Result<Block, Stop> {
        let name = self.name(now, waiter)?;
        let mut edition = self.edition_for(now, waiter, &name)?;
        if self.is_superseded(edition) {
            self.end(edition);
            edition = self.edition_for(now, waiter, &name)?;
        }
        self.collect(now, waiter, &name, edition)
    }

    fn edition_for(
        &mut self,
        now: Instant,
        waiter: &Waiter,
        name: &Name,
    ) -> Result<EditionId, Stop> {
        match self.permitted(now, waiter.reader, name) {
            // The device has named nothing: it is the attributes that lag behind.
            Err(Stop::Refused(Refusal::OtherPackage)) if waiter.wanted.names_nothing() => {
                Err(Stop::Refused(Refusal::Unavailable))
            }
            outcome => outcome,
        }
    }

    /// The attributes of this device, of this kind, were seen to change.
    pub(super) fn assignment_changed(&mut self, id: ReaderId) {
        let event = self.next_event();
        let reader = self.readers.get_mut(id);
        if reader.is_some_and(|reader| reader.attributes_changed(event)) {
            self.read_attributes(id);
        }
    }

    pub(super) fn refuse(&mut self, id: WaiterId, why: Refusal) {
        self.counters.refused += 1;
        self.effects.push_back(Effect::Answer(id, Err(why)));
    }
}

impl Wanted {
    fn names_nothing(&self) -> bool {
        self.title.is_none() && self.version.is_none()
    }
}
