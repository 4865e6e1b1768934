//! What a gateway tells of itself: counts since its start, and what there is now.
//!
//! Nothing in a [`Report`] names a device or an address, and its size does not depend on their number.

use super::Counters;
use crate::dtls;
use crate::gateway::log::journal;
use crate::gateway::stats::answers;
use crate::gateway::stats::handshakes::Handshakes;
use crate::gateway::stats::upstream_calls;
use crate::gateway::stats::upstream_calls::Lane;
use crate::relay::table;
use crate::{ota, relay};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How far a gateway has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It serves.
    Serving,
    /// It stops: nobody new is let in, and what is under way comes to its end.
    Draining,
}

/// Counts and levels, at one moment.
#[derive(Debug, Clone)]
pub struct Report {
    /// How far it has come.
    pub state: State,
    /// The secure sessions'.
    pub dtls: dtls::Counters,
    /// The message layer's.
    pub coap: coap::Counters,
    /// The joining's.
    pub gateway: Counters,
    /// Observations'.
    pub relay: relay::Counters,
    /// Packages'.
    pub packages: ota::Counters,
    /// What there is now.
    pub levels: Levels,
    /// Datagrams the kernel did not take.
    pub unsent: u64,
    /// Handshakes and sessions by how they ended.
    pub handshakes: Handshakes,
    /// Requests by resource and code.
    pub answers: answers::Counts,
    /// Requests whose session ended before they were answered.
    pub unanswered: u64,
    /// Calls to ThingsBoard that have ended, by lane.
    pub upstream: [(Lane, upstream_calls::Ended); Lane::ALL.len()],
    /// Each bound by the key that sets it: what it bounds, and the bound.
    pub bounds: [Bound; 9],
    /// How often each bound was reached, by the key that sets it.
    pub bounds_reached: [(&'static str, u64); journal::BOUNDS],
    /// Log lines about handshakes and sessions that were held back.
    pub held_back: u64,
}

/// A bound, and what there is of what it bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The key that sets it.
    pub key: &'static str,
    /// What there is.
    pub used: usize,
    /// What may be.
    pub most: usize,
}

/// What there is now.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// Established sessions.
    pub sessions: usize,
    /// Of these, those of certificates that are not registered.
    pub unregistered_sessions: usize,
    /// Half-open handshakes.
    pub half_open: usize,
    /// Clients that wait for one.
    pub waiting: usize,
    /// Devices in the registry.
    pub devices: usize,
    /// Requests of devices that are not answered yet.
    pub open_requests: usize,
    /// Calls to ThingsBoard for devices' requests.
    pub in_flight: usize,
    /// Long polls that are open.
    pub polls: usize,
    /// Reads and refusals of relays under way.
    pub reads: usize,
    /// Calls for packages under way.
    pub package_calls: usize,
    /// Observations.
    pub observations: table::Standing,
    /// Relays that wait to read.
    pub reads_waiting: usize,
    /// Blocks of packages that devices wait for.
    pub blocks_waiting: usize,
    /// Sessions that wait to be looked up or judged anew.
    pub to_review: usize,
    /// Outcomes of calls that the loop has not taken yet.
    pub completions_waiting: usize,
    /// Times that something is to be done at.
    pub timers: usize,
    /// Devices, counted once for each kind of package, that something is known of.
    pub package_readers: usize,
    /// Editions of packages that are kept in mind.
    pub package_editions: usize,
    /// Bytes of packages that are for one device alone.
    pub package_own_bytes: usize,
}

/// One established session, for an operator.
#[derive(Debug, Clone)]
pub struct SessionLine {
    /// Its number, as log lines have it.
    pub session: u64,
    /// Its device; `None` for a certificate that is not registered.
    pub device: Option<Arc<str>>,
    /// Where its peer is.
    pub address: SocketAddr,
    /// How long it has been established.
    pub age: Duration,
    /// How long nothing was heard of it.
    pub silent: Duration,
    /// "1.2" or "1.3".
    pub version: &'static str,
    /// The cipher suite, by name.
    pub cipher_suite: Option<String>,
    /// What it observes: "attributes", "rpc".
    pub observes: Vec<&'static str>,
}
