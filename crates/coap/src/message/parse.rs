//! From a datagram to a [`Message`] (RFC 7252 §3). Nothing is copied: options and payload are
//! slices of the datagram.

use super::{Message, Token, Type, Undecodable};
use crate::code::{Class, Code};
use bytes::{Buf, Bytes};

/// Options of one message. A request has a dozen; a datagram could hold 60,000.
pub(super) const MAX_OPTIONS: usize = 64;
/// The first byte after the options, if a payload follows.
pub(super) const PAYLOAD_MARKER: u8 = 0xff;

impl Message {
    /// Decodes one datagram. Options and payload share its bytes, and keep them alive.
    pub fn from_bytes(mut datagram: Bytes) -> Result<Message, Undecodable> {
        let [first, code, id_high, id_low, ..] = *datagram else {
            return Err(Undecodable::Ignore);
        };
        // §3: messages with unknown version numbers are silently ignored, even Confirmable ones.
        if first >> 6 != 1 {
            return Err(Undecodable::Ignore);
        }
        let kind = match (first >> 4) & 0b11 {
            0 => Type::Confirmable,
            1 => Type::NonConfirmable,
            2 => Type::Acknowledgement,
            _ => Type::Reset,
        };
        let message_id = u16::from_be_bytes([id_high, id_low]);
        let malformed = match kind {
            Type::Confirmable => Undecodable::Reject { message_id },
            Type::Acknowledgement => Undecodable::Acknowledgement { message_id },
            Type::NonConfirmable | Type::Reset => Undecodable::Ignore,
        };
        let code = Code(code);
        if !may_carry(kind, code, datagram.len()) {
            return Err(malformed);
        }

        datagram.advance(4);
        // §3: lengths 9 to 15 are reserved, and a message format error.
        let token = take(&mut datagram, usize::from(first & 0b1111));
        let token = token.and_then(|bytes| Token::new(&bytes));
        let token = token.ok_or(malformed)?;
        let options = take_options(&mut datagram).ok_or(malformed)?;
        Ok(Message {
            kind,
            code,
            message_id,
            token,
            options,
            payload: datagram,
        })
    }
}

/// Whether a message of this type and length may have this code (§4.3, Table 1).
fn may_carry(kind: Type, code: Code, length: usize) -> bool {
    match code.class() {
        // §4.1: an Empty message is four bytes; §4.3: it is never Non-confirmable.
        Class::Empty => length == 4 && kind != Type::NonConfirmable,
        // Table 1 forbids requests and responses on a Reset, and requests on an Acknowledgement.
        // But go-coap acknowledges a notification's first block by its request for the next.
        Class::Request | Class::Response => kind != Type::Reset,
        Class::Reserved => false,
    }
}

/// Removes the options and the payload marker, so that the payload is left (§3.1).
fn take_options(rest: &mut Bytes) -> Option<Vec<(u16, Bytes)>> {
    let mut options = Vec::new();
    let mut number = 0_u16;
    while let Some(first) = take_byte(rest) {
        if first == PAYLOAD_MARKER {
            // §3: a marker followed by an empty payload is a message format error.
            return (!rest.is_empty()).then_some(options);
        }
        if options.len() == MAX_OPTIONS {
            return None;
        }
        let delta = take_extended(first >> 4, rest)?;
        let length = take_extended(first & 0b1111, rest)?;
        // Option numbers have 16 bits (§12.2).
        number = u16::try_from(u32::from(number) + delta).ok()?;
        options.push((number, take(rest, usize::try_from(length).ok()?)?));
    }
    Some(options)
}

/// An option's delta or length: the nibble's value, or that of the one or two bytes that follow
/// (§3.1).
fn take_extended(nibble: u8, rest: &mut Bytes) -> Option<u32> {
    match nibble {
        13 => Some(13 + u32::from(take_byte(rest)?)),
        14 => {
            let bytes = [take_byte(rest)?, take_byte(rest)?];
            Some(269 + u32::from(u16::from_be_bytes(bytes)))
        }
        // §3.1: reserved, and a message format error.
        15 => None,
        value => Some(u32::from(value)),
    }
}

fn take_byte(rest: &mut Bytes) -> Option<u8> {
    let byte = *rest.first()?;
    rest.advance(1);
    Some(byte)
}

fn take(rest: &mut Bytes, length: usize) -> Option<Bytes> {
    // `split_to` panics beyond the end.
    (length <= rest.len()).then(|| rest.split_to(length))
}
