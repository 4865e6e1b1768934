//! Files: how often they were read anew, and how long their certificates are good.

use crate::dtls::credentials::{Ends, What};
use crate::metrics::{Label, Scrape};
use crate::reload::file_status::FileStatus;
use std::borrow::Cow;

const DAY: f64 = 24.0 * 3600.0;

/// Adds them.
pub(super) fn expose(scrape: &mut Scrape, files: &FileStatus, now: i64) {
    let sources = [
        ("registry", files.registry),
        ("server", files.server),
        ("clients", files.clients),
    ];
    let counts = sources.iter().flat_map(|(source, reloads)| {
        let outcomes = [("accepted", reloads.accepted), ("refused", reloads.refused)];
        outcomes.map(|(outcome, count)| {
            let labels: Vec<Label> = vec![
                ("source", Cow::Borrowed(*source)),
                ("outcome", Cow::Borrowed(outcome)),
            ];
            (labels, count)
        })
    });
    scrape.counters(
        "coaps_gateway_reloads",
        "Times a file was read anew: what it says was accepted, or refused for its mistakes",
        counts,
    );
    let last = sources.iter().filter_map(|(source, reloads)| {
        let at = reloads.last_accepted?;
        Some((*source, seconds(at)))
    });
    scrape.gauges_by(
        "coaps_gateway_last_reload_timestamp_seconds",
        "When what a file says was accepted last, in Unix time",
        "source",
        last,
    );
    let ends = files.ends();
    let ends = ends.iter();
    scrape.gauges(
        "coaps_gateway_certificate_end_timestamp_seconds",
        "When a certificate ends, or a revocation list is out of date, in Unix time",
        ends.clone()
            .map(|end| (labels(end), seconds(end.at.seconds()))),
    );
    scrape.gauges(
        "coaps_gateway_certificate_days_left",
        "Days until a certificate ends, or a revocation list is out of date; negative if that has been",
        ends.map(|end| (labels(end), seconds(end.at.seconds().saturating_sub(now)) / DAY)),
    );
}

fn labels(end: &Ends) -> Vec<Label> {
    let what = match end.what {
        What::Server => "server",
        What::TrustAnchor => "trust_anchor",
        What::RevocationList => "revocation_list",
    };
    vec![
        ("certificate", Cow::Borrowed(what)),
        ("name", Cow::Owned(end.name.clone())),
    ]
}

#[expect(clippy::as_conversions, reason = "there is no other way to a float")]
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn seconds(number: i64) -> f64 {
    number as f64
}
