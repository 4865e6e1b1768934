//! When to trim the heap.
//!
//! Without trimming, the process would keep its peak size after a flood of handshakes. Trimming takes some milliseconds
//! and locks the heap for that time, so it is done once many sessions and handshakes have ended and few more are
//! ending; during a flood, once a minute.

use std::time::{Duration, Instant};

/// How often to call [`Schedule::is_due`].
pub const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// Sessions and handshakes that must have ended since the last trim: the memory of fewer is soon used again.
const LEAST_ENDED: u64 = 32;
/// With fewer ended within [`CHECK_INTERVAL`], the flood is over.
const FEW: u64 = 16;
/// The shortest time between two trims during a flood.
const MIN_TRIM_INTERVAL: Duration = Duration::from_secs(60);

/// Decides when to trim the heap.
#[derive(Debug)]
pub struct Schedule {
    trimmed_at: Instant,
    /// Sessions and handshakes that had ended at the last trim.
    ended_at_trim: u64,
    /// Those that had ended at the last call of [`Schedule::is_due`].
    ended_last: u64,
}

impl Schedule {
    /// A schedule that starts now, with nothing ended.
    pub fn new(now: Instant) -> Schedule {
        Schedule {
            trimmed_at: now,
            ended_at_trim: 0,
            ended_last: 0,
        }
    }

    /// Whether to trim the heap now. `ended`: sessions and handshakes that have ended since the process started.
    pub fn is_due(&mut self, now: Instant, ended: u64) -> bool {
        let recently = ended.saturating_sub(self.ended_last);
        self.ended_last = ended;
        let is_over =
            recently < FEW || now.saturating_duration_since(self.trimmed_at) >= MIN_TRIM_INTERVAL;
        let is_due = is_over && ended.saturating_sub(self.ended_at_trim) >= LEAST_ENDED;
        if is_due {
            (self.trimmed_at, self.ended_at_trim) = (now, ended);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heap_is_trimmed_once_after_a_flood_and_once_a_minute_during_one() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let start = Instant::now();
        let mut heap = Schedule::new(start);
        let mut trimmed_at = Vec::new();
        let mut ended = 0;
        for tick in 1..=60 {
            let now = start + CHECK_INTERVAL * tick;
            // Usually one per tick; from 100 s to 300 s a thousand per tick.
            ended += if (11..=30).contains(&tick) { 1000 } else { 1 };
            if heap.is_due(now, ended) {
                trimmed_at.push(tick * 10);
            }
        }
        assert_eq!(trimmed_at, [110, 170, 230, 290, 310]);
    }

    #[test]
    fn few_ended_sessions_do_not_trim() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let start = Instant::now();
        let mut heap = Schedule::new(start);
        assert!((1..=100).all(|tick| !heap.is_due(start + CHECK_INTERVAL * tick, 31)));
        assert!(heap.is_due(start + CHECK_INTERVAL * 101, 32));
        assert!(!heap.is_due(start + CHECK_INTERVAL * 102, 32));
    }
}
