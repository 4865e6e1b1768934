//! A line of progress on standard error: one that changes every second on a terminal, one every five seconds elsewhere,
//! and one when all sessions are connected.

use super::latencies::{milliseconds, per_second};
use super::now;
use super::session::{Phase, Shared};
use super::tally;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Writes progress until the run ends.
pub(crate) async fn show(shared: Arc<Shared>, mut phases: watch::Receiver<Phase>) {
    let terminal = std::io::stderr().is_terminal();
    let every = Duration::from_secs(if terminal { 1 } else { 5 });
    let began = now();
    let (mut last, mut last_at) = (0, began);
    loop {
        let changed = tokio::time::timeout(every, phases.changed()).await;
        let phase = *phases.borrow_and_update();
        // The change to measuring is shown at once: scripts wait for it.
        if phase == Phase::Ended || matches!(changed, Ok(Err(_))) {
            break;
        }
        let phase = if phase == Phase::Connecting {
            "connecting"
        } else {
            "measuring"
        };
        let line = {
            let tally = tally::lock(&shared.tally);
            let all = tally.latencies.count() + tally.notifications + tally.handshakes.count();
            let rate = per_second(all - last, now() - last_at);
            last = all;
            format!(
                "{:>4} s {phase}: {} sessions, {} handshakes, {} requests, {} notifications, {rate:.0}/s; p99 {:.1} ms, {} errors",
                began.elapsed().as_secs(),
                tally.established,
                tally.handshakes.count(),
                tally.latencies.count(),
                tally.notifications,
                milliseconds(tally.latencies.quantile(0.99)),
                tally.errors(),
            )
        };
        last_at = now();
        // On a terminal the next line overwrites this one.
        let (before, after) = if terminal {
            ("\r\x1b[K", "")
        } else {
            ("", "\n")
        };
        let _ = write!(std::io::stderr(), "{before}{line}{after}");
    }
    if terminal {
        let _ = writeln!(std::io::stderr());
    }
}
