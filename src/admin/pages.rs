//! Which path says what.

use super::answer::{Content, JSON, OPEN_METRICS, answer, text, wrong_method};
use super::connections::Counters;
use super::{Source, readiness};
use hyper::{Method, Response, StatusCode};
use std::sync::Arc;
use tokio::sync::mpsc;

const PATHS: &str = "\
/livez     whether the gateway's loop turns
/readyz    whether devices can be served, and why not
/metrics   counts and levels, for Prometheus
/sessions  who is connected, as JSON, if admin.sessions = true
";

/// Pieces of a long answer that wait for a peer that reads slowly.
const PIECES: usize = 2;

/// What a request comes to. Of its headers only Host counts, before it comes here; its body says nothing.
pub(super) async fn page<S: Source>(
    source: &Arc<S>,
    sessions: bool,
    own: Counters,
    method: &Method,
    path: &str,
) -> Response<Content> {
    if !["/livez", "/readyz", "/metrics", "/sessions"].contains(&path) {
        return text(
            StatusCode::NOT_FOUND,
            format!("There is no such path. There are:\n{PATHS}"),
        );
    }
    if method != Method::GET && method != Method::HEAD {
        return wrong_method();
    }
    match path {
        "/livez" => match source.live().await {
            Ok(()) => text(StatusCode::OK, "ok\n"),
            Err(why) => unavailable(&why),
        },
        "/readyz" => {
            let (ready, words) = readiness::told(&source.ready().await);
            let status = match ready {
                true => StatusCode::OK,
                false => StatusCode::SERVICE_UNAVAILABLE,
            };
            text(status, words)
        }
        "/metrics" => match source.metrics(own).await {
            Ok(metrics) => {
                let content = Content::Whole(Some(metrics.into()));
                answer(StatusCode::OK, OPEN_METRICS, content)
            }
            Err(why) => unavailable(&why),
        },
        _ if sessions => all_sessions(source).await,
        _ => text(
            StatusCode::NOT_FOUND,
            "Sessions are not told of. They are with admin.sessions = true \
             (COAPS_GATEWAY__ADMIN__SESSIONS=true): names and addresses of devices, for whoever reaches this address.\n",
        ),
    }
}

/// The answer to a request by a name that is not this machine's loopback.
pub(super) fn rebound() -> Response<Content> {
    text(
        StatusCode::FORBIDDEN,
        "On a loopback address this goes by loopback names alone: localhost, 127.0.0.1, [::1].\n",
    )
}

fn unavailable(why: &str) -> Response<Content> {
    text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"))
}

/// Made while it is sent, so that a hundred thousand of them are never held at once.
async fn all_sessions<S: Source>(source: &Arc<S>) -> Response<Content> {
    let (pieces, mut made) = mpsc::channel(PIECES);
    let source = source.clone();
    // Ends where the connection does: nobody takes the pieces then.
    tokio::spawn(async move { source.sessions(pieces).await });
    match made.recv().await {
        Some(first) => answer(StatusCode::OK, JSON, Content::Pieces(Some(first), made)),
        None => unavailable("the gateway does not answer"),
    }
}
