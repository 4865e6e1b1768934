//! `[ota]`: how firmware and software packages are fetched from ThingsBoard, and kept for the fleet.

use super::mistake::Wrong;
use super::reader::Reader;
use super::value;
use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Fewer chunks than this, and devices that are at different places of a package would displace each other's.
const FEWEST_CHUNKS: usize = 4;

/// `[ota]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ota {
    /// `chunk`: what ThingsBoard is asked for at a time, in bytes; a multiple of 1 KiB, up to 1 MiB.
    pub chunk: usize,
    /// `cache`: bytes of packages kept for all devices together; four chunks or more.
    pub cache: usize,
    /// `authorise_every`: how long a device that was allowed a package is not asked about again.
    pub authorise_every: Duration,
}

impl Default for Ota {
    fn default() -> Self {
        Ota {
            chunk: 64 * KIB,
            cache: 64 * MIB,
            authorise_every: SECOND * 600,
        }
    }
}

impl Ota {
    /// Requests about packages at once, on as many connections. A fleet shares what they bring, so a few are
    /// enough; more would only be felt by ThingsBoard.
    pub const CONNECTIONS: usize = 32;
}

impl Reader {
    pub(super) fn ota(&mut self) -> Ota {
        let default = Ota::default();
        let chunk = self.read("ota.chunk", default.chunk, |v| {
            let size = value::size(v, KIB..=MIB)?;
            if size % KIB == 0 {
                Ok(size)
            } else {
                let wrong = format!("{size} bytes are no multiple of 1 KiB, the largest block");
                Err(Wrong::new(wrong, "a multiple of 1 KiB like \"64KiB\""))
            }
        });
        let cache = self.read("ota.cache", default.cache, |v| {
            value::size(v, FEWEST_CHUNKS * KIB..=64 * KIB * MIB)
        });
        if cache < FEWEST_CHUNKS * chunk {
            let key = if self.is_set("ota.cache") {
                "ota.cache"
            } else {
                "ota.chunk"
            };
            self.mistake(
                key,
                format!("a cache of {cache} bytes holds fewer than four chunks of {chunk} bytes"),
                "ota.cache at least four times ota.chunk",
            );
        }
        let authorise_every = self.read("ota.authorise_every", default.authorise_every, |v| {
            value::duration(v, SECOND..=DAY).map_err(|wrong| {
                wrong.because("a package taken from a device is served to it for so long")
            })
        });
        Ota {
            chunk,
            cache,
            authorise_every,
        }
    }
}
