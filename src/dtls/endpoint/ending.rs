//! Ends sessions and handshakes, and reports it to their peers and to the gateway.

use super::Endpoint;
use crate::dtls::connection;
use crate::dtls::dtls13::engine::EngineOutput;
use crate::dtls::handshakes::{Engine, HalfOpen, HandshakeId};
use crate::dtls::path::{Path, SessionId};
use crate::dtls::{EndReason, Event, HandshakeFailure};
use dtls_server::alert::{Alert, AlertDescription};
use dtls_server::handshake::HandshakeError;
use std::time::Instant;

/// Why a handshake did not complete before its deadline. A plaintext alert may be forged, so it ends nothing, but it is
/// the likely reason.
pub(super) fn timeout_failure(handshake: &HalfOpen) -> HandshakeFailure {
    if let Engine::Dtls12(dtls12) = &handshake.engine
        && let Some(kind) = dtls12.handshake.too_large()
    {
        return HandshakeFailure::Handshake(HandshakeError::TooLarge(kind));
    }
    let alert = match &handshake.engine {
        Engine::Dtls12(dtls12) => dtls12.handshake.peer_alert().map(|alert| alert.description),
        Engine::Dtls13(dtls13) => dtls13.inbound.alert().map(AlertDescription),
    };
    alert.map_or(HandshakeFailure::TimedOut, HandshakeFailure::GivenUp)
}

impl<T> Endpoint<T> {
    /// Ends a session with a close_notify. `why` is logged. [`Event::Ended`] follows, as for all other ends.
    pub fn close(&mut self, id: SessionId, why: &'static str) {
        self.send_close_notify(id);
        self.end(id, EndReason::Closed(why));
    }

    /// Ends a session as [`close`](Self::close) does. It can't be resumed.
    pub fn revoke(&mut self, id: SessionId, why: &'static str) {
        self.forget_resumption(id);
        self.close(id, why);
    }

    pub(super) fn send_close_notify(&mut self, id: SessionId) {
        self.send_alert(id, Alert::warning(AlertDescription::CLOSE_NOTIFY));
        let connection = self.sessions.get_mut(id);
        if let Some(connection) = connection
            && let connection::Engine::Dtls13(dtls13) = &mut connection.engine
        {
            for output in dtls13.engine.close().unwrap_or_default() {
                if let EngineOutput::Transmit(datagram) = output {
                    self.transmit_to(id, datagram);
                }
            }
        }
    }

    /// Passes a datagram to a handshake.
    pub(super) fn feed_handshake(&mut self, now: Instant, id: HandshakeId, datagram: &[u8]) {
        match self.handshakes.get(id).map(|handshake| &handshake.engine) {
            Some(Engine::Dtls12(_)) => self.feed12(now, id, datagram),
            Some(Engine::Dtls13(_)) => self.feed13(now, id, datagram),
            None => {}
        }
    }

    /// The timer of a handshake has fired before its deadline.
    pub(super) fn drive_handshake(&mut self, now: Instant, id: HandshakeId) {
        match self.handshakes.get(id).map(|handshake| &handshake.engine) {
            Some(Engine::Dtls12(_)) => self.drive12(now, id),
            Some(Engine::Dtls13(_)) => self.drive13(now, id),
            None => {}
        }
    }

    /// A handshake's address is proven. It takes the place of another one of its path: the device has started a new
    /// handshake, and abandoned its former one.
    pub(super) fn proven(&mut self, id: HandshakeId, abandoned: Option<HandshakeId>) {
        if let Some(abandoned) = abandoned.filter(|abandoned| *abandoned != id) {
            self.remove_handshake(abandoned);
        }
        // Clients that stall after the cookie must not lock others out: proven handshakes leave a tenth of the places to
        // unproven ones, and the source that holds most loses its oldest.
        let proven = &self.handshakes.proven_by_source;
        if proven.count() > self.places_for_proven()
            && let Some(oldest) = proven.oldest_of_largest()
        {
            self.counters.proven_evicted += 1;
            self.remove_handshake(oldest);
        }
    }

    /// Updates how much a handshake buffers, and evicts handshakes while all together buffer more than the limit.
    pub(super) fn track_buffered(&mut self, id: HandshakeId) {
        self.handshakes.track_buffered(id);
        while let Some(id) = self.handshakes.largest_buffer() {
            self.counters.buffers_evicted += 1;
            match self.handshakes.get(id).is_some_and(HalfOpen::is_proven) {
                true => self.fail_handshake(id, HandshakeFailure::TooMuchBuffered),
                false => self.remove_handshake(id),
            }
        }
    }

    pub(super) fn fail_handshake(&mut self, id: HandshakeId, failure: HandshakeFailure) {
        if let Some(handshake) = self.handshakes.get(id) {
            let path = handshake.path;
            self.report_failure(path, failure);
            self.remove_handshake(id);
        }
    }

    pub(super) fn report_failure(&mut self, path: Path, failure: HandshakeFailure) {
        self.counters.handshakes_failed += 1;
        self.events
            .push_back(Event::HandshakeFailed { path, failure });
    }

    pub(super) fn remove_handshake(&mut self, id: HandshakeId) {
        if self.take_handshake(id).is_some() {
            self.ended += 1;
        }
    }

    /// Removes a handshake that has ended or is complete.
    pub(super) fn take_handshake(&mut self, id: HandshakeId) -> Option<HalfOpen> {
        let handshake = self.handshakes.remove(id)?;
        let (path, random) = (handshake.path, &handshake.random);
        self.index
            .remove_handshake(path, random, handshake.connection_id(), id);
        self.has_free_place = true;
        Some(handshake)
    }

    pub(super) fn end(&mut self, id: SessionId, reason: EndReason) {
        let Some(mut connection) = self.sessions.end(id) else {
            return;
        };
        self.ended += 1;
        self.timers.disarm(id, &mut connection.timer);
        self.used.ended(&connection, &self.sessions);
        if let Some(unproven) = connection.unproven.take() {
            for number in unproven.into_waiting() {
                self.waiting.remove(number);
            }
        }
        let connection_id = connection.connection_id();
        self.index
            .remove_session(connection.path, connection_id, id);
        self.events.push_back(Event::Ended {
            session: id,
            reason,
        });
    }

    /// A session can't be resumed any more.
    pub(super) fn forget_resumption(&mut self, id: SessionId) {
        if let Some(connection) = self.sessions.get(id) {
            self.resumption.remove(&connection.resumption_id);
        }
    }
}
