//! Times of the process as times of the world: only those mean something to the next process.

use rustls_pki_types::UnixTime;
use std::time::{Duration, Instant};

/// Seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seconds(pub(crate) u32);

/// Nothing was stored before 2026: an earlier time is that of a clock that is not set yet, as of a host that boots in 1970.
const FIRST: u64 = 1_767_225_600;

/// The latest time that is known from what is stored, for as long as the wall clock is not set.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LatestTime(Option<(Instant, Seconds)>);

impl LatestTime {
    /// It was this time before `now`.
    pub(crate) fn learn(&mut self, now: Instant, at: Seconds) {
        if self.0.is_none_or(|(_, known)| known < at) {
            self.0 = Some((now, at));
        }
    }

    /// The clock, by the wall clock if that is set.
    pub(crate) fn clock(&self, now: Instant, unix: UnixTime) -> Clock {
        let known = self.0.filter(|_| unix.as_secs() < FIRST);
        let known = known.map(|(then, Seconds(at))| {
            let since = now.saturating_duration_since(then).as_secs();
            u64::from(at).saturating_add(since)
        });
        Clock {
            now,
            unix: unix.as_secs().max(known.unwrap_or(0)),
        }
    }
}

/// One moment in both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    now: Instant,
    unix: u64,
}

impl Clock {
    /// The time of the world, in seconds since 1970.
    pub(crate) fn unix(&self) -> u64 {
        self.unix
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
        let clock = LatestTime::default().clock(now, unix(1_000_000));
        let at = now - Duration::from_secs(90);
        let seconds = clock.seconds(at);
        assert_eq!(seconds, Seconds(999_910));
        assert_eq!(clock.instant(seconds), at);
        let next = LatestTime::default().clock(now, unix(1_000_060));
        assert_eq!(next.since(seconds), Duration::from_secs(150));
        // The clock was put back, or knows nothing that long ago.
        let back = LatestTime::default().clock(now, unix(5));
        assert_eq!(back.since(seconds), Duration::ZERO);
        assert_eq!(back.instant(seconds), now);
        let late = LatestTime::default().clock(now, unix(u64::MAX));
        assert_eq!(late.seconds(now), Seconds(u32::MAX));
        assert_eq!(late.instant(Seconds(0)), now);
    }

    #[test]
    fn a_clock_that_is_not_set_goes_on_from_what_is_stored() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let unix = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let mut latest = LatestTime::default();
        assert_eq!(latest.clock(now, unix(5)).unix(), 5);
        for seconds in [1_800_000_000, 1_900_000_000, 1_850_000_000] {
            latest.learn(now, Seconds(seconds));
        }
        let later = now + Duration::from_secs(20);
        assert_eq!(latest.clock(later, unix(25)).unix(), 1_900_000_020);
        // What is stored may be of a clock that was wrong.
        assert_eq!(latest.clock(later, unix(FIRST)).unix(), FIRST);
    }
}
