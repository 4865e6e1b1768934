//! Clients that change their address (RFC 9146 §6): the session goes on, and the new address is used with care until it is
//! proven.

use super::{Endpoint, TIMERS_PER_CALL};
use crate::dtls::Event;
use crate::dtls::connection::{Engine, FACTOR, UnprovenPath};
use crate::dtls::path::{Path, SessionId};
use dtls_server::crypto::random::SystemRandom;
use dtls_server::routability::Cookie;
use std::time::Instant;

impl<T> Endpoint<T> {
    /// The client of a session has received what was sent since it moved, so its new address is proven, unless it knows return
    /// routability checks: then only these prove it. Nothing happens if it has not moved.
    ///
    /// Nor does anything while an [`Event::Moved`] of it is to be polled: what was received then was sent to another address.
    /// One datagram can have an older record, with an answer from there, and a newer one, by which the session moves.
    pub fn confirm_path(&mut self, id: SessionId) {
        let mut events = self.events.iter();
        if events.any(|event| matches!(event, Event::Moved { session, .. } if *session == id)) {
            return;
        }
        let connection = self.sessions.get(id);
        let unproven = connection.and_then(|connection| connection.unproven.as_ref());
        if unproven.is_some_and(|unproven| !unproven.needs_response()) {
            self.path_proven(id);
        }
    }

    fn path_proven(&mut self, id: SessionId) {
        let Some(connection) = self.sessions.get_mut(id) else {
            return;
        };
        if let Some(unproven) = connection.unproven.take() {
            self.used.push(id, connection);
            self.send_waiting(id, unproven.into_waiting());
        }
    }

    /// Whether the address of a session's client is not proven.
    pub fn is_path_unproven(&self, id: SessionId) -> bool {
        self.sessions
            .get(id)
            .is_some_and(|connection| connection.unproven.is_some())
    }

    /// Whether something waits until [`confirm_path`](Self::confirm_path) is called. `false` if a return routability check is
    /// under way instead.
    pub fn awaits_confirmation(&self, id: SessionId) -> bool {
        let connection = self.sessions.get(id);
        let unproven = connection.and_then(|connection| connection.unproven.as_ref());
        unproven.is_some_and(|unproven| unproven.has_waiting() && !unproven.needs_response())
    }

    /// The session of a path that can't be found otherwise, as it has no connection ID.
    pub(super) fn found_by_path(&self, path: Path) -> Option<SessionId> {
        let there = self.index.established(path, &self.sessions)?;
        let connection = self.sessions.get(there)?;
        connection.connection_id().is_empty().then_some(there)
    }

    /// An authentic record, newer than all before it, came from another path.
    pub(super) fn move_session(&mut self, id: SessionId, path: Path) {
        let keeps = self.found_by_path(path).filter(|there| *there != id);
        let Some(connection) = self.sessions.get_mut(id) else {
            return;
        };
        let from = std::mem::replace(&mut connection.path, path);
        if from.canonical_remote() == path.canonical_remote() {
            // The client is where it was: what has changed is by which of our addresses, or by which gateway, it sends.
            self.index
                .move_session(from, path, id, keeps, &self.sessions);
            if let Some(connection) = self.sessions.get_mut(id) {
                self.used.push(id, connection);
            }
            return;
        }
        let mut returned = None;
        connection.unproven = match connection.unproven.take() {
            // It is back where it was, whichever of our addresses it sends to.
            Some(unproven) if unproven.proven.canonical_remote() == path.canonical_remote() => {
                returned = Some(unproven);
                None
            }
            Some(unproven) => Some(Box::new(unproven.moved())),
            None => {
                let knows_routability = match &connection.engine {
                    Engine::Dtls12(association) => association.has_return_routability_check(),
                    Engine::Dtls13(_) => false,
                };
                Some(Box::new(UnprovenPath::new(from, knows_routability)))
            }
        };
        self.index
            .move_session(from, path, id, keeps, &self.sessions);
        self.counters.moved += 1;
        self.events.push_back(Event::Moved { session: id, path });
        if let Some(unproven) = returned {
            self.send_waiting(id, unproven.into_waiting());
        }
    }

    /// An authentic datagram came from this path: more may be sent there, and the client is awake.
    pub(super) fn received_from(&mut self, now: Instant, id: SessionId, path: Path, bytes: usize) {
        let connection = self.sessions.get_mut(id);
        let Some(connection) = connection.filter(|connection| connection.path == path) else {
            return;
        };
        let Some(unproven) = &mut connection.unproven else {
            return;
        };
        unproven.received(bytes);
        let may_challenge = unproven.may_challenge(now);
        let waiting: Vec<u64> = std::iter::from_fn(|| unproven.pop()).collect();
        self.send_waiting(id, waiting);
        if may_challenge {
            self.challenge(now, id);
        }
    }

    /// Challenges the client again if that is due, because something waits.
    pub(super) fn repeat_challenge(&mut self, now: Instant, id: SessionId) {
        let connection = self.sessions.get(id);
        let unproven = connection.and_then(|connection| connection.unproven.as_ref());
        let at = unproven.and_then(|unproven| unproven.next_challenge());
        if at.is_some_and(|at| at <= now) {
            self.challenge(now, id);
        }
    }

    /// Asks the client whether it receives at its new address (RFC 9853), if it knows the question.
    fn challenge(&mut self, now: Instant, id: SessionId) {
        let Some(connection) = self.sessions.get_mut(id) else {
            return;
        };
        let (Some(unproven), Engine::Dtls12(association)) =
            (&mut connection.unproven, &mut connection.engine)
        else {
            return;
        };
        let mut datagram = Vec::new();
        if let Ok(cookie) = association.challenge(&mut SystemRandom, &mut datagram) {
            unproven.challenged(now, cookie);
            let path = connection.path;
            let is_sent = unproven.sends_proof(datagram.len());
            self.used.push(id, connection);
            if is_sent {
                self.transmit(path, datagram);
            }
        }
    }

    /// The client has received a challenge.
    pub(super) fn receive_response(&mut self, id: SessionId, path: Path, cookie: Cookie) {
        let connection = self.sessions.get(id);
        let connection = connection.filter(|connection| connection.path == path);
        let unproven = connection.and_then(|connection| connection.unproven.as_ref());
        if unproven.is_some_and(|unproven| unproven.is_proven_by(cookie)) {
            self.path_proven(id);
        }
    }

    /// Answers a challenge of the client, to where that came from in a record of this many bytes. With a long connection ID of
    /// the client, the answer may be many times longer.
    pub(super) fn respond_to_challenge(
        &mut self,
        id: SessionId,
        path: Path,
        received: usize,
        response: Vec<u8>,
    ) {
        let connection = self.sessions.get(id);
        if connection.is_some_and(|connection| connection.path == path) {
            self.transmit_to(id, response);
        } else if response.len() <= received.saturating_mul(FACTOR) {
            self.transmit(path, response);
        } else {
            self.counters.unproven_path_dropped += 1;
        }
    }

    /// Sends application data to a client that has moved, whose answer proves its address. It goes now or not at all.
    pub fn send_proof(&mut self, id: SessionId, plaintext: &[u8]) {
        let Some(connection) = self.sessions.get_mut(id) else {
            return;
        };
        let (Some(unproven), Engine::Dtls12(association)) =
            (&mut connection.unproven, &connection.engine)
        else {
            return;
        };
        if unproven.sends_proof(association.overhead().saturating_add(plaintext.len())) {
            self.protect_application_data(id, plaintext);
        }
    }

    /// Sends a datagram to a session's client, unless its address does not allow that now.
    pub(super) fn transmit_to(&mut self, id: SessionId, datagram: Vec<u8>) {
        let Some(connection) = self.sessions.get_mut(id) else {
            return;
        };
        let path = connection.path;
        let unproven = connection.unproven.as_mut();
        if unproven.is_none_or(|unproven| unproven.sends(datagram.len())) {
            self.transmit(path, datagram);
        } else {
            self.counters.unproven_path_dropped += 1;
        }
    }

    /// Application data waits until the client's address allows that it is sent. It is protected then: its record would be
    /// older than the client's window otherwise, if many short ones are sent meanwhile.
    pub(super) fn wait(&mut self, now: Instant, id: SessionId, plaintext: &[u8]) {
        let Some(connection) = self.sessions.get_mut(id) else {
            return;
        };
        let (Some(unproven), Engine::Dtls12(association)) =
            (&mut connection.unproven, &connection.engine)
        else {
            return;
        };
        // A retransmission of what waits already.
        if unproven
            .waiting()
            .any(|number| self.waiting.is(number, plaintext))
        {
            return;
        }
        let bytes = association.overhead().saturating_add(plaintext.len());
        if !unproven.has_room(bytes) {
            self.counters.unproven_path_dropped += 1;
            return;
        }
        unproven.wait(self.waiting.push(now, id, plaintext.to_vec()), bytes);
        while let Some((number, oldest)) = self.waiting.evict() {
            self.counters.unproven_paths_full += 1;
            self.forget_waiting(oldest, number);
        }
        self.repeat_challenge(now, id);
        self.arm(id);
    }

    /// Drops what has waited for too long.
    pub(super) fn expire_waiting(&mut self, now: Instant) {
        for _ in 0..TIMERS_PER_CALL {
            let Some((number, session)) = self.waiting.pop_expired(now) else {
                break;
            };
            self.counters.unproven_path_expired += 1;
            self.forget_waiting(session, number);
        }
    }

    fn forget_waiting(&mut self, id: SessionId, number: u64) {
        let connection = self.sessions.get_mut(id);
        if let Some(unproven) = connection.and_then(|connection| connection.unproven.as_mut()) {
            unproven.forget(number);
        }
    }

    fn send_waiting(&mut self, id: SessionId, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            if let Some(plaintext) = self.waiting.remove(number) {
                self.protect_application_data(id, &plaintext);
            }
        }
    }
}
