//! Calls to ThingsBoard.

use crate::gateway::report::Levels;
use crate::gateway::stats::Counters;
use crate::gateway::stats::upstream_calls::{CallKind, Ended};
use crate::metrics::{Label, Scrape, bool_gauge, level};
use std::borrow::Cow;

pub(super) fn expose(
    scrape: &mut Scrape,
    calls: &[(CallKind, Ended)],
    gateway: &Counters,
    levels: &Levels,
    reachable: bool,
) {
    scrape.gauge(
        "coaps_gateway_upstream_reachable",
        "1 if ThingsBoard answered the last check, which is at most 5 seconds old",
        bool_gauge(reachable),
    );
    let ended = calls.iter().flat_map(|(kind, ended)| {
        ended.outcomes.counts().map(|(outcome, count)| {
            let labels: Vec<Label> = vec![
                ("kind", Cow::Borrowed(kind.name())),
                ("outcome", Cow::Borrowed(outcome)),
            ];
            (labels, count)
        })
    });
    scrape.counters(
        "coaps_gateway_upstream_calls",
        "Ended calls to ThingsBoard, by kind and by how they ended; replies of the gateway to commands are of kind read",
        ended,
    );
    let durations = calls
        .iter()
        .filter(|(kind, _)| *kind != CallKind::Poll)
        .map(|(kind, ended)| (kind.name(), ended.durations));
    scrape.histograms_by(
        "coaps_gateway_upstream_call_duration_seconds",
        "Duration of calls to ThingsBoard, except long polls",
        "kind",
        durations,
    );
    scrape.gauges_by(
        "coaps_gateway_upstream_calls_open",
        "Open calls to ThingsBoard",
        "kind",
        [
            (CallKind::Request.name(), level(levels.in_flight)),
            (CallKind::Poll.name(), level(levels.polls)),
            (CallKind::Read.name(), level(levels.reads)),
            (CallKind::Package.name(), level(levels.package_calls)),
        ],
    );
    scrape.counter(
        "coaps_gateway_upstream_calls_aborted",
        "Calls to ThingsBoard aborted because their session had ended",
        gateway.calls_given_up,
    );
    scrape.counter(
        "coaps_gateway_completions_too_late",
        "Answers of ThingsBoard to requests whose session had ended",
        gateway.completions_too_late,
    );
}
