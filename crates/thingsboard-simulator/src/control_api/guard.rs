//! Who may use the controls: programs, and no page of another site by way of a browser.

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use cross_site::{self, Foreign};

/// Lets requests for the device API through, and those for the controls that no other site has made a browser send.
pub(crate) async fn guard(
    State(on_loopback): State<bool>,
    request: Request,
    next: Next,
) -> Response {
    if !super::is_for(request.uri().path()) {
        return next.run(request).await;
    }
    let why = match judge(on_loopback, request.headers()) {
        Ok(()) => return next.run(request).await,
        Err(Foreign::Host) => {
            "on a loopback address the controls go by loopback names alone, like localhost"
        }
        Err(Foreign::Origin) => "a page of another site may not use the controls",
    };
    super::failed(StatusCode::FORBIDDEN, why).into_response()
}

fn judge(on_loopback: bool, headers: &HeaderMap) -> Result<(), Foreign> {
    let text = |name| {
        let value: Option<&HeaderValue> = headers.get(name);
        value.map(|value| value.to_str().unwrap_or("?"))
    };
    cross_site::judge(on_loopback, text(HOST), text(ORIGIN))
}
