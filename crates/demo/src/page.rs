//! The page: what happens in the demo, live, and the switches of its world. For a browser on this machine.
//!
//! | Part | Owns |
//! |---|---|
//! | [`guard`] | who may ask, and what every answer says of itself |
//! | [`feed`] | one open page's events, from the tap, the link and the simulator |
//! | [`story`] | an event of the core into a line of the page |
//! | [`message`] | a CoAP message in the words of its RFCs |
//! | [`terms`] | those words |
//! | [`orders`] | what the page's forms and switches ask for |
//!
//! What the browser gets is three files that are part of this program, and a stream of server-sent events. It is
//! bound to loopback, keeps nothing, and while no page is open it does nothing.

mod feed;
mod guard;
mod message;
mod orders;
mod story;
mod terms;

use super::commands::Commands;
use super::link::Weather;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use coaps_gateway::gateway::Tap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use thingsboard_simulator::Control;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// Pages open at once. A browser has six connections to one address, and each page keeps one for its events: with six
/// pages open none would be left for what their forms ask for, and a seventh would wait without a word.
const MOST_PAGES: usize = 4;
/// The longest body of a request, in bytes.
const LARGEST_ORDER: usize = 16 * 1024;

/// What the page shows and steers.
pub(super) struct Scene {
    pub(super) control: Control,
    pub(super) tap: Tap,
    pub(super) weather: Arc<Weather>,
    pub(super) commands: Vec<Commands>,
}

/// The switches, as all open pages see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Switches {
    /// The link loses datagrams.
    loss: bool,
    /// ThingsBoard takes its time.
    slow: bool,
    /// ThingsBoard is not there.
    away: bool,
}

/// What the requests share.
struct Shared {
    scene: Scene,
    switches: watch::Sender<Switches>,
    places: Arc<Semaphore>,
    /// Times on the page count from here.
    started: Instant,
}

/// A page that is bound, and shown once it is served.
pub(super) struct Page {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Page {
    pub(super) async fn bind(address: SocketAddr, scene: Scene) -> io::Result<Page> {
        let listener = TcpListener::bind(address).await?;
        Ok(Page {
            address: listener.local_addr()?,
            listener,
            shared: Arc::new(Shared {
                scene,
                switches: watch::Sender::default(),
                places: Arc::new(Semaphore::new(MOST_PAGES)),
                started: now(),
            }),
        })
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is dropped.
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
            .route("/attributes", post(orders::attributes))
            .route("/command", post(orders::command))
            .route("/link", post(orders::link))
            .route("/upstream", post(orders::upstream))
            .layer(DefaultBodyLimit::max(LARGEST_ORDER))
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
