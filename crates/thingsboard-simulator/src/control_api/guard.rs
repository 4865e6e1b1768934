//! Refuses requests to the controls that a page of another site makes a browser send.

use super::ApiError;
use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use cross_site::CrossSite;

/// Passes a request on, or refuses it with 403.
pub(super) async fn guard(
    State(on_loopback): State<bool>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let reason = match check(on_loopback, request.headers()) {
        Ok(()) => return Ok(next.run(request).await),
        Err(CrossSite::Host) => {
            "on a loopback address the controls answer only requests for a loopback host name, like localhost"
        }
        Err(CrossSite::Origin) => "a page of another site may not use the controls",
    };
    Err(ApiError {
        status: StatusCode::FORBIDDEN,
        reason: reason.to_owned(),
    })
}

fn check(on_loopback: bool, headers: &HeaderMap) -> Result<(), CrossSite> {
    let text = |name| {
        let value: Option<&HeaderValue> = headers.get(name);
        value.map(|value| value.to_str().unwrap_or("?"))
    };
    cross_site::check(on_loopback, text(HOST), text(ORIGIN))
}
