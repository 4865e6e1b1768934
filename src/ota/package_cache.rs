//! The cache as a whole: requests of devices in, calls to ThingsBoard and answers out.
//!
//! The fields belong to this module and its children; each child has the steps of one subject: [`checks`] (may the device
//! have it?), [`chunks`] (from ThingsBoard to the cache and into blocks), [`contents`] (editions that are added, contradicted
//! and ended) and [`verification`] (the checksum of a whole).

mod checks;
mod chunks;
mod contents;
mod verification;

use super::assignment_change::AssignmentChange;
use super::calls::{CallPurpose, Calls};
use super::chunk_cache::ChunkCache;
use super::downloaders::Downloaders;
use super::editions::Editions;
use super::fetches::Fetches;
use super::ids::{CallId, DownloaderId, EditionId, RequestId};
use super::pending_requests::{Awaited, PendingRequest, PendingRequests};
use super::settings::Settings;
use super::{Counters, Name, PackageBlock, PackageEffect, PackageError, ReadRequest};
use crate::device::Device;
use crate::upstream::{Answer, Error};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use verification::Verifications;

/// The packages of all devices.
#[derive(Debug)]
pub(crate) struct PackageCache {
    settings: Settings,
    /// `ota.chunk`, in the type of positions in packages.
    chunk_size: u64,
    downloaders: Downloaders,
    editions: Editions,
    cache: ChunkCache,
    fetches: Fetches,
    verifications: Verifications,
    calls: Calls,
    pending: PendingRequests,
    random: fastrand::Rng,
    counters: Counters,
    last_event: u64,
    effects: VecDeque<PackageEffect>,
}

/// Why a request can't be answered with a block now.
#[derive(Debug)]
enum Stop {
    Refused(PackageError),
    Waits(Awaited),
}

impl PackageCache {
    /// `seed` should be random.
    pub(crate) fn new(settings: Settings, seed: u64) -> PackageCache {
        let chunk_size = u64::try_from(settings.chunk).unwrap_or(u64::MAX);
        PackageCache {
            settings,
            chunk_size,
            downloaders: Downloaders::default(),
            editions: Editions::new(chunk_size),
            cache: ChunkCache::new(settings.cache, settings.chunk),
            fetches: Fetches::default(),
            verifications: Verifications::default(),
            calls: Calls::default(),
            pending: PendingRequests::default(),
            random: fastrand::Rng::with_seed(seed),
            counters: Counters::default(),
            last_event: 0,
            effects: VecDeque::new(),
        }
    }

    /// A device requests a block. The answer is an effect: now if all of it is cached, later otherwise. `group`: the devices
    /// that it shares unverified bytes with.
    pub(crate) fn read(
        &mut self,
        now: Instant,
        device: &Arc<Device>,
        group: Option<&Arc<str>>,
        wanted: ReadRequest,
        id: RequestId,
    ) {
        let package = wanted.package;
        let downloader = self.downloaders.find_or_add(now, device, group, package);
        let before = self.counters.blocks;
        self.try_answer(now, id, PendingRequest::new(downloader, wanted));
        self.counters.blocks_from_cache += self.counters.blocks - before;
        self.run(now);
    }

    /// A call to ThingsBoard has ended.
    pub(crate) fn completed(&mut self, now: Instant, call: CallId, outcome: Result<Answer, Error>) {
        match self.calls.end(call) {
            Some(CallPurpose::Assignment(downloader)) => {
                self.assignment_read(now, downloader, outcome);
            }
            Some(CallPurpose::Probe(downloader, name, check)) => {
                self.probe_ended(now, downloader, &name, check, outcome);
            }
            Some(CallPurpose::Chunk(key)) => self.chunk_fetched(now, key, outcome),
            None => return,
        }
        self.run(now);
    }

    /// Attributes of a device were seen to change: its assignment, and what it may have, is read again before the device is
    /// served.
    pub(crate) fn attributes_changed(
        &mut self,
        now: Instant,
        device: &Device,
        change: AssignmentChange,
    ) {
        for package in change.packages() {
            if let Some(id) = self.downloaders.find(&device.name, package) {
                self.counters.assignments_seen_to_change += 1;
                let event = self.next_event();
                let downloader = self.downloaders.get_mut(id);
                if downloader.is_some_and(|downloader| downloader.attributes_changed(event)) {
                    self.read_attributes(id);
                }
            }
        }
        self.run(now);
    }

    /// What is to be done next.
    pub(crate) fn poll_effect(&mut self) -> Option<PackageEffect> {
        self.effects.pop_front()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.downloaders.remove_expired(now);
        if self.next_verification().is_some_and(|at| at <= now) {
            self.handle_verification_timeout(now);
            self.run(now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let times = [self.downloaders.next_timeout(), self.next_verification()];
        times.into_iter().flatten().min()
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes of chunks that are cached, or that room is reserved for: never more than `ota.cache`.
    pub(crate) fn cached_bytes(&self) -> usize {
        self.cache.load()
    }

    /// Bytes of them that only one device may have.
    pub(crate) fn own_bytes(&self) -> usize {
        self.cache.own_bytes()
    }

    /// Devices that something is known of, counted once for firmware and once for software.
    pub(crate) fn downloaders(&self) -> usize {
        self.downloaders.count()
    }

    pub(crate) fn editions(&self) -> usize {
        self.editions.count()
    }

    /// Requests of devices that wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.pending.count()
    }

    /// Calls to ThingsBoard in flight: never more than [`Settings::CONNECTIONS`].
    pub(crate) fn calls_in_flight(&self) -> usize {
        self.calls.in_flight()
    }

    /// Asserts that no call is in flight, no request waits, and nothing is kept for either.
    #[cfg(test)]
    pub(super) fn assert_at_rest(&self) {
        assert_eq!((self.calls.in_flight(), self.calls.queued()), (0, 0));
        assert_eq!((self.pending.count(), self.pending.queues()), (0, 0));
        self.fetches.assert_empty();
        assert_eq!(self.cache.reserved(), 0);
    }

    /// The number of an event: the smaller of two numbers happened first, even at the same time.
    fn next_event(&mut self) -> u64 {
        self.last_event += 1;
        self.last_event
    }

    /// Answers every request that can go on, then begins the calls that can begin. Only these make room in the cache, so a
    /// chunk that has arrived stays until every request that waited for it has read it.
    fn run(&mut self, now: Instant) {
        self.note_time(now);
        while let Some((id, request)) = self.pending.pop_woken() {
            self.try_answer(now, id, request);
        }
        while let Some((effect, evicted)) = self.calls.begin(&mut self.cache) {
            self.counters.chunks_evicted += u64::try_from(evicted).unwrap_or(u64::MAX);
            self.effects.push_back(effect);
        }
    }

    /// Answers a request, or lets it wait.
    fn try_answer(&mut self, now: Instant, id: RequestId, mut request: PendingRequest) {
        match self.block(now, &mut request) {
            Ok(block) => {
                self.counters.blocks += 1;
                self.effects.push_back(PackageEffect::Answer(id, Ok(block)));
            }
            Err(Stop::Refused(error)) => self.refuse(id, error),
            Err(Stop::Waits(awaited)) => {
                if request.has_waited_too_often() {
                    self.refuse(id, PackageError::Unavailable);
                } else if !self.pending.wait(id, request, awaited) {
                    self.counters.refused_no_room += 1;
                    self.refuse(id, PackageError::Unavailable);
                }
            }
        }
    }

    /// The steps of one request, from the first to the one that lacks something: see the diagram of [`ota`](super).
    fn block(&mut self, now: Instant, request: &mut PendingRequest) -> Result<PackageBlock, Stop> {
        let name = self.package_name(now, request)?;
        let mut edition = self.edition_for(now, request, &name)?;
        if self.is_superseded(edition) {
            self.end_edition(edition);
            edition = self.edition_for(now, request, &name)?;
        }
        self.assemble(now, request, &name, edition)
    }

    fn edition_for(
        &mut self,
        now: Instant,
        request: &PendingRequest,
        name: &Name,
    ) -> Result<EditionId, Stop> {
        match self.permitted_edition(now, request.downloader, name) {
            // The device has named no package, so it is its attributes that are outdated.
            Err(Stop::Refused(PackageError::OtherPackage)) if request.wanted.names_nothing() => {
                Err(Stop::Refused(PackageError::Unavailable))
            }
            outcome => outcome,
        }
    }

    fn refuse(&mut self, id: RequestId, error: PackageError) {
        self.counters.refused += 1;
        let effect = PackageEffect::Answer(id, Err(error));
        self.effects.push_back(effect);
    }

    /// Refuses all requests that wait for this.
    fn refuse_waiting(&mut self, awaited: &Awaited, error: PackageError) {
        for id in self.pending.remove_waiting(awaited) {
            self.refuse(id, error);
        }
    }

    /// The token that chunks are fetched with.
    fn device(&self, id: DownloaderId) -> Option<Arc<Device>> {
        let downloader = self.downloaders.get(id)?;
        Some(downloader.device.clone())
    }
}

impl ReadRequest {
    fn names_nothing(&self) -> bool {
        self.title.is_none() && self.version.is_none()
    }
}
