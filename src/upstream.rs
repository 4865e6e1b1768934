//! One request to ThingsBoard, and what its outcome means.
//!
//! [`request`](Request) says what can be asked, [`error`](Error) what can go wrong, by the decision the
//! gateway takes. `thingsboard` turns a request into method, path and body and judges the status that
//! comes back; it is the only file with URLs. `client` makes it an exchange over HTTP/1.1, on a [`connection`] that
//! waits in a [`pool`] or that [`connect`] opens, over TLS to a server that [`trust`] allows. [`interim`] counts the
//! 1xx replies to a request, and [`retry_after`] reads after which time a server wants the next one. `outage` decides when the log tells that ThingsBoard is gone, and that it is back.
//!
//! # Three lanes
//!
//! Devices' requests, the gateway's own calls for observations (long polls, and reads of attributes), and packages each have
//! connections and bounds of their own. So thousands of open polls never delay telemetry, and a burst of telemetry never ends
//! a poll. A poll whose result is no longer needed is dropped, which closes its connection and frees its place at once.
//!
//! # Nothing is sent twice
//!
//! A POST of telemetry that is sent twice is stored twice, under two timestamps, so a request is repeated
//! only where it is certain that not one byte of it was written:
//!
//! * Before a pooled connection is used, it is looked at: one that the server has closed meanwhile is not used.
//!   Should it turn out to be closed all the same before the first byte was written, `hyper` gives the request back
//!   unstarted, and it goes on another connection. That is safe, and wanted: without it the first POST after the
//!   server closed an idle connection would fail for nothing. A request of which anything may have been written does
//!   not come back, and is not repeated.
//! * What remains is the race in which the server closes a connection while our request is on its way to
//!   it. The outcome is unknown, so it is [`Error::Unreachable`], and the device decides.
//!
//! Tomcat ends a connection after 100 requests (`maxKeepAliveRequests`), and says so with
//! `Connection: close` on the last answer, which the client obeys: no race there. It also closes idle
//! connections; ours leave the pool first, after ten idle seconds, so that race is rare as well.

mod base_url;
mod call_limits;
mod client;
mod connect;
mod connection;
mod error;
mod interim;
mod outage;
mod pool;
mod request;
mod retry_after;
#[cfg(test)]
mod scripted_server;
mod settings;
#[cfg(test)]
mod tests;
mod thingsboard;
mod trust;

pub use base_url::{BaseUrl, BaseUrlError};
pub use call_limits::CallLimits;
pub use error::{Error, RetryAfter, Status};
pub use request::{Answer, Line, Operation, Package, Request};
pub use settings::{Settings, SettingsError};
pub use thingsboard::ThingsBoard;

use std::future::Future;

/// Something that answers device requests as ThingsBoard's HTTP device API does.
pub trait Upstream: Send + Sync + 'static {
    /// Sends one request and waits for its outcome. Never retries what may have been written.
    fn send(&self, request: Request) -> impl Future<Output = Result<Answer, Error>> + Send;
}
