//! Carries a call to ThingsBoard and its reply back, over HTTP/1.1.
//!
//! What it does not do is as deliberate as what it does: no redirects (they would take a token to another
//! server), no proxy from the environment, no cookies, no decompression, and no retries beyond the one that
//! [`upstream`](super) explains.

use super::connect::{ConnectError, Connector};
use super::connection::{Connection, Lost, Reply};
use super::outage::Outage;
use super::pool::Pool;
use super::request::POLL_GRACE;
use super::thingsboard::{Call, Method};
use super::{Error, Settings, SettingsError};
use crate::shown::Shown;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

/// The longest reply that is read, in bytes, unless a request says otherwise. Attribute answers are a few KiB;
/// what is larger would not fit a device either.
pub(super) const MAX_REPLY: usize = 256 * 1024;

/// A pool of connections to one base URL.
pub(super) struct Client {
    connector: Connector,
    pool: Arc<Pool>,
    host: HeaderValue,
    /// What comes before `/api/v1`, without a slash at its end.
    path: String,
    timeout: Duration,
    /// Shared by all clients of one ThingsBoard.
    outage: Arc<Outage>,
}

/// Why there is no reply.
enum Failure {
    /// No connection, so nothing was sent.
    Connect(ConnectError),
    /// The connection was lost, or what came over it is no HTTP.
    Exchange(hyper::Error),
}

impl Client {
    /// `most`: how many exchanges there will be at once, and so how many connections are worth keeping.
    pub(super) fn new(
        settings: &Settings,
        most: usize,
        outage: Arc<Outage>,
    ) -> Result<Self, SettingsError> {
        let base = &settings.url;
        Ok(Client {
            connector: Connector::new(settings)?,
            pool: Pool::new(most),
            host: HeaderValue::from_str(base.authority())
                .map_err(|error| SettingsError::Url(error.to_string()))?,
            path: base.path().to_owned(),
            timeout: settings.timeout,
            outage,
        })
    }

    /// One request and its reply, within its time. Dropping this closes the connection.
    pub(super) async fn exchange(&self, call: Call) -> Result<Reply, Error> {
        let (poll, most) = (call.poll, call.largest_reply);
        let deadline = match poll {
            Some(poll) => poll.saturating_add(POLL_GRACE),
            None if call.is_brief => self.timeout / 2,
            None => self.timeout,
        };
        let request = self.request(call)?;
        match tokio::time::timeout(deadline, self.attempt(request, most)).await {
            Ok(Ok(reply)) => {
                self.reached();
                Ok(reply)
            }
            Ok(Err(failure)) => Err(self.failed(&failure, poll.is_some())),
            Err(_elapsed) => Err(Error::Timeout),
        }
    }

    fn request(&self, call: Call) -> Result<Request<Full<Bytes>>, Error> {
        let target = [self.path.as_str(), call.target.as_str()].concat();
        let request = match call.method {
            Method::Get => Request::get(target),
            Method::Post => Request::post(target)
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json")),
        };
        request
            .header(HOST, self.host.clone())
            .header(USER_AGENT, HeaderValue::from_static(USER))
            .body(Full::new(call.body))
            // A target is put together from percent-encoded pieces; only one of 64 KiB is none.
            .map_err(|_| Error::Unintelligible("the request is too large for HTTP"))
    }

    /// On a connection that is there already, or else on one of its own.
    async fn attempt(
        &self,
        mut request: Request<Full<Bytes>>,
        most: usize,
    ) -> Result<Reply, Failure> {
        loop {
            let idle = self.pool.take().await;
            let is_new = idle.is_none();
            let mut connection = match idle {
                Some(connection) => connection,
                None => {
                    let stream = self.connector.connect().await.map_err(Failure::Connect)?;
                    Box::new(Connection::over(stream).await.map_err(Failure::Exchange)?)
                }
            };
            match connection.exchange(request, most).await {
                Ok(reply) => {
                    self.pool.put(connection).await;
                    return Ok(reply);
                }
                // It was closed at this very moment, before the first byte.
                Err(Lost::Unsent(unsent, _)) if !is_new => request = *unsent,
                Err(Lost::Unsent(_, error) | Lost::Broken(error)) => {
                    return Err(Failure::Exchange(error));
                }
            }
        }
    }

    fn reached(&self) {
        if self.outage.reached() {
            tracing::info!("ThingsBoard answers again");
        }
    }

    fn failed(&self, failure: &Failure, is_poll: bool) -> Error {
        let decision = failure.decision();
        // A long poll that breaks off may be a proxy's doing, which ends what is silent for long. Should it
        // be an outage, the next poll finds no connection.
        let tells = matches!(failure, Failure::Connect(_)) || !is_poll;
        if decision == Error::Unreachable && tells && self.outage.failed() {
            tracing::warn!(reason = failure.reason(), "ThingsBoard can't be reached");
        }
        decision
    }
}

const USER: &str = concat!("coaps-gateway/", env!("CARGO_PKG_VERSION"));

impl Failure {
    /// Which decision it asks for.
    fn decision(&self) -> Error {
        let error = match self {
            Failure::Connect(_) => return Error::Unreachable,
            Failure::Exchange(error) => error,
        };
        // The library tells a stream that ended from one that is no HTTP only deep down.
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(error) = cause {
            let nonsense = error
                .downcast_ref::<hyper::Error>()
                .is_some_and(hyper::Error::is_parse)
                || error.downcast_ref::<std::io::Error>().is_some_and(|io| {
                    matches!(io.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData)
                });
            if nonsense {
                return Error::Unintelligible("it is not HTTP");
            }
            cause = error.source();
        }
        Error::Unreachable
    }

    /// What happened, for the log. Neither a connection nor an exchange knows the path, which holds the token.
    fn reason(&self) -> String {
        let error: &dyn StdError = match self {
            Failure::Connect(error) => error.as_ref(),
            Failure::Exchange(error) => error,
        };
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            // Writing to a String can't fail.
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        // The peer's certificate may have any names.
        Shown::public(&text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Settings {
        Settings {
            url: url.parse().unwrap(),
            ca: None,
            timeout: Duration::from_secs(1),
            max_in_flight: 1,
            max_downlink: 1,
            max_packages: 1,
        }
    }

    fn client(settings: &Settings) -> Result<Client, SettingsError> {
        Client::new(settings, 1, Arc::default())
    }

    #[test]
    fn a_ca_file_must_hold_certificates() {
        let with = |pem: &str| {
            client(&Settings {
                ca: Some(pem.as_bytes().to_vec()),
                ..settings("https://tb")
            })
        };
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["tb".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        assert!(with(&certificate.pem()).is_ok());
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for pem in [
            "",
            "no PEM",
            broken,
            &key.serialize_pem(),
            "-----BEGIN CERTIFICATE-----\nAAAA\n",
        ] {
            let error = with(pem).err().unwrap();
            assert!(matches!(error, SettingsError::Ca(_)), "{error}");
        }
        let second = with(&format!("{}{broken}", certificate.pem()))
            .err()
            .unwrap();
        assert!(second.to_string().contains("certificate 2"), "{second}");
    }
}
