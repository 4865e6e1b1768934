//! A request as the gateway sees it, and the response it gives back.

use super::code::Code;
use super::message::{Message, Token, Type};
use super::observe::Observe;
use super::option::{encode_unsigned, number};
use bytes::Bytes;

/// Request methods (RFC 7252 §5.8); those that ThingsBoard has no use for are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// 0.01
    Get,
    /// 0.02
    Post,
    /// Known or not: answered with 4.05.
    Other,
}

impl From<Code> for Method {
    fn from(code: Code) -> Method {
        match code {
            Code::GET => Method::Get,
            Code::POST => Method::Post,
            _ => Method::Other,
        }
    }
}

/// A request whose options have been judged. Message ID and token stay with its exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// The Uri-Path options, one by one.
    pub path: Vec<String>,
    /// The Uri-Query options, one by one.
    pub query: Vec<String>,
    /// What the payload is.
    pub content_format: Option<u16>,
    /// What the client can read.
    pub accept: Option<u16>,
    /// What the client wants to be told later (RFC 7641 §2).
    pub observe: Option<Observe>,
    /// Block1 (RFC 7959 §2.1), undecoded.
    pub block1: Option<u32>,
    /// Block2, undecoded.
    pub block2: Option<u32>,
    /// Whether there is an If-None-Match, or an If-Match with an ETag: conditions nothing here meets.
    pub conditional: bool,
    /// Classes of response the client has no interest in (RFC 7967 §2.1): 2, 8, 16.
    pub no_response: u8,
    /// The body, as sent.
    pub payload: Bytes,
}

impl Request {
    /// A request without options.
    pub fn new(method: Method, payload: Bytes) -> Request {
        Request {
            method,
            path: Vec::new(),
            query: Vec::new(),
            content_format: None,
            accept: None,
            observe: None,
            block1: None,
            block2: None,
            conditional: false,
            no_response: 0,
            payload,
        }
    }
}

/// A response, before it is known whether it rides on an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 2.xx, 4.xx or 5.xx.
    pub code: Code,
    /// The sequence number of a notification (RFC 7641 §2). The endpoint alone sets it.
    pub observe: Option<u32>,
    /// What the payload is; a diagnostic payload has none.
    pub content_format: Option<u16>,
    /// Seconds. After a 5.03 or 4.29: when to try again (RFC 7252 §5.9.3.4, RFC 8516 §4).
    pub max_age: Option<u32>,
    /// The largest request body we take, in bytes (with 4.13, RFC 7959 §4).
    pub size1: Option<u32>,
    /// The body.
    pub payload: Bytes,
}

impl Response {
    /// A response of this code and nothing else.
    pub fn new(code: Code) -> Response {
        Response {
            code,
            observe: None,
            content_format: None,
            max_age: None,
            size1: None,
            payload: Bytes::new(),
        }
    }

    /// An error with a diagnostic payload (RFC 7252 §5.5.2): text for whoever reads the device's log.
    pub fn error(code: Code, diagnostic: impl Into<String>) -> Response {
        Response {
            payload: Bytes::from(diagnostic.into()),
            ..Response::new(code)
        }
    }

    /// 2.05 with a body.
    pub fn content(content_format: u16, payload: Bytes) -> Response {
        Response {
            content_format: Some(content_format),
            payload,
            ..Response::new(Code::CONTENT)
        }
    }

    /// The same response, fresh for `seconds`.
    pub fn with_max_age(self, seconds: u32) -> Response {
        Response {
            max_age: Some(seconds),
            ..self
        }
    }

    /// Whether the client has asked not to be told (RFC 7967 §2.1).
    pub fn is_suppressed_by(&self, no_response: u8) -> bool {
        let class = self.code.0 >> 5;
        (1..=8).contains(&class) && no_response & (1 << (class - 1)) != 0
    }

    /// The message that carries this response.
    pub fn into_message(self, kind: Type, message_id: u16, token: Token) -> Message {
        let options = [
            (number::OBSERVE, self.observe),
            (number::CONTENT_FORMAT, self.content_format.map(u32::from)),
            (number::MAX_AGE, self.max_age),
            (number::SIZE1, self.size1),
        ];
        Message {
            kind,
            code: self.code,
            message_id,
            token,
            options: options
                .into_iter()
                .filter_map(|(number, value)| Some((number, encode_unsigned(value?))))
                .collect(),
            payload: self.payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_response_names_classes_by_bits() {
        let created = Response::new(Code::CREATED);
        let missing = Response::new(Code::NOT_FOUND);
        let unavailable = Response::new(Code::SERVICE_UNAVAILABLE);
        let suppressed = |mask| {
            [&created, &missing, &unavailable].map(|response| response.is_suppressed_by(mask))
        };
        assert_eq!(suppressed(0), [false, false, false]);
        assert_eq!(suppressed(2), [true, false, false]);
        assert_eq!(suppressed(8), [false, true, false]);
        assert_eq!(suppressed(16), [false, false, true]);
        assert_eq!(suppressed(26), [true, true, true]);
    }

    #[test]
    fn a_response_carries_its_options_in_order() {
        let response = Response::content(50, Bytes::from_static(b"{}")).with_max_age(0);
        let message = response.into_message(Type::Acknowledgement, 7, Token::default());
        let options: Vec<_> = message.options.iter().map(|(n, v)| (*n, v.len())).collect();
        assert_eq!(options, [(12, 1), (14, 0)]);
    }
}
