//! Messages into records, and records into datagrams (RFC 6347 §4.1.1, §4.2.3).
//!
//! A message is one record where it fits, and several records share a datagram. When datagrams get lost again and again, they
//! may be too large for the path: [`Datagrams::small`] then makes them small, with one record each, which also suits clients
//! that read only the first record of a datagram.

use crate::message::{Header, fragments};
use crate::record::ContentType;

/// Bytes of a datagram that passes wherever IP does (RFC 791: 576 bytes with all headers).
pub const SMALL_DATAGRAM: usize = 512;

/// Rather than fewer bytes of a message, the next datagram has them.
const MIN_PIECE: usize = 128;

/// What one record may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordLimits {
    /// Bytes of content, headers of handshake messages included: 2^14 or less, by max_fragment_length (RFC 6066 §4) or
    /// record_size_limit (RFC 8449).
    pub content: usize,
    /// Bytes that a record has besides: header, nonce, tag.
    pub overhead: usize,
}

/// Datagrams that are filled with the records of a flight.
#[derive(Debug)]
pub struct Datagrams {
    size: usize,
    one_record_each: bool,
    full: Vec<Vec<u8>>,
    current: Vec<u8>,
}

impl Datagrams {
    /// Datagrams of up to `mtu` bytes, without the headers of UDP and IP.
    #[must_use]
    pub const fn new(mtu: usize) -> Datagrams {
        Datagrams {
            size: mtu,
            one_record_each: false,
            full: Vec::new(),
            current: Vec::new(),
        }
    }

    /// Datagrams of up to [`SMALL_DATAGRAM`] bytes, or of fewer, with one record each.
    #[must_use]
    pub fn small(mtu: usize) -> Datagrams {
        Datagrams {
            one_record_each: true,
            ..Datagrams::new(mtu.min(SMALL_DATAGRAM))
        }
    }

    /// Adds a handshake message, which begins with its header as if it were not fragmented. `write` appends the record that
    /// has a given content.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn push_message<E>(
        &mut self,
        message: &[u8],
        limits: RecordLimits,
        mut write: impl FnMut(ContentType, &[u8], &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(Ok(whole)) = fragments(message).next() else {
            return Ok(());
        };
        let mut rest = whole.body;
        let mut offset = 0;
        loop {
            let fresh = self.piece_room(0, limits).unwrap_or(0);
            let room = self.piece_room(self.current.len(), limits);
            let is_used = !self.current.is_empty();
            let is_better_off = match room {
                _ if self.one_record_each => true,
                None => true,
                Some(room) if rest.len() <= room => false,
                Some(room) => rest.len() <= fresh || room < fresh.clamp(1, MIN_PIECE),
            };
            if is_used && is_better_off {
                self.close();
                continue;
            }
            let room = room.unwrap_or(0);
            // At least one byte, however small the datagrams are.
            let (piece, after) = rest.split_at(rest.len().min(room.max(1)));
            let length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            let header = Header {
                fragment_offset: offset,
                fragment_length: length,
                ..whole.header
            };
            let mut content = Vec::with_capacity(Header::LENGTH.saturating_add(piece.len()));
            header.write(&mut content);
            content.extend_from_slice(piece);
            write(ContentType::HANDSHAKE, &content, &mut self.current)?;
            rest = after;
            offset = offset.saturating_add(length);
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// Adds a record that is not fragmented: a ChangeCipherSpec or an alert.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn push_record<E>(
        &mut self,
        content_type: ContentType,
        content: &[u8],
        limits: RecordLimits,
        write: impl FnOnce(ContentType, &[u8], &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let with_it = self
            .current
            .len()
            .saturating_add(content.len())
            .saturating_add(limits.overhead);
        if !self.current.is_empty() && (self.one_record_each || with_it > self.size) {
            self.close();
        }
        write(content_type, content, &mut self.current)
    }

    /// The datagrams, in order.
    #[must_use]
    pub fn finish(mut self) -> Vec<Vec<u8>> {
        self.close();
        self.full
    }

    /// Bytes of a message that one more record can have in a datagram with `used` bytes. `None`: not even a header fits.
    fn piece_room(&self, used: usize, limits: RecordLimits) -> Option<usize> {
        self.size
            .checked_sub(used)?
            .checked_sub(limits.overhead)?
            .min(limits.content)
            .checked_sub(Header::LENGTH)
    }

    fn close(&mut self) {
        let datagram = std::mem::take(&mut self.current);
        if !datagram.is_empty() {
            self.full.push(datagram);
        }
    }
}

#[cfg(test)]
mod tests;
