//! ClientHellos: to the handshake that they belong to, or to admission.

use super::Endpoint;
use crate::dtls::admission::{Admitted, Known};
use crate::dtls::dtls13::Dtls13;
use crate::dtls::dtls13::cookie::LIFETIME;
use crate::dtls::dtls13::engine;
use crate::dtls::handshakes::{self, HalfOpen, HandshakeId};
use crate::dtls::path::Path;
use crate::dtls::record::ClientHello;
use crate::dtls::{Event, Versions};
use crate::timers::Slot;
use std::time::Instant;

impl<T> Endpoint<T> {
    pub(super) fn receive_hello(
        &mut self,
        now: Instant,
        path: Path,
        hello: &ClientHello,
        datagram: &[u8],
    ) {
        // Without settings of DTLS 1.3, it is not offered.
        let dtls13 = self.settings.dtls13.as_ref();
        let dtls13 = dtls13.filter(|_| match self.settings.versions {
            Versions::Only12 => false,
            Versions::Only13 => true,
            Versions::Both => hello.offers_13,
        });
        let supported = dtls13.map(|dtls13| dtls13.supported.clone());
        let half_open = self.index.half_open(path);
        let has_same_random = |id: &HandshakeId| {
            let handshake = self.handshakes.get(*id);
            handshake.is_some_and(|handshake| handshake.random == hello.random)
        };
        let proven = half_open.proven.filter(has_same_random);
        let unproven = self.index.unproven(path, &hello.random);
        // An engine accepts only its own cookies. A client that also got one from us may return that.
        let superseded = unproven.filter(|_| {
            supported.as_ref().is_some_and(|supported| {
                !self.admission.is_closed()
                    && (self.admission).has_valid_cookie13(now, path, datagram, supported)
            })
        });
        if let Some(id) = superseded {
            self.remove_handshake(id);
        } else if let Some(id) = proven.or(unproven) {
            return self.repeat_hello(now, id, datagram);
        }
        if self.admission.is_closed() {
            self.counters.hellos_while_closed += 1;
            return;
        }
        let known = self.known(now, path, &hello.random);
        let counters = &mut self.counters;
        let admitted = match &supported {
            Some(supported) => {
                (self.admission).admit13(now, path, known, hello, datagram, supported, counters)
            }
            None => (self.admission).admit12(now, path, known, hello, datagram, counters),
        };
        match admitted {
            Admitted::Reply(reply) => self.transmit(path, reply),
            Admitted::Begin => self.begin_unproven(now, path, hello.random, datagram),
            Admitted::Failed(failure, alert) => {
                if let Some(alert) = alert {
                    self.transmit(path, alert);
                }
                self.events
                    .push_back(Event::HandshakeFailed { path, failure });
            }
            Admitted::Nothing => {}
        }
    }

    /// What is known of the path of a hello with this random.
    pub(super) fn known(&self, now: Instant, path: Path, random: &[u8; 32]) -> Known {
        let established = self.index.established(path, &self.sessions);
        let connection = established.and_then(|id| self.sessions.get(id));
        Known {
            established: established.is_some(),
            proven: self.index.half_open(path).proven.is_some(),
            began_with_it: connection
                .is_some_and(|connection| connection.began_with(now, random, LIFETIME)),
            is_full: established.is_none() && self.established() >= self.parameters.sessions,
        }
    }

    /// Passes a hello, or a fragment of one, to its handshake.
    pub(super) fn repeat_hello(&mut self, now: Instant, id: HandshakeId, datagram: &[u8]) {
        let Some(handshake) = self.handshakes.get(id) else {
            return;
        };
        if handshake.is_proven() {
            return self.feed_handshake(now, id, datagram);
        }
        let address = handshake.path.remote.ip();
        if !self.admission.may_repeat(now) {
            self.counters.over_hello_budget += 1;
        } else if self.admission.address_limit.is_exhausted(now, address) {
            self.counters.over_address_budget += 1;
        } else {
            self.feed_handshake(now, id, datagram);
        }
    }

    /// Begins a handshake of DTLS 1.3 with an engine, which makes the cookie.
    fn begin_unproven(&mut self, now: Instant, path: Path, random: [u8; 32], datagram: &[u8]) {
        if self.half_open() >= self.parameters.handshakes && !self.evict_oldest_unproven() {
            self.counters.half_open_full += 1;
            return;
        }
        let settings = self.settings.dtls13.as_ref();
        let engine = settings.and_then(|settings| engine::Engine::new(&settings.engine, now).ok());
        let Some(engine) = engine else {
            self.counters.engine_failures += 1;
            return;
        };
        let id = self.add_dtls13(now, path, random, Dtls13::new(engine, 0));
        self.feed_handshake(now, id, datagram);
    }

    /// Adds a handshake of DTLS 1.3. It is unproven until its engine accepts the cookie.
    pub(super) fn add_dtls13(
        &mut self,
        now: Instant,
        path: Path,
        random: [u8; 32],
        dtls13: Dtls13,
    ) -> HandshakeId {
        let id = self.handshakes.add(HalfOpen {
            path,
            random,
            began: now,
            deadline: now + self.parameters.unproven_timeout,
            client: None,
            engine: handshakes::Engine::Dtls13(dtls13),
            timer: Slot::default(),
        });
        self.index.add_unproven(path, random, id);
        id
    }

    /// Evicts the oldest unproven handshake. Whether there was one.
    pub(super) fn evict_oldest_unproven(&mut self) -> bool {
        let oldest = self.handshakes.pop_oldest_unproven();
        if let Some(id) = oldest {
            self.counters.unproven_evicted += 1;
            self.remove_handshake(id);
        }
        oldest.is_some()
    }
}
