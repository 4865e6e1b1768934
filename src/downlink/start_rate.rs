//! How many polls or subscriptions of one device and kind may begin a second, whatever makes them end: a registration and its end cost a
//! device two datagrams; a poll costs ThingsBoard milliseconds, and a connection for 25 s.

use std::time::{Duration, Instant};

/// One poll in this time, on average.
const INTERVAL: Duration = Duration::from_secs(1);
/// Polls at once, after a while without.
const BURST: u32 = 5;

/// A token bucket, in its virtual scheduling form.
#[derive(Debug, Default)]
pub(super) struct StartRate {
    /// When the bucket is full again.
    full_at: Option<Instant>,
}

impl StartRate {
    /// Whether a poll may begin now; otherwise when it may.
    pub(super) fn check(&self, now: Instant) -> Result<(), Instant> {
        let last_token = now + INTERVAL * (BURST - 1);
        match self.full_at.filter(|at| *at > last_token) {
            Some(full_at) => Err(now + (full_at - last_token)),
            None => Ok(()),
        }
    }

    pub(super) fn take(&mut self, now: Instant) {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        self.full_at = Some(full_at + INTERVAL);
    }

    /// When the bucket is full again, so that nothing is lost by forgetting it.
    pub(super) fn full_at(&self) -> Option<Instant> {
        self.full_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_may_begin_at_once_then_one_a_second() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let start = Instant::now();
        let mut rate = StartRate::default();
        let mut begun = 0;
        let mut try_at = |now| {
            let may = rate.check(now);
            if may.is_ok() {
                rate.take(now);
                begun += 1;
            }
            may
        };
        for _ in 0..BURST {
            assert_eq!(try_at(start), Ok(()));
        }
        assert_eq!(try_at(start), Err(start + INTERVAL));
        for tick in 1..=1000 {
            let _ = try_at(start + INTERVAL * tick / 100);
        }
        assert_eq!(begun, BURST + 10, "in ten seconds");
        assert_eq!(rate.full_at(), Some(start + INTERVAL * begun));
    }
}
