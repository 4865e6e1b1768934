//! One request to ThingsBoard, and what its outcome means.
//!
//! | Part | Does |
//! |---|---|
//! | [`Request`] | what a device, or the gateway for it, requests of ThingsBoard |
//! | [`Error`] | why a request has failed, by the decision that the gateway takes |
//! | [`ThingsBoard`] | writes a request as HTTP (the only file with URLs), and judges the status of the reply |
//! | [`lenient_json`] | JSON as ThingsBoard reads it: which bodies it would not answer |
//! | `http` | an exchange over HTTP/1.1 or HTTP/2 and TLS, with a pool of connections |
//!
//! Requests go through [`Upstream`]. What ThingsBoard pushes to a device, changes of attributes and commands, comes by long
//! polls, which are requests like others (`Operation::PollAttributes`, `PollRpc`): see [`relay`](crate::relay).
//!
//! # Three lanes
//!
//! Devices' requests, the gateway's own calls for observations (long polls, and reads of attributes), and packages each have
//! connections and bounds of their own. So thousands of open polls never delay telemetry, and a burst of telemetry never ends
//! a poll. A poll whose result is no longer needed is dropped, which closes its connection, or over HTTP/2 resets its stream,
//! and frees its place at once.
//!
//! # Nothing is sent twice
//!
//! A POST of telemetry that is sent twice is stored twice, under two timestamps. So a request is sent again only where not
//! one byte of it was written:
//!
//! * A pooled connection that the server has closed meanwhile is not used. If it closes between that check and the first
//!   byte, `hyper` gives the request back unstarted, and it goes on another connection. Without that the first POST after
//!   the server closed an idle connection would fail. A request of which anything may have been written does not come
//!   back, and is not sent again.
//! * What remains is the race in which the server closes a connection while a request is on its way. The outcome is
//!   unknown, so it is [`Error::Unreachable`], and the device decides.
//!
//! Tomcat closes a connection after 100 requests (`maxKeepAliveRequests`), and says so with `Connection: close` on the last
//! reply: no race there. It also closes idle connections; the pool closes them first, after ten idle seconds, so that race
//! is rare as well.
//!
//! Over HTTP/2 the server says which requests it has not acted upon: see `http::http2`.

mod base_url;
mod call_limits;
mod error;
mod http;
pub(crate) mod lenient_json;
mod mqtt;
mod request;
mod server;
mod settings;
#[cfg(test)]
mod tests;
mod thingsboard;
mod tls_files;

pub(crate) use base_url::{BaseUrl, BaseUrlError};
pub(crate) use call_limits::CallLimits;
pub use error::Error;
pub(crate) use error::{Rejection, RetryAfter, RetryCause};
pub use mqtt::{
    Acknowledgement, Counters as MqttCounters, Expired, Harness as MqttHarness, Kinds,
    Reported as MqttReported, Status as ConnectionStatus,
};
#[cfg(test)]
pub(crate) use mqtt::{Dial, Settings as MqttSettings};
pub(crate) use mqtt::{Mqtt, Notice, Numbers};
pub(crate) use request::Package;
pub use request::{Answer, Operation, Request};
pub(crate) use server::Server;
pub(crate) use settings::SettingsError;
pub use settings::{HttpVersion, Settings};
pub use thingsboard::{RequestLine, ThingsBoard};
pub use tls_files::{ClientCertificate, TlsFiles};

use crate::device::Device;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Takes the outcome of a request. It is called once, and does not wait.
pub(crate) type Report = Box<dyn FnOnce(Result<Answer, Error>) + Send>;

/// Answers requests as ThingsBoard's HTTP device API does. The other methods are for an API that pushes: they do nothing
/// where changes and commands come by polls.
pub trait Upstream: Send + Sync + 'static {
    /// Sends one request and waits for its outcome. Never retries what may have been written.
    fn send(&self, request: Request) -> impl Future<Output = Result<Answer, Error>> + Send;

    /// Sends a post of a device without a task for it, if that is possible and it is accepted: its outcome is then reported.
    /// If it is not possible the request is returned.
    ///
    /// # Errors
    /// The request, which is to be [sent](Self::send).
    fn try_post(
        &self,
        request: Request,
        _accept: impl FnOnce(&Operation) -> Option<Report>,
    ) -> Result<(), Request> {
        Err(request)
    }

    /// Subscribes for a device, again on each new connection. Each time ThingsBoard grants it, that is reported under the
    /// number.
    ///
    /// # Errors
    /// There are too many connections.
    fn subscribe(&self, _device: &Arc<Device>, _kinds: Kinds, _number: u64) -> Result<(), Error> {
        Ok(())
    }

    /// Ends subscriptions. What was received before is still reported.
    fn unsubscribe(&self, _device: &Arc<Device>, _kinds: Kinds) {}

    /// The device has the message.
    fn acknowledge(&self, _acknowledgement: Acknowledgement) {}

    /// What the devices' connections count. `None` where connections are no device's.
    fn counters(&self) -> Option<MqttCounters> {
        None
    }

    /// The state of a device's connection. `None`: it has none, and no reason for one.
    fn connection_status(&self, _device: &Arc<Device>) -> Option<ConnectionStatus> {
        None
    }

    /// The device is gone: its connection is closed when nothing is in flight.
    fn close(&self, _device: &Arc<Device>) {}

    /// The device has sent something, and counts as alive until then.
    fn alive_until(&self, _device: &Arc<Device>, _until: Instant) {}

    /// Closes all devices' connections, each when nothing is in flight on it, and waits for that, but no longer than
    /// `at_most`. No connection is opened any more.
    fn close_all(&self, _at_most: Duration) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}
