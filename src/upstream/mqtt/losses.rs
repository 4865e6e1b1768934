//! Lost connections in few log lines: thousands that are lost together are one line with their number, and one when they
//! are open again.
//!
//! ```text
//! calm ──(one is lost)──▶ collecting ──(a second; a minute after the line before)──▶ logged ──(none is missing)──▶ calm
//! ```

use std::time::{Duration, Instant};

/// How long losses are collected before they are logged.
const COLLECTED: Duration = Duration::from_secs(1);
/// The least time between two lines about losses.
const BETWEEN: Duration = Duration::from_secs(60);

/// A line for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// So many were lost since the last such line, and so many of all are missing.
    Lost { lost: usize, missing: usize },
    /// None is missing any more: so many are open again, and so many are not needed any more or were refused.
    OpenAgain {
        opened: usize,
        given_up: usize,
        after: Duration,
    },
}

#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Lost, and neither open again nor given up.
    missing: usize,
    /// Lost since the last line.
    lost: usize,
    opened: usize,
    given_up: usize,
    /// The first loss of those that are missing, or were when the last line was logged.
    since: Option<Instant>,
    /// Losses are logged at this time.
    due: Option<Instant>,
    logged: Option<Instant>,
    is_announced: bool,
}

impl Losses {
    /// A connection was lost that is still needed.
    pub(super) fn lost(&mut self, now: Instant) {
        self.missing += 1;
        self.lost += 1;
        self.since.get_or_insert(now);
        let earliest = self.logged.map_or(now, |logged| logged + BETWEEN);
        self.due.get_or_insert((now + COLLECTED).max(earliest));
    }

    /// It is open again.
    pub(super) fn opened(&mut self) {
        self.missing = self.missing.saturating_sub(1);
        self.opened += 1;
    }

    /// It is not needed any more, or ThingsBoard refuses it.
    pub(super) fn given_up(&mut self) {
        self.missing = self.missing.saturating_sub(1);
        self.given_up += 1;
    }

    /// The next line that is due.
    pub(super) fn poll_line(&mut self, now: Instant) -> Option<Line> {
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.logged = Some(now);
            self.is_announced = true;
            let (lost, missing) = (std::mem::take(&mut self.lost), self.missing);
            return Some(Line::Lost { lost, missing });
        }
        if self.missing > 0 || self.due.is_some() {
            return None;
        }
        let since = self.since.take()?;
        let (opened, given_up) = (
            std::mem::take(&mut self.opened),
            std::mem::take(&mut self.given_up),
        );
        let after = now.saturating_duration_since(since);
        std::mem::take(&mut self.is_announced).then_some(Line::OpenAgain {
            opened,
            given_up,
            after,
        })
    }

    /// Whether a line is to come.
    pub(super) fn is_pending(&self) -> bool {
        self.since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        Instant::now()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn ten_thousand_lost_connections_are_two_lines() {
        let (mut losses, begin) = (Losses::default(), start());
        for n in 0..10_000_u32 {
            losses.lost(begin + SECOND * n / 20_000);
            assert_eq!(losses.poll_line(begin + SECOND / 2), None);
        }
        losses.opened();
        let line = losses.poll_line(begin + SECOND);
        let lost = 10_000;
        assert_eq!(
            line,
            Some(Line::Lost {
                lost,
                missing: 9_999
            })
        );
        for n in 1..10_000 {
            assert_eq!(losses.poll_line(begin + 20 * SECOND), None);
            match n % 100 {
                0 => losses.given_up(),
                _ => losses.opened(),
            }
        }
        let line = losses.poll_line(begin + 20 * SECOND);
        assert_eq!(
            line,
            Some(Line::OpenAgain {
                opened: 9_901,
                given_up: 99,
                after: 20 * SECOND
            })
        );
        assert_eq!(losses.poll_line(begin + 100 * SECOND), None);
        assert!(!losses.is_pending());
    }

    #[test]
    fn connections_that_are_lost_again_and_again_are_two_lines_a_minute() {
        let (mut losses, begin) = (Losses::default(), start());
        let mut lines = Vec::new();
        for second in 0..600 {
            let now = begin + SECOND * second;
            losses.lost(now);
            losses.opened();
            lines.extend(losses.poll_line(now));
            lines.extend(losses.poll_line(now));
        }
        assert!((18..=20).contains(&lines.len()), "{}", lines.len());
        let lost: usize = lines
            .iter()
            .map(|line| match line {
                Line::Lost { lost, .. } => *lost,
                Line::OpenAgain { .. } => 0,
            })
            .sum();
        assert!(lost > 500, "{lost}");
    }
}
