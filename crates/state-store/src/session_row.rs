//! The row of a session: what it takes to go on with it.
//!
//! ```text
//!  kinds of addresses (1) ‖ the peer's address ‖ its port (2) ‖ its scope (4), if it is IPv6 ‖ our address
//!  ‖ established (4) ‖ last received (4)
//!  ‖ association ‖ CoAP ‖ client              each: length (1 to 3) ‖ bytes
//! ```
//!
//! Kinds are 4 and 6, four bits each, that of the peer's address first; ours is of kind 0 where there is none. Numbers are
//! big-endian, but for lengths, which are as short as they can be (LEB128). Times are in seconds since 1970.
//!
//! A section has the bytes of the room that they belong to, which has a format of its own: the association is what
//! `dtls-server` exports, CoAP what a `RemoteEndpoint` does, the client what `KnownClient` encodes. **A row that is not read to
//! its last byte is an error**: half a session is worse than a handshake. A change of this is another format of the store.
//!
//! What changes with each record is written beside the row, and newer than what is in it:
//!
//! ```text
//!  receive window (14) ‖ last received (4)
//! ```

use crate::varint;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use zeroize::Zeroizing;

/// Bytes in front of the sections at most.
const MAX_HEAD: usize = 1 + (16 + 2 + 4) + 16 + 4 + 4;

/// A session, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionRow<'a> {
    /// The peer's address.
    pub remote: SocketAddr,
    /// Ours, that it sends to.
    pub local: Option<IpAddr>,
    /// When it was established.
    pub established: u32,
    /// When it last sent application data.
    pub last_received: u32,
    /// The association.
    pub association: &'a [u8],
    /// Message IDs, Observe relations and recent requests.
    pub coap: &'a [u8],
    /// The client, and how its certificate was verified: to judge it again.
    pub client: &'a [u8],
}

/// The row is cut off, or is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the row of the session is malformed")]
pub struct MalformedRow;

/// A section has more than 2^16 − 1 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a section of a session is too long")]
pub struct SectionTooLong;

impl<'a> SessionRow<'a> {
    /// The row's bytes. They have the session's keys.
    ///
    /// # Errors
    /// A section is too long.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, SectionTooLong> {
        let sections = [self.association, self.coap, self.client];
        let length = sections
            .iter()
            .map(|bytes| varint::MAX.saturating_add(bytes.len()));
        // As much as is needed, so that it never moves and leaves keys behind.
        let capacity = length.fold(MAX_HEAD, usize::saturating_add);
        let mut out = Zeroizing::new(Vec::with_capacity(capacity));
        out.push(kind(Some(self.remote.ip())) << 4 | kind(self.local));
        put_address(&mut out, Some(self.remote.ip()));
        out.extend_from_slice(&self.remote.port().to_be_bytes());
        if let SocketAddr::V6(remote) = self.remote {
            out.extend_from_slice(&remote.scope_id().to_be_bytes());
        }
        put_address(&mut out, self.local);
        out.extend_from_slice(&self.established.to_be_bytes());
        out.extend_from_slice(&self.last_received.to_be_bytes());
        for bytes in sections {
            let length = u16::try_from(bytes.len()).map_err(|_| SectionTooLong)?;
            varint::put(&mut out, length.into());
            out.extend_from_slice(bytes);
        }
        Ok(out)
    }

    /// Reads a row. Sections are not looked into.
    ///
    /// # Errors
    /// It is malformed.
    pub fn decode(row: &'a [u8]) -> Result<SessionRow<'a>, MalformedRow> {
        let mut reader = Reader(row);
        let [kinds] = reader.array()?;
        let row = SessionRow {
            remote: reader.remote(kinds >> 4)?,
            local: reader.address(kinds & 15)?,
            established: u32::from_be_bytes(reader.array()?),
            last_received: u32::from_be_bytes(reader.array()?),
            association: reader.section()?,
            coap: reader.section()?,
            client: reader.section()?,
        };
        reader.end()?;
        Ok(row)
    }
}

/// What changes with each record of a session: it is written beside its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionWindow {
    /// The newest number received, and a bitmap of those before it.
    pub receive_window: [u8; 14],
    /// When the peer last sent application data.
    pub last_received: u32,
}

impl SessionWindow {
    /// Bytes that it takes.
    pub const LENGTH: usize = 18;

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; SessionWindow::LENGTH] {
        let mut out = [0; SessionWindow::LENGTH];
        let (window, last_received) = out.split_at_mut(self.receive_window.len());
        window.copy_from_slice(&self.receive_window);
        last_received.copy_from_slice(&self.last_received.to_be_bytes());
        out
    }

    /// Reads it.
    ///
    /// # Errors
    /// It is malformed.
    pub fn decode(window: &[u8]) -> Result<SessionWindow, MalformedRow> {
        let mut reader = Reader(window);
        let window = SessionWindow {
            receive_window: reader.array()?,
            last_received: u32::from_be_bytes(reader.array()?),
        };
        reader.end()?;
        Ok(window)
    }
}

const fn kind(address: Option<IpAddr>) -> u8 {
    match address {
        None => 0,
        Some(IpAddr::V4(_)) => 4,
        Some(IpAddr::V6(_)) => 6,
    }
}

fn put_address(out: &mut Vec<u8>, address: Option<IpAddr>) {
    match address {
        None => {}
        Some(IpAddr::V4(address)) => out.extend_from_slice(&address.octets()),
        Some(IpAddr::V6(address)) => out.extend_from_slice(&address.octets()),
    }
}

/// Reads from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedRow> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(MalformedRow)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn section(&mut self) -> Result<&'a [u8], MalformedRow> {
        let length = varint::take(&mut self.0).and_then(|length| u16::try_from(length).ok());
        let length = usize::from(length.ok_or(MalformedRow)?);
        let (section, rest) = self.0.split_at_checked(length).ok_or(MalformedRow)?;
        self.0 = rest;
        Ok(section)
    }

    fn address(&mut self, kind: u8) -> Result<Option<IpAddr>, MalformedRow> {
        match kind {
            0 => Ok(None),
            4 => Ok(Some(IpAddr::V4(Ipv4Addr::from(self.array::<4>()?)))),
            6 => Ok(Some(IpAddr::V6(Ipv6Addr::from(self.array::<16>()?)))),
            _ => Err(MalformedRow),
        }
    }

    fn remote(&mut self, kind: u8) -> Result<SocketAddr, MalformedRow> {
        let address = self.address(kind)?.ok_or(MalformedRow)?;
        let port = u16::from_be_bytes(self.array()?);
        Ok(match address {
            IpAddr::V4(address) => SocketAddrV4::new(address, port).into(),
            IpAddr::V6(address) => {
                let scope = u32::from_be_bytes(self.array()?);
                SocketAddrV6::new(address, port, 0, scope).into()
            }
        })
    }

    const fn end(&self) -> Result<(), MalformedRow> {
        match self.0 {
            [] => Ok(()),
            _ => Err(MalformedRow),
        }
    }
}

#[cfg(test)]
mod tests;
