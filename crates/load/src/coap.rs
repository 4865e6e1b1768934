//! CoAP's message format (RFC 7252 §3), as far as a client needs it. Nothing a server sends makes it panic.

/// A message's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Confirmable,
    NonConfirmable,
    Acknowledgement,
    Reset,
}

/// The code of an Empty message.
pub(crate) const EMPTY: u8 = 0;
pub(crate) const OBSERVE: u16 = 6;
pub(crate) const URI_PATH: u16 = 11;
pub(crate) const CONTENT_FORMAT: u16 = 12;
pub(crate) const URI_QUERY: u16 = 15;

/// As many bytes as this driver's tokens have.
pub(crate) type Token = [u8; 4];

/// What a server has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) code: u8,
    pub(crate) id: u16,
    pub(crate) token: Vec<u8>,
    /// Whether it has an Observe option: a notification (RFC 7641 §3.2).
    pub(crate) observe: bool,
}

impl Message {
    /// `None`: no CoAP message.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Message> {
        let (&[first, code, high, low], rest) = bytes.split_first_chunk::<4>()?;
        let (version, token_length) = (first >> 6, usize::from(first & 0x0f));
        // Lengths above 8 are reserved (RFC 7252 §3), and an Empty message ends after its header (§4.1).
        if version != 1 || token_length > 8 || (code == EMPTY && bytes.len() > 4) {
            return None;
        }
        let (token, options) = rest.split_at_checked(token_length)?;
        Some(Message {
            kind: match first >> 4 & 3 {
                0 => Kind::Confirmable,
                1 => Kind::NonConfirmable,
                2 => Kind::Acknowledgement,
                _ => Kind::Reset,
            },
            code,
            id: u16::from_be_bytes([high, low]),
            token: token.to_vec(),
            observe: has_observe(options)?,
        })
    }
}

/// Walks the options to their end, or to the payload.
fn has_observe(mut rest: &[u8]) -> Option<bool> {
    let (mut number, mut observe) = (0usize, false);
    while let Some((&head, after)) = rest.split_first() {
        if head == 0xff {
            // A marker with nothing behind it is a format error (RFC 7252 §3).
            return (!after.is_empty()).then_some(observe);
        }
        let (delta, after) = extended(head >> 4, after)?;
        let (length, after) = extended(head & 0x0f, after)?;
        number += delta;
        observe |= number == usize::from(OBSERVE);
        rest = after.get(length..)?;
    }
    Some(observe)
}

/// A delta or length, and what follows (RFC 7252 §3.1).
fn extended(nibble: u8, rest: &[u8]) -> Option<(usize, &[u8])> {
    match nibble {
        0..=12 => Some((usize::from(nibble), rest)),
        13 => {
            let (&byte, rest) = rest.split_first()?;
            Some((usize::from(byte) + 13, rest))
        }
        14 => {
            let (&[high, low], rest) = rest.split_first_chunk::<2>()?;
            Some((usize::from(u16::from_be_bytes([high, low])) + 269, rest))
        }
        _ => None,
    }
}

/// What all requests of a run have in common: method, options and payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    method: u8,
    /// Options and payload as they go out.
    tail: Vec<u8>,
}

impl Request {
    /// `None`: an option's value is too long. Options may come in any order.
    pub(crate) fn new(
        method: u8,
        mut options: Vec<(u16, Vec<u8>)>,
        payload: &[u8],
    ) -> Option<Request> {
        // A stable sort: Uri-Path segments keep their order.
        options.sort_by_key(|(number, _)| *number);
        let (mut tail, mut last) = (Vec::new(), 0);
        for (number, value) in &options {
            let (delta, delta_more) = nibble(number - last)?;
            let (length, length_more) = nibble(u16::try_from(value.len()).ok()?)?;
            tail.push(delta << 4 | length);
            tail.extend(delta_more);
            tail.extend(length_more);
            tail.extend(value);
            last = *number;
        }
        if !payload.is_empty() {
            tail.push(0xff);
            tail.extend(payload);
        }
        Some(Request { method, tail })
    }

    /// As a Confirmable message.
    pub(crate) fn confirmable(&self, id: u16, token: Token) -> Vec<u8> {
        let mut bytes = header(Kind::Confirmable, self.method, id);
        if let Some(first) = bytes.first_mut() {
            *first |= 4;
        }
        bytes.extend(token);
        bytes.extend(&self.tail);
        bytes
    }
}

/// A delta or length up to 268, as its four bits and what follows: more is not needed here.
fn nibble(value: u16) -> Option<(u8, Option<u8>)> {
    let value = u8::try_from(value);
    match value {
        Ok(small @ 0..=12) => Some((small, None)),
        Ok(more) => Some((13, Some(more - 13))),
        Err(_) => None,
    }
}

/// An Empty message: an acknowledgement, a reset or, Confirmable, a ping (RFC 7252 §4.3).
pub(crate) fn empty(kind: Kind, id: u16) -> Vec<u8> {
    header(kind, EMPTY, id)
}

fn header(kind: Kind, code: u8, id: u16) -> Vec<u8> {
    let kind = match kind {
        Kind::Confirmable => 0,
        Kind::NonConfirmable => 1,
        Kind::Acknowledgement => 2,
        Kind::Reset => 3,
    };
    let [high, low] = id.to_be_bytes();
    vec![0x40 | kind << 4, code, high, low]
}

/// A code as RFC 7252 writes it: `2.05`.
pub(crate) fn dotted(code: u8) -> String {
    format!("{}.{:02}", code >> 5, code & 0x1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_out_as_the_rfc_draws_it() {
        let path = |segment: &str| (URI_PATH, segment.as_bytes().to_vec());
        let options = vec![path("a"), path("thirteen-byte"), (OBSERVE, vec![])];
        let request = Request::new(1, options, b"x").unwrap();
        let expected = [
            &[0x44, 1, 0x12, 0x34, 1, 2, 3, 4][..],
            &[0x60, 0x51, b'a', 0x0d, 0],
            b"thirteen-byte",
            &[0xff, b'x'],
        ];
        assert_eq!(request.confirmable(0x1234, [1, 2, 3, 4]), expected.concat());
        assert_eq!(empty(Kind::Acknowledgement, 0x1234), [0x60, 0, 0x12, 0x34]);
        assert_eq!(Request::new(1, vec![(URI_PATH, vec![0; 256])], b""), None);
    }

    #[test]
    fn a_response_is_read_with_its_observe_option() {
        let notification = [0x51, 0x45, 0, 7, 9, 0x61, 5, 0x60, 0xff, b'{'];
        let expected = Message {
            kind: Kind::NonConfirmable,
            code: 0x45,
            id: 7,
            token: vec![9],
            observe: true,
        };
        assert_eq!(Message::parse(&notification), Some(expected));
        let plain = Message::parse(&[0x61, 0x44, 0, 7, 9, 0xc0]).unwrap();
        assert_eq!((plain.kind, plain.observe), (Kind::Acknowledgement, false));
        assert_eq!(dotted(0x45), "2.05");
    }

    #[test]
    fn what_is_no_message_is_not_taken_for_one() {
        for wrong in [
            &[][..],
            &[0x60, 0, 0],
            &[0x20, 0, 0, 1],                            // version 0
            &[0x49, 1, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9], // a token of nine bytes
            &[0x42, 1, 0, 1, 5],                         // half a token
            &[0x60, 0, 0, 1, 0],                         // Empty, with something in it
            &[0x40, 0x45, 0, 1, 0xff],                   // a marker without payload
            &[0x40, 0x45, 0, 1, 0xf0],                   // a reserved delta
            &[0x40, 0x45, 0, 1, 0x13],                   // half an option
            &[0x40, 0x45, 0, 1, 0xe0, 1],                // half a delta
        ] {
            assert_eq!(Message::parse(wrong), None, "{wrong:02x?}");
        }
    }
}
