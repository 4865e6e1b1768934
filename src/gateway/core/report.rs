//! What the core tells of itself to those who operate it.

use super::Core;
use crate::dtls::SessionId;
use crate::dtls::record::cipher_suite_name;
use crate::gateway::log::journal;
use crate::gateway::report::{Bound, Levels, Report, SessionLine, State};
use crate::gateway::sessions::Peer;
use crate::gateway::stats::upstream_calls::Lane;
use crate::relay::Kind;
use std::time::Instant;

impl Core {
    /// Counts and levels. `unsent`: datagrams the socket did not take, since the start.
    pub fn report(&self, unsent: u64) -> Report {
        let upstream = &self.tallies.upstream;
        Report {
            state: match self.is_draining() {
                true => State::Draining,
                false => State::Serving,
            },
            dtls: *self.demux.counters(),
            coap: self.coap_counters,
            gateway: self.counters,
            relay: *self.relays.counters(),
            packages: *self.packages.counters(),
            levels: self.levels(),
            unsent,
            handshakes: self.tallies.handshakes,
            answers: self.tallies.answers.counts().clone(),
            unanswered: self.tallies.answers.unanswered,
            upstream: Lane::ALL.map(|lane| (lane, *upstream.ended(lane))),
            bounds: self.bounds(),
            bounds_reached: self.bounds_reached(unsent),
            held_back: self.journal.held_back(),
        }
    }

    /// What there is now. Nothing is walked over for it: each of these is known.
    fn levels(&self) -> Levels {
        let (polls, reads) = self.errands.open();
        Levels {
            sessions: self.demux.established(),
            unregistered_sessions: self.peers.without_device(),
            half_open: self.demux.half_open(),
            waiting: self.demux.waiting(),
            devices: self.registry.len(),
            open_requests: self.tallies.answers.open(),
            in_flight: self.in_flight.count(),
            polls,
            reads,
            package_calls: self.packages.under_way(),
            observations: self.relays.standing(),
            reads_waiting: self.errands.reads_waiting(),
            blocks_waiting: self.downloads.len(),
            to_review: self.review.waiting(),
            // Known to the loop alone.
            completions_waiting: 0,
            timers: self.demux.timers() + self.peers.timers() + self.relays.timers(),
            package_readers: self.packages.readers(),
            package_editions: self.packages.editions(),
            package_own_bytes: self.packages.own_bytes(),
        }
    }

    fn bounds(&self) -> [Bound; 9] {
        let settings = &self.settings;
        let bound = |key, used, most| Bound { key, used, most };
        [
            bound(
                "limits.sessions",
                self.demux.established(),
                settings.dtls.sessions,
            ),
            bound(
                "limits.unregistered_sessions",
                self.peers.unregistered(),
                settings.limits.unregistered_sessions,
            ),
            bound(
                "limits.handshakes",
                self.demux.half_open(),
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
            bound(
                "relay.max_polls",
                self.relays.polls(),
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

    /// How often each bound was reached since the start.
    pub(super) fn bounds_reached(&self, unsent: u64) -> [(&'static str, u64); journal::BOUNDS] {
        let dtls = self.demux.counters();
        [
            ("limits.hellos", dtls.over_hello_budget),
            ("limits.handshakes_per_address", dtls.over_address_budget),
            (
                "limits.handshakes",
                dtls.half_open_full + dtls.proven_displaced,
            ),
            ("upstream.max_in_flight", self.counters.calls_refused),
            (
                "upstream.max_in_flight_per_device",
                self.counters.calls_refused_to_device,
            ),
            ("upstream.max_client_rpc", self.counters.client_rpcs_refused),
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
        self.peers.sessions()
    }

    /// One established session, for an operator.
    pub fn describe(&self, now: Instant, session: SessionId) -> Option<SessionLine> {
        let peer = self.peers.get(session)?;
        Some(SessionLine {
            session: session.0,
            device: peer.device.as_ref().map(|device| device.name.clone()),
            address: peer.path.remote_shown(),
            age: now.saturating_duration_since(peer.since()),
            silent: now.saturating_duration_since(peer.last_heard()),
            version: peer.version(),
            cipher_suite: self.demux.cipher_suite(session).map(cipher_suite_name),
            observes: self.observed_through(peer),
        })
    }

    /// What a device observes through this session, and not through another of its own.
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
