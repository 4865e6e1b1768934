//! What the core tells of itself to those who operate it.

use super::Core;
use crate::dtls::SessionId;
use crate::gateway::peers::Peer;
use crate::gateway::relay::Kind;
use crate::gateway::report::{Levels, Report, SessionLine, State};
use std::time::Instant;

impl Core {
    /// Counts and levels. `unsent`: datagrams the socket did not take, since the start.
    pub fn report(&self, unsent: u64) -> Report {
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
            levels: Levels {
                sessions: self.demux.established(),
                half_open: self.demux.half_open(),
                devices: self.registry.len(),
                in_flight: self.in_flight,
            },
            unsent,
        }
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
            address: peer.path.remote,
            age: now.saturating_duration_since(peer.since()),
            silent: now.saturating_duration_since(peer.last_heard()),
            version: peer.version(),
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
