//! How a peer is reached: by which node, and from which address.
//!
//! Behind a balancer an answer must leave from the node, and the address, that the datagram came to: the balancer, a NAT or
//! the peer itself drops what comes from elsewhere. So a path has three parts.

use crate::id::Instance;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The two addresses of a datagram, at the node that received it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// That node's address to which the datagram was sent, if its socket reports it.
    pub local: Option<IpAddr>,
}

/// A path, and the process that it belongs to. Not its node number: another process may have that later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Route {
    /// The process whose socket received the datagram. `None`: this one.
    pub via: Option<Instance>,
    /// The addresses there.
    pub path: Path,
}

/// Reads from the front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    /// `Some(None)`: there is no address.
    #[expect(clippy::option_option, reason = "cut off, absent or there")]
    fn address(&mut self) -> Option<Option<IpAddr>> {
        match self.byte()? {
            0 => Some(None),
            4 => Some(Some(Ipv4Addr::from(self.array::<4>()?).into())),
            6 => Some(Some(Ipv6Addr::from(self.array::<16>()?).into())),
            _ => None,
        }
    }
}

impl Path {
    /// The peer's address ‖ its port (2) ‖ its scope (4), if it is IPv6 ‖ ours. An address is 4 ‖ IPv4 (4), or 6 ‖ IPv6 (16),
    /// or 0 where there is none.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_address(out, Some(self.remote.ip()));
        out.extend_from_slice(&self.remote.port().to_be_bytes());
        if let SocketAddr::V6(remote) = self.remote {
            out.extend_from_slice(&remote.scope_id().to_be_bytes());
        }
        put_address(out, self.local);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Path> {
        let address = reader.address()??;
        let port = u16::from_be_bytes(reader.array()?);
        let remote = match address {
            IpAddr::V4(address) => SocketAddrV4::new(address, port).into(),
            IpAddr::V6(address) => {
                let scope = u32::from_be_bytes(reader.array()?);
                SocketAddrV6::new(address, port, 0, scope).into()
            }
        };
        Some(Path {
            remote,
            local: reader.address()?,
        })
    }
}

fn put_address(out: &mut Vec<u8>, address: Option<IpAddr>) {
    match address {
        None => out.push(0),
        Some(IpAddr::V4(address)) => {
            out.push(4);
            out.extend_from_slice(&address.octets());
        }
        Some(IpAddr::V6(address)) => {
            out.push(6);
            out.extend_from_slice(&address.octets());
        }
    }
}
