//! ThingsBoard: calls by outcome and time, polls, observations, packages.

use super::yes;
use crate::gateway::report::Report;
use crate::gateway::stats::upstream_calls::CallKind;
use crate::metrics::{Label, Scrape, level};
use std::borrow::Cow;

/// Adds them.
pub(super) fn expose(scrape: &mut Scrape, report: &Report, reached: bool) {
    scrape.gauge(
        "coaps_gateway_upstream_reached",
        "1 if ThingsBoard answered when it was asked for this, 5 seconds ago at most",
        yes(reached),
    );
    calls(scrape, report);
    relays(scrape, report);
    packages(scrape, report);
}

fn calls(scrape: &mut Scrape, report: &Report) {
    let ended = report.upstream.iter().flat_map(|(kind, ended)| {
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
        "Calls to ThingsBoard that have ended, by what they were for and how they ended",
        ended,
    );
    let timed = report
        .upstream
        .iter()
        .filter(|(kind, _)| *kind != CallKind::Poll)
        .map(|(kind, ended)| (kind.name(), ended.durations));
    scrape.histograms_by(
        "coaps_gateway_upstream_call_duration_seconds",
        "How long calls to ThingsBoard took; long polls are left out",
        "kind",
        timed,
    );
    let levels = &report.levels;
    scrape.gauges_by(
        "coaps_gateway_upstream_calls_open",
        "Calls to ThingsBoard under way",
        "kind",
        [
            (CallKind::Request.name(), level(levels.in_flight)),
            (CallKind::Poll.name(), level(levels.polls)),
            (CallKind::Read.name(), level(levels.reads)),
            (CallKind::Package.name(), level(levels.package_calls)),
        ],
    );
    scrape.counter(
        "coaps_gateway_upstream_calls_given_up",
        "Calls to ThingsBoard given up because the session that asked had ended",
        report.gateway.calls_given_up,
    );
    scrape.counter(
        "coaps_gateway_completions_too_late",
        "Answers of ThingsBoard that nobody waited for any more",
        report.gateway.completions_too_late,
    );
}

fn relays(scrape: &mut Scrape, report: &Report) {
    let observations = &report.levels.observations;
    scrape.gauges_by(
        "coaps_gateway_observations",
        "Observations that stand",
        "resource",
        [
            ("attributes", level(observations.attributes)),
            ("rpc", level(observations.commands)),
        ],
    );
    scrape.gauge(
        "coaps_gateway_observations_parked",
        "Of these, those whose device does not answer: nothing is polled for them",
        level(observations.parked),
    );
    let relay = &report.relay;
    scrape.counters_by(
        "coaps_gateway_polls",
        "Long polls",
        "event",
        [("opened", relay.polls), ("failed", relay.polls_failed)],
    );
    scrape.counters_by(
        "coaps_gateway_reads",
        "Reads of all attributes of a device, for what it observes",
        "event",
        [("begun", relay.reads), ("failed", relay.reads_failed)],
    );
}

fn packages(scrape: &mut Scrape, report: &Report) {
    let (packages, levels) = (&report.packages, &report.levels);
    let waited = packages.blocks.saturating_sub(packages.blocks_at_once);
    scrape.counters_by(
        "coaps_gateway_package_blocks",
        "Blocks of packages given to devices: from the cache (hit), or after ThingsBoard was asked (miss)",
        "cache",
        [("hit", packages.blocks_at_once), ("miss", waited)],
    );
    scrape.counters_by(
        "coaps_gateway_package_refusals",
        "Requests for packages that were refused",
        "reason",
        [
            ("no_room_to_wait", packages.refused_for_want_of_room),
            (
                "other",
                packages
                    .refused
                    .saturating_sub(packages.refused_for_want_of_room),
            ),
        ],
    );
    scrape.counters_by(
        "coaps_gateway_package_chunks",
        "Chunks of packages in the cache",
        "event",
        [
            ("fetched", packages.chunks),
            ("fetched_ahead", packages.chunks_ahead),
            ("displaced", packages.chunks_displaced),
            ("disowned", packages.chunks_disowned),
        ],
    );
    scrape.counter(
        "coaps_gateway_package_fetched_bytes",
        "Bytes of packages fetched from ThingsBoard",
        packages.chunk_bytes,
    );
    scrape.counter(
        "coaps_gateway_package_checks",
        "Times it was checked what a device may have",
        packages.checks,
    );
    scrape.counters_by(
        "coaps_gateway_package_contradictions",
        "Packages given up because ThingsBoard had another content under their name",
        "reason",
        [
            ("wrong_checksum", packages.wrong_checksums),
            (
                "other",
                packages
                    .contradictions
                    .saturating_sub(packages.wrong_checksums),
            ),
        ],
    );
    scrape.counter(
        "coaps_gateway_packages_proven",
        "Packages hashed as a whole to the SHA-2 checksum that attributes name, and shared from then on",
        packages.proven,
    );
    scrape.counter(
        "coaps_gateway_package_proof_waits",
        "Requests that waited until a package that another device fetches was hashed as a whole",
        packages.waited_for_proof,
    );
    scrape.counter(
        "coaps_gateway_package_editions_displaced",
        "Editions of packages given up because there were too many",
        packages.editions_displaced,
    );
    scrape.counter(
        "coaps_gateway_package_assignment_changes",
        "Times that attributes which assign a package were seen to change, so that they are read again",
        packages.assignments_seen_to_change,
    );
    scrape.gauge(
        "coaps_gateway_package_own_bytes",
        "Bytes in the cache of packages that are for one device alone",
        level(levels.package_own_bytes),
    );
    scrape.gauge(
        "coaps_gateway_package_readers",
        "Devices, counted once for each kind of package, that something is known of",
        level(levels.package_readers),
    );
    scrape.gauge(
        "coaps_gateway_package_editions",
        "Editions of packages that are kept in mind",
        level(levels.package_editions),
    );
}
