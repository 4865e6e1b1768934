//! A copy of all counters since the start, and of all levels.
//!
//! A [`Report`] names no device and no address, and its size does not depend on their number.

use super::Counters;
use crate::dtls;
use crate::gateway::log::journal;
use crate::gateway::stats::answers;
use crate::gateway::stats::handshakes::Handshakes;
use crate::gateway::stats::upstream_calls;
use crate::gateway::stats::upstream_calls::CallKind;
use crate::group::report::GroupReport;
use crate::relay::table;
use crate::state::report::Restored;
use crate::upstream::{ConnectionStatus, MqttCounters};
use crate::{ota, relay};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Serving,
    /// No new handshakes; open exchanges end.
    Draining,
}

/// Counters and levels at one moment.
#[derive(Debug, Clone)]
pub struct Report {
    pub state: State,
    pub dtls: dtls::Counters,
    pub coap: coap::Counters,
    pub gateway: Counters,
    pub relay: relay::Counters,
    pub packages: ota::Counters,
    pub levels: Levels,
    /// Datagrams that the kernel did not take.
    pub unsent: u64,
    /// Handshakes and sessions by how they ended.
    pub handshakes: Handshakes,
    /// Requests by resource and code.
    pub answers: answers::Counts,
    /// Requests whose session ended before they were answered.
    pub unanswered: u64,
    /// What devices' connections to ThingsBoard count over MQTT.
    pub mqtt: Option<MqttCounters>,
    /// What is stored, with `state.directory`.
    pub stored: Option<StateReport>,
    /// What is shared with other gateways, with `state.url`.
    pub(crate) group: Option<GroupReport>,
    /// Calls to ThingsBoard that have ended, by kind.
    pub upstream: [(CallKind, upstream_calls::Ended); CallKind::ALL.len()],
    /// Each bound that a key sets, and how much of it is used.
    pub bounds: [Bound; 10],
    /// How often each bound was reached, by the key that sets it.
    pub bounds_reached: [(&'static str, u64); journal::BOUNDS],
    /// Log lines about handshakes and sessions that were suppressed.
    pub suppressed: u64,
}

/// What is stored, so that it outlives the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateReport {
    /// What is on disk, and what is not.
    pub store: state_store::Report,
    /// What became of the sessions that were stored before.
    pub(crate) restored: Restored,
    /// Rows and records that are not stored because they are too large.
    pub too_large: u64,
}

impl StateReport {
    /// Sessions of the process before that go on.
    #[must_use]
    pub const fn restored_sessions(&self) -> u64 {
        self.restored.sessions
    }
}

/// A bound, and how much of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The key that sets it.
    pub key: &'static str,
    pub used: usize,
    pub limit: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    pub sessions: usize,
    /// Of these, those of certificates that are not registered.
    pub unregistered_sessions: usize,
    pub half_open: usize,
    /// ClientHellos that wait to begin a handshake.
    pub waiting: usize,
    /// Devices in the registry.
    pub devices: usize,
    /// Requests without a response yet.
    pub open_requests: usize,
    /// Calls to ThingsBoard for devices' requests.
    pub in_flight: usize,
    pub polls: usize,
    /// Other open calls of relays.
    pub reads: usize,
    /// Open calls for packages.
    pub package_calls: usize,
    pub observations: table::ObservationCounts,
    /// Relays that wait to read.
    pub reads_waiting: usize,
    /// Blocks of packages that devices wait for.
    pub blocks_waiting: usize,
    /// Sessions that wait to be looked up or checked again.
    pub to_review: usize,
    /// Completions that wait for the loop.
    pub completions_waiting: usize,
    /// Timers that are set.
    pub timers: usize,
    /// Devices with an entry for a kind of package.
    pub package_readers: usize,
    /// Versions of packages with an entry.
    pub package_editions: usize,
    /// Bytes of packages that only one device may have.
    pub package_own_bytes: usize,
}

/// One established session, for operators.
#[derive(Debug, Clone)]
pub struct SessionLine {
    /// The session's number in log lines.
    pub session: u64,
    /// The device's name; `None` for an unregistered certificate.
    pub device: Option<Arc<str>>,
    pub address: SocketAddr,
    /// Time since the handshake.
    pub age: Duration,
    /// Time since an authentic record was received.
    pub idle: Duration,
    /// DTLS version: `1.2` or `1.3`.
    pub version: &'static str,
    /// The cipher suite's name.
    pub cipher_suite: Option<String>,
    /// What it observes: `attributes`, `rpc`.
    pub observes: Vec<&'static str>,
    /// Over MQTT: the device's connection to ThingsBoard, if it has one or wants one.
    pub connection: Option<ConnectionStatus>,
}

impl Report {
    /// Adds what only the connections know. `None`: these are no device's.
    pub(super) fn add_mqtt(&mut self, mqtt: Option<MqttCounters>) {
        self.mqtt = mqtt;
        let Some(mqtt) = mqtt else {
            return;
        };
        let of_connections = "upstream.max_connections";
        for bound in &mut self.bounds {
            if bound.key == of_connections {
                bound.used = mqtt.devices;
            }
        }
        for (key, reached) in &mut self.bounds_reached {
            if *key == of_connections {
                *reached = mqtt.refused("max_connections");
            }
        }
    }
}
