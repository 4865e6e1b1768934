//! Splits a datagram into the pieces that the filter decides on: protected records, plaintext records and handshake fragments
//! (RFC 6347 §4.1, §4.2.2; RFC 9147 §4). It parses headers only, copies nothing and can't panic.

use crate::dtls::record::{ALERT, Cursor, HANDSHAKE};

/// RFC 5246 §6.2.1: the largest plaintext of a record.
pub(super) const LARGEST_PLAINTEXT: usize = 1 << 14;
/// Most bytes that encryption may add (RFC 9147 §5; none of our cipher suites adds more than 24).
const EXPANSION: usize = 256;

/// One fragment of a handshake message (RFC 6347 §4.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dtls) struct Fragment<'a> {
    pub(in crate::dtls) kind: u8,
    /// The length of the whole message.
    pub(in crate::dtls) total: usize,
    /// `message_seq`.
    pub(in crate::dtls) message: u16,
    /// Where in the message this fragment begins.
    pub(in crate::dtls) offset: usize,
    pub(in crate::dtls) bytes: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Reads one fragment. `None`: it is truncated, or ends beyond its message.
    pub(in crate::dtls) fn read(cursor: &mut Cursor<'a>) -> Option<Fragment<'a>> {
        let number = |value: u32| usize::try_from(value).ok();
        let kind = cursor.u8()?;
        let total = number(cursor.u24()?)?;
        let message = cursor.u16()?;
        let offset = number(cursor.u24()?)?;
        let length = number(cursor.u24()?)?;
        let bytes = cursor.take(length)?;
        (offset + length <= total).then_some(Fragment {
            kind,
            total,
            message,
            offset,
            bytes,
        })
    }

    pub(in crate::dtls) fn is_whole(&self) -> bool {
        self.offset == 0 && self.bytes.len() == self.total
    }
}

/// A piece of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A handshake fragment in epoch 0.
    Fragment(Fragment<'a>),
    /// An alert in epoch 0.
    Alert { is_fatal: bool, description: u8 },
    /// A record with the unified header of DTLS 1.3.
    Protected(&'a [u8]),
    /// Not valid in any state: records of later epochs with the header of DTLS 1.2, too.
    Invalid,
}

/// The pieces of one datagram, in order.
pub(super) struct Pieces<'a> {
    datagram: &'a [u8],
    /// The rest of a plaintext handshake record: it may have several fragments.
    fragments: &'a [u8],
}

impl<'a> Pieces<'a> {
    pub(super) fn of(datagram: &'a [u8]) -> Pieces<'a> {
        Pieces {
            datagram,
            fragments: &[],
        }
    }

    /// Discards the rest: without a valid header the next record can't be found.
    fn discard_rest(&mut self) -> Piece<'a> {
        self.datagram = &[];
        Piece::Invalid
    }

    /// RFC 9147 §4: 001CSLEE, the record number in one or two bytes, the length if it is not the datagram's.
    fn unified(&mut self, flags: u8) -> Option<Piece<'a>> {
        // We never negotiate a connection ID.
        if flags & 0b1_0000 != 0 {
            return None;
        }
        let all = self.datagram;
        let mut cursor = Cursor(all);
        cursor.take(if flags & 0b1000 == 0 { 2 } else { 3 })?;
        if flags & 0b100 != 0 {
            let length = usize::from(cursor.u16()?);
            cursor.take(length)?;
        } else {
            cursor.0 = &[];
        }
        self.datagram = cursor.0;
        let record = all.get(..all.len() - cursor.0.len())?;
        Some(if record.len() > LARGEST_PLAINTEXT + EXPANSION {
            Piece::Invalid
        } else {
            Piece::Protected(record)
        })
    }

    fn record(&mut self) -> Option<Piece<'a>> {
        let mut cursor = Cursor(self.datagram);
        let content_type = cursor.u8()?;
        // 254.255 is DTLS 1.0, 254.253 is 1.2 and also 1.3.
        let version = cursor.u16()?;
        let epoch = cursor.u16()?;
        cursor.take(6)?;
        let length = usize::from(cursor.u16()?);
        let content = cursor.take(length)?;
        self.datagram = cursor.0;
        if epoch != 0 || length > LARGEST_PLAINTEXT || !matches!(version, 0xfeff | 0xfefd) {
            return Some(Piece::Invalid);
        }
        Some(match (content_type, content) {
            (ALERT, [level, description]) => Piece::Alert {
                is_fatal: *level == 2,
                description: *description,
            },
            (HANDSHAKE, [_, ..]) => {
                self.fragments = content;
                return self.fragment();
            }
            _ => Piece::Invalid,
        })
    }

    fn fragment(&mut self) -> Option<Piece<'a>> {
        let mut cursor = Cursor(self.fragments);
        let fragment = Fragment::read(&mut cursor);
        self.fragments = if fragment.is_some() { cursor.0 } else { &[] };
        Some(fragment.map_or(Piece::Invalid, Piece::Fragment))
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if !self.fragments.is_empty() {
            return self.fragment();
        }
        let first = *self.datagram.first()?;
        let piece = if first >> 5 == 0b001 {
            self.unified(first)
        } else {
            self.record()
        };
        Some(piece.unwrap_or_else(|| self.discard_rest()))
    }
}
