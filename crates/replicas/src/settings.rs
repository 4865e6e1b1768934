//! The times and bounds that all nodes of a group must agree on, or that bound one of them.

use std::time::Duration;

/// Times and bounds.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long a lease is valid in the store. A node that dies is taken over after this time at the latest.
    pub lease: Duration,
    /// By how much earlier its node takes it for ended: clocks that run at different speeds, and a process that was stopped
    /// between looking at its clock and sending.
    pub margin: Duration,
    /// How often a lease is renewed.
    pub renew: Duration,
    /// How long the store may take for a call, before it counts as failed.
    pub call_timeout: Duration,
    /// How long a node that can't reach the store promises to take over nothing.
    pub promise: Duration,
    /// How often such promises are requested.
    pub ask: Duration,
    /// How long a node that has just got its lease takes over nothing, so that all that hold a lease have seen it in the list.
    /// Longer than a lease and than a promise.
    pub join: Duration,
    /// How long a datagram is kept for a session that is held elsewhere.
    pub keep: Duration,
    /// How long the owner may take to acknowledge a datagram, before the store is called about it.
    pub retry: Duration,
    /// How many datagrams are kept.
    pub max_kept: usize,
    /// How many of them for one session.
    pub max_kept_of_session: usize,
    /// How many bytes a datagram may have to be kept or passed on.
    pub max_datagram: usize,
    /// For how many sessions of other nodes it is remembered which node that is.
    pub max_routes: usize,
    /// How many addresses of sessions without connection ID are known.
    pub max_addresses: usize,
    /// How many calls of the store may be in flight.
    pub max_calls: usize,
    /// How many send numbers the store gives out at once.
    pub block: u64,
    /// How many for each second since a session was established are skipped where the store may have forgotten which it gave
    /// out. As many as are never given out in a second: four blocks.
    pub pace: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            lease: Duration::from_secs(3),
            margin: Duration::from_millis(300),
            renew: Duration::from_secs(1),
            call_timeout: Duration::from_millis(500),
            promise: Duration::from_secs(2),
            ask: Duration::from_millis(500),
            join: Duration::from_secs(4),
            keep: Duration::from_secs(5),
            retry: Duration::from_millis(250),
            max_kept: 4_096,
            max_kept_of_session: 4,
            max_datagram: 2_048,
            max_routes: 65_536,
            max_addresses: 1 << 21,
            max_calls: 8_192,
            block: 1 << 20,
            pace: 1 << 22,
        }
    }
}
