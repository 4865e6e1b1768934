//! Counters and levels of the core, for operators.

use super::Core;
use crate::downlink::Kind;
use crate::dtls::SessionId;
use crate::dtls::record::cipher_suite_name;
use crate::gateway::log::journal;
use crate::gateway::report::{Bound, Levels, Report, SessionLine, State};
use crate::gateway::sessions::Peer;
use crate::gateway::stats::upstream_calls::CallKind;
use std::time::Instant;

impl Core {
    /// Counters and levels. `unsent`: datagrams that the socket did not take since the start.
    pub fn report(&self, unsent: u64) -> Report {
        let upstream = &self.tallies.upstream;
        Report {
            state: match self.is_draining() {
                true => State::Draining,
                false => State::Serving,
            },
            dtls: *self.sessions.dtls.counters(),
            coap: self.coap_counters,
            gateway: self.counters,
            relay: *self.relays.counters(),
            packages: *self.packages.counters(),
            levels: self.levels(),
            unsent,
            handshakes: self.tallies.handshakes,
            answers: self.tallies.answers.counts().clone(),
            unanswered: self.tallies.answers.unanswered,
            // The driver knows it.
            mqtt: None,
            stored: self.state_report(),
            group: self.group_report(),
            upstream: CallKind::ALL.map(|kind| (kind, *upstream.ended(kind))),
            bounds: self.bounds(),
            bounds_reached: self.bounds_reached(unsent, 0),
            suppressed: self.journal.suppressed(),
        }
    }

    /// Current levels, in constant time.
    fn levels(&self) -> Levels {
        let (polls, reads) = self.relay_calls.counts();
        Levels {
            sessions: self.sessions.dtls.established(),
            unregistered_sessions: self.sessions.without_device(),
            half_open: self.sessions.dtls.half_open(),
            waiting: self.sessions.dtls.pending_hellos(),
            devices: self.registry.len(),
            open_requests: self.tallies.answers.open(),
            in_flight: self.in_flight.count(),
            polls,
            reads,
            package_calls: self.packages.calls_in_flight(),
            observations: self.relays.observation_counts(),
            reads_waiting: self.relay_calls.reads_waiting(),
            blocks_waiting: self.downloads.len(),
            to_review: self.review.waiting(),
            // The driver knows it.
            completions_waiting: 0,
            timers: self.sessions.dtls.timers() + self.sessions.timers() + self.relays.timers(),
            package_readers: self.packages.downloaders(),
            package_editions: self.packages.editions(),
            package_own_bytes: self.packages.own_bytes(),
        }
    }

    fn bounds(&self) -> [Bound; 10] {
        let settings = &self.settings;
        let bound = |key, used, limit| Bound { key, used, limit };
        [
            bound(
                "limits.sessions",
                self.sessions.dtls.established(),
                settings.dtls.sessions,
            ),
            bound(
                "limits.unregistered_sessions",
                self.sessions.unregistered(),
                settings.limits.unregistered_sessions,
            ),
            bound(
                "limits.handshakes",
                self.sessions.dtls.half_open(),
                settings.dtls.handshakes,
            ),
            bound(
                "upstream.max_in_flight",
                self.in_flight.count(),
                settings.max_in_flight,
            ),
            bound(
                "upstream.max_client_rpc",
                self.in_flight.client_rpc(),
                settings.calls.client_rpc,
            ),
            // The driver knows how many there are.
            bound("upstream.max_connections", 0, settings.max_connections),
            bound(
                "relay.max_polls",
                self.relays.downlinks(),
                settings.relay.max_polls,
            ),
            bound("relay.bytes", self.relays.bytes(), settings.relay.bytes),
            bound(
                "coap.body_bytes",
                self.bodies.held(),
                settings.coap.body_bytes,
            ),
            bound(
                "ota.cache",
                self.packages.cached_bytes(),
                settings.ota.cache,
            ),
        ]
    }

    /// How often each bound was reached since the start, by the key that sets it. `connections`: `upstream.max_connections`.
    pub(super) fn bounds_reached(
        &self,
        unsent: u64,
        connections: u64,
    ) -> [(&'static str, u64); journal::BOUNDS] {
        let dtls = self.sessions.dtls.counters();
        [
            ("limits.hellos", dtls.over_hello_budget),
            ("limits.handshakes_per_address", dtls.over_address_budget),
            (
                "limits.handshakes",
                dtls.half_open_full + dtls.proven_evicted,
            ),
            ("upstream.max_in_flight", self.counters.calls_refused),
            (
                "upstream.max_in_flight_per_device",
                self.counters.calls_refused_to_device,
            ),
            ("upstream.max_client_rpc", self.counters.client_rpcs_refused),
            ("upstream.max_connections", connections),
            (
                "relay.max_polls",
                self.relays.counters().registrations_refused,
            ),
            ("relay.bytes", self.relays.counters().no_room),
            ("coap.body_bytes", self.coap_counters.bodies_over_budget),
            ("the socket's send buffer", unsent),
        ]
    }

    /// All established sessions.
    pub fn session_ids(&self) -> Vec<SessionId> {
        self.sessions.ids()
    }

    /// Describes an established session for operators.
    pub fn describe(&self, now: Instant, session: SessionId) -> Option<SessionLine> {
        let peer = self.sessions.get(session)?;
        Some(SessionLine {
            session: session.0,
            device: peer.device.as_ref().map(|device| device.name.clone()),
            address: peer.remote(),
            age: now.saturating_duration_since(peer.since()),
            idle: now.saturating_duration_since(peer.last_received()),
            version: peer.version(),
            cipher_suite: self
                .sessions
                .dtls
                .cipher_suite(session)
                .map(cipher_suite_name),
            observes: self.observed_through(peer),
            // The driver knows it.
            connection: None,
        })
    }

    /// What the device observes through this session, not through another one.
    fn observed_through(&self, peer: &Peer) -> Vec<&'static str> {
        let relay = peer.device.as_ref().and_then(|device| {
            let id = self.relays.find(&device.name)?;
            self.relays.get(id)
        });
        let kinds = [(Kind::Attributes, "attributes"), (Kind::Commands, "rpc")];
        kinds
            .into_iter()
            .filter(|(kind, _)| {
                let observation = relay.and_then(|relay| relay.observation(*kind));
                observation.is_some_and(|observation| observation.session == peer.session)
            })
            .map(|(_, name)| name)
            .collect()
    }
}
