//! Dates of certificates and lists, comparable with a clock and readable in a message.

use crate::shown::is_visible;
use rustls_pki_types::UnixTime;
use std::fmt;
use time::OffsetDateTime;
use x509_parser::x509::X509Name;

/// A point in time as certificates have them: seconds before or after 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// From seconds since 1970.
    pub fn from_seconds(seconds: i64) -> Self {
        Moment(seconds)
    }

    /// In seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.0
    }

    /// As chains are verified at; what lies before 1970 becomes 1970.
    pub fn unix(self) -> UnixTime {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            u64::try_from(self.0).unwrap_or(0),
        ))
    }

    /// Whole days from this to `later`, negative if that has been.
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

/// From when to when a certificate is valid, both ends included (RFC 5280 §4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// notBefore.
    pub not_before: Moment,
    /// notAfter.
    pub not_after: Moment,
}

impl Period {
    pub(super) fn of(validity: &x509_parser::certificate::Validity) -> Self {
        Period {
            not_before: Moment(validity.not_before.timestamp()),
            not_after: Moment(validity.not_after.timestamp()),
        }
    }

    /// The moment within the period that is closest to `now`.
    pub(super) fn closest(&self, now: Moment) -> Moment {
        // Not `clamp`, which panics when a certificate ends before it begins.
        now.min(self.not_after).max(self.not_before)
    }
}

/// What ends on a day that someone should know of before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A certificate of `clients.trust_anchors`, root or intermediate.
    TrustAnchor,
    /// A list of `clients.revocation_lists`: its successor is due. It counts on.
    RevocationList,
    /// The gateway's own certificate.
    Server,
}

/// One thing that ends, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// What it is.
    pub what: What,
    /// The certificate's subject or the list's issuer: short, without control characters. It need not be unique.
    pub name: String,
    /// Its last moment.
    pub at: Moment,
}

/// A name as logs and metrics show it: at most 64 characters, all of them visible (no control or bidirectional ones).
pub(super) fn shown(name: &X509Name<'_>) -> String {
    let plain = |c: char| if is_visible(c) { c } else { '\u{fffd}' };
    name.to_string().chars().take(64).map(plain).collect()
}
