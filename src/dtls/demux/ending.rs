//! Ends sessions and handshakes, and reports it to their peers and to the gateway.

use super::Demux;
use crate::dtls::engine::{EngineError, EngineOutput};
use crate::dtls::path::SessionId;
use crate::dtls::record::alert;
use crate::dtls::session::{Session, Stage};
use crate::dtls::{EndReason, Event, HandshakeFailure};

/// Why a handshake did not complete before its deadline. A plaintext alert may be forged, so it ends nothing, but it is
/// the likely reason.
pub(super) fn timeout_failure(session: &Session) -> HandshakeFailure {
    match session.inbound.alert() {
        Some(alert) => HandshakeFailure::Engine(format!(
            "the client has sent alert {alert}, and not gone on with the handshake"
        )),
        None => HandshakeFailure::TimedOut,
    }
}

impl Demux {
    /// Ends a session with a close_notify. `why` is logged. [`Event::Ended`] follows, as for all other ends.
    pub fn close(&mut self, id: SessionId, why: &'static str) {
        self.send_close_notify(id);
        self.end(id, EndReason::Closed(why));
    }

    pub(super) fn send_close_notify(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let path = session.path;
        for output in session.engine.close().unwrap_or_default() {
            if let EngineOutput::Transmit(datagram) = output {
                self.transmit(path, datagram);
            }
        }
    }

    /// Handles a fatal error of a session's engine.
    pub(super) fn fail(&mut self, id: SessionId, failure: EngineError) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let path = session.path;
        match session.stage {
            Stage::Established => self.end(id, EndReason::Failed(failure.reason)),
            // Counted but not logged: anyone can cause it from any address.
            Stage::Unproven if matches!(failure.alert, None | Some(alert::ILLEGAL_PARAMETER)) => {
                self.counters.unproven_failed += 1;
                if let Some(description) = failure.alert {
                    let alert = session.fatal_alert(description);
                    self.transmit(path, alert);
                }
                self.remove(id);
            }
            Stage::Unproven | Stage::Proven => {
                if let Some(description) = failure.alert {
                    let alert = session.fatal_alert(description);
                    self.transmit(path, alert);
                }
                self.fail_handshake(id, HandshakeFailure::Engine(failure.reason));
            }
        }
    }

    /// Evicts handshakes while they buffer more than the limit. Established sessions buffer nothing.
    pub(super) fn evict_buffers(&mut self) {
        while let Some(id) = self.buffered.to_evict() {
            self.buffered.remove(id);
            self.counters.buffers_evicted += 1;
            let session = self.sessions.get(&id);
            if session.is_some_and(|session| session.stage == Stage::Unproven) {
                self.remove(id);
            } else {
                let reason = "it keeps more unfinished messages waiting than there is room for";
                self.fail_handshake(id, HandshakeFailure::Engine(reason.to_owned()));
            }
        }
    }

    pub(super) fn fail_handshake(&mut self, id: SessionId, failure: HandshakeFailure) {
        if let Some(session) = self.sessions.get(&id) {
            let path = session.path;
            self.counters.handshakes_failed += 1;
            self.events
                .push_back(Event::HandshakeFailed { path, failure });
            self.remove(id);
        }
    }

    pub(super) fn end(&mut self, id: SessionId, reason: EndReason) {
        if let Some(session) = self.sessions.get(&id) {
            if session.stage == Stage::Established {
                let event = Event::Ended {
                    session: id,
                    reason,
                };
                self.events.push_back(event);
            }
            self.remove(id);
        }
    }

    pub(super) fn remove(&mut self, id: SessionId) {
        let Some(mut session) = self.sessions.remove(&id) else {
            return;
        };
        self.ended += 1;
        self.timers.disarm(id, &mut session.timer);
        self.buffered.remove(id);
        if session.stage != Stage::Established {
            self.half_open = self.half_open.saturating_sub(1);
            self.has_free_place = true;
        }
        self.proven_by_source.remove(session.path.remote.ip(), id);
        if session.stage == Stage::Unproven {
            self.hellos.remove(&(session.path, session.random));
        }
        if let Some(route) = self.routes.get_mut(&session.path) {
            let place = route.place(session.stage);
            *place = place.filter(|there| *there != id);
            if route.is_empty() {
                self.routes.remove(&session.path);
            }
        }
    }
}
