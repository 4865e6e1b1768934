//! Warnings about the gateway's own certificates and keys.

use super::reader::Reader;
use crate::credentials::{Moment, Period};
use rustls_pki_types::UnixTime;

/// Days before a certificate's end from which a warning says so.
const SOON: i64 = 30;

/// Warns of a certificate that is not valid now, or will soon not be. `peers`: those that will refuse it.
pub(super) fn warn_of_dates(
    reader: &mut Reader,
    key: &str,
    path: &str,
    period: Period,
    now: UnixTime,
    peers: &str,
) {
    let now = Moment::from(now);
    let days = now.days_until(period.not_after);
    let dates = if now > period.not_after {
        Some(format!(
            "ended on {}: {peers} will refuse it",
            period.not_after
        ))
    } else if now < period.not_before {
        let begins = period.not_before;
        Some(format!("begins on {begins} only: {peers} will refuse it"))
    } else {
        (days < SOON).then(|| format!("ends on {}, in {days} days", period.not_after))
    };
    if let Some(dates) = dates {
        reader.warn(key, format!("{path} {dates}"));
    }
}

/// Warns of a key that others than the gateway may read.
pub(super) fn warn_of_open_key(reader: &mut Reader, key: &str, path: &str) {
    let message = format!("everyone on this machine may read {path}: chmod 600 {path}");
    reader.warn(key, message);
}
