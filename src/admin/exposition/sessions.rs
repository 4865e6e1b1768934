//! The registry, and established sessions.

use crate::gateway::report::Levels;
use crate::gateway::stats::Counters;
use crate::gateway::stats::handshakes::Handshakes;
use crate::metrics::{Scrape, level};

pub(super) fn expose(
    scrape: &mut Scrape,
    gateway: &Counters,
    handshakes: &Handshakes,
    levels: &Levels,
) {
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
        "Ended sessions",
        "reason",
        handshakes.ends.counts(),
    );
    scrape.counters_by(
        "coaps_gateway_sessions_closed",
        "Sessions that ended as closed, by the bound or rule for which the gateway closed them",
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
}
