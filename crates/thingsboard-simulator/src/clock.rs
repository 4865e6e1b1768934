//! The one place where the simulator reads the clock: it stands in for a server, whose edge this is. Its decisions take
//! the time as a parameter.

use std::time::Duration;
use tokio::time::Instant;

/// Counts from when the simulator was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    started: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the simulator's edge")]
    pub(super) fn start() -> Clock {
        Clock {
            started: Instant::now(),
        }
    }

    /// Milliseconds that never go back.
    pub(super) fn now_ms(self) -> u64 {
        in_ms(self.started.elapsed())
    }

    /// When [`now_ms`](Clock::now_ms) will be that.
    pub(super) fn at(self, ms: u64) -> Instant {
        // What is beyond an `Instant` is beyond anyone's patience.
        let far = Duration::from_secs(365 * 24 * 60 * 60);
        self.started + Duration::from_millis(ms).min(far)
    }
}

/// Milliseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "the simulator's edge")]
pub(super) fn epoch_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, in_ms)
}

/// A duration in whole milliseconds.
pub(super) fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
