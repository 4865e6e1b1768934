//! Sessions with queued requests, which wait for earlier exchanges to end, and when the next one starts.

use super::Core;
use super::respond::Why;
use crate::dtls::SessionId;
use crate::gateway::sessions::{Peer, Sessions};
use coap::{Code, ExchangeId, Response};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Queued requests that are started in one call of the core, so that other work gets its turn.
pub(super) const READY_PER_CALL: usize = 32;

/// When a session is checked again whose device had its share of calls in flight. When one of the session's own calls
/// ends, it is checked at once.
const POSTPONED: Duration = Duration::from_millis(250);

/// Sessions of which a queued request may start, in order. Each is in the list once, as a flag in its peer says; after one
/// of its requests has started, it is added again if more are queued.
#[derive(Debug, Default)]
pub(super) struct ReadySessions {
    ready: VecDeque<(Instant, SessionId)>,
    /// Sessions to check at a later time.
    postponed: VecDeque<(Instant, SessionId)>,
}

impl ReadySessions {
    /// A queued request of this session may start.
    pub(super) fn add(&mut self, now: Instant, peer: &mut Peer) {
        if !std::mem::replace(&mut peer.is_ready, true) {
            self.ready.push_back((now, peer.session));
        }
    }

    /// A queued request of this session may start soon, not now.
    pub(super) fn postpone(&mut self, now: Instant, peer: &mut Peer) {
        if !std::mem::replace(&mut peer.is_postponed, true) {
            self.postponed.push_back((now + POSTPONED, peer.session));
        }
    }

    pub(super) fn pop(&mut self, now: Instant, sessions: &mut Sessions) -> Option<SessionId> {
        let is_due = self.postponed.front().is_some_and(|(at, _)| *at <= now);
        let list = match is_due {
            true => &mut self.postponed,
            false => &mut self.ready,
        };
        let (_, session) = list.pop_front()?;
        // It may have ended.
        if let Some(peer) = sessions.get_mut(session) {
            match is_due {
                true => peer.is_postponed = false,
                false => peer.is_ready = false,
            }
        }
        Some(session)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.ready.len() + self.postponed.len()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let fronts = [self.ready.front(), self.postponed.front()];
        fronts.into_iter().flatten().map(|(at, _)| *at).min()
    }
}

impl Core {
    /// Starts the next queued request of a session.
    pub(super) fn start_queued_request(&mut self, now: Instant, session: SessionId) {
        self.with_endpoint(now, session, |endpoint, context, outputs| {
            endpoint.start_queued(context, outputs);
        });
    }

    /// Refuses a request that waited while its certificate was assigned to another device: it is not that device's
    /// request. Returns whether it was refused.
    pub(super) fn refuse_of_former_device(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
    ) -> bool {
        let peer = self.sessions.get(session);
        let former = peer.is_some_and(|peer| peer.is_of_former_device(exchange));
        if former {
            let moved = Response::error(
                Code::SERVICE_UNAVAILABLE,
                "the certificate belongs to another device now",
            );
            let response = moved.with_max_age(0);
            self.respond(now, session, exchange, response, Why::Handled);
        }
        former
    }
}
