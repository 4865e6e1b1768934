//! One CoAP message and its bytes (RFC 7252 §3).
//!
//! Reading and writing are in [`mod@parse`] and [`mod@write`]. A malformed Confirmable message is
//! rejected with a Reset, and any other malformed message is ignored (§4.2, §4.3), with one
//! exception: an Acknowledgement acknowledges the message it names, whatever else it carries. Some
//! clients put a code, a token or their next request into it, and it comes in an authenticated
//! session.

mod parse;
mod write;

use crate::code::Code;
use bytes::Bytes;
use std::fmt;

/// Message types (RFC 7252 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// CON.
    Confirmable,
    /// NON.
    NonConfirmable,
    /// ACK.
    Acknowledgement,
    /// RST.
    Reset,
}

/// What ties a response to its request: 0 to 8 bytes chosen by the client (RFC 7252 §5.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Token {
    length: u8,
    bytes: [u8; 8],
}

impl Token {
    /// A token of these bytes, or `None` if there are more than eight.
    pub fn new(bytes: &[u8]) -> Option<Token> {
        let mut token = Token {
            length: u8::try_from(bytes.len()).ok()?,
            bytes: [0; 8],
        };
        token.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(token)
    }

    /// The 0 to 8 bytes of the token.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A message that obeys RFC 7252 §3 and Table 1 of §4.3. The values of its options are not checked:
/// see [`crate::option`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// CON, NON, ACK or RST.
    pub kind: Type,
    /// Method or response code, or 0.00.
    pub code: Code,
    /// Matches acknowledgements to messages, and finds duplicates.
    pub message_id: u16,
    /// Matches responses to requests.
    pub token: Token,
    /// Option numbers and values. Of a decoded message they are in order; [`encode`](Self::encode)
    /// sorts them by number.
    pub options: Vec<(u16, Bytes)>,
    /// What follows the payload marker; empty if there is none.
    pub payload: Bytes,
}

/// How to react to bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecodable {
    /// A malformed Confirmable message: reject it with a Reset (RFC 7252 §4.2).
    Reject {
        /// From the four header bytes, which were readable.
        message_id: u16,
    },
    /// A malformed Acknowledgement: it acknowledges all the same.
    Acknowledgement {
        /// The message of ours that it acknowledges.
        message_id: u16,
    },
    /// Anything else: silence (RFC 7252 §4.3; §3 for unknown versions).
    Ignore,
}

impl Message {
    /// An Empty message (RFC 7252 §4.1): acknowledgement or reset of `message_id`.
    pub fn empty(kind: Type, message_id: u16) -> Message {
        Message {
            kind,
            code: Code::EMPTY,
            message_id,
            token: Token::default(),
            options: Vec::new(),
            payload: Bytes::new(),
        }
    }

    /// Whether a datagram is a request, as far as its header says (RFC 7252 §3, §12.1.1).
    #[must_use]
    pub fn is_request(datagram: &[u8]) -> bool {
        matches!(datagram, [first, 1..=31, ..] if first >> 6 == 1)
    }

    /// Decodes a copy of one datagram.
    pub fn decode(datagram: &[u8]) -> Result<Message, Undecodable> {
        Message::from_bytes(Bytes::copy_from_slice(datagram))
    }
}

#[cfg(test)]
mod tests;
