//! How a session is named, and how its peer is reached.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Names a session. Unique for the life of the process; its path may change, this does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// The two addresses of a datagram. The gateway may have many addresses, and a device must be answered from the one
/// that it sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// Our address, if the socket reports it.
    pub local: Option<IpAddr>,
}

impl Path {
    /// The peer's address for display: an IPv4 peer of a dual-stack socket is shown as IPv4, not as an IPv4-mapped IPv6
    /// address.
    pub fn canonical_remote(&self) -> SocketAddr {
        SocketAddr::new(self.remote.ip().to_canonical(), self.remote.port())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.canonical_remote().fmt(f)
    }
}
