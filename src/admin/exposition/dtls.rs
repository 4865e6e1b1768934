//! Handshakes and datagrams.

use crate::dtls::Counters;
use crate::gateway::report::Levels;
use crate::gateway::stats::handshakes::Handshakes;
use crate::metrics::{Scrape, level};

/// Datagrams that the DTLS layer does not count.
pub(super) struct OutsideDtls {
    /// Those that the kernel did not take.
    pub(super) unsent: u64,
    /// Those beyond their device's share of the loop.
    pub(super) over_share: u64,
}

pub(super) fn expose(
    scrape: &mut Scrape,
    dtls: &Counters,
    handshakes: &Handshakes,
    levels: &Levels,
    outside: OutsideDtls,
) {
    let Counters {
        datagrams_received,
        datagrams_sent,
        // coaps_gateway_handshakes
        handshakes_completed: _,
        handshakes_failed: _,
        sessions_full: _,
        not_dtls,
        no_session,
        without_effect,
        records_not_due,
        over_hello_budget,
        cookies_sent,
        unknown_cookies,
        over_address_budget,
        pending_expired,
        half_open_full,
        unproven_evicted,
        proven_evicted,
        buffers_evicted,
        unproven_expired,
        unproven_failed,
        amplification_avoided,
        engine_failures,
        malformed_hellos,
        moved,
        unproven_path_dropped,
        unproven_path_expired,
        unproven_paths_full,
        hellos_while_closed,
    } = *dtls;
    scrape.gauge(
        "coaps_gateway_handshakes_half_open",
        "Half-open handshakes",
        level(levels.half_open),
    );
    scrape.gauge(
        "coaps_gateway_handshakes_waiting",
        "Clients with a cookie that wait for their handshake to begin",
        level(levels.waiting),
    );
    scrape.counters_by(
        "coaps_gateway_handshakes",
        "Handshakes by how they ended",
        "outcome",
        handshakes.outcomes.counts(),
    );
    scrape.counter(
        "coaps_gateway_cookies_sent",
        "ClientHellos answered with a stateless cookie",
        cookies_sent,
    );
    scrape.counters_by(
        "coaps_gateway_handshakes_dropped",
        "Handshakes dropped before the client had sent a certificate",
        "reason",
        [
            ("unproven_expired", unproven_expired),
            ("unproven_failed", unproven_failed),
            ("unproven_evicted", unproven_evicted),
            ("proven_evicted", proven_evicted),
            ("buffers_evicted", buffers_evicted),
            ("pending_expired", pending_expired),
        ],
    );
    scrape.counter(
        "coaps_gateway_sessions_moved",
        "Changes of a client's address in an established session",
        moved,
    );
    scrape.counters_by(
        "coaps_gateway_datagrams",
        "Datagrams received and sent",
        "direction",
        [("received", datagrams_received), ("sent", datagrams_sent)],
    );
    scrape.counter(
        "coaps_gateway_datagrams_unsent",
        "Datagrams that the kernel did not take: its buffer was full, or there was no route",
        outside.unsent,
    );
    scrape.counters_by(
        "coaps_gateway_datagrams_dropped",
        "Dropped datagrams, received ones and replies",
        "reason",
        [
            ("not_dtls", not_dtls),
            ("no_session", no_session),
            ("without_effect", without_effect),
            ("not_due", records_not_due),
            ("hello_budget", over_hello_budget),
            ("unknown_cookie", unknown_cookies),
            ("address_budget", over_address_budget),
            ("half_open_full", half_open_full),
            ("amplification", amplification_avoided),
            ("engine_failure", engine_failures),
            ("malformed_hello", malformed_hellos),
            ("unproven_path", unproven_path_dropped),
            ("unproven_path_expired", unproven_path_expired),
            ("unproven_paths_full", unproven_paths_full),
            ("draining", hellos_while_closed),
            ("device_share", outside.over_share),
        ],
    );
}
