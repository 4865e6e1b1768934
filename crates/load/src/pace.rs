//! When it is whose turn, where there is a fixed rate.
//!
//! The runtime's own timers count whole milliseconds, which is longer than a good answer takes. So a thread sleeps until
//! each turn, which it meets to some 60 µs, and hands it to whose it is.

use super::now;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How soon the thread learns that all is over.
const NOTICE: Duration = Duration::from_millis(100);

/// When it is a session's turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// When the last is answered.
    ClosedLoop,
    /// At its own times, whether the server keeps up or not.
    Fixed { first: Duration, every: Duration },
}

impl Pace {
    /// Turns of all sessions together come `rate` times a second, those of one session evenly between the others'.
    pub(crate) fn new(rate: Option<f64>, index: u32, sessions: u32) -> Pace {
        let times = |n: u32, rate: f64| Duration::try_from_secs_f64(f64::from(n) / rate);
        rate.map_or(Pace::ClosedLoop, |rate| Pace::Fixed {
            first: times(index, rate).unwrap_or(Duration::MAX),
            every: times(sessions, rate).unwrap_or(Duration::MAX),
        })
    }

    /// When a turn is due, counted from 0; `None`: at once. A turn that can't be told in time is an hour away.
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

/// The turns that have come for one session and that it has not taken yet: who is behind misses none.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Turns(Arc::new(Semaphore::new(0)))
    }
}

impl Turns {
    /// Waits for one. Dropping the future leaves it there.
    pub(crate) async fn take(&self) {
        // It is never closed.
        if let Ok(turn) = self.0.acquire().await {
            turn.forget();
        }
    }
}

/// Gives turns until it is dropped.
pub(crate) struct Pacer {
    over: Arc<AtomicBool>,
}

impl Pacer {
    /// `all`: in the order in which each has its first turn.
    pub(crate) fn start(start: Instant, all: Vec<(Pace, Turns)>) -> std::io::Result<Pacer> {
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let thread = std::thread::Builder::new().name("pacer".to_owned());
        thread.spawn(move || {
            for turn in 0.. {
                for (pace, turns) in &all {
                    let Some(due) = pace.due(start, turn) else {
                        return;
                    };
                    while let Some(early) = due.checked_duration_since(now()) {
                        if ended.load(Ordering::Relaxed) {
                            return;
                        }
                        std::thread::sleep(early.min(NOTICE));
                    }
                    turns.0.add_permits(1);
                }
                if ended.load(Ordering::Relaxed) {
                    return;
                }
            }
        })?;
        Ok(Pacer { over })
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
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
    fn a_closed_loop_waits_for_nothing_and_a_far_turn_overflows_nothing() {
        let start = now();
        assert_eq!(Pace::new(None, 3, 10).due(start, 7), None);
        let slow = Pace::new(Some(1e-5), 999_999, 1_000_000);
        assert!(slow.due(start, u32::MAX).unwrap() >= start + Duration::from_secs(3600));
    }

    #[tokio::test]
    async fn turns_come_when_they_are_due_and_none_is_missed_by_who_is_late() {
        let all: Vec<_> = (0..2)
            .map(|index| (Pace::new(Some(100.0), index, 2), Turns::default()))
            .collect();
        let (start, mine) = (now(), all[1].1.clone());
        let pacer = Pacer::start(start, all).unwrap();
        // The turns at 10, 30 and 50 ms, for who comes for them at 55 ms, and the next at 70.
        std::thread::sleep(Duration::from_millis(55));
        for _ in 0..3 {
            mine.take().await;
        }
        mine.take().await;
        assert!(now() >= start + Duration::from_millis(70));
        drop(pacer);
    }
}
