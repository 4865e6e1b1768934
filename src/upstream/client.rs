//! Carries bytes to ThingsBoard and back over HTTP/1.1. The only file that names the HTTP library.
//!
//! What it does not do is as deliberate as what it does: no redirects (they would take a token to another
//! server), no proxy from the environment, no cookies, no decompression, and no retries beyond the one that
//! [`upstream`](super) explains.

use super::outage::Outage;
use super::request::POLL_GRACE;
use super::thingsboard::{Call, Method};
use super::{Error, Settings, SettingsError};
use bytes::{Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

/// The longest reply that is read, in bytes, unless a request says otherwise. Attribute answers are a few KiB;
/// what is larger would not fit a device either.
pub(super) const MAX_REPLY: usize = 256 * 1024;

/// How long a connection may be idle in the pool: shorter than servers and proxies wait (Tomcat 20 to 60 s,
/// HAProxy as ThingsBoard ships it 50 s), so that they seldom close one that we are about to use. Long enough
/// for one poll's connection to serve the next: in a fleet, some poll begins at any moment.
const POOL_IDLE: Duration = Duration::from_secs(10);

/// The most that connecting may take, so that a server that is gone is told from one that is slow.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A pool of connections to one base URL.
pub(super) struct Client {
    http: reqwest::Client,
    /// Without a slash at its end.
    base: String,
    timeout: Duration,
    /// Shared by all clients of one ThingsBoard.
    outage: Arc<Outage>,
}

/// What came back, not yet judged.
pub(super) struct Reply {
    pub(super) status: u16,
    /// Its body, unless that is larger than the call allows.
    pub(super) body: Option<Bytes>,
}

impl Client {
    /// `most`: how many exchanges there will be at once, and so how many connections are worth keeping.
    pub(super) fn new(
        settings: &Settings,
        most: usize,
        outage: Arc<Outage>,
    ) -> Result<Self, SettingsError> {
        let base = base_url(&settings.url)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("coaps-gateway/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT.min(settings.timeout / 2))
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(most)
            .tcp_nodelay(true);
        if let Some(pem) = &settings.ca {
            builder = builder.tls_certs_only(trust_anchors(pem)?);
        } else if base.scheme() == "http" {
            // Nothing to verify: the gateway starts on a system without certificates of its own.
            builder = builder.tls_certs_only([]);
        }
        // With the settings checked, the system's trust store is all that can fail.
        let http = builder
            .build()
            .map_err(|error| SettingsError::NoTrustAnchors(reason(&error)))?;
        Ok(Client {
            http,
            base: base.as_str().trim_end_matches('/').to_owned(),
            timeout: settings.timeout,
            outage,
        })
    }

    /// One request and its reply, within its time. Dropping this closes the connection.
    pub(super) async fn exchange(&self, call: Call) -> Result<Reply, Error> {
        let (poll, most) = (call.poll, call.largest_reply);
        let deadline = poll.map_or(self.timeout, |poll| poll.saturating_add(POLL_GRACE));
        match tokio::time::timeout(deadline, attempt(self.begin(call), most)).await {
            Ok(Ok(reply)) => {
                self.reached();
                Ok(reply)
            }
            Ok(Err(error)) => Err(self.failed(&error, poll.is_some())),
            Err(_elapsed) => Err(Error::Timeout),
        }
    }

    /// The exchange as the library has it, ready to wait. Made outside of what waits: that has room for all it
    /// ever holds, thousands of times.
    fn begin(&self, call: Call) -> impl Future<Output = reqwest::Result<Response>> + use<> {
        let url = [self.base.as_str(), call.target.as_str()].concat();
        let request = match call.method {
            Method::Get => self.http.get(url),
            Method::Post => self
                .http
                .post(url)
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(call.body),
        };
        request.send()
    }

    fn reached(&self) {
        if self.outage.reached() {
            tracing::info!("ThingsBoard answers again");
        }
    }

    fn failed(&self, error: &reqwest::Error, is_poll: bool) -> Error {
        let decision = decide(error);
        // A long poll that breaks off may be a proxy's doing, which ends what is silent for long. Should it
        // be an outage, the next poll finds no connection.
        let tells = error.is_connect() || !is_poll;
        if decision == Error::Unreachable && tells && self.outage.failed() {
            tracing::warn!(reason = reason(error), "ThingsBoard can't be reached");
        }
        decision
    }
}

async fn attempt(
    response: impl Future<Output = reqwest::Result<Response>>,
    most: usize,
) -> reqwest::Result<Reply> {
    let mut response = response.await?;
    let status = response.status().as_u16();
    let body = match read(&mut response, most).await {
        Ok(body) => body,
        // A refusal stays one when its explanation breaks off.
        Err(_) if (400..=599).contains(&status) => Some(Bytes::new()),
        Err(error) => return Err(error),
    };
    Ok(Reply { status, body })
}

/// Reads a body up to the bound; `None` if there is more.
async fn read(response: &mut Response, most: usize) -> reqwest::Result<Option<Bytes>> {
    // An announced length is only good for refusing early.
    if response
        .content_length()
        .is_some_and(|length| usize::try_from(length).is_ok_and(|l| l > most))
    {
        return Ok(None);
    }
    let Some(first) = response.chunk().await? else {
        return Ok(Some(Bytes::new()));
    };
    let mut body = BytesMut::from(first);
    while body.len() <= most {
        match response.chunk().await? {
            Some(chunk) => body.extend_from_slice(&chunk),
            None => return Ok(Some(body.freeze())),
        }
    }
    Ok(None)
}

/// Which decision a failed exchange asks for.
fn decide(error: &reqwest::Error) -> Error {
    // Connecting comes first: its own timeout means that nothing was sent.
    if error.is_connect() {
        return Error::Unreachable;
    }
    if error.is_timeout() {
        return Error::Timeout;
    }
    // The library tells a stream that ended from one that is no HTTP only deep down.
    let mut source = error.source();
    while let Some(cause) = source {
        let nonsense = cause
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_parse)
            || cause.downcast_ref::<std::io::Error>().is_some_and(|io| {
                matches!(io.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData)
            });
        if nonsense {
            return Error::Unintelligible("it is not HTTP");
        }
        source = cause.source();
    }
    Error::Unreachable
}

/// What happened, for the log. The library's outermost error names the URL, and with it the token, so only
/// its causes are told: they know addresses and certificates, but no path.
fn reason(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let separator = if text.is_empty() { "" } else { ": " };
        // Writing to a String can't fail.
        let _ = write!(text, "{separator}{cause}");
        source = cause.source();
    }
    text
}

fn base_url(text: &str) -> Result<reqwest::Url, SettingsError> {
    let url = reqwest::Url::parse(text).map_err(|error| SettingsError::Url(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(SettingsError::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SettingsError::Credentials);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(SettingsError::QueryOrFragment);
    }
    Ok(url)
}

/// Reads the CA file, so that a mistake in it is found now and not at the first handshake.
fn trust_anchors(pem: &[u8]) -> Result<Vec<reqwest::Certificate>, SettingsError> {
    let mut anchors = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem) {
        let number = anchors.len() + 1;
        let der =
            der.map_err(|error| SettingsError::Ca(format!("certificate {number}: {error}")))?;
        webpki::anchor_from_trusted_cert(&der)
            .map_err(|error| SettingsError::Ca(format!("certificate {number}: {error}")))?;
        let anchor = reqwest::Certificate::from_der(&der)
            .map_err(|_| SettingsError::Ca(format!("certificate {number} can't be read")))?;
        anchors.push(anchor);
    }
    if anchors.is_empty() {
        return Err(SettingsError::Ca(
            "it holds no certificate (-----BEGIN CERTIFICATE-----)".to_owned(),
        ));
    }
    Ok(anchors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Settings {
        Settings {
            url: url.to_owned(),
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

    fn refused(url: &str) -> SettingsError {
        client(&settings(url)).err().unwrap()
    }

    #[test]
    fn a_base_url_may_have_a_path_before_the_api() {
        assert_eq!(
            client(&settings("http://tb:8080")).unwrap().base,
            "http://tb:8080"
        );
        assert_eq!(
            client(&settings("http://tb:8080/")).unwrap().base,
            "http://tb:8080"
        );
        assert_eq!(
            client(&settings("http://tb/a/b/")).unwrap().base,
            "http://tb/a/b"
        );
        assert_eq!(
            client(&settings("http://[::1]:8080")).unwrap().base,
            "http://[::1]:8080"
        );
    }

    #[test]
    fn an_unusable_url_is_refused_with_the_reason() {
        assert!(matches!(refused("thingsboard"), SettingsError::Url(_)));
        assert!(matches!(refused(""), SettingsError::Url(_)));
        assert!(matches!(refused("http://"), SettingsError::Url(_)));
        assert_eq!(refused("tb:8080"), SettingsError::Scheme("tb".to_owned()));
        assert_eq!(
            refused("mqtt://tb:1883"),
            SettingsError::Scheme("mqtt".to_owned())
        );
        assert_eq!(refused("http://tb/?a=b"), SettingsError::QueryOrFragment);
        assert_eq!(refused("http://tb/#top"), SettingsError::QueryOrFragment);
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_not_repeated() {
        for url in [
            "http://admin:hunter2@tb",
            "http://hunter2@tb",
            "http://admin:hunter2@tb:port",
        ] {
            let error = refused(url);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
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
