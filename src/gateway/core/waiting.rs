//! Sessions with requests that wait for others of theirs to end, and when the next of them begins.

use super::Core;
use crate::coap::{Code, ExchangeId, Response};
use crate::dtls::SessionId;
use std::collections::VecDeque;
use std::time::Instant;

/// Requests that waited, and begin in one call of the core: what else there is to do has its turn then.
pub(super) const BEGUN_PER_CALL: usize = 32;

/// Sessions of which a waiting request may begin, each once, in the order in which they may.
#[derive(Debug, Default)]
pub(super) struct Beginnings {
    sessions: VecDeque<(Instant, SessionId)>,
}

impl Beginnings {
    /// A request of this session may begin.
    pub(super) fn add(&mut self, now: Instant, session: SessionId) {
        self.sessions.push_back((now, session));
    }

    /// The session whose turn it is.
    pub(super) fn pop(&mut self) -> Option<SessionId> {
        self.sessions.pop_front().map(|(_, session)| session)
    }

    /// When there is something to begin.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.sessions.front().map(|(at, _)| *at)
    }
}

impl Core {
    /// Begins the next request of a session that has waited.
    pub(super) fn begin_waiting(&mut self, now: Instant, session: SessionId) {
        self.with_endpoint(now, session, |endpoint, context, outputs| {
            endpoint.begin_waiting(context, outputs);
        });
    }

    /// A request has waited while its certificate came to be registered for another device: it must not be taken for that
    /// device's. Returns whether it was, and is answered.
    pub(super) fn refuse_of_a_former_device(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
    ) -> bool {
        let peer = self.peers.get(session);
        let former = peer.is_some_and(|peer| peer.is_of_a_former_device(exchange));
        if former {
            let moved = Response::error(
                Code::SERVICE_UNAVAILABLE,
                "the certificate is registered otherwise now",
            );
            self.respond(now, session, exchange, moved.with_max_age(0));
        }
        former
    }
}
