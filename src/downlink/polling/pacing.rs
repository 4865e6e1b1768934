//! What all relays share: the back-off after a failure, the ramp after an outage, and the longest poll that ThingsBoard
//! allows.

use std::time::{Duration, Instant};

/// The first and the longest wait after a failure, before jitter.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Calls a second that may follow failures, over all devices: 10,000 devices are back within a minute,
/// and a ThingsBoard that has just started is not knocked over.
const RAMP_PER_SECOND: u32 = 200;
/// How many of them may be made at once.
const RAMP_BURST: u32 = 50;
/// How long a relay that finds the ramp full waits, at most, before it tries again.
const RAMP_PAUSE: Duration = Duration::from_secs(2);

/// When ThingsBoard's monolith ends a request with 503 (`SPRING_MVC_ASYNC_REQUEST_TIMEOUT`, 30 s), with a tolerance.
const REQUEST_TIMEOUT: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(28)..=Duration::from_secs(32);
/// The length of polls from then on: safely before it.
const BELOW_REQUEST_TIMEOUT: Duration = Duration::from_secs(25);

/// Shared by the relays of all devices.
#[derive(Debug)]
pub(crate) struct Pacing {
    poll_timeout: Duration,
    /// When the ramp would be empty again (the virtual scheduling form of a leaky bucket).
    ramp_empty_at: Option<Instant>,
}

impl Pacing {
    /// `poll_timeout` is the length of a poll, until ThingsBoard turns out to allow less.
    pub(crate) fn new(poll_timeout: Duration) -> Pacing {
        Pacing {
            poll_timeout,
            ramp_empty_at: None,
        }
    }

    /// How long a poll may wait for a message.
    pub(crate) fn poll_timeout(&self) -> Duration {
        self.poll_timeout
    }

    /// A poll of the length `requested` was ended with 503 after `lasted`. Returns whether that is ThingsBoard's request
    /// timeout, and new: polls are shorter from then on.
    pub(crate) fn poll_cut_short(&mut self, requested: Duration, lasted: Duration) -> bool {
        let is_new = REQUEST_TIMEOUT.contains(&lasted)
            && requested > lasted
            && self.poll_timeout > BELOW_REQUEST_TIMEOUT;
        if is_new {
            self.poll_timeout = BELOW_REQUEST_TIMEOUT;
        }
        is_new
    }

    /// How long to wait after so many failures in a row: full jitter below a bound that doubles, so that devices that
    /// failed together don't come back together. `random` is within 0..1.
    pub(crate) fn back_off(failures: u32, random: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(6);
        let bound = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
        bound.mul_f64(random)
    }

    /// Whether a call that follows a failure may be made now; otherwise how long to wait before trying again.
    pub(crate) fn admit(&mut self, now: Instant, random: f64) -> Result<(), Duration> {
        let each = Duration::from_secs(1) / RAMP_PER_SECOND;
        let empty_at = self.ramp_empty_at.map_or(now, |at| at.max(now));
        if empty_at > now + each * RAMP_BURST {
            return Err(RAMP_PAUSE.mul_f64(random).max(each));
        }
        self.ramp_empty_at = Some(empty_at + each);
        Ok(())
    }

    /// When one more device may begin, of many that do so at once after a restart: they are on the ramp, too.
    pub(crate) fn reserve(&mut self, now: Instant) -> Instant {
        let each = Duration::from_secs(1) / RAMP_PER_SECOND;
        let empty_at = self.ramp_empty_at.map_or(now, |at| at.max(now));
        self.ramp_empty_at = Some(empty_at + each);
        let burst = each * RAMP_BURST;
        empty_at.checked_sub(burst).map_or(now, |at| at.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        Instant::now()
    }

    #[test]
    fn waits_double_from_a_second_to_a_minute_with_full_jitter() {
        let bounds: Vec<_> = (1..=9)
            .map(|n| Pacing::back_off(n, 1.0).as_secs())
            .collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(Pacing::back_off(5, 0.0), Duration::ZERO);
        assert_eq!(Pacing::back_off(2, 0.5), SECOND);
        assert_eq!(Pacing::back_off(u32::MAX, 1.0), 60 * SECOND);
    }

    #[test]
    fn ten_thousand_devices_come_back_over_most_of_a_minute() {
        let start = start();
        let mut pacing = Pacing::new(25 * SECOND);
        let mut random = fastrand::Rng::with_seed(1);
        let mut waiting: Vec<Instant> = vec![start; 10_000];
        let mut most_in_a_second = 0;
        for second in 0..120 {
            let mut admitted = 0;
            for tick in 0..100 {
                let now = start + SECOND * second + Duration::from_millis(10 * tick);
                waiting.retain_mut(|at| {
                    if *at > now {
                        return true;
                    }
                    match pacing.admit(now, random.f64()) {
                        Ok(()) => {
                            admitted += 1;
                            false
                        }
                        Err(wait) => {
                            *at = now + wait;
                            true
                        }
                    }
                });
            }
            most_in_a_second = most_in_a_second.max(admitted);
            if waiting.is_empty() {
                assert!((45..=75).contains(&second), "over after {second} s");
                break;
            }
        }
        assert!(waiting.is_empty());
        assert!(most_in_a_second <= 260, "{most_in_a_second} in one second");
    }

    #[test]
    fn ten_thousand_devices_begin_within_a_minute_after_a_restart() {
        let start = start();
        let mut pacing = Pacing::new(25 * SECOND);
        let begin: Vec<Instant> = (0..10_000).map(|_| pacing.reserve(start)).collect();
        assert!(begin.is_sorted());
        for second in 0..60_u32 {
            let is_within = |at: &&Instant| (**at - start).as_secs() == u64::from(second);
            let count = begin.iter().filter(is_within).count();
            assert!(count <= 250, "{count} in second {second}");
        }
        assert!(begin.iter().all(|at| *at < start + 60 * SECOND));
        // It is the ramp for those that come back after a failure, too.
        assert!(pacing.admit(start + 30 * SECOND, 0.5).is_err());
        assert!(pacing.admit(start + 60 * SECOND, 0.5).is_ok());
    }

    #[test]
    fn thingsboards_request_timeout_shortens_polls_once() {
        let mut pacing = Pacing::new(60 * SECOND);
        assert!(pacing.poll_cut_short(60 * SECOND, 30 * SECOND));
        assert_eq!(pacing.poll_timeout(), 25 * SECOND);
        assert!(
            !pacing.poll_cut_short(60 * SECOND, 30 * SECOND),
            "reported once"
        );
    }

    #[test]
    fn other_503s_shorten_nothing() {
        let mut pacing = Pacing::new(60 * SECOND);
        assert!(!pacing.poll_cut_short(60 * SECOND, Duration::ZERO), "down");
        assert!(
            !pacing.poll_cut_short(60 * SECOND, 13 * SECOND),
            "went down"
        );
        let mut short = Pacing::new(25 * SECOND);
        assert!(
            !short.poll_cut_short(25 * SECOND, 30 * SECOND),
            "longer than requested: the device's rate is limited"
        );
        assert_eq!(pacing.poll_timeout(), 60 * SECOND);
        assert_eq!(short.poll_timeout(), 25 * SECOND);
    }
}
