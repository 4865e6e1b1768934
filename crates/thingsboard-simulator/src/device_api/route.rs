//! From a method and a path to the endpoint, or to the answer of those who stand before it.

use super::parameter::{self, decoded};
use super::{Request, bad_request, package};
use crate::downlink::PollKind;
use crate::packages::{PackageKind, PackageRequest};
use crate::response::{ErrorCode, HttpResponse};
use axum::http::{Method, StatusCode};

/// An endpoint that asks for a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    ReadAttributes,
    WriteAttributes,
    Telemetry,
    Claim,
    /// A long poll. A timeout of 0 stands for the default.
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

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Found { token: String, endpoint: Endpoint },
    Provision,
    Respond(HttpResponse),
}

/// What stands behind a method of a path.
enum Target {
    Endpoint(Endpoint),
    /// Its timeout is to be read.
    Poll(PollKind),
    /// Its id is to be read.
    RpcReply,
    /// Its title, its version and the part that is wanted are to be read.
    Package(PackageKind),
    Provision,
}

/// Finds the endpoint and checks what Spring checks before it calls it.
pub(super) fn route(request: &Request<'_>) -> Route {
    use Endpoint::{ClientRpc, ReadAttributes, Telemetry, WriteAttributes};
    use Target::{Endpoint as Has, Package, Poll, Provision, RpcReply};

    if refused_by_firewall(request) {
        return Route::Respond(HttpResponse::empty(StatusCode::BAD_REQUEST));
    }
    let segments: Vec<String> = request.path.split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["", "api", "v1", rest @ ..] = segments.as_slice() else {
        return Route::Respond(not_found(request));
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
        (false, false) => return Route::Respond(not_found(request)),
        (true, false) => "GET,HEAD,OPTIONS",
        (false, true) => "POST,OPTIONS",
        (true, true) => "GET,HEAD,POST,OPTIONS",
    };
    let target = match request.method {
        // Spring answers HEAD where it answers GET.
        &Method::GET | &Method::HEAD => get,
        &Method::POST => post,
        &Method::OPTIONS => {
            return Route::Respond(HttpResponse {
                allow: Some(allow),
                ..HttpResponse::empty(StatusCode::OK)
            });
        }
        _ => None,
    };
    let endpoint = match target {
        None => {
            return Route::Respond(HttpResponse {
                allow: Some(allow),
                ..not_allowed(request)
            });
        }
        Some(Provision) if request.body.is_empty() => {
            return Route::Respond(body_missing(request, "provisionDevice"));
        }
        Some(Provision) => return Route::Provision,
        Some(Poll(kind)) => match parameter::long(request.query, "timeout") {
            Ok(timeout_ms) => Endpoint::Poll { kind, timeout_ms },
            Err(message) => return Route::Respond(bad_request(request, &message)),
        },
        Some(Package(kind)) => match package::request(kind, request.query) {
            Ok(asked) => Endpoint::Package(asked),
            Err(message) => return Route::Respond(bad_request(request, &message)),
        },
        Some(RpcReply) => match parameter::request_id(rest.last().copied().unwrap_or_default()) {
            Ok(id) => Endpoint::RpcReply { id },
            Err(message) => return Route::Respond(bad_request(request, &message)),
        },
        Some(Has(endpoint)) => endpoint,
    };
    let handler = match endpoint {
        WriteAttributes => "postDeviceAttributes",
        Telemetry => "postTelemetry",
        Endpoint::RpcReply { .. } => "replyToCommand",
        ClientRpc => "postRpcRequest",
        ReadAttributes | Endpoint::Claim | Endpoint::Poll { .. } | Endpoint::Package(_) => "",
    };
    if !handler.is_empty() && request.body.is_empty() {
        return Route::Respond(body_missing(request, handler));
    }
    let token = rest.first().copied().unwrap_or_default().to_owned();
    Route::Found { token, endpoint }
}

/// The path as an arrival shows it: with `{token}` in the token's place.
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

/// Is this a long poll, whatever its answer? (By its path alone, as an arrival shows it.)
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

/// What never reaches a controller: characters Tomcat refuses in a request line, and what Spring Security's
/// `StrictHttpFirewall` refuses in a path (so a token with a slash, percent sign or semicolon cannot work, encoded
/// or not).
fn refused_by_firewall(request: &Request<'_>) -> bool {
    const NOT_IN_A_TARGET: &[char] = &['"', '<', '>', '[', '\\', ']', '^', '`', '{', '|', '}', ' '];
    const NOT_IN_A_PATH: &[&str] = &[
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
        .any(|part| part.contains(NOT_IN_A_TARGET) || !part.is_ascii())
        || NOT_IN_A_PATH.iter().any(|refused| path.contains(refused))
        || path
            .split('/')
            .any(|segment| segment == "." || segment == "..")
        || path.split('%').skip(1).any(|escape| {
            let digits = escape.as_bytes().get(..2);
            !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        })
}

fn body_missing(request: &Request<'_>, handler: &str) -> HttpResponse {
    bad_request(
        request,
        &format!(
            "Required request body is missing: public org.springframework.web.context.request.async.DeferredResult\
             <org.springframework.http.ResponseEntity> \
             org.thingsboard.server.transport.http.DeviceApiController.{handler}"
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
