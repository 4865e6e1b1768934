//! Records (RFC 6347 §4.1, RFC 9146 §4): where they begin and end in a datagram, before any of them is authenticated.
//!
//! ```text
//!  plain       type ‖ version ‖ epoch ‖ sequence ‖ length ‖ fragment
//!  tls12_cid   type ‖ version ‖ epoch ‖ sequence ‖ connection ID ‖ length ‖ fragment
//! ```
//! Each record is judged by itself. What comes after a record whose length can't be true has no beginning, and is dropped.

use crate::wire::{Malformed, Reader, Writer};

/// The version of DTLS 1.0, which a HelloVerifyRequest names (RFC 6347 §4.2.1).
pub const DTLS_1_0: u16 = 0xfeff;
/// The version of DTLS 1.2.
pub const DTLS_1_2: u16 = 0xfefd;

/// The most bytes of content in a record (RFC 5246 §6.2.1).
pub const MAX_CONTENT: usize = 1 << 14;
/// The most bytes of a protected fragment (RFC 5246 §6.2.3).
pub const MAX_FRAGMENT: usize = MAX_CONTENT + 2048;
/// The highest record sequence number (48 bits).
pub const MAX_SEQUENCE: u64 = (1 << 48) - 1;

/// The first byte of every version of DTLS.
const DTLS_MAJOR: u8 = 0xfe;

/// What a record's content is. Those that this server neither sends nor reads have no name here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentType(pub u8);

impl ContentType {
    /// The end of a plaintext epoch.
    pub const CHANGE_CIPHER_SPEC: ContentType = ContentType(20);
    /// An [alert](crate::alert).
    pub const ALERT: ContentType = ContentType(21);
    /// Fragments of handshake messages.
    pub const HANDSHAKE: ContentType = ContentType(22);
    /// What the application sends.
    pub const APPLICATION_DATA: ContentType = ContentType(23);
    /// A protected record with a connection ID, whose real type is inside (RFC 9146 §4).
    pub const TLS12_CID: ContentType = ContentType(25);
    /// Return routability check (RFC 9853).
    pub const RETURN_ROUTABILITY_CHECK: ContentType = ContentType(27);
}

/// A record as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The type in the header.
    pub content_type: ContentType,
    /// The version in the header. Its first byte is that of DTLS.
    pub version: u16,
    /// Counts the changes of keys: 0 is plaintext.
    pub epoch: u16,
    /// The number within the epoch, 48 bits.
    pub sequence: u64,
    /// Of a `tls12_cid` record, of the length that the server's connection IDs have. Otherwise empty.
    pub connection_id: &'a [u8],
    /// The content, which is protected from epoch 1 on.
    pub fragment: &'a [u8],
}

/// The records of a datagram, as far as they are well-formed.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: Reader<'a>,
    cid_length: usize,
}

/// Reads the records of a datagram. The server's connection IDs have `cid_length` bytes.
///
/// The iterator ends before the first record that is malformed, of another protocol, or longer than RFC 5246 §6.2 allows.
#[must_use]
pub const fn records(datagram: &[u8], cid_length: usize) -> Records<'_> {
    Records {
        rest: Reader::new(datagram),
        cid_length,
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let record = read(&mut self.rest, self.cid_length).ok();
        if record.is_none() {
            self.rest = Reader::new(&[]);
        }
        record
    }
}

/// The connection ID of a datagram's first record, by which the session is found wherever the datagram came from.
///
/// `None`: the record has none (or is malformed), and only the address can say which session it is of.
#[must_use]
pub fn connection_id(datagram: &[u8], cid_length: usize) -> Option<&[u8]> {
    let first = records(datagram, cid_length).next()?;
    (!first.connection_id.is_empty()).then_some(first.connection_id)
}

fn read<'a>(reader: &mut Reader<'a>, cid_length: usize) -> Result<Record<'a>, Malformed> {
    let content_type = ContentType(reader.u8()?);
    let version = reader.u16()?;
    let [major, _] = version.to_be_bytes();
    if major != DTLS_MAJOR {
        return Err(Malformed);
    }
    let epoch = reader.u16()?;
    let sequence = reader.u48()?;
    let connection_id = match content_type {
        ContentType::TLS12_CID => reader.take(cid_length)?,
        _ => &[],
    };
    let fragment = reader.vector16()?.rest();
    let limit = match epoch {
        0 => MAX_CONTENT,
        _ => MAX_FRAGMENT,
    };
    if fragment.len() > limit {
        return Err(Malformed);
    }
    Ok(Record {
        content_type,
        version,
        epoch,
        sequence,
        connection_id,
        fragment,
    })
}

/// Appends a record of epoch 0, which is plaintext.
///
/// # Errors
/// The fragment has more than [`MAX_CONTENT`] bytes. Nothing is appended.
pub fn write_plaintext(
    out: &mut Vec<u8>,
    content_type: ContentType,
    version: u16,
    sequence: u64,
    fragment: &[u8],
) -> Result<(), TooLong> {
    if fragment.len() > MAX_CONTENT {
        return Err(TooLong);
    }
    write_header(out, content_type, version, 0, sequence);
    out.u16(u16::try_from(fragment.len()).map_err(|_| TooLong)?);
    out.bytes(fragment);
    Ok(())
}

/// Appends a record's header as far as its sequence number.
pub(crate) fn write_header(
    out: &mut Vec<u8>,
    content_type: ContentType,
    version: u16,
    epoch: u16,
    sequence: u64,
) {
    out.u8(content_type.0);
    out.u16(version);
    out.u16(epoch);
    out.u48(sequence);
}

/// The content doesn't fit into one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the content is too long for one record")]
pub struct TooLong;

#[cfg(test)]
mod tests;
