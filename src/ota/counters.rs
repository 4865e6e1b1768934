//! What the package cache counts.

/// Events of the package cache, over all devices.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Blocks given to devices.
    pub blocks: u64,
    /// Of these, without waiting: all of the block was cached.
    pub blocks_from_cache: u64,
    /// Requests of devices that were refused, for any reason.
    pub refused: u64,
    /// Of these, because too many requests waited.
    pub refused_no_room: u64,
    /// Chunks fetched before a device requested them.
    pub chunks_prefetched: u64,
    /// Chunks fetched from ThingsBoard.
    pub chunks: u64,
    /// Bytes in them.
    pub chunk_bytes: u64,
    /// Chunks evicted to make room for others.
    pub chunks_evicted: u64,
    /// Chunks discarded, because the package may have changed while they were fetched.
    pub chunks_discarded: u64,
    /// Packages whose SHA-2 checksum was verified: shared from then on.
    pub verified: u64,
    /// Requests that waited until a package that another device fetches was verified.
    pub waited_for_verification: u64,
    /// Editions ended because there were too many.
    pub editions_evicted: u64,
    /// Times that the attributes of a device were seen to change, so that its assignment is read again.
    pub assignments_seen_to_change: u64,
    /// Checks of what a device may have.
    pub checks: u64,
    /// Editions contradicted, because ThingsBoard had another content under their name.
    pub contradictions: u64,
    /// Of these, packages that do not have the checksum that their attributes name.
    pub wrong_checksums: u64,
}
