//! Starts handshakes for pending hellos, as places become free.

use super::Endpoint;
use crate::dtls::admission::{Hello, PendingHello};
use crate::dtls::dtls13::Dtls13;
use crate::dtls::dtls13::cookie::LIFETIME;
use crate::dtls::dtls13::engine::Engine;
use crate::dtls::dtls13::hello::StatelessHello;
use crate::dtls::handshakes::{Candidate, HandshakeId};
use crate::dtls::path::Path;
use crate::dtls::record::{self, alert};
use crate::dtls::{Event, HandshakeFailure};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Hosts that are checked for a place in one call; the others are next.
const HOSTS_PER_CALL: usize = 64;
/// Handshakes that start in one turn of the loop: together they take about a millisecond.
const STARTS_PER_TURN: usize = 8;
/// How often to try again if nothing else happens: places also become free by time alone.
const RETRY: Duration = Duration::from_millis(50);
/// A handshake that has taken this long has probably stalled.
const STALLED: Duration = Duration::from_secs(5);

/// A place among the half-open handshakes.
enum Place {
    Free,
    /// After this handshake is evicted.
    Of(HandshakeId),
}

impl<T> Endpoint<T> {
    /// Starts handshakes for pending hellos while there are places, at most [`STARTS_PER_TURN`] in one turn of the loop.
    /// Each takes as long as hundreds of hellos, and delays the datagrams of sessions. With a bound of one, each datagram
    /// of a returning fleet would be handled in a turn of its own, at the cost of as many system calls. Nothing else limits
    /// how many start: an idle loop turns again at once.
    pub(super) fn start_pending(&mut self, now: Instant) {
        self.has_free_place = false;
        let mut started = 0;
        while started < STARTS_PER_TURN
            && let Some(place) = self.find_place(now)
            && let Some(pending) = self.admission.pending.pop()
        {
            self.start(now, pending, place);
            started += 1;
        }
        let expired = self.admission.pending.take_expired();
        self.counters.pending_expired += expired;
        let is_done = started == 0 && expired == 0;
        let next = if is_done { now + RETRY } else { now };
        self.admission.next_start = (self.admission.pending.len() > 0).then_some(next);
    }

    /// A place for the next pending hello. Sources that can't have one now are skipped. The last places are reserved for
    /// higher priorities: unregistered clients that take all they can get and stall would free theirs in waves.
    fn find_place(&mut self, now: Instant) -> Option<Place> {
        self.admission.pending.peek(now)?;
        let (held, places) = (
            self.handshakes.proven_by_source.count(),
            self.places_for_proven(),
        );
        for _ in 0..self.admission.pending.hosts().min(HOSTS_PER_CALL) {
            let (priority, host) = self.admission.pending.peek(now)?;
            if !self.admission.address_limit.is_exhausted(now, host) {
                if held < places - places / 10 * priority.tenths_reserved() {
                    return Some(Place::Free);
                }
                if let Some(id) = self.handshake_to_evict(now, host) {
                    return Some(Place::Of(id));
                }
            }
            self.admission.pending.skip();
        }
        None
    }

    /// Makes a place free. Whether it is.
    fn free_place(&mut self, place: Place) -> bool {
        if let Place::Of(id) = place {
            self.counters.proven_evicted += 1;
            self.remove_handshake(id);
        }
        self.half_open() < self.parameters.handshakes || self.evict_oldest_unproven()
    }

    /// Starts a handshake whose client has proven its address.
    fn start(&mut self, now: Instant, pending: PendingHello, place: Place) {
        let PendingHello {
            path,
            random,
            hello,
            ..
        } = pending;
        let dtls13 = self.settings.dtls13.as_ref();
        let supported = dtls13.map(|dtls13| dtls13.supported.clone());
        // The number of our first record, if it is an alert.
        let sequence = match (&hello, &supported) {
            (Hello::Dtls12(hello), _) => Some(hello.record_sequence),
            (Hello::Dtls13(datagram), Some(supported)) => {
                let hello = StatelessHello::parse(datagram, supported);
                hello.map(|hello| hello.sequence.into())
            }
            (Hello::Dtls13(_), None) => None,
        };
        let Some(sequence) = sequence else {
            // The settings have changed since it came. The client will repeat it.
            self.counters.pending_expired += 1;
            return;
        };
        if self.has_begun(now, path, &random) {
            // From fragments of the same hello.
            self.counters.without_effect += 1;
            return;
        }
        if self.known(now, path, &random).is_full {
            return self.reject_sessions_full(now, path, &random, sequence);
        }
        // The complete hello supersedes a handshake that may have begun with its fragments.
        if let Some(id) = self.index.unproven(path, &random) {
            self.remove_handshake(id);
        }
        if !self.free_place(place) {
            self.counters.half_open_full += 1;
            return;
        }
        self.admission.address_limit.count(now, path.remote.ip());
        match hello {
            Hello::Dtls12(hello) => self.start12(now, path, random, &hello),
            Hello::Dtls13(datagram) => self.start13(now, path, random, &datagram),
        }
    }

    fn start13(&mut self, now: Instant, path: Path, random: [u8; 32], datagram: &[u8]) {
        let engine = self.settings.dtls13.as_ref().and_then(|settings| {
            let hello = StatelessHello::parse(datagram, &settings.supported)?;
            let cookie = hello.cookie.try_into().ok()?;
            let previous = hello.previous_hellos();
            let engine = Engine::after_cookie(&settings.engine, now, cookie, &previous).ok()?;
            Some(Dtls13::new(engine, hello.sequence))
        });
        let Some(dtls13) = engine else {
            self.counters.engine_failures += 1;
            return;
        };
        let id = self.add_dtls13(now, path, random, dtls13);
        self.feed13(now, id, datagram);
        // If the engine ignores a complete hello, the handshake can't go on: no more of the hello will come.
        let handshake = self.handshakes.get(id);
        if handshake.is_some_and(|handshake| !handshake.is_proven()) {
            self.counters.unproven_failed += 1;
            self.remove_handshake(id);
        }
    }

    /// Whether a handshake or session of this path began with the same hello.
    fn has_begun(&self, now: Instant, path: Path, random: &[u8; 32]) -> bool {
        let proven = self.index.half_open(path).proven;
        let began = proven.is_some_and(|id| {
            let handshake = self.handshakes.get(id);
            handshake.is_some_and(|handshake| handshake.random == *random)
                && self.handshakes.age(now, id) < LIFETIME
        });
        began || self.known(now, path, random).began_with_it
    }

    /// Rejects a client because `limits.sessions` is reached.
    fn reject_sessions_full(&mut self, now: Instant, path: Path, random: &[u8; 32], sequence: u64) {
        self.counters.sessions_full += 1;
        let known = self.known(now, path, random);
        if self.admission.has_no_proven_peer(path, known) {
            let alert = record::fatal_alert(sequence, alert::INTERNAL_ERROR);
            self.transmit(path, alert);
        }
        let failure = HandshakeFailure::SessionsFull;
        self.events
            .push_back(Event::HandshakeFailed { path, failure });
    }

    /// The handshake to evict for one of this host, where all places are taken.
    fn handshake_to_evict(&self, now: Instant, host: IpAddr) -> Option<HandshakeId> {
        let is_known = self.admission.is_known_host(now, host);
        let mut candidates = self.handshakes.proven_by_source.candidates(host);
        let found = candidates.find(|candidate| self.may_evict(now, candidate, host, is_known));
        found.map(|candidate| candidate.oldest)
    }

    /// A fleet that comes all at once must not evict its own handshakes again and again. But a source with far more than
    /// its share is evicted, and so is one with more whose handshake has stalled. A source that succeeded recently keeps
    /// its place against one that did not.
    fn may_evict(&self, now: Instant, candidate: &Candidate, host: IpAddr, is_known: bool) -> bool {
        let age = self.handshakes.age(now, candidate.oldest);
        if candidate.host == host {
            return age >= STALLED;
        }
        let has_more = candidate.theirs > candidate.own;
        match (is_known, self.admission.is_known_host(now, candidate.host)) {
            (true, false) => has_more,
            (true, true) | (false, false) if candidate.theirs > 2 * (candidate.own + 1) => true,
            (true, true) | (false, _) => has_more && age >= STALLED,
        }
    }

    /// Places for handshakes with a proven address: a tenth of all is left to unproven ones.
    pub(super) fn places_for_proven(&self) -> usize {
        (self.parameters.handshakes - self.parameters.handshakes / 10).max(1)
    }
}
