//! How long a device's connection waits after one that did not last, and what its requests are answered meanwhile.
//!
//! This is about one device: its token, its rate limits, another client with its token. When ThingsBoard itself can't be
//! reached, [`opening`](super::opening) decides, for all.

use super::super::{Error, Rejection, RetryAfter, RetryCause};
use super::outcome::End;
use std::time::{Duration, Instant};

/// The first wait, and the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// The same after another connection with the same token: two that reconnect at once would displace each other for ever.
const FIRST_DISPLACED: Duration = Duration::from_secs(30);
const LONGEST_DISPLACED: Duration = Duration::from_secs(900);
/// The wait after a refused token. ThingsBoard may block an address for a minute after ten of these.
const REFUSED: Duration = Duration::from_secs(60);
/// A connection that was up for so long has lasted.
const LASTED: Duration = Duration::from_secs(30);
/// The same if it was displaced. Of two clients that displace each other none is up for longer than the other waits.
const LASTED_UNDISPUTED: Duration = Duration::from_secs(7200);

#[derive(Debug, Default)]
pub(super) struct Backoff {
    /// Connections in a row that did not last.
    failures: u32,
    waiting: Option<(Instant, End)>,
}

impl Backoff {
    /// A connection has ended. `up`: how long it was up. `jitter`: from 0 to 1.
    pub(super) fn ended(&mut self, now: Instant, end: End, up: Option<Duration>, jitter: f64) {
        let lasted = match end == End::Displaced {
            true => LASTED_UNDISPUTED,
            false => LASTED,
        };
        if up.is_some_and(|up| up >= lasted) {
            self.failures = 0;
        }
        let wait = match end {
            End::Closed => None,
            // It was lost after a while: as likely as not ThingsBoard restarts, which is not this device's matter.
            End::Lost | End::Silent if self.failures == 0 && up.is_some() => Some(Duration::ZERO),
            End::TokenRefused => Some(REFUSED),
            End::Displaced => Some(self.wait(FIRST_DISPLACED, LONGEST_DISPLACED)),
            End::RateLimited
            | End::NotServing
            | End::Lost
            | End::Silent
            | End::Unintelligible(_) => Some(self.wait(FIRST, LONGEST)),
        };
        if let Some(wait) = wait {
            self.failures = self.failures.saturating_add(1);
            // Half of it at least, so that a fleet spreads.
            self.waiting = Some((now + wait.mul_f64(0.5 + jitter / 2.0), end));
        }
    }

    fn wait(&self, first: Duration, longest: Duration) -> Duration {
        let doubled = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        first.saturating_mul(doubled).min(longest)
    }

    /// Until when no connection is opened. `None`: it may be now.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.waiting
            .map(|(until, _)| until)
            .filter(|until| *until > now)
    }

    /// The error of a request that comes meanwhile.
    pub(super) fn error(&self, now: Instant) -> Error {
        let Some((until, end)) = self.waiting else {
            return Error::Unreachable;
        };
        match end {
            End::TokenRefused => Error::Rejected(Rejection::TokenRefused),
            End::RateLimited => Error::Rejected(Rejection::RateLimited),
            End::NotServing => Error::Overloaded,
            End::Unintelligible(why) => Error::Unintelligible(why),
            End::Displaced => {
                let wait = until.saturating_duration_since(now).as_secs() + 1;
                Error::RetryAfter(RetryAfter {
                    cause: RetryCause::NotServing,
                    seconds: u32::try_from(wait).unwrap_or(u32::MAX),
                })
            }
            End::Lost | End::Silent | End::Closed => Error::Unreachable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    fn start() -> Instant {
        Instant::now()
    }

    fn waits(end: End, up: Option<Duration>, times: usize) -> Vec<u64> {
        let (now, mut backoff) = (start(), Backoff::default());
        (0..times)
            .map(|_| {
                backoff.ended(now, end, up, 1.0);
                let until = backoff.until(now);
                until.map_or(0, |until| (until - now).as_secs())
            })
            .collect()
    }

    #[test]
    fn waits_double_up_to_a_minute() {
        let expected = [1, 2, 4, 8, 16, 32, 60, 60];
        assert_eq!(waits(End::RateLimited, None, 8), expected);
        assert_eq!(waits(End::Lost, None, 8), expected);
    }

    #[test]
    fn a_lost_connection_is_opened_again_at_once_if_it_had_lasted() {
        let up = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(waits(End::Lost, up(60), 3), [0, 0, 0]);
        assert_eq!(waits(End::Lost, up(1), 4), [0, 2, 4, 8]);
    }

    #[test]
    fn a_displaced_connection_does_not_fight() {
        let lasted = Some(Duration::from_secs(3600));
        assert_eq!(
            waits(End::Displaced, lasted, 7),
            [30, 60, 120, 240, 480, 900, 900]
        );
        // One displacement a day is no fight.
        let a_day = Some(Duration::from_secs(24 * 3600));
        assert_eq!(waits(End::Displaced, a_day, 3), [30, 30, 30]);
        let (now, mut backoff) = (start(), Backoff::default());
        backoff.ended(now, End::Displaced, lasted, 1.0);
        assert!(matches!(backoff.error(now), Error::RetryAfter(after) if after.seconds == 31));
    }

    #[test]
    fn requests_meanwhile_get_the_reason() {
        let (now, mut backoff) = (start(), Backoff::default());
        backoff.ended(now, End::TokenRefused, None, 0.0);
        assert_eq!(backoff.error(now), Error::Rejected(Rejection::TokenRefused));
        assert_eq!(backoff.until(now), Some(now + Duration::from_secs(30)));
        assert_eq!(backoff.until(now + Duration::from_secs(30)), None);
        let mut closed = Backoff::default();
        closed.ended(now, End::Closed, None, 1.0);
        assert_eq!(closed.until(now), None);
    }
}
