//! What is shared with other gateways.

use crate::group::report::{GroupReport, Refused};
use crate::metrics::{Scrape, bool_gauge, level};
use replicas::Counters;

/// Without `state.url` all are zero.
pub(super) fn expose(scrape: &mut Scrape, report: &GroupReport) {
    let GroupReport {
        counters,
        refused,
        node,
        members,
        saved,
        is_store_away,
        is_suspended,
    } = *report;
    scrape.gauge(
        "coaps_gateway_group_sessions",
        "Sessions that other gateways can go on with, or will be able to",
        level(members),
    );
    scrape.gauge(
        "coaps_gateway_group_unprotected_sessions",
        "Of these, those that are not in the store of the group yet: they end with this gateway",
        level(members.saturating_sub(saved)),
    );
    scrape.gauge(
        "coaps_gateway_group_node",
        "This gateway's number, the first byte of the connection IDs that it gives out; -1 before it has reached the store",
        node.map_or(-1.0, f64::from),
    );
    scrape.gauge(
        "coaps_gateway_group_store_away",
        "1 while the store of the group can't be reached",
        bool_gauge(is_store_away),
    );
    scrape.gauge(
        "coaps_gateway_group_suspended",
        "1 while this gateway does not serve those sessions, as another one may",
        bool_gauge(is_suspended),
    );
    expose_counters(scrape, &counters);
    let Refused {
        not_served,
        held,
        too_large,
        not_taken_over,
    } = refused;
    let sessions = [
        ("row_too_large", too_large),
        ("not_accepted", not_taken_over),
    ];
    scrape.counters_by(
        "coaps_gateway_group_refused",
        "Sessions that were not written to the store, or were not gone on with: their device has left the registry, for instance",
        "reason",
        sessions,
    );
    let messages = [("another_may_serve", not_served), ("row_awaited", held)];
    scrape.counters_by(
        "coaps_gateway_group_messages_dropped",
        "Messages to devices that were dropped: another gateway may serve the session, or too many waited for its row",
        "reason",
        messages,
    );
}

fn expose_counters(scrape: &mut Scrape, counters: &Counters) {
    let Counters {
        taken_over,
        lost,
        superseded,
        claims,
        failed_calls,
        refused_calls,
        forwarded,
        received,
        bad_frames,
        dropped,
        strangers,
        bad_rows,
        refused_addresses,
    } = *counters;
    let moved = [
        ("taken_over", taken_over),
        ("given_up", lost),
        ("superseded", superseded),
    ];
    scrape.counters_by(
        "coaps_gateway_group_moves",
        "Sessions that came from another gateway, went to one, or ended for a newer one of their device there",
        "kind",
        moved,
    );
    let calls = [
        ("claim", claims),
        ("failed", failed_calls),
        ("not_made", refused_calls),
    ];
    scrape.counters_by(
        "coaps_gateway_group_store_calls",
        "Look-ups of sessions in the store of the group; calls that failed, and those that were not made as too many were under way",
        "kind",
        calls,
    );
    let datagrams = [
        ("sent", forwarded),
        ("received", received),
        ("dropped", dropped),
        ("no_session", strangers),
        ("bad_frame", bad_frames),
    ];
    scrape.counters_by(
        "coaps_gateway_group_datagrams",
        "Datagrams of devices that were passed on to another gateway or came from one, were dropped while they waited, or were of no session; and what was no frame of a gateway of the group",
        "kind",
        datagrams,
    );
    let unreadable = [("row", bad_rows), ("address_no_place", refused_addresses)];
    scrape.counters_by(
        "coaps_gateway_group_store_problems",
        "Rows in the store of the group that could not be decrypted, and addresses of sessions for which there was no place",
        "kind",
        unreadable,
    );
}
