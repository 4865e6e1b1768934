//! The web page: it shows what happens in the demo, and has switches for losses, delays and outages.
//!
//! | Part | Owns |
//! |---|---|
//! | [`guard`] | which requests are allowed, and the security headers of every response |
//! | [`feed`] | the events of one open page, from the gateway's tap, the link and the simulator |
//! | [`lines`] | turns an event of the tap into a line of the page |
//! | [`message`] | decodes a CoAP message for the page |
//! | [`terms`] | names and meanings of codes and options, with their RFC sections |
//! | [`actions`] | the requests of the page's forms and switches |
//!
//! The browser gets three files that are part of this program, and a stream of server-sent events. The server is bound
//! to loopback, stores nothing, and is idle while no page is open.

mod actions;
mod feed;
mod guard;
mod lines;
mod message;
mod terms;

use super::commands::Commands;
use super::link::LossModel;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use coaps_gateway::facade::gateway::Tap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use thingsboard_simulator::Control;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// The most open pages. A browser has six connections to one address, and each page uses one for its events: with six
/// pages open, none would be left for their forms, and a seventh would wait without an error.
const MAX_PAGES: usize = 4;
/// The longest body of a request, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// The parts of the demo that the page shows and controls.
pub(super) struct Context {
    pub(super) control: Control,
    pub(super) tap: Tap,
    pub(super) losses: Arc<LossModel>,
    pub(super) commands: Vec<Commands>,
    /// How the gateway reaches ThingsBoard: `HTTP` or `MQTT`.
    pub(super) upstream: &'static str,
}

/// The switches, which all open pages share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Switches {
    /// The link loses datagrams.
    loss: bool,
    /// ThingsBoard answers after a delay.
    slow: bool,
    /// ThingsBoard is down.
    down: bool,
}

/// The state of all requests.
struct Shared {
    context: Context,
    switches: watch::Sender<Switches>,
    open_pages: Arc<Semaphore>,
    /// Times on the page count from then.
    started: Instant,
}

/// A bound server. It answers while [`serve`](Page::serve) is polled.
pub(super) struct Page {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Page {
    pub(super) async fn bind(address: SocketAddr, context: Context) -> io::Result<Page> {
        let listener = TcpListener::bind(address).await?;
        Ok(Page {
            address: listener.local_addr()?,
            listener,
            shared: Arc::new(Shared {
                context,
                switches: watch::Sender::default(),
                open_pages: Arc::new(Semaphore::new(MAX_PAGES)),
                started: now(),
            }),
        })
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped.
    pub(super) async fn serve(self) -> io::Result<()> {
        let port = self.address.port();
        let guard = move |request, next| guard::guard(port, request, next);
        let pages = Router::new()
            .route(
                "/",
                get(|| file("text/html", include_str!("page/index.html"))),
            )
            .route(
                "/app.css",
                get(|| file("text/css", include_str!("page/app.css"))),
            )
            .route(
                "/app.js",
                get(|| file("text/javascript", include_str!("page/app.js"))),
            )
            .route("/events", get(feed::events))
            .route("/attributes", post(actions::attributes))
            .route("/command", post(actions::command))
            .route("/link", post(actions::link))
            .route("/upstream", post(actions::upstream))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(axum::middleware::from_fn(guard))
            .with_state(self.shared);
        axum::serve(self.listener, pages).await
    }
}

async fn file(kind: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, format!("{kind}; charset=utf-8"))], text).into_response()
}

#[expect(clippy::disallowed_methods, reason = "the page owns its clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
