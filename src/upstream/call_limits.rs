//! Bounds of calls for devices' requests, below that of all of them.

/// How many of [`max_in_flight`](super::Settings::max_in_flight) calls a device may have, and how many may wait for rule
/// chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// Concurrent calls for one device, 1 or more; its GETs and its client-side RPCs are a quarter of that each at most.
    pub per_device: usize,
    /// Concurrent client-side RPCs of all devices, 1 or more.
    pub client_rpc: usize,
}

impl Default for CallLimits {
    fn default() -> CallLimits {
        CallLimits {
            per_device: 64,
            client_rpc: 256,
        }
    }
}
