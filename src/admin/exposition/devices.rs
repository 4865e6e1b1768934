//! Devices: sessions, handshakes, datagrams.

use crate::gateway::report::Report;
use crate::metrics::{Scrape, level};

/// Adds them.
pub(super) fn expose(scrape: &mut Scrape, report: &Report) {
    let levels = &report.levels;
    scrape.gauge(
        "coaps_gateway_devices_registered",
        "Devices in the registry",
        level(levels.devices),
    );
    let registered = levels.sessions.saturating_sub(levels.unregistered_sessions);
    scrape.gauges_by(
        "coaps_gateway_sessions",
        "Established sessions, by whether their certificate is registered",
        "certificate",
        [
            ("registered", level(registered)),
            ("unregistered", level(levels.unregistered_sessions)),
        ],
    );
    scrape.counters_by(
        "coaps_gateway_sessions_ended",
        "Sessions that have ended",
        "reason",
        report.handshakes.ends.counts(),
    );
    let gateway = &report.gateway;
    scrape.counters_by(
        "coaps_gateway_sessions_closed",
        "Of the sessions that ended as closed: why the gateway did so, where it counts it",
        "reason",
        [
            ("sessions_per_device", gateway.sessions_displaced),
            ("unregistered_sessions", gateway.unregistered_displaced),
            ("no_longer_accepted", gateway.sessions_revoked),
        ],
    );
    scrape.counter(
        "coaps_gateway_sessions_unregistered",
        "Sessions whose device is no longer registered",
        gateway.sessions_unregistered,
    );
    handshakes(scrape, report);
    datagrams(scrape, report);
}

fn handshakes(scrape: &mut Scrape, report: &Report) {
    scrape.gauge(
        "coaps_gateway_handshakes_half_open",
        "Handshakes under way",
        level(report.levels.half_open),
    );
    scrape.gauge(
        "coaps_gateway_handshakes_waiting",
        "Clients with a cookie that wait for a handshake to begin",
        level(report.levels.waiting),
    );
    scrape.counters_by(
        "coaps_gateway_handshakes",
        "Handshakes by how they ended",
        "outcome",
        report.handshakes.outcomes.counts(),
    );
    let dtls = &report.dtls;
    scrape.counter(
        "coaps_gateway_cookies_given",
        "ClientHellos answered with a cookie, of which nothing is kept",
        dtls.cookies_given,
    );
    scrape.counters_by(
        "coaps_gateway_handshakes_given_up",
        "Handshakes given up before their peer had shown a certificate",
        "reason",
        [
            ("unproven_expired", dtls.unproven_expired),
            ("unproven_failed", dtls.unproven_failed),
            ("unproven_displaced", dtls.unproven_displaced),
            ("proven_displaced", dtls.proven_displaced),
            ("held_too_much", dtls.holders_displaced),
            ("waited_too_long", dtls.guests_gone),
        ],
    );
}

fn datagrams(scrape: &mut Scrape, report: &Report) {
    let dtls = &report.dtls;
    scrape.counters_by(
        "coaps_gateway_datagrams",
        "Datagrams",
        "direction",
        [
            ("received", dtls.datagrams_received),
            ("sent", dtls.datagrams_sent),
        ],
    );
    scrape.counter(
        "coaps_gateway_datagrams_unsent",
        "Datagrams that the kernel did not take: its buffer was full, or there was no way to the peer",
        report.unsent,
    );
    scrape.counters_by(
        "coaps_gateway_datagrams_dropped",
        "Datagrams and answers dropped",
        "reason",
        [
            ("not_dtls", dtls.not_dtls),
            ("no_session", dtls.no_session),
            ("without_effect", dtls.without_effect),
            ("not_due", dtls.records_not_due),
            ("hello_budget", dtls.over_hello_budget),
            ("unknown_cookie", dtls.unknown_cookies),
            ("address_budget", dtls.over_address_budget),
            ("half_open_full", dtls.half_open_full),
            ("amplification", dtls.amplification_avoided),
            ("engine_failure", dtls.engine_failures),
            ("draining", dtls.hellos_while_closed),
            ("device_share", report.gateway.datagrams_over_share),
        ],
    );
}
