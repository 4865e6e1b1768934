//! A report as metrics: names, labels and help texts.
//!
//! Every name begins with `coaps_gateway_`. Labels have few values that are all known beforehand, except the names of
//! certificates, which the operator chooses. `docs/metrics.md` lists all of this; a test compares them.
//!
//! Reports and counters are taken apart without `..`, so that a new one that is not exposed fails to compile, or is an
//! unused variable. `_` stands where a count is exposed under another name; the comment says which.

mod coap;
mod dtls;
mod files;
mod group;
mod mqtt;
mod packages;
mod relay;
mod requests;
mod sessions;
mod state;
mod upstream;

use crate::admin;
use crate::gateway::report::{Bound, Levels, Report, State};
use crate::metrics::{Scrape, bool_gauge, level, process};
use crate::reload::file_status::FileStatus;

/// What metrics need in addition to the report.
#[derive(Debug)]
pub(crate) struct ScrapeContext {
    /// Whether ThingsBoard answered the last check.
    pub(crate) upstream_reachable: bool,
    pub(crate) files: FileStatus,
    pub(crate) admin: admin::Counters,
    /// Seconds since 1970.
    pub(crate) now: i64,
}

pub(crate) fn scrape(report: &Report, context: &ScrapeContext) -> Scrape {
    let Report {
        state: stage,
        dtls: dtls_counters,
        coap: coap_counters,
        gateway,
        relay: relay_counters,
        packages: package_counters,
        levels,
        unsent,
        handshakes,
        answers,
        unanswered,
        mqtt: mqtt_counters,
        stored,
        group: group_report,
        upstream: upstream_calls,
        bounds: all_bounds,
        bounds_reached,
        suppressed,
    } = report;
    let mut scrape = Scrape::default();
    process(&mut scrape);
    sessions::expose(&mut scrape, gateway, handshakes, levels);
    dtls::expose(
        &mut scrape,
        dtls_counters,
        handshakes,
        levels,
        dtls::OutsideDtls {
            unsent: *unsent,
            over_share: gateway.datagrams_over_share,
        },
    );
    state::expose(&mut scrape, &stored.unwrap_or_default());
    group::expose(&mut scrape, &group_report.unwrap_or_default());
    requests::expose(
        &mut scrape,
        gateway,
        answers,
        *unanswered,
        coap_counters.too_many_exchanges,
    );
    coap::expose(&mut scrape, coap_counters);
    upstream::expose(
        &mut scrape,
        upstream_calls,
        gateway,
        levels,
        context.upstream_reachable,
    );
    mqtt::expose(
        &mut scrape,
        &mqtt_counters.unwrap_or_default(),
        &levels.observations,
    );
    relay::expose(
        &mut scrape,
        relay_counters,
        coap_counters,
        &levels.observations,
    );
    packages::expose(&mut scrape, package_counters, levels);
    scrape.gauge(
        "coaps_gateway_draining",
        "1 while the gateway stops and accepts no handshakes",
        bool_gauge(*stage == State::Draining),
    );
    bounds(&mut scrape, all_bounds, bounds_reached);
    queues(&mut scrape, levels);
    files::expose(&mut scrape, &context.files, context.now);
    scrape.counter(
        "coaps_gateway_log_lines_suppressed",
        "Log lines about handshakes and sessions that were suppressed because similar ones were logged recently",
        *suppressed,
    );
    admin_server(&mut scrape, &context.admin);
    scrape
}

fn bounds(scrape: &mut Scrape, bounds: &[Bound], reached: &[(&'static str, u64)]) {
    let gauges = |value: fn(&Bound) -> usize| {
        let gauge = move |bound: &Bound| (bound.key, level(value(bound)));
        bounds.iter().map(gauge)
    };
    scrape.gauges_by(
        "coaps_gateway_bound_used",
        "Current amount of what a configuration key bounds",
        "bound",
        gauges(|bound| bound.used),
    );
    scrape.gauges_by(
        "coaps_gateway_bound",
        "The bound that a configuration key sets",
        "bound",
        gauges(|bound| bound.limit),
    );
    scrape.counters_by(
        "coaps_gateway_bound_reached",
        "How often something was refused or evicted because a bound was reached",
        "bound",
        reached.iter().copied(),
    );
}

fn queues(scrape: &mut Scrape, levels: &Levels) {
    let Levels {
        open_requests,
        completions_waiting,
        reads_waiting,
        blocks_waiting,
        to_review,
        timers,
        observations,
        // sessions::expose
        sessions: _,
        unregistered_sessions: _,
        devices: _,
        // dtls::expose
        half_open: _,
        waiting: _,
        // upstream::expose
        in_flight: _,
        polls: _,
        reads: _,
        package_calls: _,
        // packages::expose
        package_readers: _,
        package_editions: _,
        package_own_bytes: _,
    } = levels;
    scrape.gauges_by(
        "coaps_gateway_queue_length",
        "Lengths of the gateway's queues, its open requests and its timers",
        "queue",
        [
            ("requests", level(*open_requests)),
            ("completions", level(*completions_waiting)),
            ("commands", level(observations.commands_queued)),
            ("reads", level(*reads_waiting)),
            ("blocks", level(*blocks_waiting)),
            ("sessions_to_review", level(*to_review)),
            ("timers", level(*timers)),
        ],
    );
}

fn admin_server(scrape: &mut Scrape, counters: &admin::Counters) {
    let admin::Counters {
        requests,
        evicted,
        refused,
    } = *counters;
    scrape.counter(
        "coaps_gateway_admin_requests",
        "Requests to listen.admin",
        requests,
    );
    scrape.counters_by(
        "coaps_gateway_admin_connections_closed",
        "Connections to listen.admin closed because there were too many: the oldest idle one (evicted), or the newest (refused)",
        "reason",
        [("evicted", evicted), ("refused", refused)],
    );
}
