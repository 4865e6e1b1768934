//! Sends a call over HTTP and reads its reply.
//!
//! It deliberately follows no redirects (they would take a token to another server), uses no proxy from the
//! environment, no cookies and no compression, and retries only as [`upstream`](crate::upstream) explains.

use super::call::{Call, Method};
use super::connect::{Connector, Stream};
use super::connection::{self, Connection};
use super::failure::Failure;
use super::http2::{self, Granted};
use super::outage::Outage;
use super::pool::Pool;
use super::reply::Reply;
use super::tls::Tls;
use crate::upstream::{Error, HttpVersion, Settings, SettingsError};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Version};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a request is made again of which not one byte was written.
const MAX_UNSENT: u32 = 3;

/// Sends calls to one base URL, over a pool of connections.
pub(in crate::upstream) struct Client {
    connector: Arc<Connector>,
    pool: Arc<Pool>,
    shared: Arc<http2::Pool>,
    /// Where the server chooses: it has chosen HTTP/1.1.
    is_http1: AtomicBool,
    host: HeaderValue,
    /// Scheme, host, port and path before `/api/v1`, without a slash at its end.
    base: String,
    /// Its path alone.
    path: String,
    /// Shared by the clients of all lanes.
    outage: Arc<Outage>,
}

impl Client {
    /// `max_concurrent`: how many exchanges there may be at once, and so how many idle connections are kept. `quiet`: how
    /// long an HTTP/2 connection may be silent while there are exchanges on it, before it is tested.
    pub(in crate::upstream) fn new(
        settings: &Settings,
        tls: &Tls,
        max_concurrent: usize,
        quiet: Duration,
        outage: Arc<Outage>,
    ) -> Result<Self, SettingsError> {
        let url = &settings.url;
        let connector = Arc::new(Connector::new(settings, tls)?);
        Ok(Client {
            pool: Pool::new(max_concurrent),
            shared: http2::Pool::new(connector.clone(), quiet),
            connector,
            is_http1: AtomicBool::new(false),
            host: HeaderValue::from_str(url.authority())
                .map_err(|error| SettingsError::Url(error.to_string()))?,
            base: url.to_string(),
            path: url.path().to_owned(),
            outage,
        })
    }

    /// Sends one request and reads its reply, within its time. Dropping this closes the connection, or over HTTP/2 the
    /// stream.
    pub(in crate::upstream) async fn exchange(&self, call: Call) -> Result<Reply, Error> {
        let (timeout, is_poll) = (call.timeout, call.is_poll);
        match tokio::time::timeout(timeout, self.attempt(&call)).await {
            Ok(Ok(reply)) => {
                self.succeeded();
                Ok(reply)
            }
            Ok(Err(failure)) => Err(self.failed(&failure, is_poll)),
            Err(_elapsed) => Err(Error::Timeout),
        }
    }

    async fn attempt(&self, call: &Call) -> Result<Reply, Failure> {
        let version = self.connector.version();
        loop {
            let is_http1 = match version {
                HttpVersion::Auto => self.is_http1.load(Ordering::Relaxed),
                HttpVersion::Http1 => true,
                HttpVersion::Http2 => false,
            };
            // Nothing was sent where the server chooses the other version, which it seldom does.
            let reply = match is_http1 {
                true => self.over_http1(call).await?,
                false => self.over_http2(call).await?,
            };
            match reply {
                Some(reply) => return Ok(reply),
                None => self.is_http1.store(!is_http1, Ordering::Relaxed),
            }
        }
    }

    /// On an idle connection of the pool, or else on a new one. `None`: the server chose HTTP/2.
    async fn over_http1(&self, call: &Call) -> Result<Option<Reply>, Failure> {
        let mut request = self.http1_request(call)?;
        loop {
            let idle = self.pool.take().await;
            let is_new = idle.is_none();
            let connection = match idle {
                Some(connection) => connection,
                None => {
                    let stream = self.connector.connect().await.map_err(Failure::Connect)?;
                    if self.connector.is_http2(&stream) {
                        return Ok(None);
                    }
                    new_connection(stream).await?
                }
            };
            match self.exchange_on(connection, request, call).await {
                Ok(reply) => return Ok(Some(reply)),
                // The server closed it before the first byte was written.
                Err(connection::ExchangeError::Unsent(unsent, _)) if !is_new => request = *unsent,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn exchange_on(
        &self,
        mut connection: Box<Connection>,
        request: Request<Full<Bytes>>,
        call: &Call,
    ) -> Result<Reply, connection::ExchangeError> {
        let reply = connection.exchange(request, call.largest_reply).await?;
        self.pool.put(connection).await;
        Ok(reply)
    }

    /// On a connection that others use as well. `None`: the server chose HTTP/1.1.
    async fn over_http2(&self, call: &Call) -> Result<Option<Reply>, Failure> {
        let (mut unsent, mut refused_by) = (0, None);
        loop {
            let place = match self.shared.place(refused_by).await {
                Ok(Granted::Place(place)) => place,
                Ok(Granted::Http1(None)) => return Ok(None),
                Ok(Granted::Http1(Some(stream))) => {
                    self.is_http1.store(true, Ordering::Relaxed);
                    let connection = new_connection(stream.into_inner()).await?;
                    let request = self.http1_request(call)?;
                    let reply = self.exchange_on(connection, request, call).await?;
                    return Ok(Some(reply));
                }
                Err(error) => return Err(Failure::Open(error)),
            };
            match place.exchange(self.http2_request(call)?, call).await {
                Ok(reply) => return Ok(Some(reply)),
                Err(http2::ExchangeError::Unsent(_)) if unsent < MAX_UNSENT => unsent += 1,
                Err(http2::ExchangeError::Refused(_)) if refused_by.is_none() => {
                    refused_by = Some(place.id());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn http1_request(&self, call: &Call) -> Result<Request<Full<Bytes>>, Failure> {
        let target = [self.path.as_str(), call.target.as_str()].concat();
        let request = match call.method {
            Method::Get => Request::get(target),
            Method::Post => Request::post(target).header(CONTENT_TYPE, JSON),
        };
        request
            .header(HOST, self.host.clone())
            .header(USER_AGENT, AGENT)
            .body(Full::new(call.body.clone()))
            .map_err(|_| Failure::Request)
    }

    fn http2_request(&self, call: &Call) -> Result<Request<()>, Failure> {
        let uri = [self.base.as_str(), call.target.as_str()].concat();
        let request = match call.method {
            Method::Get => Request::get(uri),
            Method::Post => Request::post(uri)
                .header(CONTENT_TYPE, JSON)
                .header(CONTENT_LENGTH, call.body.len()),
        };
        request
            .version(Version::HTTP_2)
            .header(USER_AGENT, AGENT)
            .body(())
            .map_err(|_| Failure::Request)
    }

    fn succeeded(&self) {
        if self.outage.succeeded() {
            tracing::info!(url = self.base, "ThingsBoard answers again");
        }
    }

    fn failed(&self, failure: &Failure, is_poll: bool) -> Error {
        let decision = failure.decision();
        // A proxy may end an idle connection, and with it a long poll. If it is an outage, the next poll can't connect.
        let is_outage = match failure {
            Failure::Connect(_) | Failure::Open(_) => true,
            Failure::Exchange(_) | Failure::Stream(_) => decision == Error::Unreachable && !is_poll,
            Failure::Refused | Failure::Interim | Failure::Request => false,
        };
        if is_outage && self.outage.failed() {
            let (url, reason) = (&self.base, failure.reason());
            tracing::warn!(reason, url, "ThingsBoard can't be reached");
        }
        decision
    }
}

async fn new_connection(stream: Stream) -> Result<Box<Connection>, Failure> {
    let connection = Connection::new(stream).await;
    connection.map(Box::new).map_err(Failure::Exchange)
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("coaps-gateway/", env!("CARGO_PKG_VERSION")));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::TlsFiles;

    fn settings(url: &str) -> Settings {
        Settings {
            url: url.parse().unwrap(),
            http_url: None,
            tls: TlsFiles::default(),
            http_version: HttpVersion::Auto,
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
        Client::new(settings, &tls, 1, Duration::from_secs(10), Arc::default())
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
