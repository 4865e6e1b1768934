//! Metrics of this process from `/proc`, under the names that Prometheus's libraries use. Without `/proc` there are none.

use super::{Scrape, level};
use std::borrow::Cow;
use std::fs;

/// `/proc` counts processor time in hundredths of a second (`USER_HZ`), whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;
/// Positions of fields after the process's name in `/proc/self/stat`. The name may contain spaces and parentheses.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const STARTED_TICKS: usize = 19;

/// Adds memory, processor time and open files.
pub(crate) fn process(scrape: &mut Scrape) {
    scrape.gauges(
        "coaps_gateway_build_info",
        "Always 1; its label is the version",
        [(
            vec![("version", Cow::Borrowed(env!("CARGO_PKG_VERSION")))],
            1.0,
        )],
    );
    if let Some(bytes) =
        resident_bytes(&fs::read_to_string("/proc/self/status").unwrap_or_default())
    {
        let help = "Resident memory";
        scrape.gauge("process_resident_memory_bytes", help, bytes);
    }
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some(seconds) = cpu_seconds(&stat) {
        let help = "Processor time used since the start";
        scrape.seconds("process_cpu_seconds", help, seconds);
    }
    if let Some(time) = start_time(&stat, &fs::read_to_string("/proc/stat").unwrap_or_default()) {
        let help = "Start of the process, in Unix time";
        scrape.gauge("process_start_time_seconds", help, time);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // One of them is the directory that is being read.
        let open = files.count().saturating_sub(1);
        scrape.gauge("process_open_fds", "Open files and sockets", level(open));
    }
    if let Some(most) =
        open_files_limit(&fs::read_to_string("/proc/self/limits").unwrap_or_default())
    {
        let help = "Open files and sockets that the system allows";
        scrape.gauge("process_max_fds", help, most);
    }
}

fn resident_bytes(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0)
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = |at| fields.split_whitespace().nth(at)?.parse::<f64>().ok();
    Some((ticks(USER_TICKS)? + ticks(SYSTEM_TICKS)?) / TICKS_PER_SECOND)
}

/// The process's start in Unix time, from ticks since boot and the time of boot.
fn start_time(stat: &str, machine: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: f64 = fields.split_whitespace().nth(STARTED_TICKS)?.parse().ok()?;
    let booted = machine
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    Some(booted.trim().parse::<f64>().ok()? + ticks / TICKS_PER_SECOND)
}

fn open_files_limit(limits: &str) -> Option<f64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_proc_are_found_whatever_the_name_of_the_process() {
        let stat = "7 (a) R 0) S 1 7 7 0 -1 4194560 10 0 0 0 150 50 0 0 20 0 4 0 12345 1000 200";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds(""), None);
        assert_eq!(start_time(stat, "cpu 1 2\nbtime 1000\n"), Some(1123.45));
        assert_eq!(
            resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\n"),
            Some(2_097_152.0)
        );
        assert_eq!(
            open_files_limit("Max open files            1024   4096   files\n"),
            Some(1024.0)
        );
    }
}
