//! The times of requests at a fixed rate.
//!
//! The runtime's own timers count whole milliseconds, which is longer than a good response takes. So a thread sleeps
//! until each turn, to within some 60 µs, and gives the session a permit for it.

use super::now;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// The longest sleep of the thread, after which it sees that the run has ended.
const MAX_SLEEP: Duration = Duration::from_millis(100);

/// When a session makes its requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// As soon as the last one is answered.
    ClosedLoop,
    /// At fixed times, whether the server keeps up or not.
    Fixed { first: Duration, every: Duration },
}

impl Pace {
    /// All sessions together have `rate` turns a second; those of one session lie evenly between the others'.
    pub(crate) fn new(rate: Option<f64>, index: u32, sessions: u32) -> Pace {
        let times = |n: u32, rate: f64| Duration::try_from_secs_f64(f64::from(n) / rate);
        rate.map_or(Pace::ClosedLoop, |rate| Pace::Fixed {
            first: times(index, rate).unwrap_or(Duration::MAX),
            every: times(sessions, rate).unwrap_or(Duration::MAX),
        })
    }

    /// When a turn, counted from 0, is due; `None` means at once. A time that overflows becomes an hour from the start.
    pub(crate) fn due(self, start: Instant, turn: u32) -> Option<Instant> {
        let Pace::Fixed { first, every } = self else {
            return None;
        };
        let after = every
            .checked_mul(turn)
            .and_then(|time| time.checked_add(first));
        let far = start + Duration::from_secs(3600);
        Some(
            after
                .and_then(|time| start.checked_add(time))
                .unwrap_or(far),
        )
    }
}

/// The turns of one session that are due and not yet taken. A session that is late misses none.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Turns(Arc::new(Semaphore::new(0)))
    }
}

impl Turns {
    /// Waits for a turn. Dropping the future takes none.
    pub(crate) async fn take(&self) {
        // It is never closed.
        if let Ok(turn) = self.0.acquire().await {
            turn.forget();
        }
    }
}

/// The thread that adds turns, until this is dropped.
pub(crate) struct Pacer {
    stop: Arc<AtomicBool>,
}

impl Pacer {
    /// Starts the thread. `all` is in the order of each session's first turn.
    pub(crate) fn start(start: Instant, all: Vec<(Pace, Turns)>) -> std::io::Result<Pacer> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("pacer".to_owned());
        thread.spawn(move || {
            for turn in 0.. {
                for (pace, turns) in &all {
                    let Some(due) = pace.due(start, turn) else {
                        return;
                    };
                    while let Some(early) = due.checked_duration_since(now()) {
                        if stopped.load(Ordering::Relaxed) {
                            return;
                        }
                        std::thread::sleep(early.min(MAX_SLEEP));
                    }
                    turns.0.add_permits(1);
                }
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
            }
        })?;
        Ok(Pacer { stop })
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_rate_is_spread_over_the_sessions_and_over_time() {
        let start = now();
        let mut due: Vec<Duration> = (0..4)
            .flat_map(|index| {
                let pace = Pace::new(Some(8.0), index, 4);
                (0..4).map(move |turn| pace.due(start, turn).unwrap() - start)
            })
            .collect();
        due.sort();
        let eighths: Vec<Duration> = (0..16).map(|n| Duration::from_millis(125) * n).collect();
        assert_eq!(due, eighths);
    }

    #[test]
    fn a_closed_loop_has_no_due_times_and_a_far_turn_does_not_overflow() {
        let start = now();
        assert_eq!(Pace::new(None, 3, 10).due(start, 7), None);
        let slow = Pace::new(Some(1e-5), 999_999, 1_000_000);
        assert!(slow.due(start, u32::MAX).unwrap() >= start + Duration::from_secs(3600));
    }

    #[tokio::test]
    async fn turns_are_granted_when_due_and_a_late_session_misses_none() {
        let all: Vec<_> = (0..2)
            .map(|index| (Pace::new(Some(100.0), index, 2), Turns::default()))
            .collect();
        let (start, mine) = (now(), all[1].1.clone());
        let pacer = Pacer::start(start, all).unwrap();
        // The turns at 10, 30 and 50 ms are taken at 55 ms, the next at 70 ms.
        std::thread::sleep(Duration::from_millis(55));
        for _ in 0..3 {
            mine.take().await;
        }
        mine.take().await;
        assert!(now() >= start + Duration::from_millis(70));
        drop(pacer);
    }
}
