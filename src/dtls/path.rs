//! How a session is named, and how its peer is reached.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

/// Names a session. Unique for the life of the process; its path may change, this does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// Another gateway of the group, whose socket receives what a device sends. Who passes its datagrams on chooses the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Via(pub NonZeroU16);

/// The two addresses of a datagram, and whose socket received it. The gateway may have many addresses, and a device must be
/// answered from the one that it sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// Our address, if the socket reports it.
    pub local: Option<IpAddr>,
    /// The gateway whose socket received it. `None`: this one.
    pub via: Option<Via>,
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
