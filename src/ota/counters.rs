//! What the packages count.

/// Events of the packages, over all devices.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Blocks given to devices.
    pub blocks: u64,
    /// Of these, without waiting: all of it was in the cache.
    pub blocks_at_once: u64,
    /// Requests of devices that were refused, for whatever reason.
    pub refused: u64,
    /// Of these, for want of room to wait in.
    pub refused_for_want_of_room: u64,
    /// Chunks fetched that nobody asked for yet.
    pub chunks_ahead: u64,
    /// Chunks that came from ThingsBoard.
    pub chunks: u64,
    /// Bytes in them.
    pub chunk_bytes: u64,
    /// Chunks dropped to make room for others.
    pub chunks_displaced: u64,
    /// Chunks not believed, because the package may have changed while they came.
    pub chunks_disowned: u64,
    /// Packages hashed as a whole to the SHA-2 checksum that their attributes name: shared from then on.
    pub proven: u64,
    /// Requests that waited until a package that another device fetches was hashed as a whole.
    pub waited_for_proof: u64,
    /// Editions given up because there were too many.
    pub editions_displaced: u64,
    /// Times that the attributes of a device were seen to change, so that its assignment is read again.
    pub assignments_seen_to_change: u64,
    /// Times it was checked what a device may have.
    pub checks: u64,
    /// Editions that ended because ThingsBoard had another content under their name.
    pub contradictions: u64,
    /// Of these, whole packages that do not have the checksum their attributes name.
    pub wrong_checksums: u64,
}
