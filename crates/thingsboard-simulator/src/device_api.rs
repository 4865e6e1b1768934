//! ThingsBoard's `DeviceApiController`: which request gets which answer.
//!
//! Synchronous and without a socket: a request and the state in, a verdict out. The order of the checks is Spring's:
//! firewall, path and method, arguments (400), then the token (401), then the body (500).

mod attributes;
mod client_rpc;
mod package;
mod parameter;
mod provision;
mod route;
mod telemetry;

use crate::directory::Full;
use crate::downlink::Kind;
use crate::json::{Element, ShapeError, SyntaxError, read};
use crate::response::{Answer, ErrorCode, JSON, TEXT};
use crate::state::State;
use axum::http::{Method, StatusCode};
use parameter::query_parameter;
use route::{Feature, Route};
use std::time::Duration;

pub(super) use attributes::element as attributes_element;
pub use provision::{Profile, Strategy};
pub(super) use route::{is_poll, shown, token};

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
pub(super) struct Verdict {
    /// Whose token it was.
    pub(super) device: Option<String>,
    pub(super) then: Then,
}

/// When the answer comes, and what it is.
pub(super) enum Then {
    Answer(Answer),
    /// Nothing happens for so long (a rule chain that stays silent).
    After(Duration, Answer),
    /// A long poll begins, with the timeout it asked for.
    Poll {
        kind: Kind,
        timeout_ms: i64,
    },
}

impl Verdict {
    fn now(answer: Answer) -> Verdict {
        Verdict {
            device: None,
            then: Then::Answer(answer),
        }
    }
}

/// The answer to one request; its effects are in the state when this returns.
pub(super) fn answer(state: &mut State, request: &Request<'_>) -> Verdict {
    let (token, feature) = match route::route(request) {
        Route::Found { token, feature } => (token, feature),
        Route::Provision => return Verdict::now(provision::answer(state, request)),
        Route::Answer(answer) => return Verdict::now(answer),
    };
    let Some(device) = state.directory.holder_of(&token).map(str::to_owned) else {
        return Verdict::now(Answer::empty(StatusCode::UNAUTHORIZED));
    };
    let then = match feature {
        Feature::ReadAttributes => attributes::get(state, &device, request).map(Then::Answer),
        Feature::WriteAttributes => attributes::post(state, &device, request).map(Then::Answer),
        Feature::Telemetry => telemetry::post(state, &device, request).map(Then::Answer),
        Feature::Claim => claim(request).map(Then::Answer),
        Feature::Poll { kind, timeout_ms } => Ok(Then::Poll { kind, timeout_ms }),
        Feature::RpcReply { id } => {
            // Passed on as it is, known id or not.
            let reply = request.body;
            state
                .long_polls
                .apply(|downlink| downlink.reply(&device, id, reply));
            Ok(Then::Answer(Answer::empty(StatusCode::OK)))
        }
        Feature::ClientRpc => client_rpc::post(state, request),
        Feature::Package(asked) => Ok(Then::Answer(package::get(state, &device, &asked))),
    };
    Verdict {
        device: Some(device),
        then: then.unwrap_or_else(|failure| Then::Answer(failure.into_answer())),
    }
}

/// Why a handler threw.
enum Failure {
    /// A `JsonParseException`: 500 with its message as text.
    Parse(String),
    /// Any other exception: 500, empty.
    Other,
}

impl Failure {
    fn into_answer(self) -> Answer {
        match self {
            Failure::Parse(message) => {
                Answer::with_body(StatusCode::INTERNAL_SERVER_ERROR, TEXT, message)
            }
            Failure::Other => Answer::empty(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

impl From<SyntaxError> for Failure {
    fn from(error: SyntaxError) -> Failure {
        Failure::Parse(error.0)
    }
}

impl From<ShapeError> for Failure {
    fn from(error: ShapeError) -> Failure {
        match error {
            ShapeError::Parse(message) => Failure::Parse(message),
            ShapeError::Other => Failure::Other,
        }
    }
}

impl From<Full> for Failure {
    /// As ThingsBoard answers where its queue does not take a message.
    fn from(Full: Full) -> Failure {
        tracing::warn!("simulator: no room for more values, answering 500; delete some devices");
        Failure::Other
    }
}

/// `POST /{token}/claim`: the body may be absent, and a claim that fails later is not reported.
fn claim(request: &Request<'_>) -> Result<Answer, Failure> {
    if !request.body.is_empty() {
        let claim = read(request.body)?;
        if !matches!(claim, Element::Object(_)) {
            return Err(ShapeError::cannot_parse(&claim).into());
        }
        if let Some(key) = claim.get("secretKey") {
            key.as_string().ok_or(Failure::Other)?;
        }
        if let Some(duration) = claim.get("durationMs") {
            duration.as_long().ok_or(Failure::Other)?;
        }
    }
    Ok(Answer::empty(StatusCode::OK))
}

/// A `String` answer of a handler that does not say what it produces: text, unless the client asks for JSON.
fn string_answer(request: &Request<'_>, body: String) -> Answer {
    let content_type = if request.accepts_json { JSON } else { TEXT };
    Answer::with_body(StatusCode::OK, content_type, body)
}

/// Spring's 400, in the monolith's shape.
fn bad_request(request: &Request<'_>, message: &str) -> Answer {
    Answer::error(
        StatusCode::BAD_REQUEST,
        Some(message),
        ErrorCode::BadRequestParams,
        request.now_ms,
    )
}
