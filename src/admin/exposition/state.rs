//! What is stored, so that it outlives the process.

use crate::gateway::report::StateReport;
use crate::metrics::{Scrape, bool_gauge, level};

/// Without `state.directory` all are zero.
pub(super) fn expose(scrape: &mut Scrape, state: &StateReport) {
    let StateReport {
        store,
        restored,
        too_large,
    } = state;
    let state_store::Report {
        pending,
        refused,
        commits,
        changes,
        failed_commits,
        is_failing,
    } = *store;
    scrape.gauge(
        "coaps_gateway_state_pending",
        "Changes of what is stored that are not on disk yet",
        level(pending),
    );
    scrape.counter(
        "coaps_gateway_state_refused",
        "Changes that waited longer because too many were not on disk yet",
        refused,
    );
    scrape.counter(
        "coaps_gateway_state_changes",
        "Changes of what is stored that are on disk",
        changes,
    );
    scrape.counter(
        "coaps_gateway_state_commits",
        "Commits to state.directory, each of all changes of half a second",
        commits,
    );
    scrape.counter(
        "coaps_gateway_state_failed_commits",
        "Commits to state.directory that failed, and are tried again",
        failed_commits,
    );
    scrape.counter(
        "coaps_gateway_state_too_large",
        "Rows and records that are not stored because they are too large",
        *too_large,
    );
    scrape.gauge(
        "coaps_gateway_state_failing",
        "1 while nothing can be written to state.directory",
        bool_gauge(is_failing),
    );
    scrape.counter(
        "coaps_gateway_sessions_restored",
        "Sessions of the process before that were stored and go on",
        restored.sessions,
    );
    scrape.counters_by(
        "coaps_gateway_sessions_not_restored",
        "Stored sessions that do not go on, by why",
        "reason",
        restored
            .not_restored()
            .map(|(why, count)| (why.name(), count)),
    );
}
