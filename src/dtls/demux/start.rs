//! Starts handshakes for pending hellos, as places become free.

use super::pending_hellos::PendingHello;
use super::{Demux, Route};
use crate::dtls::engine::Engine;
use crate::dtls::hello::StatelessHello;
use crate::dtls::path::SessionId;
use crate::dtls::session::{Session, Stage};
use std::time::{Duration, Instant};

/// Hosts that are checked for a place in one call; the others are next.
const HOSTS_PER_CALL: usize = 64;
/// Handshakes that start in one turn of the loop: together they take about a millisecond.
const STARTS_PER_TURN: usize = 8;
/// How often to try again if nothing else happens: places also become free by time alone.
const RETRY: Duration = Duration::from_millis(50);

/// A place among the half-open handshakes.
enum Place {
    Free,
    /// After this handshake is evicted.
    Of(SessionId),
}

impl Demux {
    /// Starts handshakes for pending hellos while there are places, at most [`STARTS_PER_TURN`] in one turn of the loop.
    /// Each takes as long as hundreds of hellos, and delays the datagrams of sessions. With a bound of one, each datagram
    /// of a returning fleet would be handled in a turn of its own, at the cost of as many system calls. Nothing else limits
    /// how many start: an idle loop turns again at once.
    pub(super) fn start_pending(&mut self, now: Instant) {
        self.has_free_place = false;
        let mut started = 0;
        while started < STARTS_PER_TURN
            && let Some(place) = self.find_place(now)
            && let Some(pending) = self.pending_hellos.pop()
        {
            self.start(now, &pending, place);
            started += 1;
        }
        let expired = self.pending_hellos.take_expired();
        self.counters.pending_expired += expired;
        let is_done = started == 0 && expired == 0;
        let next = if is_done { now + RETRY } else { now };
        self.next_start = (self.pending_hellos.len() > 0).then_some(next);
    }

    /// A place for the next pending hello. Sources that can't have one now are skipped. The last places are reserved for
    /// higher priorities: unregistered clients that take all they can get and stall would free theirs in waves.
    fn find_place(&mut self, now: Instant) -> Option<Place> {
        self.pending_hellos.peek(now)?;
        let (held, places) = (self.proven_by_source.count(), self.places_for_proven());
        for _ in 0..self.pending_hellos.hosts().min(HOSTS_PER_CALL) {
            let (priority, host) = self.pending_hellos.peek(now)?;
            if !self.address_limit.is_exhausted(now, host) {
                if held < places - places / 10 * priority.tenths_reserved() {
                    return Some(Place::Free);
                }
                if let Some(id) = self.handshake_to_evict(now, host) {
                    return Some(Place::Of(id));
                }
            }
            self.pending_hellos.skip();
        }
        None
    }

    /// Makes a place free. Whether it is.
    fn free_place(&mut self, place: Place) -> bool {
        if let Place::Of(id) = place {
            self.counters.proven_evicted += 1;
            self.remove(id);
        }
        self.half_open < self.parameters.handshakes || self.evict_oldest_unproven()
    }

    /// Starts a handshake whose client has proven its address.
    fn start(&mut self, now: Instant, pending: &PendingHello, place: Place) {
        let Some(hello) = StatelessHello::parse(&pending.datagram, &self.supported) else {
            // The settings have changed since it came. The client will repeat it.
            self.counters.pending_expired += 1;
            return;
        };
        let route = self.routes.get(&pending.path).copied().unwrap_or_default();
        if self.has_begun(now, route, pending) {
            // From fragments of the same hello.
            self.counters.without_effect += 1;
            return;
        }
        if self.is_full_for(route) {
            return self.reject_sessions_full(pending.path, route, hello.sequence);
        }
        // The complete hello supersedes a handshake that may have begun with its fragments.
        if let Some(id) = self.hellos.get(&(pending.path, pending.random)).copied() {
            self.remove(id);
        }
        if !self.free_place(place) {
            self.counters.half_open_full += 1;
            return;
        }
        self.address_limit.count(now, pending.path.remote.ip());
        let engine = (hello.cookie.try_into().ok()).and_then(|cookie| {
            let previous = hello.previous_hellos();
            Engine::server_after_cookie(&self.settings, now, cookie, &previous).ok()
        });
        let Some(engine) = engine else {
            self.counters.engine_failures += 1;
            return;
        };
        let deadline = now + self.parameters.unproven_timeout;
        let mut session = Session::new(pending.path, engine, pending.random, now, deadline);
        session.set_records_sent(hello.sequence);
        let id = self.add(session);
        self.feed(now, id, &pending.datagram);
        // If the engine ignores a complete hello, the handshake can't go on: no more of the hello will come.
        let is_ignored =
            (self.sessions.get(&id)).is_some_and(|session| session.stage == Stage::Unproven);
        if is_ignored {
            self.counters.unproven_failed += 1;
            self.remove(id);
        }
    }

    /// Whether a handshake or session of this path began with the same hello.
    fn has_begun(&self, now: Instant, route: Route, pending: &PendingHello) -> bool {
        let ids = [route.proven, route.established];
        let mut sessions = ids
            .into_iter()
            .flatten()
            .filter_map(|id| self.sessions.get(&id));
        sessions.any(|session| session.began_with(now, &pending.random))
    }

    /// Adds a handshake. It is unproven until its engine accepts the cookie.
    pub(super) fn add(&mut self, session: Session) -> SessionId {
        let id = SessionId(self.next_id);
        self.next_id += 1;
        let (path, random) = (session.path, session.random);
        self.sessions.insert(id, Box::new(session));
        self.routes.entry(path).or_default().unproven = Some(id);
        self.hellos.insert((path, random), id);
        self.prune_unproven();
        self.unproven.push_back(id);
        self.half_open += 1;
        self.arm(id);
        id
    }

    /// Places for handshakes with a proven address: a tenth of all is left to unproven ones.
    pub(super) fn places_for_proven(&self) -> usize {
        (self.parameters.handshakes - self.parameters.handshakes / 10).max(1)
    }
}
