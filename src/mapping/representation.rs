//! The only place in which a resource's Content-Format is chosen or checked.

use bytes::Bytes;
use coap::option::content_format::{JSON, LINK_FORMAT, OCTET_STREAM, TEXT_PLAIN};
use coap::{Code, Request, Response};

/// How the content of a response is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Representation {
    Json,
    Bytes,
    /// RFC 6690.
    Links,
}

impl Representation {
    /// Its number in the registry of Content-Formats (RFC 7252 §12.3).
    pub(crate) const fn content_format(self) -> u16 {
        match self {
            Representation::Json => JSON,
            Representation::Bytes => OCTET_STREAM,
            Representation::Links => LINK_FORMAT,
        }
    }

    /// 2.05 with this content.
    pub(crate) fn content(self, payload: Bytes) -> Response {
        Response::content(self.content_format(), payload)
    }

    /// RFC 7252 §5.10.4: 4.06 if the client does not accept it.
    pub(super) fn check_accept(self, request: &Request) -> Result<(), Response> {
        let content_format = self.content_format();
        match request.accept {
            Some(accept) if accept != content_format => Err(Response::error(
                Code::NOT_ACCEPTABLE,
                format!("only Content-Format {content_format} is served here"),
            )),
            _ => Ok(()),
        }
    }
}

/// Takes the body of a request that must have one, as the JSON text that ThingsBoard reads.
pub(super) fn json_body(request: Request, largest: usize) -> Result<Bytes, Response> {
    let body = optional_json_body(request, largest)?;
    if body.is_empty() {
        return Err(Response::error(Code::BAD_REQUEST, "the payload is missing"));
    }
    Ok(body)
}

/// Takes the body of a request, which may be empty. `largest`: bytes.
pub(super) fn optional_json_body(request: Request, largest: usize) -> Result<Bytes, Response> {
    if request.payload.len() > largest {
        let why = "the body is too large";
        return Err(Response {
            size1: u32::try_from(largest).ok(),
            ..Response::error(Code::REQUEST_ENTITY_TOO_LARGE, why)
        });
    }
    // ThingsBoard reads any Content-Format as JSON text, and devices send JSON as text, bytes or JSON. What claims to be
    // something else (CBOR, XML, …) would be misread.
    match request.content_format {
        None | Some(TEXT_PLAIN | OCTET_STREAM | JSON) => Ok(request.payload),
        Some(other) => Err(Response::error(
            Code::UNSUPPORTED_CONTENT_FORMAT,
            format!("Content-Format {other} is not understood here: send JSON (50)"),
        )),
    }
}
