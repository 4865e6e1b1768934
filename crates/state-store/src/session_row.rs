//! The row of a session: what it takes to go on with it.
//!
//! ```text
//!  format (1)
//!  ‖ SHA-256 (32) ‖ SHA3-256 (32) of the certificate ‖ its end (8)
//!  ‖ the peer's address ‖ our address ‖ established (4) ‖ last received (4) ‖ next Message ID (2)
//!  ‖ sections, each: tag (1) ‖ length (2) ‖ bytes           by rising tag
//! ```
//!
//! An address is 4 ‖ IPv4 (4), or 6 ‖ IPv6 (16), or 0 where there is none; the peer's has its port (2) behind it and, if it is
//! IPv6, its scope (4). Numbers are big-endian, times in seconds since 1970.
//!
//! A section has the bytes of the room that they belong to, which has a format of its own: the association is what
//! `dtls-server` exports. A section that is empty is left out. **A row of another format, or with a tag that is not known, is
//! an error**: half a session is worse than a handshake.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use zeroize::Zeroizing;

/// The format that is written, and the only one that is read.
const FORMAT: u8 = 1;
/// Bytes in front of the sections at most.
const MAX_HEAD: usize = 1 + 32 + 32 + 8 + (1 + 16 + 2 + 4) + (1 + 16) + 4 + 4 + 2;
/// Bytes in front of a section.
const SECTION_HEAD: usize = 3;
const ASSOCIATION: u8 = 1;
const COAP: u8 = 2;
const RELAY: u8 = 3;
const CHAIN: u8 = 4;

/// A session, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionRow<'a> {
    /// SHA-256 of the client's certificate.
    pub sha256: [u8; 32],
    /// ThingsBoard's fingerprint of it.
    pub sha3: [u8; 32],
    /// When it ends.
    pub not_after: i64,
    /// The peer's address.
    pub remote: SocketAddr,
    /// Ours, that it sends to.
    pub local: Option<IpAddr>,
    /// When it was established.
    pub established: u32,
    /// When it last sent application data.
    pub last_received: u32,
    /// The Message ID of the next message to it.
    pub next_message_id: u16,
    /// The association.
    pub association: &'a [u8],
    /// Observe relations and recent requests.
    pub coap: &'a [u8],
    /// What was delivered last.
    pub relay: &'a [u8],
    /// The client's certificates, where they have to be verified again.
    pub chain: &'a [u8],
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
            (RELAY, self.relay),
            (CHAIN, self.chain),
        ];
        let length = sections
            .iter()
            .map(|(_, bytes)| SECTION_HEAD.saturating_add(bytes.len()));
        // As much as is needed, so that it never moves and leaves keys behind.
        let capacity = length.fold(MAX_HEAD, usize::saturating_add);
        let mut out = Zeroizing::new(Vec::with_capacity(capacity));
        out.push(FORMAT);
        out.extend_from_slice(&self.sha256);
        out.extend_from_slice(&self.sha3);
        out.extend_from_slice(&self.not_after.to_be_bytes());
        put_address(&mut out, Some(self.remote.ip()));
        out.extend_from_slice(&self.remote.port().to_be_bytes());
        if let SocketAddr::V6(remote) = self.remote {
            out.extend_from_slice(&remote.scope_id().to_be_bytes());
        }
        put_address(&mut out, self.local);
        out.extend_from_slice(&self.established.to_be_bytes());
        out.extend_from_slice(&self.last_received.to_be_bytes());
        out.extend_from_slice(&self.next_message_id.to_be_bytes());
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
            sha256: reader.array()?,
            sha3: reader.array()?,
            not_after: i64::from_be_bytes(reader.array()?),
            remote: reader.remote()?,
            local: reader.address()?,
            established: u32::from_be_bytes(reader.array()?),
            last_received: u32::from_be_bytes(reader.array()?),
            next_message_id: u16::from_be_bytes(reader.array()?),
            association: &[],
            coap: &[],
            relay: &[],
            chain: &[],
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
                RELAY => session.relay = bytes,
                CHAIN => session.chain = bytes,
                _ => return Err(RowError::Section(tag)),
            }
        }
        match session.association {
            [] => Err(RowError::Malformed),
            _ => Ok(session),
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
