//! A report as metrics: what each count is called, and what it says.
//!
//! Every name begins with `coaps_gateway_`. Labels have few values that are all known beforehand, but for the names of
//! certificates, which are the operator's own. docs/metrics.md lists all of this; a test holds it to that.

mod devices;
mod files;
mod messages;
mod upstream;

use crate::admin;
use crate::gateway::report::{Report, State};
use crate::metrics::{Scrape, level, process};
use crate::reload::file_status::FileStatus;

/// What is known beside the report.
#[derive(Debug)]
pub(crate) struct Beside {
    /// Whether ThingsBoard could be reached lately.
    pub(crate) upstream_reached: bool,
    pub(crate) files: FileStatus,
    pub(crate) admin: admin::Counters,
    /// Seconds since 1970.
    pub(crate) now: i64,
}

/// All metrics.
pub(crate) fn scrape(report: &Report, beside: &Beside) -> Scrape {
    let mut scrape = Scrape::default();
    process(&mut scrape);
    devices::expose(&mut scrape, report);
    messages::expose(&mut scrape, report);
    upstream::expose(&mut scrape, report, beside.upstream_reached);
    bounds(&mut scrape, report);
    files::expose(&mut scrape, &beside.files, beside.now);
    scrape.counter(
        "coaps_gateway_admin_requests",
        "Requests to listen.admin",
        beside.admin.requests,
    );
    scrape.counters_by(
        "coaps_gateway_admin_connections_closed",
        "Connections to listen.admin closed for want of room: the oldest that waited for no answer, or the newest",
        "which",
        [
            ("displaced", beside.admin.displaced),
            ("refused", beside.admin.refused),
        ],
    );
    scrape
}

/// A truth as a level.
fn yes(truth: bool) -> f64 {
    f64::from(u8::from(truth))
}

/// What is bounded, and what waits.
fn bounds(scrape: &mut Scrape, report: &Report) {
    let levels = &report.levels;
    scrape.gauge(
        "coaps_gateway_draining",
        "1 while the gateway stops: nobody new is let in",
        yes(report.state == State::Draining),
    );
    let used = report.bounds.map(|bound| (bound.key, level(bound.used)));
    scrape.gauges_by(
        "coaps_gateway_bound_used",
        "What there is of what a key of the configuration bounds",
        "bound",
        used,
    );
    let most = report.bounds.map(|bound| (bound.key, level(bound.limit)));
    scrape.gauges_by("coaps_gateway_bound", "The bound itself", "bound", most);
    scrape.counters_by(
        "coaps_gateway_bound_reached",
        "How often something was refused or given up because a bound was reached",
        "bound",
        report.bounds_reached,
    );
    scrape.gauges_by(
        "coaps_gateway_waiting",
        "What waits within the gateway",
        "what",
        [
            ("requests", level(levels.open_requests)),
            ("completions", level(levels.completions_waiting)),
            ("commands", level(levels.observations.commands_waiting)),
            ("reads", level(levels.reads_waiting)),
            ("blocks", level(levels.blocks_waiting)),
            ("sessions_to_review", level(levels.to_review)),
            ("timers", level(levels.timers)),
        ],
    );
    scrape.counter(
        "coaps_gateway_log_lines_held_back",
        "Lines about handshakes and sessions that were not logged because ones like them were, lately",
        report.suppressed,
    );
}
