//! How many sessions a device may have.

/// Bounds on the sessions of registered and of unregistered certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Concurrent sessions of one device, 1 or more; beyond it the session that has been silent longest is closed.
    pub sessions_per_device: usize,
    /// Concurrent sessions of all unregistered certificates together; 0 rejects them.
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
