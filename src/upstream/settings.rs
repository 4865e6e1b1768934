//! Where ThingsBoard is, and how long we wait for it.

use super::BaseUrl;
use std::time::Duration;

/// What `[upstream]` says. [`ThingsBoard::new`](super::ThingsBoard::new) judges it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where its device API is.
    pub url: BaseUrl,
    /// PEM of the certificates that may sign the upstream's. With them, no others are trusted;
    /// without, those of the operating system are.
    pub ca: Option<Vec<u8>>,
    /// For one request as a whole: connecting, sending, and the answer to its last byte. More than zero. A
    /// long poll has its own timeout and ten seconds.
    pub timeout: Duration,
    /// Requests of devices at once, 1 or more. What comes beyond is refused at once as
    /// [`Error::Overloaded`](super::Error).
    pub max_in_flight: usize,
    /// Long polls and the gateway's own reads at once, 1 or more, on connections of their own. What comes
    /// beyond is refused as well.
    pub max_downlink: usize,
    /// Requests about packages at once, 1 or more, on connections of their own. What comes beyond is refused as
    /// well.
    pub max_packages: usize,
}

/// A setting that can't work. The texts name no value: an URL may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The URL has a host or path that HTTP or TLS can't express.
    #[error("the URL can't be used ({0}); write it like http://thingsboard.example:8080")]
    Url(String),
    /// The PEM is broken, or holds no certificate, or one that can't be a trust anchor.
    #[error("the CA file is not usable: {0}")]
    Ca(String),
    /// `https` without a CA of one's own, and the system has none either.
    #[error(
        "no trusted certificates for https ({0}); install the system's (Debian: ca-certificates) or name a CA file"
    )]
    NoTrustAnchors(String),
    /// No time at all.
    #[error("the timeout is zero; give ThingsBoard some seconds")]
    ZeroTimeout,
    /// No request at all.
    #[error("max_in_flight is zero; at least one request must be possible")]
    ZeroInFlight,
    /// No poll at all.
    #[error("max_downlink is zero; at least one long poll must be possible")]
    ZeroDownlink,
    /// No package at all.
    #[error("max_packages is zero; at least one request for a package must be possible")]
    ZeroPackages,
}
