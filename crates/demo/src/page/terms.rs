//! CoAP's words, each with the section that explains it.

use coap::Code;
use coap::option::number;

/// What a code is called (RFC 7252 §12.1, and those who added to it).
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
        _ => "a code without a name here",
    }
}

/// How an option's value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Number,
    Opaque,
    Empty,
    Block,
    Media,
}

/// An option: number, name, how its value is read, where it is explained, and what it says.
pub(super) type Term = (u16, &'static str, Format, &'static str, &'static str);

/// The options the gateway knows, and Location, which it never sends.
const OPTIONS: [Term; 20] = [
    (
        number::IF_MATCH,
        "If-Match",
        Format::Opaque,
        "RFC 7252 §5.10.8.1",
        "act only on this version of the resource",
    ),
    (
        number::URI_HOST,
        "Uri-Host",
        Format::Text,
        "RFC 7252 §5.10.1",
        "the host the client asks for",
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
        "act only if the resource is not there",
    ),
    (
        number::OBSERVE,
        "Observe",
        Format::Number,
        "RFC 7641 §2",
        "in a request 0 registers and 1 deregisters; in a notification it tells newer from older",
    ),
    (
        number::URI_PORT,
        "Uri-Port",
        Format::Number,
        "RFC 7252 §5.10.1",
        "the port the client asks for",
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
        "what the payload is",
    ),
    (
        number::MAX_AGE,
        "Max-Age",
        Format::Number,
        "RFC 7252 §5.10.5",
        "seconds for which the response is fresh; with 5.03, when to try again",
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
        "how large the response's body is, in bytes",
    ),
    (
        number::PROXY_URI,
        "Proxy-Uri",
        Format::Text,
        "RFC 7252 §5.10.2",
        "asks for forwarding, which is not served",
    ),
    (
        number::PROXY_SCHEME,
        "Proxy-Scheme",
        Format::Text,
        "RFC 7252 §5.10.2",
        "asks for forwarding, which is not served",
    ),
    (
        number::SIZE1,
        "Size1",
        Format::Number,
        "RFC 7252 §5.10.9",
        "how large the request's body is, or may be, in bytes",
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
        "tells block-wise bodies for one resource apart",
    ),
];

/// What is known of an option.
pub(super) fn option(number: u16) -> Option<&'static Term> {
    OPTIONS.iter().find(|(known, ..)| *known == number)
}

/// What a Content-Format is called (RFC 7252 §12.3).
pub(super) fn content_format(number: u32) -> &'static str {
    match number {
        0 => "text/plain; charset=utf-8",
        40 => "application/link-format",
        41 => "application/xml",
        42 => "application/octet-stream",
        50 => "application/json",
        60 => "application/cbor",
        _ => "not named here",
    }
}
