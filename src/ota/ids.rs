//! What identifies a device, an edition, a chunk, a request of a device and a call to ThingsBoard. None is used twice, so
//! that a late answer does not reach a successor.

/// A device, and firmware or software.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DownloaderId(pub(super) u64);

/// One content of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EditionId(pub(super) u64);

/// A chunk of an edition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChunkKey {
    pub edition: EditionId,
    /// Counted from zero.
    pub number: u64,
}

/// A request of a device; chosen by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestId(pub u64);

/// A call to ThingsBoard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub(super) u64);
