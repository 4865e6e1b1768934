//! The only place where the simulator reads the clock. The models take the time as a parameter.

use std::time::Duration;
use tokio::time::Instant;

/// Measures time from the creation of the simulator.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    started: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the simulator's only clock")]
    pub(super) fn start() -> Clock {
        Clock {
            started: Instant::now(),
        }
    }

    /// Monotonic milliseconds since [`start`](Clock::start).
    pub(super) fn now_ms(self) -> u64 {
        in_ms(self.started.elapsed())
    }

    /// The same in microseconds, where milliseconds are too coarse.
    pub(super) fn now_us(self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The instant at which [`now_ms`](Clock::now_ms) is `ms`.
    pub(super) fn at(self, ms: u64) -> Instant {
        // Bounded: an `Instant` could not hold every `u64`.
        let far = Duration::from_secs(365 * 24 * 60 * 60);
        self.started + Duration::from_millis(ms).min(far)
    }
}

/// Milliseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "the simulator's only clock")]
pub(super) fn epoch_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, in_ms)
}

pub(super) fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
