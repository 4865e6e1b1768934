//! The row of a session: what it takes to go on with it.
//!
//! ```text
//!  format (1) ‖ the peer's address ‖ our address ‖ established (4) ‖ last received (4)
//!  ‖ sections, each: tag (1) ‖ length (2) ‖ bytes           by rising tag
//! ```
//!
//! An address is 4 ‖ IPv4 (4), or 6 ‖ IPv6 (16), or 0 where there is none; the peer's has its port (2) behind it and, if it is
//! IPv6, its scope (4). Numbers are big-endian, times in seconds since 1970.
//!
//! A section has the bytes of the room that they belong to, which has a format of its own: the association is what
//! `dtls-server` exports, the client what `KnownClient` encodes. A section that is empty is left out. **A row of another format, or with a tag that is not known, is
//! an error**: half a session is worse than a handshake.
//!
//! What changes with each record is written beside the row, and newer than what is in it:
//!
//! ```text
//!  receive window (14) ‖ last received (4)
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use zeroize::Zeroizing;

/// The format that is written, and the only one that is read.
const FORMAT: u8 = 1;
/// Bytes in front of the sections at most.
const MAX_HEAD: usize = 1 + (1 + 16 + 2 + 4) + (1 + 16) + 4 + 4;
/// Bytes in front of a section.
const SECTION_HEAD: usize = 3;
const ASSOCIATION: u8 = 1;
const COAP: u8 = 2;
const CLIENT: u8 = 3;

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
    /// Observe relations and recent requests.
    pub coap: &'a [u8],
    /// The client, and how its certificate was verified: to judge it again.
    pub client: &'a [u8],
}

/// Why a row is not a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// It has another format.
    #[error("a session of format {0}, which is not known")]
    Format(u8),
    /// It has a section that is not known.
    #[error("a session with a section {0}, which is not known")]
    Section(u8),
    /// It is cut off, or is none.
    #[error("the session is malformed")]
    Malformed,
}

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
        let sections = [
            (ASSOCIATION, self.association),
            (COAP, self.coap),
            (CLIENT, self.client),
        ];
        let length = sections
            .iter()
            .map(|(_, bytes)| SECTION_HEAD.saturating_add(bytes.len()));
        // As much as is needed, so that it never moves and leaves keys behind.
        let capacity = length.fold(MAX_HEAD, usize::saturating_add);
        let mut out = Zeroizing::new(Vec::with_capacity(capacity));
        out.push(FORMAT);
        put_address(&mut out, Some(self.remote.ip()));
        out.extend_from_slice(&self.remote.port().to_be_bytes());
        if let SocketAddr::V6(remote) = self.remote {
            out.extend_from_slice(&remote.scope_id().to_be_bytes());
        }
        put_address(&mut out, self.local);
        out.extend_from_slice(&self.established.to_be_bytes());
        out.extend_from_slice(&self.last_received.to_be_bytes());
        for (tag, bytes) in sections.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
            let length = u16::try_from(bytes.len()).map_err(|_| SectionTooLong)?;
            out.push(tag);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(bytes);
        }
        Ok(out)
    }

    /// Reads a row. Sections are not looked into.
    ///
    /// # Errors
    /// It is of another format, or malformed.
    pub fn decode(row: &'a [u8]) -> Result<SessionRow<'a>, RowError> {
        let mut reader = Reader(row);
        match reader.byte()? {
            FORMAT => {}
            format => return Err(RowError::Format(format)),
        }
        let mut session = SessionRow {
            remote: reader.remote()?,
            local: reader.address()?,
            established: u32::from_be_bytes(reader.array()?),
            last_received: u32::from_be_bytes(reader.array()?),
            association: &[],
            coap: &[],
            client: &[],
        };
        let mut last = 0;
        while !reader.0.is_empty() {
            let tag = reader.byte()?;
            let length = u16::from_be_bytes(reader.array()?);
            let bytes = reader.take(usize::from(length))?;
            if tag <= last || bytes.is_empty() {
                return Err(RowError::Malformed);
            }
            last = tag;
            match tag {
                ASSOCIATION => session.association = bytes,
                COAP => session.coap = bytes,
                CLIENT => session.client = bytes,
                _ => return Err(RowError::Section(tag)),
            }
        }
        if session.association.is_empty() || session.client.is_empty() {
            return Err(RowError::Malformed);
        }
        Ok(session)
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
    pub fn decode(window: &[u8]) -> Result<SessionWindow, RowError> {
        let mut reader = Reader(window);
        let window = SessionWindow {
            receive_window: reader.array()?,
            last_received: u32::from_be_bytes(reader.array()?),
        };
        match reader.0 {
            [] => Ok(window),
            _ => Err(RowError::Malformed),
        }
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

/// Reads from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], RowError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(RowError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RowError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(RowError::Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, RowError> {
        self.array().map(|[byte]| byte)
    }

    fn address(&mut self) -> Result<Option<IpAddr>, RowError> {
        match self.byte()? {
            0 => Ok(None),
            4 => Ok(Some(IpAddr::V4(Ipv4Addr::from(self.array::<4>()?)))),
            6 => Ok(Some(IpAddr::V6(Ipv6Addr::from(self.array::<16>()?)))),
            _ => Err(RowError::Malformed),
        }
    }

    fn remote(&mut self) -> Result<SocketAddr, RowError> {
        let address = self.address()?.ok_or(RowError::Malformed)?;
        let port = u16::from_be_bytes(self.array()?);
        Ok(match address {
            IpAddr::V4(address) => SocketAddrV4::new(address, port).into(),
            IpAddr::V6(address) => {
                let scope = u32::from_be_bytes(self.array()?);
                SocketAddrV6::new(address, port, 0, scope).into()
            }
        })
    }
}

#[cfg(test)]
mod tests;
