//! ThingsBoard's HTTP device API, as ThingsBoard's `DeviceApiController` has it (base `/api/v1`).
//!
//! [`encode`] writes a request as HTTP and is the only file with URLs; [`outcome`] says what a reply means.

mod encode;
mod outcome;

pub use encode::RequestLine;
pub(super) use encode::assignment_keys;

use super::http::call::{Call, LARGEST_REPLY, Method};
use super::http::client::Client;
use super::http::outage::Outage;
use super::http::tls::Tls;
use super::request::Lane;
use super::{Answer, Error, Request, Settings, SettingsError, Upstream};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// How long a connection may be silent while polls are open on it, before it is tested. Three of these are over before most
/// polls are, and Tomcat allows one test for each poll.
const QUIET_POLLS: Duration = Duration::from_secs(10);

/// A ThingsBoard server, reached over its HTTP device API.
pub struct ThingsBoard {
    requests: Connections,
    downlink: Connections,
    packages: Connections,
    timeout: Duration,
}

/// The connections of one [`Lane`], and its bound.
struct Connections {
    client: Client,
    places: Semaphore,
}

impl ThingsBoard {
    /// Checks the settings. Opens no connection: ThingsBoard may be down when the gateway starts.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let tls = Tls::new(&settings.tls, settings.url.is_tls())?;
        ThingsBoard::with_tls(&settings, &tls)
    }

    /// With a TLS configuration that others use, too.
    pub(super) fn with_tls(settings: &Settings, tls: &Tls) -> Result<Self, SettingsError> {
        settings.check()?;
        let outage = Arc::new(Outage::default());
        // Three of these are over before a request's time is.
        let quiet = (settings.timeout * 3 / 10).clamp(Duration::from_secs(1), QUIET_POLLS);
        let connections = |most: usize, quiet: Duration| {
            Ok(Connections {
                client: Client::new(settings, tls, most, quiet, outage.clone())?,
                places: Semaphore::new(most.min(Semaphore::MAX_PERMITS)),
            })
        };
        Ok(ThingsBoard {
            requests: connections(settings.max_in_flight, quiet)?,
            downlink: connections(settings.max_downlink, QUIET_POLLS)?,
            packages: connections(settings.max_packages, quiet)?,
            timeout: settings.timeout,
        })
    }

    /// Whether ThingsBoard can be reached: any reply that is HTTP will do. For a check, not for each request.
    pub async fn is_reachable(&self) -> Result<(), Error> {
        let call = Call {
            method: Method::Get,
            // No resource of the device API, and no token: ThingsBoard has nothing to do.
            target: Zeroizing::new("/api/v1/".to_owned()),
            body: Bytes::new(),
            timeout: self.timeout,
            is_poll: false,
            largest_reply: LARGEST_REPLY,
        };
        self.requests.client.exchange(call).await.map(|_| ())
    }
}

impl fmt::Debug for ThingsBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThingsBoard").finish_non_exhaustive()
    }
}

impl Upstream for ThingsBoard {
    async fn send(&self, request: Request) -> Result<Answer, Error> {
        let connections = match request.lane() {
            Lane::Requests => &self.requests,
            Lane::Downlink => &self.downlink,
            Lane::Packages => &self.packages,
        };
        // A caller that waited here would hold its request without bound.
        let Ok(_place) = connections.places.try_acquire() else {
            return Err(Error::Overloaded);
        };
        let call = encode::call(&request, self.timeout);
        let is_poll = call.is_poll;
        outcome::decide(connections.client.exchange(call).await?, is_poll)
    }
}
