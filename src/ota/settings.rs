//! What operators decide about packages.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// How packages are fetched and cached: `[ota]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of one request to ThingsBoard; a multiple of 1 KiB, up to 1 MiB.
    pub chunk: usize,
    /// Bytes of packages cached for all devices together; four chunks or more.
    pub cache: usize,
    /// How long ThingsBoard's permission for a device to have a package is not asked for again.
    pub authorise_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            chunk: 64 * KIB,
            cache: 64 * MIB,
            authorise_every: Duration::from_secs(600),
        }
    }
}

impl Settings {
    /// Concurrent requests about packages, on as many connections. A fleet shares what they bring, so a few are
    /// enough; more would only load ThingsBoard.
    pub const CONNECTIONS: usize = 32;
}
