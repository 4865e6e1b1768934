//! Clients that change their address (RFC 9146 §6): the session goes on, and the new address is used with care until it is
//! proven.

use super::Endpoint;
use crate::dtls::Event;
use crate::dtls::connection::{Engine, FACTOR, Offered, UnprovenPath};
use crate::dtls::path::{Path, SessionId};
use dtls_server::crypto::random::SystemRandom;
use dtls_server::routability::Cookie;

impl<T> Endpoint<T> {
    /// The client of a session has received what was sent since it moved, so its new address is proven. Nothing happens if it
    /// has not moved.
    pub fn confirm_path(&mut self, id: SessionId) {
        let Some(connection) = self.sessions.get_mut(id) else {
            return;
        };
        let path = connection.path;
        if let Some(unproven) = connection.unproven.take() {
            for datagram in unproven.into_waiting() {
                self.transmit(path, datagram);
            }
        }
    }

    /// Whether the address of a session's client is not proven.
    pub fn is_path_unproven(&self, id: SessionId) -> bool {
        self.sessions
            .get(id)
            .is_some_and(|connection| connection.unproven.is_some())
    }

    /// Whether something waits until the address of a session's client is proven.
    pub fn is_path_blocked(&self, id: SessionId) -> bool {
        let connection = self.sessions.get(id);
        let unproven = connection.and_then(|connection| connection.unproven.as_ref());
        unproven.is_some_and(|unproven| unproven.has_waiting())
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
        let mut waiting = Vec::new();
        connection.unproven = match connection.unproven.take() {
            // It is back where it was.
            Some(unproven) if unproven.proven == path => {
                waiting = unproven.into_waiting().into();
                None
            }
            Some(unproven) => Some(Box::new(unproven.moved())),
            None => Some(Box::new(UnprovenPath::new(from))),
        };
        self.index
            .move_session(from, path, id, keeps, &self.sessions);
        self.counters.moved += 1;
        self.events.push_back(Event::Moved { session: id, path });
        for datagram in waiting {
            self.transmit(path, datagram);
        }
    }

    /// Asks the client whether it receives at its new address (RFC 9853), if it knows the question.
    pub(super) fn challenge(&mut self, id: SessionId) {
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
            unproven.challenged(cookie);
            self.transmit_to(id, datagram);
        }
    }

    /// The client has received a challenge.
    pub(super) fn receive_response(&mut self, id: SessionId, path: Path, cookie: Cookie) {
        let connection = self.sessions.get(id);
        let connection = connection.filter(|connection| connection.path == path);
        let unproven = connection.and_then(|connection| connection.unproven.as_ref());
        if unproven.is_some_and(|unproven| unproven.is_proven_by(cookie)) {
            self.confirm_path(id);
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

    /// An authentic datagram came from this path.
    pub(super) fn received_from(&mut self, id: SessionId, path: Path, bytes: usize) {
        let connection = self.sessions.get_mut(id);
        let Some(connection) = connection.filter(|connection| connection.path == path) else {
            return;
        };
        let Some(unproven) = &mut connection.unproven else {
            return;
        };
        unproven.received(bytes);
        let waiting: Vec<_> = std::iter::from_fn(|| unproven.pop()).collect();
        for datagram in waiting {
            self.transmit(path, datagram);
        }
    }

    /// Sends a datagram to a session's client, as soon as its address allows it.
    pub(super) fn transmit_to(&mut self, id: SessionId, datagram: Vec<u8>) {
        let Some(connection) = self.sessions.get_mut(id) else {
            return;
        };
        let path = connection.path;
        match &mut connection.unproven {
            None => self.transmit(path, datagram),
            Some(unproven) => match unproven.offer(datagram) {
                Offered::Send(datagram) => self.transmit(path, datagram),
                Offered::Waits => {}
                Offered::Dropped => self.counters.unproven_path_dropped += 1,
            },
        }
    }
}
