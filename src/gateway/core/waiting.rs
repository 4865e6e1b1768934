//! Sessions with requests that wait for others of theirs to end, and when the next of them begins.

use super::Core;
use crate::dtls::SessionId;
use coap::{Code, ExchangeId, Response};
use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// Requests that waited, and begin in one call of the core: what else there is to do has its turn then.
pub(super) const BEGUN_PER_CALL: usize = 32;

/// How long until it is looked whether a session may begin a request whose device had its share of calls in flight. Calls
/// of its own that end are looked at at once.
const POSTPONED: Duration = Duration::from_millis(250);

/// Sessions of which a waiting request may begin, in the order in which they may. Each is listed once, whatever happens
/// meanwhile: who looks at one lists it anew if more of it waits.
#[derive(Debug, Default)]
pub(super) struct Beginnings {
    sessions: VecDeque<(Instant, SessionId)>,
    /// Those to look at again, at this time.
    postponed: VecDeque<(Instant, SessionId)>,
    /// Those in the two lists, for each.
    added: HashSet<SessionId>,
    to_look_at: HashSet<SessionId>,
}

impl Beginnings {
    /// A request of this session may begin.
    pub(super) fn add(&mut self, now: Instant, session: SessionId) {
        if self.added.insert(session) {
            self.sessions.push_back((now, session));
        }
    }

    /// A request of this session may not begin now, and perhaps soon.
    pub(super) fn postpone(&mut self, now: Instant, session: SessionId) {
        if self.to_look_at.insert(session) {
            self.postponed.push_back((now + POSTPONED, session));
        }
    }

    /// The session whose turn it is.
    pub(super) fn pop(&mut self, now: Instant) -> Option<SessionId> {
        let is_due = self.postponed.front().is_some_and(|(at, _)| *at <= now);
        let (list, listed) = match is_due {
            true => (&mut self.postponed, &mut self.to_look_at),
            false => (&mut self.sessions, &mut self.added),
        };
        let (_, session) = list.pop_front()?;
        listed.remove(&session);
        Some(session)
    }

    /// How many are listed.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.sessions.len() + self.postponed.len()
    }

    /// When there is something to begin.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let fronts = [self.sessions.front(), self.postponed.front()];
        fronts.into_iter().flatten().map(|(at, _)| *at).min()
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
