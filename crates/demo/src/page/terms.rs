//! Names and meanings of CoAP's codes, options and content formats, with their RFC sections.

use coap::Code;
use coap::option::number;

/// The name of a code (RFC 7252 §12.1 and the RFCs that extend it).
pub(super) fn code_name(code: Code) -> &'static str {
    match (code.0 >> 5, code.0 & 0x1f) {
        (0, 0) => "Empty",
        (0, 1) => "GET",
        (0, 2) => "POST",
        (0, 3) => "PUT",
        (0, 4) => "DELETE",
        (0, 5) => "FETCH",
        (0, 6) => "PATCH",
        (0, 7) => "iPATCH",
        (2, 1) => "Created",
        (2, 2) => "Deleted",
        (2, 3) => "Valid",
        (2, 4) => "Changed",
        (2, 5) => "Content",
        (2, 31) => "Continue",
        (4, 0) => "Bad Request",
        (4, 1) => "Unauthorized",
        (4, 2) => "Bad Option",
        (4, 3) => "Forbidden",
        (4, 4) => "Not Found",
        (4, 5) => "Method Not Allowed",
        (4, 6) => "Not Acceptable",
        (4, 8) => "Request Entity Incomplete",
        (4, 12) => "Precondition Failed",
        (4, 13) => "Request Entity Too Large",
        (4, 15) => "Unsupported Content-Format",
        (4, 29) => "Too Many Requests",
        (5, 0) => "Internal Server Error",
        (5, 1) => "Not Implemented",
        (5, 2) => "Bad Gateway",
        (5, 3) => "Service Unavailable",
        (5, 4) => "Gateway Timeout",
        (5, 5) => "Proxying Not Supported",
        _ => "unknown code",
    }
}

/// The format of an option's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Number,
    Opaque,
    Empty,
    Block,
    Media,
}

/// An option: number, name, format, RFC section and meaning.
pub(super) type Term = (u16, &'static str, Format, &'static str, &'static str);

/// The options that the gateway knows.
const OPTIONS: [Term; 20] = [
    (
        number::IF_MATCH,
        "If-Match",
        Format::Opaque,
        "RFC 7252 §5.10.8.1",
        "execute the request only on this version of the resource",
    ),
    (
        number::URI_HOST,
        "Uri-Host",
        Format::Text,
        "RFC 7252 §5.10.1",
        "the host of the requested resource",
    ),
    (
        number::ETAG,
        "ETag",
        Format::Opaque,
        "RFC 7252 §5.10.6",
        "names this version of the representation",
    ),
    (
        number::IF_NONE_MATCH,
        "If-None-Match",
        Format::Empty,
        "RFC 7252 §5.10.8.2",
        "execute the request only if the resource does not exist",
    ),
    (
        number::OBSERVE,
        "Observe",
        Format::Number,
        "RFC 7641 §2",
        "in a request 0 registers and 1 deregisters; in a notification it orders them",
    ),
    (
        number::URI_PORT,
        "Uri-Port",
        Format::Number,
        "RFC 7252 §5.10.1",
        "the port of the requested resource",
    ),
    (
        number::URI_PATH,
        "Uri-Path",
        Format::Text,
        "RFC 7252 §5.10.1",
        "one segment of the path",
    ),
    (
        number::CONTENT_FORMAT,
        "Content-Format",
        Format::Media,
        "RFC 7252 §5.10.3",
        "the media type of the payload",
    ),
    (
        number::MAX_AGE,
        "Max-Age",
        Format::Number,
        "RFC 7252 §5.10.5",
        "seconds for which the response is fresh; with 5.03, the time to wait before the next attempt",
    ),
    (
        number::URI_QUERY,
        "Uri-Query",
        Format::Text,
        "RFC 7252 §5.10.1",
        "one argument of the query",
    ),
    (
        number::ACCEPT,
        "Accept",
        Format::Media,
        "RFC 7252 §5.10.4",
        "the Content-Format the client wants",
    ),
    (
        number::BLOCK2,
        "Block2",
        Format::Block,
        "RFC 7959 §2.2",
        "which block of the response's body: NUM, whether more follow, and its size",
    ),
    (
        number::BLOCK1,
        "Block1",
        Format::Block,
        "RFC 7959 §2.2",
        "which block of the request's body: NUM, whether more follow, and its size",
    ),
    (
        number::SIZE2,
        "Size2",
        Format::Number,
        "RFC 7959 §4",
        "the size of the response's body, in bytes",
    ),
    (
        number::PROXY_URI,
        "Proxy-Uri",
        Format::Text,
        "RFC 7252 §5.10.2",
        "requests forwarding by a proxy, which the gateway is not",
    ),
    (
        number::PROXY_SCHEME,
        "Proxy-Scheme",
        Format::Text,
        "RFC 7252 §5.10.2",
        "requests forwarding by a proxy, which the gateway is not",
    ),
    (
        number::SIZE1,
        "Size1",
        Format::Number,
        "RFC 7252 §5.10.9",
        "the size of the request's body, or its limit, in bytes",
    ),
    (
        number::ECHO,
        "Echo",
        Format::Opaque,
        "RFC 9175 §2.2",
        "proves that the request is fresh",
    ),
    (
        number::NO_RESPONSE,
        "No-Response",
        Format::Number,
        "RFC 7967 §2",
        "which classes of responses the client does not want",
    ),
    (
        number::REQUEST_TAG,
        "Request-Tag",
        Format::Opaque,
        "RFC 9175 §3.2",
        "distinguishes concurrent block-wise bodies for one resource",
    ),
];

/// Looks up an option by number.
pub(super) fn option(number: u16) -> Option<&'static Term> {
    OPTIONS.iter().find(|(known, ..)| *known == number)
}

/// The media type of a Content-Format (RFC 7252 §12.3).
pub(super) fn content_format(number: u32) -> &'static str {
    match number {
        0 => "text/plain; charset=utf-8",
        40 => "application/link-format",
        41 => "application/xml",
        42 => "application/octet-stream",
        50 => "application/json",
        60 => "application/cbor",
        _ => "unknown",
    }
}
