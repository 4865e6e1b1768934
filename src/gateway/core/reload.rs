//! What takes the place of what was read at the start, while sessions and observations go on.
//!
//! A new registry counts at once: each session is looked up anew before its next message is looked at. What
//! follows for sessions that are silent (observations that end, polls under another token) is done some at a
//! time, so that no request waits for a hundred thousand of them. In the same way live sessions are judged by new
//! trust anchors and revocation lists.

use super::Core;
use crate::device::{Device, Registry};
use crate::dtls::{ClientPolicy, SessionId};
use crate::gateway::handle::Change;
use crate::gateway::sessions::Admission;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Sessions looked up anew in one call.
const LOOKED_UP_PER_CALL: usize = 256;
/// Sessions judged anew in one call: each costs the check of a signature or two.
const JUDGED_PER_CALL: usize = 8;

/// What is still to be gone through.
#[derive(Debug, Default)]
pub(super) struct Review {
    /// Counts registries.
    edition: u32,
    to_look_up: VecDeque<SessionId>,
    to_judge: VecDeque<SessionId>,
    since: Option<Instant>,
}

impl Review {
    /// The number of the registry that counts.
    pub(super) fn edition(&self) -> u32 {
        self.edition
    }

    /// When there is more to do: at once, if at all.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.since
    }

    /// Sessions that wait to be gone through.
    pub(super) fn waiting(&self) -> usize {
        self.to_look_up.len().saturating_add(self.to_judge.len())
    }
}

impl Core {
    /// Serves by something new from now on.
    pub fn change(&mut self, now: Instant, change: Change) {
        match change {
            Change::Registry(registry) => self.follow_registry(now, registry),
            Change::Server(settings) => self.demux.set_engine(settings),
            Change::Clients(policy) => self.follow_policy(now, policy),
        }
        self.settle(now);
    }

    fn follow_registry(&mut self, now: Instant, registry: Arc<Registry>) {
        self.registry = registry;
        self.review.edition = self.review.edition.wrapping_add(1);
        self.review.to_look_up = self.peers.sessions().into();
        self.review.since = Some(now);
    }

    fn follow_policy(&mut self, now: Instant, policy: ClientPolicy) {
        self.demux.set_policy(policy);
        self.review.to_judge = self.peers.sessions().into();
        self.review.since = Some(now);
    }

    /// Goes through some of the sessions that are to be looked up or judged anew.
    pub(super) fn go_on_reviewing(&mut self, now: Instant) {
        for _ in 0..LOOKED_UP_PER_CALL {
            let Some(session) = self.review.to_look_up.pop_front() else {
                break;
            };
            self.look_up_anew(now, session);
        }
        for _ in 0..JUDGED_PER_CALL {
            let Some(session) = self.review.to_judge.pop_front() else {
                break;
            };
            if let Some(refusal) = self.demux.judge_anew(session) {
                self.counters.sessions_revoked += 1;
                if let Some(peer) = self.peers.get(session) {
                    self.journal.refused_since(peer, &refusal);
                }
                self.demux
                    .close(session, "its certificate is no longer accepted");
            }
        }
        if self.review.waiting() == 0 {
            self.review.since = None;
        }
        self.settle(now);
    }

    /// Whose a session is by the registry that counts, if that was not asked yet.
    pub(super) fn look_up_anew(&mut self, now: Instant, session: SessionId) {
        if !self.peers.is_behind(session, self.review.edition) {
            return;
        }
        let Some(peer) = self.peers.get(session) else {
            return;
        };
        let device = self.registry.find(&peer.certificate).cloned();
        let name = |device: &Option<Arc<Device>>| device.as_ref().map(|d| d.name.clone());
        let (before, after) = (name(&peer.device), name(&device));
        if before != after {
            self.journal.reassigned(peer, after.as_deref());
            // Before it changes hands: the relay is found by the name of the device that it was.
            self.tell_if_any(now, session, |relay, context| {
                relay.unregistered(session, context);
            });
        }
        if before.is_some() && after.is_none() {
            self.counters.sessions_unregistered += 1;
        }
        let admission = self
            .peers
            .assign(session, device.clone(), self.review.edition);
        self.make_room(admission);
        if let Some(device) = device {
            self.renew_relay(now, &device);
        }
        // What it was waited for may be gone with that, and so is the time at which it was to end.
        if self.draining.is_under_way() {
            self.draining.touched.push(session);
        }
    }

    /// Closes whom another displaces.
    pub(super) fn make_room(&mut self, admission: Admission) {
        match admission {
            Admission::Alone => {}
            Admission::Displaces(longest_silent) => {
                self.counters.sessions_displaced += 1;
                let why = "the device has more than limits.sessions_per_device";
                self.demux.close(longest_silent, why);
            }
            Admission::DisplacesUnregistered(oldest) => {
                self.counters.unregistered_displaced += 1;
                let why = "there are more than limits.unregistered_sessions";
                self.demux.close(oldest, why);
            }
        }
    }

    /// A device's relay goes on under the token that the registry has for it now.
    pub(super) fn renew_relay(&mut self, now: Instant, device: &Arc<Device>) {
        if let Some(relay) = self.relays.outdated(device) {
            let device = device.clone();
            self.tell_relay(now, relay, |relay, context| {
                relay.renew(now, device, context);
            });
        }
    }
}
