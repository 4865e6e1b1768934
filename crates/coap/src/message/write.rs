//! From a [`Message`] to its bytes (RFC 7252 §3).

use super::parse::PAYLOAD_MARKER;
use super::{Message, Type};
use bytes::Bytes;
use std::borrow::Cow;

impl Message {
    /// The bytes of this message. `None` if they would be more than `limit`, or if an option is longer than §3.1 can
    /// say (65,804 bytes).
    pub fn encode(&self, limit: usize) -> Option<Vec<u8>> {
        let options = self.options_in_order();
        let token = self.token.as_bytes();
        let mut length =
            4 + token.len() + self.payload.len() + usize::from(!self.payload.is_empty());
        for (delta, value) in deltas(&options) {
            let extensions = Extended::of(delta)?.size + Extended::of(value.len())?.size;
            length += 1 + extensions + value.len();
        }
        if length > limit {
            return None;
        }

        let mut bytes = Vec::with_capacity(length);
        let kind: u8 = match self.kind {
            Type::Confirmable => 0,
            Type::NonConfirmable => 1,
            Type::Acknowledgement => 2,
            Type::Reset => 3,
        };
        let token_length = u8::try_from(token.len()).ok()?;
        bytes.extend([0b0100_0000 | kind << 4 | token_length, self.code.0]);
        bytes.extend(self.message_id.to_be_bytes());
        bytes.extend(token);
        for (delta, value) in deltas(&options) {
            let (delta, length) = (Extended::of(delta)?, Extended::of(value.len())?);
            bytes.push(delta.nibble << 4 | length.nibble);
            bytes.extend(delta.extension());
            bytes.extend(length.extension());
            bytes.extend(value);
        }
        if !self.payload.is_empty() {
            bytes.push(PAYLOAD_MARKER);
            bytes.extend(&self.payload);
        }
        Some(bytes)
    }

    /// §3.1: options go out in the order of their numbers, and equal ones in the order given.
    fn options_in_order(&self) -> Cow<'_, [(u16, Bytes)]> {
        let mut options = Cow::from(&self.options);
        if !options.is_sorted_by_key(|(number, _)| *number) {
            options.to_mut().sort_by_key(|(number, _)| *number);
        }
        options
    }
}

/// The values of sorted options, each with the difference of its number to the one before.
fn deltas(options: &[(u16, Bytes)]) -> impl Iterator<Item = (usize, &Bytes)> {
    let mut previous = 0;
    options.iter().map(move |(number, value)| {
        let delta = number - std::mem::replace(&mut previous, *number);
        (usize::from(delta), value)
    })
}

/// An option's delta or length: four bits, and up to two bytes that follow (§3.1).
struct Extended {
    nibble: u8,
    bytes: [u8; 2],
    size: usize,
}

impl Extended {
    fn of(value: usize) -> Option<Extended> {
        let (nibble, above, size) = match value {
            0..13 => (u8::try_from(value).ok()?, 0, 0),
            13..269 => (13, value - 13, 1),
            _ => (14, value - 269, 2),
        };
        let bytes = u16::try_from(above).ok()?.to_be_bytes();
        Some(Extended {
            nibble,
            bytes,
            size,
        })
    }

    fn extension(&self) -> &[u8] {
        self.bytes.get(2 - self.size..).unwrap_or_default()
    }
}
