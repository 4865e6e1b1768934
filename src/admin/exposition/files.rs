//! Reloads of files, and when certificates expire.

use crate::credentials::{Expiry, ExpiryKind};
use crate::metrics::{Label, Scrape};
use crate::reload::file_status::FileStatus;
use std::borrow::Cow;

const DAY: f64 = 24.0 * 3600.0;

pub(super) fn expose(scrape: &mut Scrape, files: &FileStatus, now: i64) {
    let sources = [
        ("registry", files.registry),
        ("server", files.server),
        ("clients", files.clients),
        ("upstream", files.upstream),
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
        "Reloads of changed files: accepted, or refused because of mistakes",
        counts,
    );
    let last = sources.iter().filter_map(|(source, reloads)| {
        let at = reloads.last_accepted?;
        Some((*source, seconds(at)))
    });
    scrape.gauges_by(
        "coaps_gateway_last_reload_timestamp_seconds",
        "When a file was accepted last, in Unix time",
        "source",
        last,
    );
    let ends = files.ends();
    let ends = ends.iter();
    scrape.gauges(
        "coaps_gateway_certificate_end_timestamp_seconds",
        "When a certificate or revocation list expires, in Unix time",
        ends.clone()
            .map(|end| (labels(end), seconds(end.at.seconds()))),
    );
    scrape.gauges(
        "coaps_gateway_certificate_days_left",
        "Days until a certificate or revocation list expires; negative if it has expired",
        ends.map(|end| {
            (
                labels(end),
                seconds(end.at.seconds().saturating_sub(now)) / DAY,
            )
        }),
    );
}

fn labels(end: &Expiry) -> Vec<Label> {
    let what = match end.kind {
        ExpiryKind::Server => "server",
        ExpiryKind::TrustAnchor => "trust_anchor",
        ExpiryKind::RevocationList => "revocation_list",
        ExpiryKind::UpstreamClient => "upstream_client",
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
