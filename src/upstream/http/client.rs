//! Sends a call over HTTP/1.1 and reads its reply.
//!
//! It deliberately follows no redirects (they would take a token to another server), uses no proxy from the
//! environment, no cookies and no compression, and retries only as [`upstream`](crate::upstream) explains.

use super::call::{Call, Method};
use super::connect::{ConnectError, Connector};
use super::connection::{Connection, ExchangeError, Reply};
use super::outage::Outage;
use super::pool::Pool;
use super::tls::Tls;
use crate::shown::Shown;
use crate::upstream::{Error, Settings, SettingsError};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::sync::Arc;

/// Sends calls to one base URL, over a pool of connections.
pub(in crate::upstream) struct Client {
    connector: Connector,
    pool: Arc<Pool>,
    host: HeaderValue,
    /// The path before `/api/v1`, without a slash at its end.
    path: String,
    /// Shared by the clients of all lanes.
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
    /// `max_concurrent`: how many exchanges there may be at once, and so how many idle connections are kept.
    pub(in crate::upstream) fn new(
        settings: &Settings,
        tls: &Tls,
        max_concurrent: usize,
        outage: Arc<Outage>,
    ) -> Result<Self, SettingsError> {
        let base = &settings.url;
        Ok(Client {
            connector: Connector::new(settings, tls)?,
            pool: Pool::new(max_concurrent),
            host: HeaderValue::from_str(base.authority())
                .map_err(|error| SettingsError::Url(error.to_string()))?,
            path: base.path().to_owned(),
            outage,
        })
    }

    /// Sends one request and reads its reply, within its time. Dropping this closes the connection.
    pub(in crate::upstream) async fn exchange(&self, call: Call) -> Result<Reply, Error> {
        let Call {
            timeout,
            is_poll,
            largest_reply,
            ..
        } = call;
        let request = self.request(call)?;
        match tokio::time::timeout(timeout, self.attempt(request, largest_reply)).await {
            Ok(Ok(reply)) => {
                self.succeeded();
                Ok(reply)
            }
            Ok(Err(failure)) => Err(self.failed(&failure, is_poll)),
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
            .header(USER_AGENT, HeaderValue::from_static(AGENT))
            .body(Full::new(call.body))
            // A target is made of percent-encoded pieces, so it fails only above 64 KiB.
            .map_err(|_| Error::Unintelligible("the request is too large for HTTP"))
    }

    /// On an idle connection of the pool, or else on a new one.
    async fn attempt(
        &self,
        mut request: Request<Full<Bytes>>,
        largest_reply: usize,
    ) -> Result<Reply, Failure> {
        loop {
            let idle = self.pool.take().await;
            let is_new = idle.is_none();
            let mut connection = match idle {
                Some(connection) => connection,
                None => {
                    let stream = self.connector.connect().await.map_err(Failure::Connect)?;
                    Box::new(Connection::new(stream).await.map_err(Failure::Exchange)?)
                }
            };
            match connection.exchange(request, largest_reply).await {
                Ok(reply) => {
                    self.pool.put(connection).await;
                    return Ok(reply);
                }
                // The server closed it before the first byte was written.
                Err(ExchangeError::Unsent(unsent, _)) if !is_new => request = *unsent,
                Err(ExchangeError::Unsent(_, error) | ExchangeError::Broken(error)) => {
                    return Err(Failure::Exchange(error));
                }
            }
        }
    }

    fn succeeded(&self) {
        if self.outage.succeeded() {
            tracing::info!("ThingsBoard answers again");
        }
    }

    fn failed(&self, failure: &Failure, is_poll: bool) -> Error {
        let decision = failure.decision();
        // A proxy may end an idle connection, and with it a long poll. If it is an outage, the next poll can't connect.
        let is_outage = matches!(failure, Failure::Connect(_)) || !is_poll;
        if decision == Error::Unreachable && is_outage && self.outage.failed() {
            tracing::warn!(reason = failure.reason(), "ThingsBoard can't be reached");
        }
        decision
    }
}

const AGENT: &str = concat!("coaps-gateway/", env!("CARGO_PKG_VERSION"));

impl Failure {
    /// The error that the caller gets.
    fn decision(&self) -> Error {
        let error = match self {
            Failure::Connect(_) => return Error::Unreachable,
            Failure::Exchange(error) => error,
        };
        // Only an inner error says whether the stream ended, or is no HTTP.
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(error) = cause {
            let is_no_http = error
                .downcast_ref::<hyper::Error>()
                .is_some_and(hyper::Error::is_parse)
                || error.downcast_ref::<std::io::Error>().is_some_and(|io| {
                    matches!(io.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData)
                });
            if is_no_http {
                return Error::Unintelligible("it is not HTTP");
            }
            cause = error.source();
        }
        Error::Unreachable
    }

    /// For the log. Errors of connections and exchanges never have the path, which holds the token.
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
        // It may quote names of the server's certificate.
        Shown::public(&text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::TlsFiles;
    use std::time::Duration;

    fn settings(url: &str) -> Settings {
        Settings {
            url: url.parse().unwrap(),
            http_url: None,
            tls: TlsFiles::default(),
            timeout: Duration::from_secs(1),
            max_in_flight: 1,
            max_downlink: 1,
            max_packages: 1,
            max_connections: 8,
            connects_per_second: 100,
            alive_for: Duration::from_secs(900),
        }
    }

    fn client(settings: &Settings) -> Result<Client, SettingsError> {
        let tls = Tls::new(&settings.tls, settings.url.is_tls())?;
        Client::new(settings, &tls, 1, Arc::default())
    }

    #[test]
    fn a_ca_file_must_hold_certificates() {
        let with = |pem: &str| {
            client(&Settings {
                tls: TlsFiles {
                    ca: Some(pem.as_bytes().to_vec()),
                    client: None,
                },
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
