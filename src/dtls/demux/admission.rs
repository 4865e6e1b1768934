//! Letting strangers begin: what a ClientHello may cause, and what not (RFC 6347 §4.2.1).
//!
//! Nearly all are answered by [`super::cookie_exchange`], and nothing is kept of them. The others (in fragments, mostly) need an
//! engine before their address is proven, and that has a budget.

use super::{Demux, Route};
use crate::dtls::cookie::Cookie;
use crate::dtls::engine::Engine;
use crate::dtls::hello::{self, StatelessHello};
use crate::dtls::path::{Path, SessionId};
use crate::dtls::record::{self, ClientHello, alert};
use crate::dtls::session::{Session, Stage};
use crate::dtls::{Event, HandshakeFailure, OFFERED_SUITES_LOGGED};
use shares::source;
use std::time::Instant;

impl Demux {
    pub(super) fn receive_hello(
        &mut self,
        now: Instant,
        path: Path,
        route: Route,
        hello: &ClientHello,
        datagram: &[u8],
    ) {
        let proven = route.proven.filter(|id| {
            let session = self.sessions.get(id);
            session.is_some_and(|session| session.random == hello.random)
        });
        let unproven = self.hellos.get(&(path, hello.random)).copied();
        // An engine knows its own cookies alone. A client that was given one by us as well may have heard of that first.
        let outrun =
            unproven.filter(|_| !self.is_closed && self.has_valid_cookie(now, path, datagram));
        if let Some(id) = outrun {
            self.remove(id);
        } else if let Some(id) = proven.or(unproven) {
            return self.repeat_hello(now, id, datagram);
        }
        if self.is_closed {
            self.counters.hellos_while_closed += 1;
            return;
        }
        // Before anything is read of it, or made for it.
        if hello.message_sequence == 0 && !self.may_reply(now, path, &hello.random) {
            self.counters.over_hello_budget += 1;
            return;
        }
        let is_full = self.is_full_for(route);
        let source = source::host(path.remote.ip());
        // Not where that has no budget left: anyone can forge a piece, and have the source's next hello wait for it.
        let is_fragmented = hello.message_sequence == 0
            && self.fragmented_sources.has(&source)
            && self.engine_before_cookie.has(now)
            && self.fragmented_sources.take(&source);
        if !is_full
            && !is_fragmented
            && let Some(opening) = StatelessHello::read(datagram, &self.terms)
        {
            return self.receive_stateless_hello(now, path, route, &opening, datagram);
        }
        let given = self.cookie_in_fragment(now, path, hello, datagram);
        if given.is_some() && self.address_limit.is_exhausted(now, path.remote.ip()) {
            self.counters.over_address_budget += 1;
            return;
        }
        // Who has proven its address waits neither behind those who have not, nor before those with a whole hello.
        let budget = match given {
            Some(_) => &mut self.fragmented_with_cookie,
            None => &mut self.engine_before_cookie,
        };
        if !budget.take(now) {
            self.counters.over_hello_budget += 1;
            return;
        }
        if is_full {
            return self.reject_sessions_full(path, route, hello.message_sequence);
        }
        let stranger = self.has_no_proven_peer(path, route);
        // A hello that continues a handshake we don't have (any more). A new engine could not know
        // its cookie, and making one would cost a handshake that can still complete its place. The
        // client had better begin anew: RFC 9147 §5.1 has this alert for a cookie that is not valid.
        if hello.message_sequence != 0 && given.is_none() {
            self.counters.unknown_cookies += 1;
            if hello::is_fragmented(datagram) {
                self.fragmented_sources.put(&source);
            }
            if stranger {
                // After the answer it has got.
                let sequence = u64::from(hello.message_sequence);
                self.transmit(
                    path,
                    record::fatal_alert(sequence, alert::ILLEGAL_PARAMETER),
                );
            }
            return;
        }
        // The engine would take a hello without a cipher suite of its own for noise, and the client
        // would try again and again.
        if !hello.cipher_suites.is_empty() && !self.shares_a_suite_with(hello) {
            self.counters.handshakes_failed += 1;
            // Not where a device has a session: its address may be forged.
            if stranger {
                self.transmit(
                    path,
                    record::fatal_alert(hello.message_sequence.into(), alert::HANDSHAKE_FAILURE),
                );
            }
            let offered = hello.cipher_suites.iter().take(OFFERED_SUITES_LOGGED);
            let failure = HandshakeFailure::NoCommonCipherSuite {
                offered: offered.copied().collect(),
                more: hello
                    .cipher_suites
                    .len()
                    .saturating_sub(OFFERED_SUITES_LOGGED),
            };
            self.events
                .push_back(Event::HandshakeFailed { path, failure });
            return;
        }
        if self.address_limit.is_exhausted(now, path.remote.ip()) {
            self.counters.over_address_budget += 1;
            return;
        }
        if self.half_open >= self.parameters.handshakes && !self.drop_oldest_unproven() {
            self.counters.half_open_full += 1;
            return;
        }
        let engine = match given {
            Some((sequence, cookie)) => {
                let before = hello::before_fragment(&hello.random, sequence, &self.terms);
                Engine::server_after_cookie(&self.settings, now, cookie, &before)
            }
            None => Engine::server(&self.settings, now),
        };
        let Ok(engine) = engine else {
            self.counters.engine_failures += 1;
            return;
        };
        let deadline = now + self.parameters.unproven_timeout;
        let mut session = Session::new(path, engine, hello.random, now, deadline);
        session.set_records_sent(given.map_or(0, |(sequence, _)| sequence));
        if given.is_some() {
            // Its address is proven, whether or not the rest comes.
            self.address_limit.count(now, path.remote.ip());
        }
        let id = self.add(session);
        self.feed_hello(now, id, datagram);
    }

    /// Whether nobody there has proven anything: what ends a handshake may be sent there.
    pub(super) fn has_no_proven_peer(&self, path: Path, route: Route) -> bool {
        route.established.is_none() && route.proven.is_none() && !self.waiting.has(path)
    }

    /// Whether one more session on this path would be too many.
    pub(super) fn is_full_for(&self, route: Route) -> bool {
        self.established() >= self.parameters.sessions && route.established.is_none()
    }

    /// Tells a client that there are sessions enough, after as many messages.
    pub(super) fn reject_sessions_full(&mut self, path: Path, route: Route, answered: u16) {
        self.counters.sessions_full += 1;
        if self.has_no_proven_peer(path, route) {
            let alert = record::fatal_alert(answered.into(), alert::INTERNAL_ERROR);
            self.transmit(path, alert);
        }
        let failure = HandshakeFailure::SessionsFull;
        self.events
            .push_back(Event::HandshakeFailed { path, failure });
    }

    /// The cookie of a hello that does not come whole, if we have given it, and which of the client's messages it is in.
    fn cookie_in_fragment(
        &mut self,
        now: Instant,
        path: Path,
        hello: &ClientHello,
        datagram: &[u8],
    ) -> Option<(u16, Cookie)> {
        let found = hello::cookie_of_fragment(datagram);
        found.filter(|(_, cookie)| self.cookies.is_valid(now, path, &hello.random, cookie))
    }

    /// Gives a hello, or a piece of one, to a handshake under way. New handshakes have a budget of
    /// their own, so that a flood of them leaves room for clients that return their cookie.
    pub(super) fn repeat_hello(&mut self, now: Instant, id: SessionId, datagram: &[u8]) {
        let session = self.sessions.get(&id);
        let proven = session.is_some_and(|session| session.stage != Stage::Unproven);
        if proven || self.handshake_repeats.take(now) {
            self.feed_hello(now, id, datagram);
        } else {
            self.counters.over_hello_budget += 1;
        }
    }

    fn feed_hello(&mut self, now: Instant, id: SessionId, datagram: &[u8]) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        // With a cookie that was given before, the handshake has been counted already.
        if session.stage != Stage::Unproven || session.engine.has_cookie() {
            return self.feed(now, id, datagram);
        }
        let path = session.path;
        if self.address_limit.is_exhausted(now, path.remote.ip()) {
            self.counters.over_address_budget += 1;
            return;
        }
        self.feed(now, id, datagram);
    }

    pub(super) fn shares_a_suite_with(&self, hello: &ClientHello) -> bool {
        let mut offered = hello.cipher_suites.iter();
        offered.any(|suite| self.terms.dtls12.contains(suite) || self.terms.dtls13.contains(suite))
    }

    /// Drops from the front of the queue what is no longer unproven. All wait equally long, so what
    /// is behind a live one is younger than `unproven_timeout`: the queue stays bounded.
    pub(super) fn forget_settled(&mut self) {
        while let Some(id) = self.unproven.front() {
            let session = self.sessions.get(id);
            if session.is_some_and(|session| session.stage == Stage::Unproven) {
                return;
            }
            self.unproven.pop_front();
        }
    }

    /// Makes room among the half-open handshakes; never at a proven one's expense.
    pub(super) fn drop_oldest_unproven(&mut self) -> bool {
        self.forget_settled();
        let oldest = self.unproven.pop_front();
        if let Some(id) = oldest {
            self.counters.unproven_evicted += 1;
            self.remove(id);
        }
        oldest.is_some()
    }
}
