//! Replaces registry, certificate, or client policy while sessions and observations go on.
//!
//! A new registry applies at once: each session's device is looked up again before its next message is handled. What
//! follows for idle sessions (observations that end, polls under another access token) is done a few at a time, so that
//! no request waits for a hundred thousand of them. In the same way established sessions are checked against new trust
//! anchors and revocation lists.

use super::Core;
use crate::credentials::ClientPolicy;
use crate::device::{Device, Registry};
use crate::dtls::SessionId;
use crate::gateway::handle::Change;
use crate::gateway::sessions::Admission;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Sessions looked up in one call.
const LOOKED_UP_PER_CALL: usize = 256;
/// Sessions checked in one call: each may be the first of its path, which costs the verification of a signature or two.
const CHECKED_PER_CALL: usize = 8;

/// Sessions that still have to be looked up or checked.
#[derive(Debug, Default)]
pub(super) struct Review {
    /// The number of the current registry.
    registry_version: u32,
    to_look_up: VecDeque<SessionId>,
    to_check: VecDeque<SessionId>,
    since: Option<Instant>,
}

impl Review {
    /// The number of the current registry.
    pub(super) fn registry_version(&self) -> u32 {
        self.registry_version
    }

    /// At once, if there is anything to do.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.since
    }

    pub(super) fn waiting(&self) -> usize {
        self.to_look_up.len().saturating_add(self.to_check.len())
    }
}

impl Core {
    /// Applies a change.
    pub fn change(&mut self, now: Instant, change: Change) {
        match change {
            Change::Registry(registry) => self.replace_registry(now, registry),
            Change::Server(settings) => self.sessions.dtls.set_settings(settings),
            Change::Clients(policy) => self.replace_policy(now, policy),
        }
        self.settle(now);
    }

    fn replace_registry(&mut self, now: Instant, registry: Arc<Registry>) {
        self.registry = registry;
        self.review.registry_version = self.review.registry_version.wrapping_add(1);
        self.review.to_look_up = self.sessions.ids().into();
        self.review.since = Some(now);
    }

    fn replace_policy(&mut self, now: Instant, policy: ClientPolicy) {
        self.sessions.dtls.set_policy(policy);
        self.review.to_check = self.sessions.ids().into();
        self.review.since = Some(now);
    }

    /// Looks up and checks some of the sessions that wait for it.
    pub(super) fn continue_review(&mut self, now: Instant) {
        for _ in 0..LOOKED_UP_PER_CALL {
            let Some(session) = self.review.to_look_up.pop_front() else {
                break;
            };
            self.refresh_device(now, session);
        }
        for _ in 0..CHECKED_PER_CALL {
            let Some(session) = self.review.to_check.pop_front() else {
                break;
            };
            if let Some(refusal) = self.sessions.dtls.verify_again(session) {
                self.counters.sessions_revoked += 1;
                if let Some(peer) = self.sessions.get(session) {
                    self.journal.no_longer_accepted(peer, &refusal);
                }
                self.sessions
                    .dtls
                    .close(session, "its certificate is no longer accepted");
            }
        }
        if self.review.waiting() == 0 {
            self.review.since = None;
        }
        self.settle(now);
    }

    /// Looks up the session's device in the current registry, if that was not done yet.
    pub(super) fn refresh_device(&mut self, now: Instant, session: SessionId) {
        if !self
            .sessions
            .is_outdated(session, self.review.registry_version)
        {
            return;
        }
        let Some(peer) = self.sessions.get(session) else {
            return;
        };
        let device = self.registry.find(&peer.certificate).cloned();
        let former = peer.device.clone();
        let name = |device: &Option<Arc<Device>>| device.as_ref().map(|d| d.name.clone());
        let (before, after) = (name(&peer.device), name(&device));
        if before != after {
            self.journal.device_changed(peer, after.as_deref());
            // Before the session gets its new device: the relay is found by the name of the former one.
            self.with_relay_if_any(now, session, |relay, context| {
                relay.unregistered(session, context);
            });
        }
        if before.is_some() && after.is_none() {
            self.counters.sessions_unregistered += 1;
        }
        // It is open under the former name and token.
        let is_same = |former: &Arc<Device>| {
            let token = device.as_ref().map(|device| &device.token);
            before == after && token == Some(&former.token)
        };
        if let Some(former) = former.filter(|former| !is_same(former)) {
            self.close_connection(former);
        }
        let admission = self
            .sessions
            .assign(session, device.clone(), self.review.registry_version);
        self.make_room(admission);
        self.session_changed(now, session);
        if let Some(device) = device {
            self.renew_relay(now, &device);
        }
        // The open call it waited for may be gone, and its expiry was reset.
        if self.draining.is_active() {
            self.draining.touched.push(session);
        }
    }

    /// Closes the session that a new one displaces.
    pub(super) fn make_room(&mut self, admission: Admission) {
        match admission {
            Admission::Alone => {}
            Admission::Displaces(longest_silent) => {
                self.counters.sessions_displaced += 1;
                let why = "the device has more than limits.sessions_per_device";
                self.sessions.dtls.close(longest_silent, why);
            }
            Admission::DisplacesUnregistered(oldest) => {
                self.counters.unregistered_displaced += 1;
                let why = "there are more than limits.unregistered_sessions";
                self.sessions.dtls.close(oldest, why);
            }
        }
    }

    /// Gives a device's relay the access token that the current registry has.
    pub(super) fn renew_relay(&mut self, now: Instant, device: &Arc<Device>) {
        if let Some(relay) = self.relays.with_other_token(device) {
            let device = device.clone();
            self.with_relay(now, relay, |relay, context| {
                relay.update_device(now, device, context);
            });
        }
    }
}
