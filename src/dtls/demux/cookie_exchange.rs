//! Clients that prove their address before anything is kept of them: they are given a cookie, and who returns it gets a
//! handshake, when there is a place for it (RFC 6347 §4.2.1, RFC 9147 §5.1).

use super::pending_hellos::{Overflow, PendingHello};
use super::{Demux, Route};
use crate::dtls::engine::Engine;
use crate::dtls::hello::{StatelessHello, Version};
use crate::dtls::path::{Path, SessionId};
use crate::dtls::record::{self, alert};
use crate::dtls::session::{Session, Stage};
use shares::source;
use std::time::{Duration, Instant};

/// Sources that are asked whether they can have a place, at a time; the others are next.
const SOURCES_ASKED: usize = 64;
/// Handshakes that begin in one turn of the loop: together they take it about a millisecond.
const BEGUN_IN_A_TURN: usize = 8;
/// How often those who wait are thought of, if nothing else happens: time, too, makes places vacant.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Where a handshake may begin.
enum Place {
    Vacant,
    /// Whose handshake makes room.
    Of(SessionId),
}

impl Demux {
    /// A hello that can be answered without keeping anything.
    pub(super) fn receive_stateless_hello(
        &mut self,
        now: Instant,
        path: Path,
        route: Route,
        opening: &StatelessHello<'_>,
        datagram: &[u8],
    ) {
        if opening.cookie.is_empty() {
            return self.send_cookie(now, path, opening, datagram.len());
        }
        let is_valid = (self.cookies).is_valid(now, path, &opening.random, opening.cookie);
        if is_valid && opening.has_grown() {
            // By padding, if it is a good one (RFC 8446 §4.1.2). An engine that sees both can tell.
            self.fragmented_sources.put(&source::host(path.remote.ip()));
        }
        if !is_valid || opening.has_grown() {
            self.counters.unknown_cookies += 1;
            if !self.may_reply(now, path, &opening.random) {
                self.counters.over_hello_budget += 1;
                return;
            }
            match opening.version {
                // RFC 6347 §4.2.1: a cookie that is not valid is as good as none.
                Version::Dtls12 => self.send_cookie(now, path, opening, datagram.len()),
                // RFC 9147 §5.1 has this alert for it; but where a device has a session, its address may be forged.
                Version::Dtls13(_) if self.has_no_proven_peer(path, route) => {
                    // After the answer it has got.
                    let sequence = u64::from(opening.sequence);
                    let alert = record::fatal_alert(sequence, alert::ILLEGAL_PARAMETER);
                    self.transmit(path, alert);
                }
                Version::Dtls13(_) => {}
            }
            return;
        }
        // The session here began with this very hello: a late copy, or someone plays it back.
        let established = route.established.and_then(|id| self.sessions.get(&id));
        if established.is_some_and(|session| session.began_with(now, &opening.random)) {
            self.counters.without_effect += 1;
            return;
        }
        let known = self.known(now, path);
        match (self.waiting).enter(now, path, opening.random, datagram, known) {
            Overflow::Nobody => {}
            Overflow::BySource => self.counters.over_address_budget += 1,
            Overflow::ByAll => self.counters.half_open_full += 1,
        }
        // When the datagrams that came with it are taken: those of sessions may be behind it.
        self.admit_at = Some(now);
    }

    /// Whether this is a hello with a cookie that we, and no engine, have given it.
    pub(super) fn has_valid_cookie(&mut self, now: Instant, path: Path, datagram: &[u8]) -> bool {
        StatelessHello::read(datagram, &self.terms).is_some_and(|opening| {
            (self.cookies).is_valid(now, path, &opening.random, opening.cookie)
        })
    }

    /// Whether there is an answer left for a stranger's hello. When all are spent, those that come again go first: a
    /// client whose hello is not answered sends it once more, and a forger sends another.
    pub(super) fn may_reply(&mut self, now: Instant, path: Path, random: &[u8; 32]) -> bool {
        if self.cookie_replies.take(now) {
            return true;
        }
        let hello = (path, random);
        let answered = self.unanswered.has(&hello) && self.cookie_replies_to_repeats.take(now);
        if answered {
            self.unanswered.take(&hello);
        } else {
            self.unanswered.put(&hello);
        }
        answered
    }

    fn send_cookie(
        &mut self,
        now: Instant,
        path: Path,
        opening: &StatelessHello<'_>,
        received: usize,
    ) {
        let cookie = (self.cookies).give(now, path, &opening.random, opening.length);
        let Some(cookie) = cookie else {
            self.counters.engine_failures += 1;
            return;
        };
        let answer = opening.answer(&cookie);
        // No amplification: a forged source address gets no more than its forger spent.
        if answer.len() > received {
            self.counters.amplification_avoided += 1;
        } else {
            self.counters.cookies_sent += 1;
            self.transmit(path, answer);
        }
    }

    /// Begins handshakes for those who wait, as far as there are places, and a few in a turn of the loop: each takes as
    /// long as hundreds of hellos, and behind those the datagrams of sessions wait. One alone would have each datagram of
    /// a fleet that returns handled in a turn of its own, at the cost of as many system calls. Nothing else limits how
    /// many begin: where there is little else to do, the turns follow each other at once.
    pub(super) fn start_pending(&mut self, now: Instant) {
        self.has_free_place = false;
        let mut begun = 0;
        while begun < BEGUN_IN_A_TURN
            && let Some(place) = self.find_place(now)
            && let Some(guest) = self.waiting.call()
        {
            self.begin(now, &guest, place);
            begun += 1;
        }
        let gone = self.waiting.take_gone();
        self.counters.pending_expired += gone;
        let is_done = begun == 0 && gone == 0;
        let later = if is_done { now + LOOK_EVERY } else { now };
        self.admit_at = (self.waiting.len() > 0).then_some(later);
    }

    /// A place for whose turn it is. Sources that can't have one now are passed over. The last places are for those of whom
    /// something is known: strangers who take all they can get, and stall, give theirs back in waves.
    fn find_place(&mut self, now: Instant) -> Option<Place> {
        self.waiting.next(now)?;
        let (held, places) = (self.proven_by_source.count(), self.places_for_proven());
        for _ in 0..self.waiting.sources().min(SOURCES_ASKED) {
            let (lane, host) = self.waiting.next(now)?;
            if !self.address_limit.is_exhausted(now, host) {
                if held < places - places / 10 * lane.tenths_kept() {
                    return Some(Place::Vacant);
                }
                if let Some(id) = self.who_gives_way(now, host) {
                    return Some(Place::Of(id));
                }
            }
            self.waiting.pass_over();
        }
        None
    }

    fn free_place(&mut self, place: Place) -> bool {
        if let Place::Of(id) = place {
            self.counters.proven_evicted += 1;
            self.remove(id);
        }
        self.half_open < self.parameters.handshakes || self.drop_oldest_unproven()
    }

    /// A handshake whose client has proven its address.
    fn begin(&mut self, now: Instant, guest: &PendingHello, place: Place) {
        let Some(opening) = StatelessHello::read(&guest.hello, &self.terms) else {
            // The settings have changed since it came. It will come again.
            self.counters.pending_expired += 1;
            return;
        };
        let route = self.routes.get(&guest.path).copied().unwrap_or_default();
        if self.knows(now, route, guest) {
            // It has come in fragments meanwhile.
            self.counters.without_effect += 1;
            return;
        }
        if self.is_full_for(route) {
            return self.reject_sessions_full(guest.path, route, opening.sequence);
        }
        // All of one that may have begun in fragments is here.
        if let Some(id) = self.hellos.get(&(guest.path, guest.random)).copied() {
            self.remove(id);
        }
        if !self.free_place(place) {
            self.counters.half_open_full += 1;
            return;
        }
        self.address_limit.count(now, guest.path.remote.ip());
        let engine = (opening.cookie.try_into().ok()).and_then(|cookie| {
            Engine::server_after_cookie(&self.settings, now, cookie, &opening.before()).ok()
        });
        let Some(engine) = engine else {
            self.counters.engine_failures += 1;
            return;
        };
        let deadline = now + self.parameters.unproven_timeout;
        let mut session = Session::new(guest.path, engine, guest.random, now, deadline);
        session.set_records_sent(opening.sequence);
        let id = self.add(session);
        self.feed(now, id, &guest.hello);
        // A whole hello that the engine takes for noise leads nowhere, and no more of it will come.
        let leads_nowhere =
            (self.sessions.get(&id)).is_some_and(|session| session.stage == Stage::Unproven);
        if leads_nowhere {
            self.counters.unproven_failed += 1;
            self.remove(id);
        }
    }

    /// Whether a handshake of this client is under way, or its session established.
    fn knows(&self, now: Instant, route: Route, guest: &PendingHello) -> bool {
        let ids = [route.proven, route.established];
        let mut sessions = ids
            .into_iter()
            .flatten()
            .filter_map(|id| self.sessions.get(&id));
        sessions.any(|session| session.began_with(now, &guest.random))
    }

    /// Takes up a handshake. It is unproven until its engine says otherwise.
    pub(super) fn add(&mut self, session: Session) -> SessionId {
        let id = SessionId(self.next_id);
        self.next_id += 1;
        let (path, random) = (session.path, session.random);
        self.sessions.insert(id, Box::new(session));
        self.routes.entry(path).or_default().unproven = Some(id);
        self.hellos.insert((path, random), id);
        self.forget_settled();
        self.unproven.push_back(id);
        self.half_open += 1;
        // Whatever becomes of its hello, it ends at its deadline.
        self.arm(id);
        id
    }

    /// Proven handshakes leave a tenth of the places to newcomers.
    pub(super) fn places_for_proven(&self) -> usize {
        (self.parameters.handshakes - self.parameters.handshakes / 10).max(1)
    }
}
