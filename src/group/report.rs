//! What there is to say of a gateway in a group.

use replicas::Counters;

/// What was dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Messages of a session that another gateway may serve by now.
    pub(crate) not_served: u64,
    /// Messages that waited for a session's row, when too many did.
    pub(crate) held: u64,
    /// Rows that were too large.
    pub(crate) too_large: u64,
    /// Sessions of other gateways that were not taken over: their device has left the registry, for instance.
    pub(crate) not_taken_over: u64,
}

/// Counters and levels at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct GroupReport {
    pub(crate) counters: Counters,
    pub(crate) refused: Refused,
    /// This gateway's number, if it has ever reached the store.
    pub(crate) node: Option<u8>,
    /// Sessions that are in the store, or will be.
    pub(crate) members: usize,
    /// Those that are.
    pub(crate) saved: usize,
    /// The store can't be reached.
    pub(crate) is_store_away: bool,
    /// This gateway may not serve those sessions.
    pub(crate) is_suspended: bool,
}
