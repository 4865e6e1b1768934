//! A request as the application receives it, and the response that it returns.

use super::block::Block;
use super::body::ETag;
use super::code::Code;
use super::message::{Message, Token, Type};
use super::option::{encode_unsigned, number};
use bytes::Bytes;

/// Request methods (RFC 7252 §5.8). Those that are never allowed are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// 0.01
    Get,
    /// 0.02
    Post,
    /// PUT, DELETE and all others: answered with 4.05.
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

/// The Observe option of a request (RFC 7641 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observe {
    /// 0: adds the client to the observers of the resource.
    Register,
    /// 1: removes it.
    Deregister,
}

impl Observe {
    /// `None` for other values: the option is then ignored, as if unrecognised.
    pub fn from_value(value: u32) -> Option<Observe> {
        match value {
            0 => Some(Observe::Register),
            1 => Some(Observe::Deregister),
            _ => None,
        }
    }
}

/// A request with valid options. Message ID and token stay with its exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// GET, POST or another.
    pub method: Method,
    /// The Uri-Path options, one by one.
    pub path: Vec<String>,
    /// The Uri-Query options, one by one.
    pub query: Vec<String>,
    /// The Content-Format of the payload.
    pub content_format: Option<u16>,
    /// The Content-Format that the client accepts (RFC 7252 §5.10.4).
    pub accept: Option<u16>,
    /// Whether the client registers or deregisters as an observer (RFC 7641 §2).
    pub observe: Option<Observe>,
    /// The requested block of the response (RFC 7959 §2.4). Its number is above 0 only if the
    /// endpoint has no snapshot of the response: the application may then return just that
    /// [block](Response::block2), or the whole body, and the endpoint sends the block.
    pub block2: Option<Block>,
    /// Size2: whether the client asks for the size of the response's body (RFC 7959 §4).
    pub size2_wanted: bool,
    /// The ETags of the representations that the client has (RFC 7252 §5.10.6.2).
    pub etags: Vec<ETag>,
    /// Whether there is an If-None-Match, or an If-Match with an ETag and none without (RFC 7252
    /// §5.10.8).
    pub conditional: bool,
    /// No-Response: the classes of responses that the client does not want (RFC 7967 §2.1), as a
    /// sum of 2 (2.xx), 8 (4.xx) and 16 (5.xx).
    pub no_response: u8,
    /// The whole body, from one message or assembled from blocks.
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
            block2: None,
            size2_wanted: false,
            etags: Vec::new(),
            conditional: false,
            no_response: 0,
            payload,
        }
    }
}

/// A response, without message type, Message ID and token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 2.xx, 4.xx or 5.xx.
    pub code: Code,
    /// Distinguishes representations of the same resource (RFC 7252 §5.10.6). The endpoint sets it
    /// on bodies that it sends in blocks.
    pub etag: Option<ETag>,
    /// The sequence number of a notification (RFC 7641 §2). The endpoint alone sets it.
    pub observe: Option<u32>,
    /// The Content-Format of the payload; a diagnostic payload has none.
    pub content_format: Option<u16>,
    /// Seconds. After a 5.03 or 4.29: when to try again (RFC 7252 §5.9.3.4, RFC 8516 §4).
    pub max_age: Option<u32>,
    /// Which block of a larger body the payload is. If the application sets it, the response is
    /// sent as it is; otherwise the endpoint sends bodies in blocks that are too large for one
    /// message.
    pub block2: Option<Block>,
    /// The block of the request's body to which this is the response (RFC 7959 §2.3). The endpoint
    /// alone sets it.
    pub block1: Option<Block>,
    /// The size of the whole body in bytes (RFC 7959 §4).
    pub size2: Option<u32>,
    /// The largest accepted request body in bytes (with 4.13, RFC 7959 §4).
    pub size1: Option<u32>,
    /// The body, or a block of it.
    pub payload: Bytes,
}

impl Response {
    /// A response with this code, without options and payload.
    pub fn new(code: Code) -> Response {
        Response {
            code,
            etag: None,
            observe: None,
            content_format: None,
            max_age: None,
            block2: None,
            block1: None,
            size2: None,
            size1: None,
            payload: Bytes::new(),
        }
    }

    /// An error with a diagnostic payload (RFC 7252 §5.5.2): text for the reader of the device's
    /// log.
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

    /// The same response with Max-Age, in seconds.
    pub fn with_max_age(self, seconds: u32) -> Response {
        Response {
            max_age: Some(seconds),
            ..self
        }
    }

    /// Whether No-Response suppresses this response (RFC 7967 §2.1). A 2.31 is never suppressed:
    /// without it a client that does not want a 2.xx would wait for ever to send the next block.
    pub fn is_suppressed_by(&self, no_response: u8) -> bool {
        let class = self.code.0 >> 5;
        self.code != Code::CONTINUE
            && (1..=8).contains(&class)
            && no_response & (1 << (class - 1)) != 0
    }

    /// The message that carries this response.
    pub fn into_message(self, kind: Type, message_id: u16, token: Token) -> Message {
        let etag = self
            .etag
            .map(|tag| (number::ETAG, Bytes::copy_from_slice(tag.as_bytes())));
        let numbers = [
            (number::OBSERVE, self.observe),
            (number::CONTENT_FORMAT, self.content_format.map(u32::from)),
            (number::MAX_AGE, self.max_age),
            (number::BLOCK2, self.block2.map(Block::encode)),
            (number::BLOCK1, self.block1.map(Block::encode)),
            (number::SIZE2, self.size2),
            (number::SIZE1, self.size1),
        ];
        let numbers = numbers
            .into_iter()
            .filter_map(|(number, value)| Some((number, encode_unsigned(value?))));
        Message {
            kind,
            code: self.code,
            message_id,
            token,
            options: etag.into_iter().chain(numbers).collect(),
            payload: self.payload,
        }
    }
}

#[cfg(test)]
mod tests;
