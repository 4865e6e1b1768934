//! What a node counts.

/// What has happened since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sessions that were taken over.
    pub taken_over: u64,
    /// Sessions that another node has taken over, or has ended.
    pub lost: u64,
    /// Sessions that ended for a newer one of their device at another node.
    pub superseded: u64,
    /// Lookups in the store.
    pub claims: u64,
    /// Calls of the store that failed or timed out.
    pub failed_calls: u64,
    /// Calls that were not made as too many were in flight.
    pub refused_calls: u64,
    /// Datagrams that were passed on to another node.
    pub forwarded: u64,
    /// Datagrams that another node has passed on to this one.
    pub received: u64,
    /// Frames that were not authentic, malformed, or received before.
    pub bad_frames: u64,
    /// Datagrams that were dropped, as too many waited, or they waited for too long.
    pub dropped: u64,
    /// Datagrams without connection ID from an address without session.
    pub strangers: u64,
    /// Rows in the store that could not be decrypted.
    pub bad_rows: u64,
    /// Addresses that found no place in the table of those that have a session.
    pub refused_addresses: u64,
}
