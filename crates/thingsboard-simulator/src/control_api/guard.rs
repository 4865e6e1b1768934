//! Refuses requests to the controls that a page of another site makes a browser send.

use super::ApiError;
use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use cross_site::Foreign;

/// Passes a request on, or refuses it with 403.
pub(super) async fn guard(
    State(on_loopback): State<bool>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let reason = match judge(on_loopback, request.headers()) {
        Ok(()) => return Ok(next.run(request).await),
        Err(Foreign::Host) => {
            "on a loopback address the controls go by loopback names alone, like localhost"
        }
        Err(Foreign::Origin) => "a page of another site may not use the controls",
    };
    Err(ApiError {
        status: StatusCode::FORBIDDEN,
        reason: reason.to_owned(),
    })
}

fn judge(on_loopback: bool, headers: &HeaderMap) -> Result<(), Foreign> {
    let text = |name| {
        let value: Option<&HeaderValue> = headers.get(name);
        value.map(|value| value.to_str().unwrap_or("?"))
    };
    cross_site::judge(on_loopback, text(HOST), text(ORIGIN))
}
