//! Processor time of the driver and of the processes of `--watch`, read from `/proc`.

use serde::Serialize;
use std::time::Duration;

/// The unit of `/proc` (USER_HZ): 100 a second on every architecture of Linux that has a Rust toolchain.
const TICK: Duration = Duration::from_millis(10);

/// The processor time of one process, all its threads together, while it was watched.
#[derive(Debug, Serialize)]
pub(crate) struct Watched {
    pid: u32,
    /// `None` if the process did not exist, or has ended.
    cpu_seconds: Option<f64>,
}

/// Processes, and their processor time when the watch began.
pub(crate) struct Watch(Vec<(u32, Option<Duration>)>);

impl Watch {
    pub(crate) fn begin(pids: &[u32]) -> Watch {
        Watch(pids.iter().map(|&pid| (pid, cpu_time(pid))).collect())
    }

    pub(crate) fn end(self) -> Vec<Watched> {
        let all = self.0.into_iter().map(|(pid, before)| {
            let used = cpu_time(pid).zip(before);
            let used = used.map(|(after, before)| after.saturating_sub(before));
            Watched {
                pid,
                cpu_seconds: used.map(|used| used.as_secs_f64()),
            }
        });
        all.collect()
    }
}

/// The processor time of this process so far.
pub(crate) fn own_cpu_time() -> Option<Duration> {
    cpu_time(std::process::id())
}

fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    ticks(&stat).map(|ticks| TICK * ticks)
}

/// The sum of `utime` and `stime`, the 14th and 15th field. The second field is a name in parentheses that may hold
/// any character.
fn ticks(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut times = after_name
        .split_whitespace()
        .skip(11)
        .map(str::parse::<u32>);
    times.next()?.ok()?.checked_add(times.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_after_any_process_name() {
        let stat = "7 (lo) ad) R 1 2 3 4 5 6 7 8 9 10 250 50 0 0";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("7 (load) R 1"), None);
    }

    #[test]
    fn a_process_that_does_not_exist_has_no_processor_time() {
        let watched = Watch::begin(&[std::process::id(), u32::MAX]).end();
        let used: Vec<_> = watched
            .iter()
            .map(|one| one.cpu_seconds.is_some())
            .collect();
        assert_eq!(used, [true, false]);
    }
}
