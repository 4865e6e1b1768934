//! ThingsBoard's `DeviceApiController`: which request gets which answer.
//!
//! Synchronous and without a socket: a request and the state in, a handled out. The order of the checks is Spring's:
//! firewall, path and method, arguments (400), then the token (401), then the body (500).

mod attributes;
mod client_rpc;
mod package;
mod parameter;
mod provision;
mod route;
mod telemetry;

use crate::directory::OutOfSpace;
use crate::downlink::PollKind;
use crate::json::{Element, ShapeError, SyntaxError, read};
use crate::response::{ErrorCode, HttpResponse, JSON, TEXT};
use crate::state::State;
use axum::http::{Method, StatusCode};
use parameter::query_parameter;
use route::{Endpoint, Route};
use std::time::Duration;

pub(super) use attributes::element as attributes_element;
pub use provision::{Profile, Strategy};
pub(super) use route::{is_poll, redacted_path, token_in_path};

/// A request as ThingsBoard's controller sees it, its body read.
pub(super) struct Request<'a> {
    pub(super) method: &'a Method,
    /// The path as sent, percent-encoded.
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    /// The body as text, which is what Spring hands the controller for any content type.
    pub(super) body: &'a str,
    /// The client's `Accept` names JSON.
    pub(super) accepts_json: bool,
    /// Milliseconds since the Unix epoch.
    pub(super) now_ms: u64,
}

/// What the device API decides about a request.
pub(super) struct Handled {
    /// Whose token it was.
    pub(super) device: Option<String>,
    pub(super) then: Completion,
}

/// When the answer comes, and what it is.
pub(super) enum Completion {
    Now(HttpResponse),
    /// Nothing happens for so long (a rule chain that stays silent).
    After(Duration, HttpResponse),
    /// A long poll begins, with the timeout of its query.
    LongPoll {
        kind: PollKind,
        timeout_ms: i64,
    },
}

impl Handled {
    fn now(answer: HttpResponse) -> Handled {
        Handled {
            device: None,
            then: Completion::Now(answer),
        }
    }
}

/// The answer to one request; its effects are in the state when this returns.
pub(super) fn answer(state: &mut State, request: &Request<'_>) -> Handled {
    let (token, endpoint) = match route::route(request) {
        Route::Found { token, endpoint } => (token, endpoint),
        Route::Provision => return Handled::now(provision::answer(state, request)),
        Route::Respond(answer) => return Handled::now(answer),
    };
    let Some(device) = state.directory.device_with_token(&token).map(str::to_owned) else {
        return Handled::now(HttpResponse::empty(StatusCode::UNAUTHORIZED));
    };
    let then = match endpoint {
        Endpoint::ReadAttributes => attributes::get(state, &device, request).map(Completion::Now),
        Endpoint::WriteAttributes => attributes::post(state, &device, request).map(Completion::Now),
        Endpoint::Telemetry => telemetry::post(state, &device, request).map(Completion::Now),
        Endpoint::Claim => claim(request).map(Completion::Now),
        Endpoint::Poll { kind, timeout_ms } => Ok(Completion::LongPoll { kind, timeout_ms }),
        Endpoint::RpcReply { id } => {
            // Passed on as it is, known id or not.
            let reply = request.body;
            state
                .long_polls
                .apply(|downlink| downlink.reply(&device, id, reply));
            Ok(Completion::Now(HttpResponse::empty(StatusCode::OK)))
        }
        Endpoint::ClientRpc => client_rpc::post(state, request),
        Endpoint::Package(asked) => Ok(Completion::Now(package::get(state, &device, &asked))),
    };
    Handled {
        device: Some(device),
        then: then.unwrap_or_else(|failure| Completion::Now(failure.into_answer())),
    }
}

/// Why a handler threw.
enum HandlerError {
    /// A `JsonParseException`: 500 with its message as text.
    Parse(String),
    /// Any other exception: 500, empty.
    Other,
}

impl HandlerError {
    fn into_answer(self) -> HttpResponse {
        match self {
            HandlerError::Parse(message) => {
                HttpResponse::with_body(StatusCode::INTERNAL_SERVER_ERROR, TEXT, message)
            }
            HandlerError::Other => HttpResponse::empty(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

impl From<SyntaxError> for HandlerError {
    fn from(error: SyntaxError) -> HandlerError {
        HandlerError::Parse(error.0)
    }
}

impl From<ShapeError> for HandlerError {
    fn from(error: ShapeError) -> HandlerError {
        match error {
            ShapeError::Parse(message) => HandlerError::Parse(message),
            ShapeError::Other => HandlerError::Other,
        }
    }
}

impl From<OutOfSpace> for HandlerError {
    /// As ThingsBoard answers where its queue does not take a message.
    fn from(OutOfSpace: OutOfSpace) -> HandlerError {
        tracing::warn!("simulator: no room for more values, answering 500; delete some devices");
        HandlerError::Other
    }
}

/// `POST /{token}/claim`: the body may be absent, and a claim that fails later is not reported.
fn claim(request: &Request<'_>) -> Result<HttpResponse, HandlerError> {
    if !request.body.is_empty() {
        let claim = read(request.body)?;
        if !matches!(claim, Element::Object(_)) {
            return Err(ShapeError::cannot_parse(&claim).into());
        }
        if let Some(key) = claim.get("secretKey") {
            key.as_string().ok_or(HandlerError::Other)?;
        }
        if let Some(duration) = claim.get("durationMs") {
            duration.as_long().ok_or(HandlerError::Other)?;
        }
    }
    Ok(HttpResponse::empty(StatusCode::OK))
}

/// A `String` answer of a handler that does not say what it produces: text, unless the client asks for JSON.
fn string_answer(request: &Request<'_>, body: String) -> HttpResponse {
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
