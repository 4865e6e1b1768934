//! Dates of certificates and revocation lists.

use crate::shown::is_visible;
use rustls_pki_types::UnixTime;
use std::fmt;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

/// A point in time in seconds since 1970, UTC; negative before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    pub fn from_seconds(seconds: i64) -> Self {
        Moment(seconds)
    }

    pub fn seconds(self) -> i64 {
        self.0
    }

    /// For webpki. Moments before 1970 become 1970.
    pub fn unix(self) -> UnixTime {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            u64::try_from(self.0).unwrap_or(0),
        ))
    }

    /// Whole days from this to `later`; negative if that is earlier.
    pub fn days_until(self, later: Moment) -> i64 {
        later.0.saturating_sub(self.0).div_euclid(24 * 3600)
    }
}

impl From<UnixTime> for Moment {
    fn from(now: UnixTime) -> Self {
        Moment(i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match OffsetDateTime::from_unix_timestamp(self.0) {
            Ok(at) => {
                let (date, hour, minute) = (at.date(), at.hour(), at.minute());
                write!(
                    f,
                    "{:04}-{:02}-{:02} ",
                    date.year(),
                    u8::from(date.month()),
                    date.day()
                )?;
                write!(f, "{hour:02}:{minute:02}:{:02} UTC", at.second())
            }
            Err(_) => write!(f, "{} s after 1970", self.0),
        }
    }
}

/// The validity period of a certificate, both ends included (RFC 5280 §4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    pub not_before: Moment,
    pub not_after: Moment,
}

impl Period {
    pub(super) fn of(validity: &x509_parser::certificate::Validity) -> Self {
        Period {
            not_before: Moment(validity.not_before.timestamp()),
            not_after: Moment(validity.not_after.timestamp()),
        }
    }

    /// Of a certificate in DER. `None` if it is not X.509.
    pub(crate) fn of_certificate(der: &[u8]) -> Option<Period> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        Some(Period::of(parsed.validity()))
    }

    /// Whether a moment is within the period.
    pub(super) fn contains(&self, at: Moment) -> bool {
        self.not_before <= at && at <= self.not_after
    }

    /// The moment within the period that is closest to `now`.
    pub(super) fn clamp(&self, now: Moment) -> Moment {
        // Not `Ord::clamp`, which panics if notAfter is before notBefore.
        now.min(self.not_after).max(self.not_before)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExpiryKind {
    /// A certificate of `clients.trust_anchors`, root or intermediate.
    TrustAnchor,
    /// A list of `clients.revocation_lists`: at its nextUpdate. It is used even after that.
    RevocationList,
    Server,
    /// The gateway's certificate of `upstream.client_certificate`.
    UpstreamClient,
}

/// A certificate or revocation list, and when it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    pub kind: ExpiryKind,
    /// The certificate's subject or the list's issuer, as in [`display_name`]. Not necessarily unique.
    pub name: String,
    /// notAfter or nextUpdate.
    pub at: Moment,
}

impl Expiry {
    /// Of a certificate in DER. `None` if it is not X.509.
    pub(crate) fn of_certificate(kind: ExpiryKind, der: &[u8]) -> Option<Expiry> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        Some(Expiry {
            kind,
            name: display_name(parsed.subject()),
            at: Period::of(parsed.validity()).not_after,
        })
    }
}

/// A name for logs and metrics: at most 64 characters, invisible ones replaced (control and bidirectional ones).
pub(super) fn display_name(name: &X509Name<'_>) -> String {
    let plain = |c: char| if is_visible(c) { c } else { '\u{fffd}' };
    name.to_string().chars().take(64).map(plain).collect()
}
