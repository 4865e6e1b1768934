//! ThingsBoard's `DeviceApiController`, without a socket: takes a request and the state, and returns the response.
//!
//! The order of the checks is Spring's: firewall, path and method, arguments (400), then the token (401), then the body
//! (500).

pub(super) mod attributes;
mod client_rpc;
mod package;
mod parameter;
pub(super) mod provision;
mod route;
pub(super) mod telemetry;

use crate::directory::OutOfSpace;
use crate::downlink::PollKind;
use crate::json::{Element, Exception, long, read, string};
use crate::response::{ErrorCode, HttpResponse, JSON, TEXT};
use crate::state::State;
use axum::http::{Method, StatusCode};
use parameter::query_parameter;
use route::{Endpoint, Route};
use std::time::Duration;

pub(super) use attributes::element as attributes_element;
pub use provision::{Profile, Strategy};
pub(super) use route::{is_poll, redacted_path, token_in_path};

/// A request as ThingsBoard's controller gets it.
pub(super) struct Request<'a> {
    pub(super) method: &'a Method,
    /// The path as sent, percent-encoded.
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    /// The body as text, as Spring passes it for any content type.
    pub(super) body: &'a str,
    /// Whether the `Accept` header names JSON.
    pub(super) accepts_json: bool,
    /// Milliseconds since the Unix epoch.
    pub(super) now_ms: u64,
}

/// The result of a request.
pub(super) struct Handled {
    /// The device whose token the request has.
    pub(super) device: Option<String>,
    pub(super) completion: Completion,
}

/// When a request is responded to.
pub(super) enum Completion {
    Now(HttpResponse),
    /// After a timeout (of a rule chain that does not reply).
    After(Duration, HttpResponse),
    /// At the end of a long poll, with the timeout of its query.
    LongPoll {
        kind: PollKind,
        timeout_ms: i64,
    },
}

impl Completion {
    /// Of a request that ThingsBoard does not answer: the servlet container's timeout ends it.
    fn unanswered(state: &State, request: &Request<'_>) -> Completion {
        let limit = state.long_polls.delays().async_ms;
        // The response has the time at which it is sent.
        let end_ms = request.now_ms.saturating_add(limit);
        let timeout = Duration::from_millis(limit);
        Completion::After(timeout, HttpResponse::asynchronous_timeout(end_ms))
    }
}

impl From<HttpResponse> for Handled {
    /// For a request without a known token.
    fn from(response: HttpResponse) -> Handled {
        Handled {
            device: None,
            completion: Completion::Now(response),
        }
    }
}

/// Handles one request. Its effects are in the state when this returns.
pub(super) fn handle(state: &mut State, request: &Request<'_>) -> Handled {
    let (token, endpoint) = match route::route(request) {
        Route::Found { token, endpoint } => (token, endpoint),
        Route::Provision => return provision::post(state, request).into(),
        Route::Respond(response) => return response.into(),
    };
    let Some(device) = state.directory.device_with_token(&token).map(str::to_owned) else {
        return HttpResponse::empty(StatusCode::UNAUTHORIZED).into();
    };
    let completion = match endpoint {
        Endpoint::ReadAttributes => attributes::get(state, &device, request).map(Completion::Now),
        Endpoint::WriteAttributes => attributes::post(state, &device, request).map(Completion::Now),
        Endpoint::Telemetry => telemetry::post(state, &device, request),
        Endpoint::Claim => claim(request).map(Completion::Now),
        Endpoint::Poll { kind, timeout_ms } => Ok(Completion::LongPoll { kind, timeout_ms }),
        Endpoint::RpcReply { id } => {
            let reply = request.body;
            state
                .long_polls
                .apply(|downlink| downlink.reply(&device, id, reply));
            // For an unknown id as well.
            Ok(Completion::Now(HttpResponse::empty(StatusCode::OK)))
        }
        Endpoint::ClientRpc => client_rpc::post(state, request),
        Endpoint::Package(package) => Ok(Completion::Now(package::get(state, &device, &package))),
    };
    Handled {
        device: Some(device),
        completion: completion.unwrap_or_else(|exception| Completion::Now(exception.into())),
    }
}

impl From<Exception> for HttpResponse {
    fn from(exception: Exception) -> HttpResponse {
        match exception {
            Exception::JsonParse(message) => {
                HttpResponse::with_body(StatusCode::INTERNAL_SERVER_ERROR, TEXT, message)
            }
            Exception::IllegalState | Exception::Other => {
                HttpResponse::empty(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

impl From<OutOfSpace> for Exception {
    /// As in ThingsBoard when its queue does not accept a message.
    fn from(OutOfSpace: OutOfSpace) -> Exception {
        tracing::warn!("no room for more values, responding with 500: delete some devices");
        Exception::Other
    }
}

/// `POST /{token}/claim`.
fn claim(request: &Request<'_>) -> Result<HttpResponse, Exception> {
    check_claim(request.body)?;
    Ok(HttpResponse::empty(StatusCode::OK))
}

/// Checks a claim: the body may be absent, and a claim that fails later is not reported.
pub(crate) fn check_claim(body: &str) -> Result<(), Exception> {
    if !body.is_empty() {
        let claim = read(body)?;
        if !matches!(claim, Element::Object(_)) {
            return Err(Exception::cannot_parse(&claim));
        }
        if let Some(key) = claim.get("secretKey") {
            string(key)?;
        }
        if let Some(duration) = claim.get("durationMs") {
            long(duration)?;
        }
    }
    Ok(())
}

/// The response of a handler that returns a `String` and declares no content type: text, unless the client accepts
/// JSON.
fn string_response(request: &Request<'_>, body: String) -> HttpResponse {
    let content_type = if request.accepts_json { JSON } else { TEXT };
    HttpResponse::with_body(StatusCode::OK, content_type, body)
}

/// Spring's 400, in the monolith's shape.
fn bad_request(request: &Request<'_>, message: &str) -> HttpResponse {
    HttpResponse::error(
        StatusCode::BAD_REQUEST,
        Some(message),
        ErrorCode::BadRequestParams,
        request.now_ms,
    )
}
