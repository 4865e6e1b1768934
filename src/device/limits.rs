//! Bounds of sessions that concern who the peer is.

/// How many sessions devices may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Concurrent sessions of one device, 1 or more; beyond it the one that is silent for longest is closed.
    pub sessions_per_device: usize,
    /// Concurrent sessions of all certificates that are not registered; 0 refuses them.
    pub unregistered_sessions: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            sessions_per_device: 4,
            unregistered_sessions: 100,
        }
    }
}
