//! Admits ClientHellos within their limits (RFC 6347 §4.2.1).
//!
//! Nearly all are answered by [`super::cookie_exchange`] without state. The others (mostly fragmented ones) need an engine
//! before their address is proven, and are limited more tightly.

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
        // An engine accepts only its own cookies. A client that also got one from us may return that.
        let superseded = unproven
            .filter(|_| !self.refuses_handshakes && self.has_valid_cookie(now, path, datagram));
        if let Some(id) = superseded {
            self.remove(id);
        } else if let Some(id) = proven.or(unproven) {
            return self.repeat_hello(now, id, datagram);
        }
        if self.refuses_handshakes {
            self.counters.hellos_while_closed += 1;
            return;
        }
        // Before anything else is parsed or allocated.
        if hello.message_sequence == 0 && !self.may_reply(now, path, &hello.random) {
            self.counters.over_hello_budget += 1;
            return;
        }
        let is_full = self.is_full_for(route);
        let source = source::host(path.remote.ip());
        // Only while that has tokens left: otherwise anyone could forge a fragment and delay the source's next hello.
        let is_fragmented = hello.message_sequence == 0
            && self.fragmented_sources.contains(&source)
            && self.engine_before_cookie.has(now)
            && self.fragmented_sources.remove(&source);
        if !is_full
            && !is_fragmented
            && let Some(hello) = StatelessHello::parse(datagram, &self.supported)
        {
            return self.receive_stateless_hello(now, path, route, &hello, datagram);
        }
        let cookie = self.cookie_in_fragment(now, path, hello, datagram);
        if cookie.is_some() && self.address_limit.is_exhausted(now, path.remote.ip()) {
            self.counters.over_address_budget += 1;
            return;
        }
        // Separate limits: clients with a valid cookie must not compete with unproven ones.
        let bucket = match cookie {
            Some(_) => &mut self.fragmented_with_cookie,
            None => &mut self.engine_before_cookie,
        };
        if !bucket.take(now) {
            self.counters.over_hello_budget += 1;
            return;
        }
        if is_full {
            return self.reject_sessions_full(path, route, hello.message_sequence);
        }
        let may_alert = self.has_no_proven_peer(path, route);
        // It continues a handshake that we don't have (any more). A new engine would not accept its cookie, and would take
        // the place of a handshake that can still complete. The alert makes the client start again (RFC 9147 §5.1).
        if hello.message_sequence != 0 && cookie.is_none() {
            self.counters.unknown_cookies += 1;
            if hello::is_fragmented(datagram) {
                self.fragmented_sources.insert(&source);
            }
            if may_alert {
                // Our answer to its first hello had the number before this one.
                let sequence = u64::from(hello.message_sequence);
                self.transmit(
                    path,
                    record::fatal_alert(sequence, alert::ILLEGAL_PARAMETER),
                );
            }
            return;
        }
        // The engine would silently ignore a hello without a common cipher suite, and the client would repeat it.
        if !hello.cipher_suites.is_empty() && !self.has_common_suite(hello) {
            self.counters.handshakes_failed += 1;
            // Not where a device has a session: the address may be forged.
            if may_alert {
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
        if self.half_open >= self.parameters.handshakes && !self.evict_oldest_unproven() {
            self.counters.half_open_full += 1;
            return;
        }
        let engine = match cookie {
            Some((sequence, cookie)) => {
                let previous = hello::previous_hellos(&hello.random, sequence, &self.supported);
                Engine::server_after_cookie(&self.settings, now, cookie, &previous)
            }
            None => Engine::server(&self.settings, now),
        };
        let Ok(engine) = engine else {
            self.counters.engine_failures += 1;
            return;
        };
        let deadline = now + self.parameters.unproven_timeout;
        let mut session = Session::new(path, engine, hello.random, now, deadline);
        session.set_records_sent(cookie.map_or(0, |(sequence, _)| sequence));
        if cookie.is_some() {
            // Its address is proven, even if the other fragments never come.
            self.address_limit.count(now, path.remote.ip());
        }
        let id = self.add(session);
        self.feed_hello(now, id, datagram);
    }

    /// Whether no peer on this path has proven its address. Only then may an alert be sent there: it would end the
    /// handshake of a client whose address is forged.
    pub(super) fn has_no_proven_peer(&self, path: Path, route: Route) -> bool {
        route.established.is_none() && route.proven.is_none() && !self.pending_hellos.contains(path)
    }

    /// Whether a new session on this path would exceed `limits.sessions`.
    pub(super) fn is_full_for(&self, route: Route) -> bool {
        self.established() >= self.parameters.sessions && route.established.is_none()
    }

    /// Rejects a client because `limits.sessions` is reached. `answered`: how many of its hellos have been answered.
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

    /// The valid cookie in a fragmented hello, with the hello's `message_seq`.
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

    /// Passes a hello, or a fragment of one, to its handshake. This limit is separate from that of new handshakes, so that a
    /// flood of those leaves room for clients that return their cookie.
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
        // A handshake that began with a valid cookie is counted already.
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

    pub(super) fn has_common_suite(&self, hello: &ClientHello) -> bool {
        let mut offered = hello.cipher_suites.iter();
        offered.any(|suite| {
            self.supported.dtls12.contains(suite) || self.supported.dtls13.contains(suite)
        })
    }

    /// Removes ids from the front of the queue that are no longer unproven. All have the same timeout, so everything behind
    /// an unproven one is younger than `unproven_timeout`, and the queue stays bounded.
    pub(super) fn prune_unproven(&mut self) {
        while let Some(id) = self.unproven.front() {
            let session = self.sessions.get(id);
            if session.is_some_and(|session| session.stage == Stage::Unproven) {
                return;
            }
            self.unproven.pop_front();
        }
    }

    /// Evicts the oldest unproven handshake. Whether there was one.
    pub(super) fn evict_oldest_unproven(&mut self) -> bool {
        self.prune_unproven();
        let oldest = self.unproven.pop_front();
        if let Some(id) = oldest {
            self.counters.unproven_evicted += 1;
            self.remove(id);
        }
        oldest.is_some()
    }
}
