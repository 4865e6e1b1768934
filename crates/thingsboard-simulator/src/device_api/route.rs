//! Finds the endpoint of a request, or the response of a filter before it: firewall, unknown path, wrong method or
//! argument.

use super::parameter::{self, decoded};
use super::{Request, bad_request, package};
use crate::downlink::PollKind;
use crate::packages::{PackageKind, PackageRequest};
use crate::response::{ErrorCode, HttpResponse};
use axum::http::{Method, StatusCode};

/// An endpoint below `/api/v1/{token}`, with its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    ReadAttributes,
    WriteAttributes,
    Telemetry,
    Claim,
    /// A long poll. A timeout of 0 means the default.
    Poll {
        kind: PollKind,
        timeout_ms: i64,
    },
    RpcReply {
        id: i32,
    },
    ClientRpc,
    Package(PackageRequest),
}

/// The result of routing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Found { token: String, endpoint: Endpoint },
    Provision,
    Respond(HttpResponse),
}

/// The handler of a path and method, its arguments not yet parsed.
enum Handler {
    Endpoint(Endpoint),
    Poll(PollKind),
    RpcReply,
    Package(PackageKind),
    Provision,
}

/// Finds the endpoint, and makes Spring's checks before a call.
pub(super) fn route(request: &Request<'_>) -> Route {
    find(request).unwrap_or_else(Route::Respond)
}

fn find(request: &Request<'_>) -> Result<Route, HttpResponse> {
    use Endpoint::{ClientRpc, ReadAttributes, Telemetry, WriteAttributes};
    use Handler::{Endpoint as Has, Package, Poll, Provision, RpcReply};

    if is_blocked(request) {
        return Err(HttpResponse::empty(StatusCode::BAD_REQUEST));
    }
    let segments: Vec<String> = request.path.split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["", "api", "v1", rest @ ..] = segments.as_slice() else {
        return Err(not_found(request));
    };
    let (get, post) = match rest {
        ["provision"] => (None, Some(Provision)),
        [_, "attributes"] => (Some(Has(ReadAttributes)), Some(Has(WriteAttributes))),
        [_, "telemetry"] => (None, Some(Has(Telemetry))),
        [_, "claim"] => (None, Some(Has(Endpoint::Claim))),
        [_, "rpc"] => (Some(Poll(PollKind::Rpc)), Some(Has(ClientRpc))),
        [_, "rpc", id] if !id.is_empty() => (None, Some(RpcReply)),
        [_, "attributes", "updates"] => (Some(Poll(PollKind::Attributes)), None),
        [_, "firmware"] => (Some(Package(PackageKind::Firmware)), None),
        [_, "software"] => (Some(Package(PackageKind::Software)), None),
        _ => (None, None),
    };
    let allow = match (get.is_some(), post.is_some()) {
        (false, false) => return Err(not_found(request)),
        (true, false) => "GET,HEAD,OPTIONS",
        (false, true) => "POST,OPTIONS",
        (true, true) => "GET,HEAD,POST,OPTIONS",
    };
    let with_allow = |response| HttpResponse {
        allow: Some(allow),
        ..response
    };
    let handler = match request.method {
        // Spring handles HEAD like GET.
        &Method::GET | &Method::HEAD => get,
        &Method::POST => post,
        &Method::OPTIONS => return Err(with_allow(HttpResponse::empty(StatusCode::OK))),
        _ => None,
    };
    let handler = handler.ok_or_else(|| with_allow(not_allowed(request)))?;
    let invalid = |message: String| bad_request(request, &message);
    let endpoint = match handler {
        Provision if request.body.is_empty() => {
            return Err(body_missing(request, "provisionDevice"));
        }
        Provision => return Ok(Route::Provision),
        Poll(kind) => Endpoint::Poll {
            kind,
            timeout_ms: parameter::long(request.query, "timeout").map_err(invalid)?,
        },
        Package(kind) => Endpoint::Package(package::request(kind, request.query).map_err(invalid)?),
        RpcReply => {
            let id = rest.last().copied().unwrap_or_default();
            Endpoint::RpcReply {
                id: parameter::request_id(id).map_err(invalid)?,
            }
        }
        Has(endpoint) => endpoint,
    };
    let java_method = match endpoint {
        WriteAttributes => Some("postDeviceAttributes"),
        Telemetry => Some("postTelemetry"),
        Endpoint::RpcReply { .. } => Some("replyToCommand"),
        ClientRpc => Some("postRpcRequest"),
        ReadAttributes | Endpoint::Claim | Endpoint::Poll { .. } | Endpoint::Package(_) => None,
    };
    if let Some(java_method) = java_method
        && request.body.is_empty()
    {
        return Err(body_missing(request, java_method));
    }
    let token = rest.first().copied().unwrap_or_default().to_owned();
    Ok(Route::Found { token, endpoint })
}

/// The path with `{token}` in place of the token, for the list of arrivals.
pub(crate) fn redacted_path(path: &str) -> String {
    let Some(rest) = path.strip_prefix("/api/v1/") else {
        return path.to_owned();
    };
    match rest.split_once('/') {
        Some((_, endpoint)) => format!("/api/v1/{{token}}/{endpoint}"),
        None if rest == "provision" => path.to_owned(),
        None => "/api/v1/{token}".to_owned(),
    }
}

/// Whether this is a long poll by its method and path, whatever its response.
pub(crate) fn is_poll(method: &Method, path: &str) -> bool {
    matches!(method, &Method::GET | &Method::HEAD)
        && matches!(
            redacted_path(path).as_str(),
            "/api/v1/{token}/rpc" | "/api/v1/{token}/attributes/updates"
        )
}

/// The token in a path, if there is one.
pub(crate) fn token_in_path(path: &str) -> Option<String> {
    let (token, _) = path.strip_prefix("/api/v1/")?.split_once('/')?;
    Some(decoded(token))
}

/// Whether a request never reaches a controller: Tomcat rejects some characters in a request line, and Spring
/// Security's `StrictHttpFirewall` some in a path (so a token with a slash, percent sign or semicolon cannot work,
/// encoded or not).
fn is_blocked(request: &Request<'_>) -> bool {
    const NOT_IN_TARGET: &[char] = &['"', '<', '>', '[', '\\', ']', '^', '`', '{', '|', '}', ' '];
    const NOT_IN_PATH: &[&str] = &[
        ";",
        "//",
        "%3b",
        "%2f",
        "%5c",
        "%25",
        "%2e",
        "%00",
        "%0a",
        "%0d",
        "%e2%80%a8",
        "%e2%80%a9",
    ];
    let path = request.path.to_ascii_lowercase();
    let target = [request.path, request.query.unwrap_or_default()];
    target
        .iter()
        .any(|part| part.contains(NOT_IN_TARGET) || !part.is_ascii())
        || NOT_IN_PATH.iter().any(|blocked| path.contains(blocked))
        || path
            .split('/')
            .any(|segment| segment == "." || segment == "..")
        || path.split('%').skip(1).any(|escape| {
            let digits = escape.as_bytes().get(..2);
            !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        })
}

fn body_missing(request: &Request<'_>, java_method: &str) -> HttpResponse {
    bad_request(
        request,
        &format!(
            "Required request body is missing: public org.springframework.web.context.request.async.DeferredResult\
             <org.springframework.http.ResponseEntity> \
             org.thingsboard.server.transport.http.DeviceApiController.{java_method}"
        ),
    )
}

fn not_found(request: &Request<'_>) -> HttpResponse {
    let resource = request.path.trim_start_matches('/');
    HttpResponse::error(
        StatusCode::NOT_FOUND,
        Some(&format!("No static resource {resource}.")),
        ErrorCode::ItemNotFound,
        request.now_ms,
    )
}

fn not_allowed(request: &Request<'_>) -> HttpResponse {
    HttpResponse::error(
        StatusCode::METHOD_NOT_ALLOWED,
        Some(&format!(
            "Request method '{}' is not supported",
            request.method
        )),
        ErrorCode::BadRequestParams,
        request.now_ms,
    )
}

#[cfg(test)]
mod tests;
