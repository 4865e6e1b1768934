//! Letting strangers begin: what a ClientHello may cause, and what not (RFC 6347 §4.2.1).

use super::{Demux, Route};
use crate::dtls::engine::Engine;
use crate::dtls::record::{self, ClientHello, alert};
use crate::dtls::session::{Path, Session, SessionId, Stage};
use crate::dtls::{Event, HandshakeFailure, OFFERED_SHOWN};
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
        if let Some(id) = proven.or(unproven) {
            return self.repeat_hello(now, id, datagram);
        }
        if self.is_closed {
            self.counters.hellos_while_closed += 1;
            return;
        }
        if !self.new_hellos.take(now) {
            self.counters.over_hello_budget += 1;
            return;
        }
        let stranger = route.established.is_none() && route.proven.is_none();
        // A hello that continues a handshake we don't have (any more). A new engine could not know
        // its cookie, and making one would cost a handshake that can still complete its place. The
        // client had better begin anew: RFC 9147 §5.1 has this alert for a cookie that is not valid.
        if hello.message_sequence != 0 {
            self.counters.unknown_cookies += 1;
            if stranger {
                self.transmit(path, record::fatal_alert(0, alert::ILLEGAL_PARAMETER));
            }
            return;
        }
        // The engine would take a hello without a cipher suite of its own for noise, and the client
        // would try again and again.
        if !hello.cipher_suites.is_empty() && !self.shares_a_suite_with(hello) {
            self.counters.handshakes_failed += 1;
            // Not where a device has a session: its address may be forged.
            if stranger {
                self.transmit(path, record::fatal_alert(0, alert::HANDSHAKE_FAILURE));
            }
            let offered = hello.cipher_suites.iter().take(OFFERED_SHOWN);
            let failure = HandshakeFailure::NoCommonCipherSuite {
                offered: offered.copied().collect(),
                more: hello.cipher_suites.len().saturating_sub(OFFERED_SHOWN),
            };
            self.events
                .push_back(Event::HandshakeFailed { path, failure });
            return;
        }
        if self.established() >= self.parameters.sessions && route.established.is_none() {
            self.counters.sessions_full += 1;
            if stranger {
                self.transmit(path, record::fatal_alert(0, alert::INTERNAL_ERROR));
            }
            let failure = HandshakeFailure::SessionsFull;
            self.events
                .push_back(Event::HandshakeFailed { path, failure });
            return;
        }
        if self.per_address.is_exhausted(now, path.remote.ip()) {
            self.counters.over_address_budget += 1;
            return;
        }
        if self.half_open >= self.parameters.handshakes && !self.drop_oldest_unproven() {
            self.counters.half_open_full += 1;
            return;
        }
        let Ok(engine) = Engine::server(&self.settings, now) else {
            self.counters.engine_failures += 1;
            return;
        };
        let id = SessionId(self.next_id);
        self.next_id += 1;
        let deadline = now + self.parameters.unproven_timeout;
        let session = Session::new(path, engine, hello.random, deadline);
        self.sessions.insert(id, Box::new(session));
        self.routes.entry(path).or_default().unproven = Some(id);
        self.hellos.insert((path, hello.random), id);
        self.forget_settled();
        self.unproven.push_back(id);
        self.half_open += 1;
        // Whatever becomes of its hello, it ends at its deadline.
        self.arm(id);
        self.feed_hello(now, id, datagram);
    }

    /// Gives a hello, or a piece of one, to a handshake under way. New handshakes have a budget of
    /// their own, so that a flood of them leaves room for clients that return their cookie.
    pub(super) fn repeat_hello(&mut self, now: Instant, id: SessionId, datagram: &[u8]) {
        let session = self.sessions.get(&id);
        let proven = session.is_some_and(|session| session.stage != Stage::Unproven);
        if proven || self.repeated_hellos.take(now) {
            self.feed_hello(now, id, datagram);
        } else {
            self.counters.over_hello_budget += 1;
        }
    }

    fn feed_hello(&mut self, now: Instant, id: SessionId, datagram: &[u8]) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        if session.stage != Stage::Unproven {
            return self.feed(now, id, datagram);
        }
        let path = session.path;
        if self.per_address.is_exhausted(now, path.remote.ip()) {
            self.counters.over_address_budget += 1;
            return;
        }
        self.feed(now, id, datagram);
    }

    pub(super) fn shares_a_suite_with(&self, hello: &ClientHello) -> bool {
        let mut offered = hello.cipher_suites.iter();
        offered.any(|suite| self.cipher_suites.contains(suite))
    }

    /// Drops from the front of the queue what is no longer unproven. All wait equally long, so what
    /// is behind a live one is younger than `unproven_timeout`: the queue stays bounded.
    fn forget_settled(&mut self) {
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
            self.counters.unproven_displaced += 1;
            self.remove(id);
        }
        oldest.is_some()
    }
}
