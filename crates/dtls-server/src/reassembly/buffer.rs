//! One message while its fragments come.

use crate::message::{Fragment, Header};
use std::cmp::Reverse;

/// Bits of a map's element.
const BITS: usize = 8;

/// A message by place, with a bit for each byte that is there.
#[derive(Debug)]
pub(super) struct Buffer {
    /// As if the message were not fragmented.
    header: Header,
    came_ahead: bool,
    /// Whether a fragment of the same message had other bytes.
    is_contradicted: bool,
    /// The number of the fragment that it began with.
    oldest: u64,
    /// The number of the last fragment that was added.
    newest: u64,
    /// The header and the body. Bytes that have not come are 0.
    bytes: Vec<u8>,
    /// Empty once the message is complete.
    present: Vec<u8>,
    missing: usize,
}

impl Buffer {
    /// Begins a message of `length` bytes with a fragment of it, the `number`th of all. `came_ahead`: the message is not the
    /// next one.
    pub(super) fn new(
        fragment: &Fragment<'_>,
        length: usize,
        came_ahead: bool,
        number: u64,
    ) -> Buffer {
        let header = Header {
            fragment_offset: 0,
            fragment_length: fragment.header.length,
            ..fragment.header
        };
        let mut bytes = Vec::with_capacity(Header::LENGTH.saturating_add(length));
        header.write(&mut bytes);
        let mut buffer = Buffer {
            header,
            came_ahead,
            is_contradicted: false,
            oldest: number,
            newest: number,
            bytes,
            present: Vec::new(),
            missing: 0,
        };
        if fragment.is_whole() {
            buffer.bytes.extend_from_slice(fragment.body);
        } else {
            buffer
                .bytes
                .resize(Header::LENGTH.saturating_add(length), 0);
            buffer.present = vec![0; length.div_ceil(BITS)];
            buffer.missing = length;
            buffer.insert(fragment, came_ahead, number);
        }
        buffer
    }

    pub(super) const fn header(&self) -> Header {
        self.header
    }

    pub(super) const fn message_seq(&self) -> u16 {
        self.header.message_seq
    }

    pub(super) const fn came_ahead(&self) -> bool {
        self.came_ahead
    }

    pub(super) const fn is_contradicted(&self) -> bool {
        self.is_contradicted
    }

    /// Which one is taken if several are complete: the highest. What came in its turn comes before what may have been forged at
    /// any time before, and of the rest that which was begun last.
    pub(super) const fn preference(&self) -> (bool, u64) {
        (!self.came_ahead, self.oldest)
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.missing == 0
    }

    pub(super) const fn size(&self) -> usize {
        self.bytes
            .capacity()
            .saturating_add(self.present.capacity())
    }

    /// Whether a fragment with this header belongs to the message.
    pub(super) fn is_of(&self, header: &Header) -> bool {
        self.header.message_seq == header.message_seq
            && self.header.message_type == header.message_type
            && self.header.length == header.length
    }

    /// What is nearer is worth more, and of the same place that to which something was added last.
    pub(super) const fn worth(&self) -> (Reverse<u16>, u64) {
        (Reverse(self.header.message_seq), self.newest)
    }

    /// Adds the bytes of a fragment, of which those that are there already must be the same: otherwise one of both is forged, and
    /// nothing is added. Returns whether they are. `is_ahead`: the message is still not the next one.
    pub(super) fn insert(&mut self, fragment: &Fragment<'_>, is_ahead: bool, number: u64) -> bool {
        let Ok(offset) = usize::try_from(fragment.header.fragment_offset) else {
            return false;
        };
        let start = Header::LENGTH.saturating_add(offset);
        let mut there = self
            .bytes
            .iter()
            .skip(start)
            .zip(fragment.body)
            .zip(offset..);
        if !there.all(|((byte, new), index)| byte == new || !self.has(index)) {
            self.is_contradicted = true;
            return false;
        }
        self.came_ahead &= is_ahead;
        self.newest = number;
        let places = self.bytes.iter_mut().skip(start).zip(fragment.body);
        for (index, (place, byte)) in (offset..).zip(places) {
            let Some(bits) = self.present.get_mut(index / BITS) else {
                break;
            };
            let bit = 1 << (index % BITS);
            if *bits & bit == 0 {
                *bits |= bit;
                *place = *byte;
                self.missing = self.missing.saturating_sub(1);
            }
        }
        if self.is_complete() {
            self.present = Vec::new();
        }
        true
    }

    /// Whether a byte of the body is there.
    fn has(&self, index: usize) -> bool {
        self.is_complete()
            || self
                .present
                .get(index / BITS)
                .is_some_and(|bits| bits & (1 << (index % BITS)) != 0)
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
