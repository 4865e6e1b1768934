//! The settings of `[upstream]`.

use super::BaseUrl;
use std::time::Duration;

/// Checked by [`ThingsBoard::new`](super::ThingsBoard::new).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where its device API is.
    pub url: BaseUrl,
    /// PEM of the trust anchors for the server's certificate. `None`: those of the operating system.
    pub ca: Option<Vec<u8>>,
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
    #[error("the timeout is zero; give ThingsBoard some seconds")]
    ZeroTimeout,
    #[error("max_in_flight is zero; at least one request must be possible")]
    ZeroInFlight,
    #[error("max_downlink is zero; at least one long poll must be possible")]
    ZeroDownlink,
    #[error("max_packages is zero; at least one request for a package must be possible")]
    ZeroPackages,
}
