//! Datagrams for established sessions, and for handshakes by connection ID.

use super::Endpoint;
use crate::dtls::EndReason;
use crate::dtls::connection::Engine;
use crate::dtls::path::{Path, SessionId};
use dtls_server::alert::Alert;
use dtls_server::association::{Discard, ProtectError};
use dtls_server::established::{self, Incoming, Reason, Received};
use dtls_server::record::{self, ContentType, records};
use std::time::Instant;

/// Records of a datagram that are not authentic, before the rest of it is dropped: each may cost a decryption.
const MAX_DISCARDED: usize = 32;
/// Bytes of a record's header without its connection ID.
const HEADER: usize = 13;

impl<T> Endpoint<T> {
    /// The connection ID of the first record. Empty: it must have one, and is malformed. `None`: it goes by its path.
    pub(super) fn connection_id<'a>(&self, datagram: &'a [u8]) -> Option<&'a [u8]> {
        let length = self.index.connection_id_length();
        let is_by_id = datagram.first() == Some(&ContentType::TLS12_CID.0) && length > 0;
        is_by_id.then(|| record::connection_id(datagram, length).unwrap_or_default())
    }

    pub(super) fn receive_by_connection_id(
        &mut self,
        now: Instant,
        path: Path,
        connection_id: &[u8],
        datagram: &[u8],
    ) {
        if let Some(id) = self.index.session_with(connection_id) {
            return self.receive_established(now, path, id, datagram);
        }
        let handshake = self.index.handshake_with(connection_id);
        let is_there = |id: &_| {
            let handshake = self.handshakes.get(*id);
            handshake.is_some_and(|handshake| handshake.path == path)
        };
        // A handshake does not move.
        match handshake.filter(is_there) {
            Some(id) => self.feed_handshake(now, id, datagram),
            None => self.counters.no_session += 1,
        }
    }

    /// Passes a datagram to an established session.
    pub(super) fn receive_established(
        &mut self,
        now: Instant,
        path: Path,
        id: SessionId,
        datagram: &[u8],
    ) {
        match self.sessions.get(id).map(|connection| &connection.engine) {
            Some(Engine::Dtls12(_)) => self.receive12(now, path, id, datagram),
            Some(Engine::Dtls13(_)) => self.receive13(now, id, datagram),
            None => {}
        }
    }

    fn receive12(&mut self, now: Instant, path: Path, id: SessionId, datagram: &[u8]) {
        let (mut discarded, mut is_authentic) = (0, false);
        for record in records(datagram, self.index.connection_id_length()) {
            let Some(connection) = self.sessions.get_mut(id) else {
                return;
            };
            let Engine::Dtls12(association) = &mut connection.engine else {
                return;
            };
            let last_flight = connection.fresh.as_mut();
            let last_flight = last_flight.and_then(|fresh| fresh.last_flight.as_deref_mut());
            let received = established::receive(association, last_flight, &record);
            if matches!(received, Ok(_) | Err(Discard::InnerType)) {
                // It was authentic, and counts as received.
                self.used.push(id, connection);
            }
            let Ok(incoming) = received else {
                discarded += 1;
                if discarded >= MAX_DISCARDED {
                    break;
                }
                continue;
            };
            let has_moved = incoming.is_newest && connection.path != path;
            if has_moved {
                self.move_session(id, path);
            }
            if has_moved || !is_authentic {
                self.received_from(now, id, path, datagram.len());
            }
            is_authentic = true;
            let bytes = HEADER + record.connection_id.len() + record.fragment.len();
            self.act(now, path, id, bytes, incoming);
        }
        if !is_authentic {
            self.counters.without_effect += 1;
        }
        self.arm(id);
    }

    /// Does what an authentic record of this many bytes leads to.
    fn act(&mut self, now: Instant, path: Path, id: SessionId, bytes: usize, incoming: Incoming) {
        match incoming.received {
            Received::ApplicationData(content) => {
                self.received_application_data(now, id, content);
            }
            Received::Repeat(datagrams) => {
                for datagram in datagrams {
                    self.transmit_to(id, datagram);
                }
            }
            Received::PathChallenge(response) => {
                self.respond_to_challenge(id, path, bytes, response);
            }
            Received::PathResponse(cookie) => self.receive_response(id, path, cookie),
            // What is in use is where its newest record came from.
            Received::PathDrop(_) => {}
            Received::Warn(datagram) => self.transmit_to(id, datagram),
            Received::Ended(reason, answer) => {
                if let Some(answer) = answer {
                    self.transmit_to(id, answer);
                }
                if reason != Reason::CloseNotify {
                    // RFC 5246 §7.2.2.
                    self.forget_resumption(id);
                }
                self.end(id, end_reason(reason));
            }
            Received::Nothing => {}
        }
    }

    /// Protects and sends application data.
    pub(super) fn send_application_data(&mut self, now: Instant, id: SessionId, plaintext: &[u8]) {
        let Some(connection) = self.sessions.get_mut(id) else {
            return;
        };
        let Engine::Dtls12(association) = &mut connection.engine else {
            return self.send13(now, id, plaintext);
        };
        if let Some(unproven) = &mut connection.unproven
            && !unproven.sends(association.overhead().saturating_add(plaintext.len()))
        {
            return self.wait(now, id, plaintext);
        }
        self.protect_application_data(id, plaintext);
    }

    /// Protects and sends application data. What the path allows is not asked.
    pub(super) fn protect_application_data(&mut self, id: SessionId, plaintext: &[u8]) {
        let Some(connection) = self.sessions.get_mut(id) else {
            return;
        };
        let Engine::Dtls12(association) = &mut connection.engine else {
            return;
        };
        let path = connection.path;
        let mut datagram = Vec::new();
        let written = association.protect(ContentType::APPLICATION_DATA, plaintext, &mut datagram);
        self.used.push(id, connection);
        match written {
            Ok(()) => self.transmit(path, datagram),
            Err(ProtectError::NumbersExhausted) => {
                let reason = ProtectError::NumbersExhausted.to_string();
                self.end(id, EndReason::Failed(reason));
            }
            Err(ProtectError::NotReserved) => self.end(id, EndReason::NotReserved),
            // Longer than the client takes: see `max_plaintext`.
            Err(ProtectError::TooLong | ProtectError::Failed(_)) => {
                self.counters.engine_failures += 1;
            }
        }
    }

    /// Sends an alert of a session of DTLS 1.2.
    pub(super) fn send_alert(&mut self, id: SessionId, alert: Alert) {
        let Some(connection) = self.sessions.get_mut(id) else {
            return;
        };
        let Engine::Dtls12(association) = &mut connection.engine else {
            return;
        };
        let datagram = established::protect(association, alert);
        self.used.push(id, connection);
        if let Some(datagram) = datagram {
            self.transmit_to(id, datagram);
        }
    }
}

fn end_reason(reason: Reason) -> EndReason {
    match reason {
        Reason::CloseNotify => EndReason::CloseNotify,
        Reason::Alert(description) => {
            EndReason::Failed(format!("the device has sent {description}"))
        }
        Reason::Unexpected => {
            EndReason::Failed("the device has sent a record that has no place here".to_owned())
        }
        Reason::Overflow => {
            EndReason::Failed("the device has sent a record that is too large".to_owned())
        }
        Reason::Malformed => EndReason::Failed("the device has sent a malformed alert".to_owned()),
    }
}
