//! Times of the process as times of the world: only those mean something to the next process.

use rustls_pki_types::UnixTime;
use std::time::{Duration, Instant};

/// Seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seconds(pub(crate) u32);

/// One moment in both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    now: Instant,
    unix: u64,
}

impl Clock {
    pub(crate) fn new(now: Instant, unix: UnixTime) -> Clock {
        Clock {
            now,
            unix: unix.as_secs(),
        }
    }

    /// When `at` was, rounded down.
    pub(crate) fn seconds(&self, at: Instant) -> Seconds {
        let ago = self.now.saturating_duration_since(at).as_secs();
        let since = at.saturating_duration_since(self.now).as_secs();
        let seconds = self.unix.saturating_add(since).saturating_sub(ago);
        Seconds(u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// How long ago that was. Zero, if the clock was put back since.
    pub(crate) fn since(&self, Seconds(at): Seconds) -> Duration {
        Duration::from_secs(self.unix.saturating_sub(u64::from(at)))
    }

    /// When that was. If there is no such time in this process, it is no longer ago than `now`.
    pub(crate) fn instant(&self, at: Seconds) -> Instant {
        self.now.checked_sub(self.since(at)).unwrap_or(self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_same_in_the_next_process() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now() + Duration::from_secs(10_000);
        let unix = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let clock = Clock::new(now, unix(1_000_000));
        let at = now - Duration::from_secs(90);
        let seconds = clock.seconds(at);
        assert_eq!(seconds, Seconds(999_910));
        assert_eq!(clock.instant(seconds), at);
        let next = Clock::new(now, unix(1_000_060));
        assert_eq!(next.since(seconds), Duration::from_secs(150));
        // The clock was put back, or knows nothing that long ago.
        let back = Clock::new(now, unix(5));
        assert_eq!(back.since(seconds), Duration::ZERO);
        assert_eq!(back.instant(seconds), now);
        let late = Clock::new(now, unix(u64::MAX));
        assert_eq!(late.seconds(now), Seconds(u32::MAX));
        assert_eq!(late.instant(Seconds(0)), now);
    }
}
