//! How many calls to ThingsBoard a device may have under way, and how many may wait for rule chains.

use super::reader::Reader;
use super::value;

/// Bounds of calls below `upstream.max_in_flight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calls {
    /// Calls for requests of one device at once, 1 or more; GETs and client-side RPCs are a quarter of it each at most.
    pub per_device: usize,
    /// Client-side RPCs of all devices at once, 1 or more.
    pub client_rpc: usize,
}

impl Default for Calls {
    fn default() -> Calls {
        Calls {
            per_device: 64,
            client_rpc: 256,
        }
    }
}

impl Reader {
    pub(super) fn calls(&mut self) -> Calls {
        let default = Calls::default();
        Calls {
            per_device: self.read(
                "upstream.max_in_flight_per_device",
                default.per_device,
                |v| value::number(v, 1..=65_536),
            ),
            client_rpc: self.read("upstream.max_client_rpc", default.client_rpc, |v| {
                value::number(v, 1..=65_536)
            }),
        }
    }
}
