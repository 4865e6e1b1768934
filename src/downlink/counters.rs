//! What the downlinks count.

/// Events of the downlinks, over all devices.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    pub polls: u64,
    /// Polls that failed, or brought something unreadable.
    pub polls_failed: u64,
}
