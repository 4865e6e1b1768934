//! Draining: no new handshakes; open exchanges end, and each session is closed.
//!
//! ```text
//! serving ──drain──▶ draining ──(no session and no call is left; or the time is over)──▶ drained
//! ```
//!
//! A session is closed once its exchanges have ended and it was idle for a while since: a device whose response was lost
//! retransmits its request, and still gets the response. A session with an open poll for commands stays until the poll
//! ends: ThingsBoard would deliver a command to a poll that was given up, and take it for delivered. No poll begins.
//! New requests are answered 5.03, except a reply to a command.
//!
//! Over MQTT all subscriptions end at once: further commands wait in ThingsBoard. A command that came before is notified,
//! and acknowledged to ThingsBoard when the device has acknowledged it. A device's connection is closed with its session,
//! since the next gateway may open one under the same access token.
//!
//! # Sessions that are stored
//!
//! They are not closed: the next process goes on with them ([`state`](crate::state)), and no device is to notice it. So their
//! requests are served as long as polls for commands are open, or messages to devices are not acknowledged: a command that is
//! notified again by the next process would be executed twice. Then requests are ignored, as if they were lost: the device
//! repeats them, and the next process answers. Nothing is notified any more. It is over when the requests that came before are
//! answered.

use super::Core;
use super::respond::Why;
use crate::calls::RelayCall;
use crate::downlink::Kind;
use crate::dtls::SessionId;
use coap::{Code, ExchangeId, Response};
use std::collections::HashSet;
use std::time::{Duration, Instant};

const REASON: &str = "the gateway stops";

/// How long requests are ignored at least: acknowledgements of the last responses are on their way. It is less than
/// ACK_TIMEOUT, so that the first repetition of a request reaches the next process.
const SETTLE: Duration = Duration::from_millis(500);

/// How long before the time is over requests are ignored, whatever polls are open: so that those that came before are answered.
const LAST: Duration = Duration::from_secs(1);

/// Max-Age in seconds: by then there may be another gateway.
const MAX_AGE: u32 = 2;

/// The state of draining.
#[derive(Debug, Default)]
pub(super) struct Draining {
    until: Option<Instant>,
    is_over: bool,
    /// Sessions with activity since they were checked last.
    pub(super) touched: Vec<SessionId>,
    /// Stored sessions with messages that are not acknowledged.
    unacknowledged: HashSet<SessionId>,
    /// Since when requests of stored sessions are ignored.
    ignoring_since: Option<Instant>,
    is_settled: bool,
}

impl Draining {
    pub(super) fn is_active(&self) -> bool {
        self.until.is_some()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let until = self.until.filter(|_| !self.is_over)?;
        Some(match self.ignoring_since {
            None => last(until),
            Some(since) if !self.is_settled => until.min(since + SETTLE),
            Some(_) => until,
        })
    }
}

/// When requests are ignored at the latest.
fn last(until: Instant) -> Instant {
    until.checked_sub(LAST).unwrap_or(until)
}

impl Core {
    /// Refuses new handshakes, and closes sessions as their exchanges end, within this time.
    pub fn drain(&mut self, now: Instant, at_most: Duration) {
        self.draining.until = Some(now + at_most);
        self.sessions.dtls.stop_accepting();
        self.end_subscriptions();
        self.draining.touched = self.sessions.ids();
        self.settle(now);
    }

    /// Whether every session that is not stored and every call for a device's request has ended, or the time is over.
    pub fn is_drained(&self) -> bool {
        let ended = self.sessions.without_row() == self.members() && self.in_flight.count() == 0;
        let is_lasting = self.state.is_some() || self.group.is_some();
        let is_settled = !is_lasting || self.draining.is_settled;
        self.draining.is_over || self.draining.is_active() && ended && is_settled
    }

    /// Whether new sessions are refused, because the process is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.is_active()
    }

    /// Whether requests in this session are ignored, and nothing is notified: the next process does both.
    pub(super) fn leaves_to_next(&self, session: SessionId) -> bool {
        self.draining.ignoring_since.is_some() && self.is_stored(session)
    }

    /// Requests of stored sessions are ignored from now on, if no poll for commands is open and everything is acknowledged, or the
    /// time is nearly over.
    pub(super) fn ignore_requests_if_due(&mut self, now: Instant) {
        let Some(until) = self.draining.until else {
            return;
        };
        let is_quiet =
            self.relay_calls.command_polls() == 0 && self.draining.unacknowledged.is_empty();
        if is_quiet || last(until) <= now {
            self.draining.ignoring_since.get_or_insert(now);
        }
    }

    /// Closes all sessions if the time is over.
    pub(super) fn continue_draining(&mut self, now: Instant) {
        let Some(until) = self.draining.until.filter(|_| !self.draining.is_over) else {
            return;
        };
        self.ignore_requests_if_due(now);
        let since = self.draining.ignoring_since;
        self.draining.is_settled = since.is_some_and(|since| since + SETTLE <= now);
        if until <= now {
            self.draining.is_over = true;
            self.close_all(now);
        }
    }

    /// Lets a session expire if nothing in it is open. Of one that is stored, notes whether anything is not acknowledged.
    pub(super) fn close_if_drained(&mut self, now: Instant, session: SessionId) {
        let is_stored = self.is_stored(session);
        match self.sessions.get(session).filter(|_| is_stored) {
            Some(peer) if peer.endpoint.outgoing() > 0 => {
                self.draining.unacknowledged.insert(session);
            }
            Some(_) => {
                self.draining.unacknowledged.remove(&session);
            }
            None => {
                self.draining.unacknowledged.remove(&session);
                let at = self.drained_at(now, session);
                self.sessions.expire(session, at);
            }
        }
    }

    /// When a session may be closed, if it stays idle until then. `None`: something is open.
    fn drained_at(&self, now: Instant, session: SessionId) -> Option<Instant> {
        let peer = self.sessions.get(session)?;
        if peer.endpoint.open_exchanges() > 0
            || peer.endpoint.outgoing() > 0
            || self.is_polled_for(session)
        {
            return None;
        }
        let idle = peer
            .last_served()
            .map(|at| at + self.settings.linger_time());
        Some(idle.map_or(now, |idle| idle.max(now)))
    }

    /// Whether a poll is open whose command would go to this session.
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
                    self.relay_calls
                        .is_open(id, RelayCall::Poll(Kind::Commands, number))
                })
        })
    }

    /// Answers a request with 5.03.
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
        let response = stopping.with_max_age(MAX_AGE);
        self.respond(now, session, exchange, response, Why::Draining);
    }

    /// Closes a session whose lifetime is over.
    pub(super) fn close_expired(&mut self, session: SessionId) {
        let why = if self.draining.is_active() {
            REASON
        } else {
            "its certificate is not registered"
        };
        self.sessions.dtls.close(session, why);
    }

    /// Ends every session that is not stored with a close_notify.
    pub fn close_all(&mut self, now: Instant) {
        for session in self.sessions.ids() {
            if !self.is_stored(session) {
                self.sessions.dtls.close(session, REASON);
            }
        }
        self.settle(now);
    }
}
