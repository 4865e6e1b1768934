//! The settings of `[upstream]`.

use super::http::http2::MOST_STREAMS;
use super::http::tls::Tls;
use super::{BaseUrl, TlsFiles};
use std::time::Duration;

/// Checked by [`ThingsBoard::new`](super::ThingsBoard::new).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where its device API is.
    pub url: BaseUrl,
    /// Beside a URL of MQTT: where the HTTP device API is, for bodies that are too large for MQTT.
    pub http_url: Option<BaseUrl>,
    /// For TLS to both.
    pub tls: TlsFiles,
    /// Over HTTP: which version.
    pub http_version: HttpVersion,
    /// For one request as a whole: connecting, sending, and the answer to its last byte. More than zero. A
    /// long poll may take its own timeout and ten seconds.
    pub timeout: Duration,
    /// Concurrent requests of devices, 1 or more. More of them fail at once with
    /// [`Error::Overloaded`](super::Error).
    pub max_in_flight: usize,
    /// Concurrent long polls and reads of the gateway's own, 1 or more, on connections of their own.
    pub max_downlink: usize,
    /// Concurrent requests about packages, 1 or more, on connections of their own.
    pub max_packages: usize,
    /// Over MQTT: devices that have a connection, or want one; 1 or more.
    pub max_connections: usize,
    /// Over MQTT: connections that are opened in a second, 1 or more.
    pub connects_per_second: u32,
    /// Over MQTT: how long a connection stays open after a message of its device, if nothing is subscribed to. ThingsBoard
    /// takes a device for active as long as it is connected.
    pub alive_for: Duration,
}

/// Which version of HTTP is spoken to ThingsBoard.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// Over https HTTP/2 if the server chooses it (ALPN), else HTTP/1.1; over http HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: over http by prior knowledge (RFC 9113 §3.3), over https as the one protocol that is offered.
    Http2,
}

impl Settings {
    /// Checks that nothing is zero that must not be.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let zeros = [
            (self.timeout.is_zero(), SettingsError::ZeroTimeout),
            (self.max_in_flight == 0, SettingsError::ZeroInFlight),
            (self.max_downlink == 0, SettingsError::ZeroDownlink),
            (self.max_packages == 0, SettingsError::ZeroPackages),
            (self.max_connections == 0, SettingsError::ZeroConnections),
            (self.connects_per_second == 0, SettingsError::ZeroConnects),
        ];
        match zeros.into_iter().find(|(is_zero, _)| *is_zero) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    /// Whether a server is reached over TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.url.is_tls() || self.http_url.as_ref().is_some_and(BaseUrl::is_tls)
    }

    /// Those of the HTTP form beside MQTT.
    pub(super) fn http(&self) -> Option<Settings> {
        let url = self.http_url.clone()?;
        Some(Settings {
            url,
            http_url: None,
            ..self.clone()
        })
    }

    /// How many connections there may be at a time, if an HTTP/2 server allows as many streams as we use.
    pub fn most_connections(&self) -> usize {
        let of_lane = |calls: usize| match self.http_version {
            HttpVersion::Auto | HttpVersion::Http1 => calls,
            HttpVersion::Http2 => calls.div_ceil(MOST_STREAMS),
        };
        let requests = of_lane(self.max_in_flight).saturating_add(of_lane(self.max_packages));
        match (self.url.is_mqtt(), &self.http_url) {
            (true, None) => self.max_connections,
            (true, Some(_)) => self.max_connections.saturating_add(requests),
            (false, _) => requests.saturating_add(of_lane(self.max_downlink)),
        }
    }

    /// Those of the MQTT form.
    pub(super) fn mqtt(&self, tls: &Tls) -> super::mqtt::Settings {
        super::mqtt::Settings {
            host: self.url.host().to_owned(),
            port: self.url.port(),
            is_tls: self.url.is_tls(),
            tls: tls.clone(),
            timeout: self.timeout,
            max_in_flight: self.max_in_flight,
            max_downlink: self.max_downlink,
            max_packages: self.max_packages,
            max_connections: self.max_connections,
            connects_per_second: self.connects_per_second,
            alive_for: self.alive_for,
        }
    }
}

/// A setting that can't work. The messages repeat no value: an URL may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The URL has a host or path that HTTP or TLS can't express.
    #[error("the URL can't be used ({0}); write it like http://thingsboard.example:8080")]
    Url(String),
    /// The PEM is broken, or holds no certificate, or one that can't be a trust anchor.
    #[error("the CA file is not usable: {0}")]
    Ca(String),
    /// `https` without `ca`, and the operating system has no trust anchors.
    #[error(
        "no trusted certificates for https ({0}); install the system's (Debian: ca-certificates) or name a CA file"
    )]
    NoTrustAnchors(String),
    /// The key is of no known kind, or does not belong to the certificate.
    #[error("the client certificate is not usable: {0}")]
    ClientCertificate(String),
    #[error("the timeout is zero; give ThingsBoard some seconds")]
    ZeroTimeout,
    #[error("max_in_flight is zero; at least one request must be possible")]
    ZeroInFlight,
    #[error("max_downlink is zero; at least one long poll must be possible")]
    ZeroDownlink,
    #[error("max_packages is zero; at least one request for a package must be possible")]
    ZeroPackages,
    #[error("max_connections is zero; at least one device must be able to connect")]
    ZeroConnections,
    #[error("connects_per_second is zero; connections must be opened")]
    ZeroConnects,
}
