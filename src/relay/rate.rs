//! How fast polls of one device may begin, whatever makes them end: a registration and its end cost a device two
//! datagrams, a poll costs ThingsBoard milliseconds and 25 s of a connection.

use std::time::{Duration, Instant};

/// One in this time, on average.
const EACH: Duration = Duration::from_secs(1);
/// So many at once, after a while without.
const BURST: u32 = 5;

/// A token bucket, in its virtual scheduling form.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// When the whole burst is to be had again.
    rested_at: Option<Instant>,
}

impl Rate {
    /// Whether one may begin now; else when it may.
    pub(super) fn may_take(&self, now: Instant) -> Result<(), Instant> {
        let full_at = now + EACH * (BURST - 1);
        match self.rested_at.filter(|at| *at > full_at) {
            Some(rested_at) => Err(now + (rested_at - full_at)),
            None => Ok(()),
        }
    }

    /// One begins.
    pub(super) fn take(&mut self, now: Instant) {
        let rested_at = self.rested_at.map_or(now, |at| at.max(now));
        self.rested_at = Some(rested_at + EACH);
    }

    /// When nothing is left to remember.
    pub(super) fn rested_at(&self) -> Option<Instant> {
        self.rested_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_may_begin_at_once_then_one_a_second() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let start = Instant::now();
        let mut rate = Rate::default();
        let mut begun = 0;
        let mut try_at = |now| {
            let may = rate.may_take(now);
            if may.is_ok() {
                rate.take(now);
                begun += 1;
            }
            may
        };
        for _ in 0..BURST {
            assert_eq!(try_at(start), Ok(()));
        }
        assert_eq!(try_at(start), Err(start + EACH));
        for tick in 1..=1000 {
            let _ = try_at(start + EACH * tick / 100);
        }
        assert_eq!(begun, BURST + 10, "in ten seconds");
        assert_eq!(rate.rested_at(), Some(start + EACH * begun));
    }
}
