//! One CoAP message and its bytes (RFC 7252 §3).
//!
//! `coap-lite` splits the bytes into parts; it is named in this file alone. It is not strict, so
//! everything the RFC calls a message format error is decided here, and so is what a format error
//! means for its sender: a malformed Confirmable message is rejected with a Reset, any other is
//! ignored (§4.2, §4.3).
//!
//! With one exception: an Acknowledgement acknowledges the message it names, whatever else it carries. There are
//! clients that put a code, a token or their next request into it, and it comes in an authenticated session.

use super::code::{Class, Code};
use bytes::Bytes;
use coap_lite::{CoapOption, MessageClass, MessageType, Packet};
use std::fmt;

/// Options of one message. A request has a dozen; a datagram could hold 60,000, each of which costs. So they are
/// counted before they are decoded.
const MAX_OPTIONS: usize = 64;

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
    /// A token of these bytes, or nothing if there are more than eight.
    pub fn new(bytes: &[u8]) -> Option<Token> {
        let mut token = Token {
            length: u8::try_from(bytes.len()).ok()?,
            bytes: [0; 8],
        };
        token.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(token)
    }

    /// The token's bytes.
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

/// A message that obeys RFC 7252 §3 and Table 1 of §4.3. Options are in order of their numbers,
/// and not yet judged: see [`super::option`].
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
    /// Option numbers and values.
    pub options: Vec<(u16, Bytes)>,
    /// What follows the payload marker; empty if there is none.
    pub payload: Bytes,
}

/// What to do with bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecodable {
    /// A malformed Confirmable message: reject it with a Reset (RFC 7252 §4.2).
    Reject {
        /// From the four header bytes, which were readable.
        message_id: u16,
    },
    /// An Acknowledgement with something malformed in it: it acknowledges all the same.
    Acknowledgement {
        /// The message of ours that it names.
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

    /// Reads one datagram.
    pub fn decode(datagram: &[u8]) -> Result<Message, Undecodable> {
        let [first, code, id_high, id_low, ..] = *datagram else {
            return Err(Undecodable::Ignore);
        };
        // RFC 7252 §3: messages with unknown version numbers are silently ignored, even Confirmable ones.
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
        let allowed = match code.class() {
            // §4.1: an Empty message is four bytes; §4.3: it is never Non-confirmable.
            Class::Empty => datagram.len() == 4 && kind != Type::NonConfirmable,
            // Table 1: requests and responses never ride on a Reset. Nor should requests on an ACK, but go-coap
            // acknowledges a notification's first block by its request for the next.
            Class::Request | Class::Response => kind != Type::Reset,
            Class::Reserved => false,
        };
        if !allowed {
            return Err(malformed);
        }

        let token_length = usize::from(first & 0b1111);
        if !datagram.get(4 + token_length..).is_some_and(has_form) {
            return Err(malformed);
        }
        let packet = Packet::from_bytes(datagram).map_err(|_| malformed)?;
        let token = Token::new(packet.get_token()).ok_or(malformed)?;
        let mut options = Vec::with_capacity(packet.options().len());
        for (number, values) in packet.options() {
            for value in values {
                options.push((*number, Bytes::copy_from_slice(value)));
            }
        }
        Ok(Message {
            kind,
            code,
            message_id,
            token,
            options,
            payload: Bytes::from(packet.payload),
        })
    }

    /// The bytes of this message, or nothing if they would be more than `limit`.
    pub fn encode(&self, limit: usize) -> Option<Vec<u8>> {
        let mut packet = Packet::new();
        packet.header.set_version(1);
        packet.header.set_type(match self.kind {
            Type::Confirmable => MessageType::Confirmable,
            Type::NonConfirmable => MessageType::NonConfirmable,
            Type::Acknowledgement => MessageType::Acknowledgement,
            Type::Reset => MessageType::Reset,
        });
        packet.header.code = MessageClass::from(self.code.0);
        packet.header.message_id = self.message_id;
        packet.set_token(self.token.as_bytes().to_vec());
        for (number, value) in &self.options {
            packet.add_option(CoapOption::from(*number), value.to_vec());
        }
        packet.payload = self.payload.to_vec();
        packet.to_bytes_with_limit(limit).ok()
    }
}

/// Whether what follows the token has the form of RFC 7252 §3.1: [`MAX_OPTIONS`] options at most, then nothing, or a
/// payload marker with a payload. coap-lite takes a marker that nothing follows for the end of the options.
fn has_form(mut rest: &[u8]) -> bool {
    let extension = |nibble: u8| match nibble {
        13 => 1,
        14 => 2,
        _ => 0,
    };
    for _ in 0..=MAX_OPTIONS {
        let (first, behind) = match rest {
            [] => return true,
            [0xff, payload @ ..] => return !payload.is_empty(),
            [first, behind @ ..] => (*first, behind),
        };
        let (delta, length) = (first >> 4, first & 0b1111);
        if delta == 15 || length == 15 {
            return false;
        }
        let Some(behind) = behind.get(extension(delta)..) else {
            return false;
        };
        let length = match (length, behind) {
            (13, [more, ..]) => 13 + usize::from(*more) + 1,
            (14, [high, low, ..]) => 269 + usize::from(u16::from_be_bytes([*high, *low])) + 2,
            (13 | 14, _) => return false,
            _ => usize::from(length),
        };
        let Some(behind) = behind.get(length..) else {
            return false;
        };
        rest = behind;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: String = hex.split_whitespace().collect();
        (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect()
    }

    const REJECT: Undecodable = Undecodable::Reject { message_id: 0x7d34 };
    const ACKNOWLEDGES: Undecodable = Undecodable::Acknowledgement { message_id: 0x7d34 };

    /// RFC 7252, appendix A, figure 16: a CON GET /temperature and its piggybacked 2.05 "22.3 C".
    #[test]
    fn the_first_example_of_the_rfc_decodes_and_encodes() {
        let request = bytes("40 01 7d34 bb 74656d7065726174757265");
        let message = Message::decode(&request).unwrap();
        assert_eq!(message.kind, Type::Confirmable);
        assert_eq!(message.code, Code::GET);
        assert_eq!(message.message_id, 0x7d34);
        assert_eq!(message.options, [(11, Bytes::from_static(b"temperature"))]);
        assert_eq!(message.encode(1152).unwrap(), request);

        let response = bytes("60 45 7d34 ff 32322e332043");
        let message = Message::decode(&response).unwrap();
        assert_eq!(message.kind, Type::Acknowledgement);
        assert_eq!(message.code, Code::CONTENT);
        assert_eq!(&message.payload[..], b"22.3 C");
        assert_eq!(message.encode(1152).unwrap(), response);
    }

    /// RFC 7252, appendix A, figure 17: the same with the token 0x20.
    #[test]
    fn the_second_example_of_the_rfc_keeps_its_token() {
        let request = bytes("41 01 7d35 20 bb 74656d7065726174757265");
        let message = Message::decode(&request).unwrap();
        assert_eq!(message.token.as_bytes(), [0x20]);
        assert_eq!(message.encode(1152).unwrap(), request);
    }

    #[test]
    fn other_versions_are_ignored_even_when_confirmable() {
        for first in [0x00, 0x80, 0xc0] {
            assert_eq!(
                Message::decode(&[first, 1, 0x7d, 0x34]),
                Err(Undecodable::Ignore)
            );
        }
    }

    #[test]
    fn malformed_confirmable_messages_are_rejected_and_others_ignored() {
        for malformed in [
            "00 7d34 00",                    // 0.00 with a byte behind it
            "01 7d34 b1",                    // an option cut short
            "01 7d34 ff",                    // a payload marker and no payload
            "01 7d34 b1 61 ff",              // the same after an option
            "01 7d34 f0",                    // option delta 15
            "01 7d34 0f",                    // option length 15
            "20 7d34",                       // code class 1
            "c1 7d34",                       // code class 6
            "e1 7d34",                       // code class 7
            "01 7d34 eeffff0000 eeffff0000", // option numbers beyond 65,535
        ] {
            let mut datagram = bytes(&format!("40 {malformed}"));
            assert_eq!(Message::decode(&datagram), Err(REJECT), "{malformed}");
            for first in [0x50, 0x70] {
                datagram[0] = first;
                assert_eq!(
                    Message::decode(&datagram),
                    Err(Undecodable::Ignore),
                    "{malformed}"
                );
            }
            datagram[0] = 0x60;
            assert_eq!(Message::decode(&datagram), Err(ACKNOWLEDGES), "{malformed}");
        }
    }

    #[test]
    fn token_lengths_beyond_eight_are_format_errors() {
        for length in 9..=15 {
            let mut datagram = vec![0x40 | length, 1, 0x7d, 0x34];
            datagram.extend([7; 15]);
            assert_eq!(Message::decode(&datagram), Err(REJECT));
        }
        assert_eq!(
            Message::decode(&bytes("48 01 7d34 010203")),
            Err(REJECT),
            "a token cut short"
        );
    }

    #[test]
    fn nothing_rides_on_resets_and_empty_messages_are_never_non_confirmable() {
        for datagram in ["70 01 7d34", "70 45 7d34", "50 00 7d34"] {
            assert_eq!(
                Message::decode(&bytes(datagram)),
                Err(Undecodable::Ignore),
                "{datagram}"
            );
        }
    }

    /// As go-coap sends it: the request for the next block of a notification.
    #[test]
    fn an_acknowledgement_may_carry_a_request() {
        let message = Message::decode(&bytes("62 01 7d34 a1a2 d1 0a 16")).unwrap();
        assert_eq!(
            (message.kind, message.code),
            (Type::Acknowledgement, Code::GET)
        );
        assert_eq!(message.options, [(23, Bytes::from_static(&[0x16]))]);
    }

    /// A datagram of 60,000 empty options would cost five milliseconds.
    #[test]
    fn options_are_counted_before_they_are_decoded() {
        let with = |options: usize| {
            let mut datagram = bytes("40 01 7d34");
            datagram.extend(std::iter::repeat_n(0, options));
            Message::decode(&datagram).map(|message| message.options.len())
        };
        assert_eq!(with(MAX_OPTIONS), Ok(MAX_OPTIONS));
        assert_eq!(with(MAX_OPTIONS + 1), Err(REJECT));
        // What is behind the first 65 is not even looked at, or this would take minutes.
        let mut datagram = bytes("40 01 7d34");
        datagram.extend(vec![0; 60_000]);
        for _ in 0..100_000 {
            assert_eq!(Message::decode(&datagram), Err(REJECT));
        }
    }

    /// The form is judged here, so nothing that coap-lite would take must be refused, or the other way round.
    #[test]
    fn what_has_form_is_what_coap_lite_takes() {
        let mut random = fastrand::Rng::with_seed(4);
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..200_000 {
            let rest: Vec<u8> = (0..random.usize(0..24))
                .map(|_| match random.u8(0..6) {
                    0 => 0xff,
                    1 => random.u8(..),
                    _ => random.u8(0..0xf0) & 0x3f,
                })
                .collect();
            let mut datagram = bytes("40 01 7d34");
            datagram.extend(&rest);
            let marker_alone = Packet::from_bytes(&datagram).is_ok_and(|packet| {
                packet.payload.is_empty() && rest.last() == Some(&0xff) && {
                    let without = &datagram[..datagram.len() - 1];
                    Packet::from_bytes(without).is_ok_and(|other| other == packet)
                }
            });
            let lite = Packet::from_bytes(&datagram).is_ok() && !marker_alone;
            assert_eq!(Message::decode(&datagram).is_ok(), lite, "{rest:02x?}");
            if lite {
                taken += 1;
            } else {
                refused += 1;
            }
        }
        assert!(
            taken > 1000 && refused > 1000,
            "{taken} taken, {refused} refused"
        );
    }

    #[test]
    fn empty_messages_are_four_bytes() {
        for (kind, first) in [
            (Type::Confirmable, 0x40),
            (Type::Acknowledgement, 0x60),
            (Type::Reset, 0x70),
        ] {
            let datagram = [first, 0, 0x7d, 0x34];
            let message = Message::decode(&datagram).unwrap();
            assert_eq!(message, Message::empty(kind, 0x7d34));
            assert_eq!(message.encode(1152).unwrap(), datagram);
        }
        for short in [&[][..], &[0x40], &[0x40, 1, 0]] {
            assert_eq!(Message::decode(short), Err(Undecodable::Ignore));
        }
    }

    #[test]
    fn long_options_survive_both_ways() {
        let mut message = Message::empty(Type::Confirmable, 1);
        message.code = Code::POST;
        for length in [12, 13, 268, 269, 300] {
            message.options.push((11, Bytes::from(vec![b'x'; length])));
        }
        message.options.push((2049, Bytes::new()));
        message.payload = Bytes::from_static(b"{}");
        let datagram = message.encode(2000).unwrap();
        assert_eq!(Message::decode(&datagram).unwrap(), message);
        assert_eq!(
            message.encode(datagram.len() - 1),
            None,
            "one byte over the limit"
        );
    }
}
