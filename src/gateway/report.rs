//! What a gateway tells of itself: counts since its start, and what there is now.
//!
//! Nothing in a [`Report`] names a device or an address, and its size does not depend on their number.

use super::{Counters, firmware, relay};
use crate::{coap, dtls};
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
    pub packages: firmware::Counters,
    /// What there is now.
    pub levels: Levels,
    /// Datagrams the kernel did not take.
    pub unsent: u64,
}

/// What there is now.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// Established sessions.
    pub sessions: usize,
    /// Half-open handshakes.
    pub half_open: usize,
    /// Devices in the registry.
    pub devices: usize,
    /// Calls to ThingsBoard for devices' requests.
    pub in_flight: usize,
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
    /// What it observes: "attributes", "rpc".
    pub observes: Vec<&'static str>,
}
