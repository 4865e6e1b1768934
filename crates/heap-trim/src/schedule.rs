//! When free memory is given back to the operating system.
//!
//! glibc keeps what has become free between things that live, so after a siege of strangers the process would stay as
//! large as it was at its worst. Giving it back takes a thread some milliseconds, and locks the heap meanwhile: it is done
//! when many sessions and handshakes have ended, once the most of them have; in a siege that goes on, once a minute.

use std::time::{Duration, Instant};

/// How often it is thought of.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);
/// So many must have ended: what few have left is used again soon.
const ENDED: u64 = 32;
/// With fewer in [`LOOK_EVERY`], the siege is over.
const FEW: u64 = 16;
/// While it goes on.
const AT_MOST_EVERY: Duration = Duration::from_secs(60);

/// What is remembered for it.
#[derive(Debug)]
pub struct Schedule {
    trimmed_at: Instant,
    /// Sessions and handshakes that had ended when the heap was trimmed last, and when it was thought of last.
    ended_then: u64,
    ended_last: u64,
}

impl Schedule {
    /// Nothing has ended yet.
    pub fn new(now: Instant) -> Schedule {
        Schedule {
            trimmed_at: now,
            ended_then: 0,
            ended_last: 0,
        }
    }

    /// Whether the heap is to be trimmed now, when so many sessions and handshakes have ended since the start.
    pub fn is_due(&mut self, now: Instant, ended: u64) -> bool {
        let lately = ended.saturating_sub(self.ended_last);
        self.ended_last = ended;
        let is_over =
            lately < FEW || now.saturating_duration_since(self.trimmed_at) >= AT_MOST_EVERY;
        let is_due = is_over && ended.saturating_sub(self.ended_then) >= ENDED;
        if is_due {
            (self.trimmed_at, self.ended_then) = (now, ended);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heap_is_trimmed_once_after_a_siege_and_once_a_minute_in_one() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let start = Instant::now();
        let mut heap = Schedule::new(start);
        let mut trimmed_at = Vec::new();
        let mut ended = 0;
        for tick in 1..=60 {
            let now = start + LOOK_EVERY * tick;
            // One a tick is usual; from 100 s to 300 s a thousand a tick.
            ended += if (11..=30).contains(&tick) { 1000 } else { 1 };
            if heap.is_due(now, ended) {
                trimmed_at.push(tick * 10);
            }
        }
        assert_eq!(trimmed_at, [110, 170, 230, 290, 310]);
    }

    #[test]
    fn a_few_that_end_trim_nothing() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let start = Instant::now();
        let mut heap = Schedule::new(start);
        assert!((1..=100).all(|tick| !heap.is_due(start + LOOK_EVERY * tick, 31)));
        assert!(heap.is_due(start + LOOK_EVERY * 101, 32));
        assert!(!heap.is_due(start + LOOK_EVERY * 102, 32));
    }
}
