//! The end: nobody new is let in, what is under way comes to its end, and each session is taken leave of.
//!
//! ```text
//! serving ──drain──▶ draining ──(no session, no call is left; or the time is over)──▶ drained
//! ```
//!
//! A session ends once its exchanges have, and has been quiet for a while since: a device whose response was lost
//! asks for it once more, and still gets it. Where commands are polled for it, it stays as long as the polls do:
//! ThingsBoard would hand a command to a poll that nobody waits for, and take it for delivered. No poll is begun.
//! What a device asks meanwhile is answered 5.03, but for its reply to a command.

use super::Core;
use crate::dtls::SessionId;
use crate::gateway::call::Errand;
use crate::relay::Kind;
use coap::{Code, ExchangeId, Response};
use std::time::{Duration, Instant};

const WHY: &str = "the gateway stops";

/// Seconds after which a device may try again: by then there may be another gateway.
const AGAIN_AFTER: u32 = 2;

/// How far the end has come.
#[derive(Debug, Default)]
pub(super) struct Draining {
    /// When it is over, whatever is still under way.
    until: Option<Instant>,
    is_over: bool,
    /// Sessions of which something was done since they were looked at.
    pub(super) touched: Vec<SessionId>,
}

impl Draining {
    /// Whether the gateway stops.
    pub(super) fn is_under_way(&self) -> bool {
        self.until.is_some()
    }

    /// When it is over at the latest.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.until.filter(|_| !self.is_over)
    }
}

impl Core {
    /// Lets nobody new in, and brings what is under way to its end, within this time.
    pub fn drain(&mut self, now: Instant, at_most: Duration) {
        self.draining.until = Some(now + at_most);
        self.demux.refuse_newcomers();
        self.draining.touched = self.peers.sessions();
        self.settle(now);
    }

    /// Whether nothing is left to wait for: every session has ended and every request of devices, or the time is over.
    pub fn is_drained(&self) -> bool {
        let ended = self.peers.is_empty() && self.in_flight.count() == 0;
        self.draining.is_over || self.draining.is_under_way() && ended
    }

    /// Whether the gateway stops.
    pub fn is_draining(&self) -> bool {
        self.draining.is_under_way()
    }

    /// Ends it all if the time is over.
    pub(super) fn go_on_draining(&mut self, now: Instant) {
        if self
            .draining
            .next_timeout()
            .is_some_and(|until| until <= now)
        {
            self.draining.is_over = true;
            self.close_all(now);
        }
    }

    /// Something was done of a session, and it may be its end.
    pub(super) fn let_go(&mut self, now: Instant, session: SessionId) {
        let at = self.may_end_at(now, session);
        self.peers.expire(session, at);
    }

    /// When a session may end: when it is quiet by then. `None`: something is under way.
    fn may_end_at(&self, now: Instant, session: SessionId) -> Option<Instant> {
        let peer = self.peers.get(session)?;
        if peer.endpoint.open_exchanges() > 0
            || peer.endpoint.outgoing() > 0
            || self.is_polled_for(session)
        {
            return None;
        }
        let quiet = peer.last_served().map(|at| at + self.settings.lingering());
        Some(quiet.map_or(now, |quiet| quiet.max(now)))
    }

    /// Whether a poll for commands is open that this session would get.
    fn is_polled_for(&self, session: SessionId) -> bool {
        let Some(device) = self.device_of(session) else {
            return false;
        };
        let Some(id) = self.relays.find(&device.name) else {
            return false;
        };
        self.relays.get(id).is_some_and(|relay| {
            let observes = relay.observation(Kind::Commands);
            observes.is_some_and(|observation| observation.session == session)
                && relay.open_command_polls().any(|number| {
                    self.errands
                        .is_under_way(id, Errand::Poll(Kind::Commands, number))
                })
        })
    }

    /// A request comes while the gateway stops.
    pub(super) fn refuse_while_draining(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
    ) {
        self.counters.requests_while_draining += 1;
        let stopping = Response::error(
            Code::SERVICE_UNAVAILABLE,
            "the gateway stops: connect again in a moment",
        );
        let response = stopping.with_max_age(AGAIN_AFTER);
        if let Some(peer) = self.peers.get(session) {
            self.journal.answered(peer, exchange, &response);
        }
        let code = response.code;
        self.tallies.answers.answered(session, exchange, code);
        // Not `respond`: a device that asks again and again must not keep its session by it.
        self.with_endpoint(now, session, |endpoint, context, outputs| {
            endpoint.respond(now, exchange, response, context, outputs);
        });
    }

    /// A session has outlived the time it was given.
    pub(super) fn close_expired(&mut self, session: SessionId) {
        let why = if self.draining.is_under_way() {
            WHY
        } else {
            "its certificate is not registered"
        };
        self.demux.close(session, why);
    }

    /// Ends every session with a close_notify.
    pub fn close_all(&mut self, now: Instant) {
        for session in self.peers.sessions() {
            self.demux.close(session, WHY);
        }
        self.settle(now);
    }
}
