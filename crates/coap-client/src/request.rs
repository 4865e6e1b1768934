//! A request, before it has a Message ID and a token.

use bytes::Bytes;
use coap::option::{content_format, encode_unsigned, number};
use coap::{Code, Message, Token, Type};

/// The largest CoAP message that is sent (RFC 7252 §4.6).
const MAX_MESSAGE: usize = 1152;

/// Method, options and payload. Clones share their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    method: Code,
    /// In order of their numbers.
    options: Vec<(u16, Bytes)>,
    payload: Bytes,
}

impl Request {
    /// A request without options and payload.
    pub fn new(method: Code) -> Request {
        Request {
            method,
            options: Vec::new(),
            payload: Bytes::new(),
        }
    }

    /// Adds an option after those with the same number.
    pub fn option(mut self, number: u16, value: impl Into<Bytes>) -> Request {
        let place = self.options.partition_point(|(n, _)| *n <= number);
        self.options.insert(place, (number, value.into()));
        self
    }

    /// Adds a Uri-Path option for each segment between slashes.
    pub fn path(self, path: &str) -> Request {
        path.split('/').fold(self, |request, segment| {
            request.option(number::URI_PATH, Bytes::copy_from_slice(segment.as_bytes()))
        })
    }

    /// Sets the payload. Its Content-Format is a separate option.
    pub fn payload(mut self, payload: impl Into<Bytes>) -> Request {
        self.payload = payload.into();
        self
    }

    /// Sets the payload, with Content-Format application/json.
    pub fn json(self, payload: impl Into<Bytes>) -> Request {
        let format = encode_unsigned(u32::from(content_format::JSON));
        self.option(number::CONTENT_FORMAT, format).payload(payload)
    }

    /// Whether it registers for notifications: it has an Observe option (RFC 7641 §2).
    pub(crate) fn is_registration(&self) -> bool {
        self.options.iter().any(|(n, _)| *n == number::OBSERVE)
    }

    /// Adds an Observe option with the value 0, register (RFC 7641 §2).
    pub fn observe(self) -> Request {
        self.option(number::OBSERVE, encode_unsigned(0))
    }

    /// The Confirmable message, or `None` if it would be larger than RFC 7252 §4.6 recommends (1152 bytes).
    pub(crate) fn encode(&self, message_id: u16, token: Token) -> Option<Vec<u8>> {
        let message = Message {
            kind: Type::Confirmable,
            code: self.method,
            message_id,
            token,
            options: self.options.clone(),
            payload: self.payload.clone(),
        };
        message.encode(MAX_MESSAGE)
    }

    /// Whether it can be sent: one message holds it.
    pub fn fits(&self) -> bool {
        self.encode(0, Token::new(&[0; 4]).unwrap_or_default())
            .is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sorted_by_number_and_those_of_one_number_keep_their_order() {
        let request = Request::new(Code::POST)
            .json("{}")
            .path("api/v1")
            .option(number::URI_QUERY, "k=1")
            .observe();
        let token = Token::new(&[1, 2, 3, 4]).unwrap();
        let expected: Vec<u8> = [
            &[0x44, 2, 0x12, 0x34, 1, 2, 3, 4][..],
            &[0x60, 0x53],
            b"api",
            &[0x02],
            b"v1",
            &[0x11, 50, 0x33],
            b"k=1",
            &[0xff],
            b"{}",
        ]
        .concat();
        assert_eq!(request.encode(0x1234, token), Some(expected));
    }

    #[test]
    fn a_request_that_needs_more_than_one_message_does_not_fit() {
        assert!(Request::new(Code::POST).payload(vec![0; 1100]).fits());
        assert!(!Request::new(Code::POST).payload(vec![0; 1152]).fits());
    }
}
