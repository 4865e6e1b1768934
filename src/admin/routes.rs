//! The routes: which path answers with what.

use super::counters::AtomicCounters;
use super::pieces::Pieces;
use super::{Source, readiness};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use tokio::sync::mpsc;

const PATHS: &str = "\
/livez     whether the gateway's loop runs
/readyz    whether devices can be served, and why not
/metrics   counters and gauges, for Prometheus
/sessions  the established sessions, as JSON, if admin.sessions = true
";
const NO_SESSIONS: &str = "Sessions are listed only with admin.sessions = true \
                           (COAPS_GATEWAY__ADMIN__SESSIONS=true): they are names and addresses of devices, \
                           readable for everyone who reaches this address.\n";
const NOT_LOOPBACK: &str =
    "On a loopback address only loopback names are served: localhost, 127.0.0.1, [::1].\n";

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// The format that Prometheus prefers.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Pieces of the list of sessions that wait for a slow reader.
const WAITING_PIECES: usize = 2;

/// What the handlers need.
pub(super) struct Context<S> {
    pub(super) source: Arc<S>,
    /// Whether `/sessions` lists them.
    pub(super) lists_sessions: bool,
    /// Whether the server is bound to a loopback address. Requests for another host name come from a web page by
    /// DNS rebinding.
    pub(super) on_loopback: bool,
    pub(super) counters: Arc<AtomicCounters>,
}

/// Of a request, only its path, its method and `Host` count.
pub(super) fn router<S: Source>(context: Arc<Context<S>>) -> Router {
    Router::new()
        .route("/livez", get(live::<S>))
        .route("/readyz", get(ready::<S>))
        .route("/metrics", get(metrics::<S>))
        .route("/sessions", get(sessions::<S>))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(
            context.clone(),
            check_host::<S>,
        ))
        .with_state(context)
}

async fn check_host<S: Source>(
    State(context): State<Arc<Context<S>>>,
    request: Request,
    next: Next,
) -> Response {
    let host = request.headers().get(HOST);
    let host = host.map(|host| host.to_str().unwrap_or("?"));
    if cross_site::check(context.on_loopback, host, None).is_err() {
        return text(StatusCode::FORBIDDEN, NOT_LOOPBACK);
    }
    next.run(request).await
}

async fn live<S: Source>(State(context): State<Arc<Context<S>>>) -> Response {
    match context.source.live().await {
        Ok(()) => text(StatusCode::OK, "ok\n"),
        Err(why) => unavailable(&why),
    }
}

async fn ready<S: Source>(State(context): State<Arc<Context<S>>>) -> Response {
    let (is_ready, report) = readiness::report(&context.source.ready().await);
    let status = match is_ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    text(status, report)
}

async fn metrics<S: Source>(State(context): State<Arc<Context<S>>>) -> Response {
    match context.source.metrics(context.counters.get()).await {
        Ok(metrics) => response(StatusCode::OK, OPEN_METRICS, metrics),
        Err(why) => unavailable(&why),
    }
}

/// The list is made while it is sent, so that a hundred thousand sessions are never held at once.
async fn sessions<S: Source>(State(context): State<Arc<Context<S>>>) -> Response {
    if !context.lists_sessions {
        return text(StatusCode::NOT_FOUND, NO_SESSIONS);
    }
    let (sender, mut pieces) = mpsc::channel(WAITING_PIECES);
    let source = context.source.clone();
    // Ends with the connection, which drops the receiver.
    tokio::spawn(async move { source.sessions(sender).await });
    match pieces.recv().await {
        Some(first) => {
            let first = Some(first);
            let body = Pieces {
                first,
                rest: pieces,
            };
            response(StatusCode::OK, JSON, Body::new(body))
        }
        None => unavailable("the gateway does not answer"),
    }
}

async fn not_found() -> Response {
    let listing = format!("There is no such path. There are:\n{PATHS}");
    text(StatusCode::NOT_FOUND, listing)
}

async fn wrong_method() -> Response {
    let message = "Only GET and HEAD: nothing can be changed here.\n";
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, message);
    let allowed = HeaderValue::from_static("GET, HEAD");
    response.headers_mut().insert(ALLOW, allowed);
    response
}

fn unavailable(why: &str) -> Response {
    text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"))
}

fn text(status: StatusCode, message: impl Into<Body>) -> Response {
    response(status, TEXT, message)
}

fn response(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let headers = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store")];
    (status, headers, body.into()).into_response()
}
