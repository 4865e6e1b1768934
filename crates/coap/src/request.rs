//! A request as the gateway sees it, and the response it gives back.

use super::block::Block;
use super::body::ETag;
use super::code::Code;
use super::message::{Message, Token, Type};
use super::option::{encode_unsigned, number};
use bytes::Bytes;

/// Request methods (RFC 7252 §5.8); those that ThingsBoard has no use for are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// What a request's Observe option asks for (RFC 7641 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observe {
    /// 0: notify me.
    Register,
    /// 1: no longer.
    Deregister,
}

impl Observe {
    /// The option's meaning; other values have none, and the option is then as good as unrecognised.
    pub fn from_value(value: u32) -> Option<Observe> {
        match value {
            0 => Some(Observe::Register),
            1 => Some(Observe::Deregister),
            _ => None,
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
    /// Which part of the response is asked for, and in what size (RFC 7959 §2.4). Its number is above
    /// 0 only if the endpoint holds no such response: the gateway may give just that
    /// [block](Response::block2), or all, of which the endpoint then sends it.
    pub block2: Option<Block>,
    /// Whether the client wants to know how large the response's body is (RFC 7959 §4).
    pub size2_wanted: bool,
    /// What the client has already (RFC 7252 §5.10.6.2).
    pub etags: Vec<ETag>,
    /// Whether there is an If-None-Match, or an If-Match with an ETag: conditions nothing here meets.
    pub conditional: bool,
    /// Classes of response the client has no interest in (RFC 7967 §2.1): 2, 8, 16.
    pub no_response: u8,
    /// The body, be it from one message or gathered from blocks.
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

/// A response, before it is known whether it rides on an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 2.xx, 4.xx or 5.xx.
    pub code: Code,
    /// What tells this body from others of the same resource (RFC 7252 §5.10.6). The endpoint sets it
    /// where it cuts a body into blocks.
    pub etag: Option<ETag>,
    /// The sequence number of a notification (RFC 7641 §2). The endpoint alone sets it.
    pub observe: Option<u32>,
    /// What the payload is; a diagnostic payload has none.
    pub content_format: Option<u16>,
    /// Seconds. After a 5.03 or 4.29: when to try again (RFC 7252 §5.9.3.4, RFC 8516 §4).
    pub max_age: Option<u32>,
    /// Which block of a larger body the payload is. If the gateway sets it the response is sent as it
    /// is; otherwise the endpoint cuts what is too large for one message.
    pub block2: Option<Block>,
    /// The block of the request's body that is answered (RFC 7959 §2.3). The endpoint alone sets it.
    pub block1: Option<Block>,
    /// How large the whole body is, in bytes (RFC 7959 §4).
    pub size2: Option<u32>,
    /// The largest request body we take, in bytes (with 4.13, RFC 7959 §4).
    pub size1: Option<u32>,
    /// The body, or the block of it.
    pub payload: Bytes,
}

impl Response {
    /// A response of this code and nothing else.
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

    /// Whether the client has asked not to be told (RFC 7967 §2.1). A 2.31 is no answer to what it has
    /// asked, but the word to go on: without it, a client that is not interested in a 2.xx would wait
    /// for ever to send the next block.
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
