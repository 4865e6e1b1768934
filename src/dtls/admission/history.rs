//! Sources from which registered devices have recently completed handshakes.

use crate::dtls::path::Path;
use shares::{Recent, source};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Slots for addresses, and as many for addresses with ports: 1 MiB.
const SOURCES: usize = 1 << 16;
/// How long these sources have priority.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// Whether a registered device has recently completed a handshake from a client's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dtls) enum History {
    /// From its address and port.
    Port,
    Host,
    None,
}

/// These sources.
#[derive(Debug)]
pub(in crate::dtls) struct RegisteredSources {
    hosts: Recent,
    /// Hosts with ports, in a table of its own: a device that uses a new port each time must not evict other hosts.
    ports: Recent,
}

impl Default for RegisteredSources {
    fn default() -> RegisteredSources {
        RegisteredSources {
            hosts: Recent::new(SOURCES, LIFETIME),
            ports: Recent::new(SOURCES, LIFETIME),
        }
    }
}

impl RegisteredSources {
    pub(in crate::dtls) fn insert(&mut self, now: Instant, remote: SocketAddr) {
        let host = source::host(remote.ip());
        self.hosts.insert(now, &host);
        self.ports.insert(now, &(host, remote.port()));
    }

    pub(in crate::dtls) fn history(&self, now: Instant, path: Path) -> History {
        let host = source::host(path.remote.ip());
        if self.ports.contains(now, &(host, path.remote.port())) {
            History::Port
        } else if self.has_host(now, host) {
            History::Host
        } else {
            History::None
        }
    }

    /// Whether there is one behind this host.
    pub(in crate::dtls) fn has_host(&self, now: Instant, host: IpAddr) -> bool {
        self.hosts.contains(now, &host)
    }
}
