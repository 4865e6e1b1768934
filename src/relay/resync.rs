//! When to read all attributes of a device: a downlink may lose changes, and a read finds these.
//!
//! ```text
//! idle ──schedule──▶ due at ──start_if_due──▶ in flight (and perhaps due again) ──ended──▶ due at, or idle
//!   ▲                  ▲                          │
//!   └──────cancel──────┼──────────────────────────┤
//!                      └──failed: after back-off──┘
//! ```

use crate::downlink::{Pacing, SETTLE};
use std::time::Instant;

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Due(Instant),
    InFlight {
        number: u64,
        /// When the next one is due.
        next: Option<Instant>,
    },
}

/// The reads of one device: at most one in flight, and requests for more are merged into the one after it.
#[derive(Debug, Default)]
pub(crate) struct Resync {
    state: State,
    /// A read that begins earlier than this may miss changes.
    not_complete_before: Option<Instant>,
    last_number: u64,
    /// In a row.
    failures: u32,
    /// ThingsBoard did not answer the last read, and the next is due after a back-off.
    unanswered: bool,
}

impl Resync {
    /// Schedules a read for this time, or earlier if one is due earlier.
    pub(crate) fn schedule(&mut self, at: Instant) {
        let earliest = |other: Option<Instant>| Some(other.map_or(at, |other| other.min(at)));
        self.state = match self.state {
            State::Idle => State::Due(at),
            State::Due(other) => State::Due(other.min(at)),
            State::InFlight { number, next } => State::InFlight {
                number,
                next: earliest(next),
            },
        };
    }

    /// Schedules a read that begins at this time or later, even if an earlier one is due as well: only it shows all changes
    /// up to then.
    pub(crate) fn schedule_complete(&mut self, at: Instant) {
        self.not_complete_before = self.not_complete_before.max(Some(at));
        self.schedule(at);
    }

    /// Begins the read that is due, and returns its number.
    pub(crate) fn start_if_due(&mut self, now: Instant) -> Option<u64> {
        match self.state {
            State::Due(at) if at <= now => {
                self.last_number += 1;
                self.not_complete_before = self.not_complete_before.filter(|at| *at > now);
                self.state = State::InFlight {
                    number: self.last_number,
                    next: self.not_complete_before,
                };
                Some(self.last_number)
            }
            State::Idle | State::Due(_) | State::InFlight { .. } => None,
        }
    }

    /// A read has ended. Returns whether it is the one in flight, and not one that was cancelled.
    pub(crate) fn ended(&mut self, number: u64) -> bool {
        match self.state {
            State::InFlight { number: own, next } if own == number => {
                self.state = next.map_or(State::Idle, State::Due);
                true
            }
            State::Idle | State::Due(_) | State::InFlight { .. } => false,
        }
    }

    /// The read that ended has failed: the next begins after a back-off. `random` is within 0..1.
    pub(crate) fn failed(&mut self, now: Instant, is_unanswered: bool, random: f64) {
        self.unanswered = is_unanswered;
        self.failures = self.failures.saturating_add(1);
        let wait = Pacing::back_off(self.failures, random);
        self.schedule(now + wait.max(SETTLE));
    }

    /// The read that ended was answered.
    pub(crate) fn succeeded(&mut self) {
        (self.failures, self.unanswered) = (0, false);
    }

    /// Whether it backs off because ThingsBoard did not answer.
    pub(crate) fn awaits_recovery(&self) -> bool {
        self.unanswered
    }

    /// ThingsBoard answers again: the back-off ends.
    pub(crate) fn retry_now(&mut self, now: Instant) {
        if std::mem::take(&mut self.unanswered) {
            self.schedule(now);
        }
    }

    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight().is_some()
    }

    /// The number of the read in flight.
    pub(crate) fn in_flight(&self) -> Option<u64> {
        match self.state {
            State::InFlight { number, .. } => Some(number),
            State::Idle | State::Due(_) => None,
        }
    }

    /// Unschedules the next read. One in flight goes on.
    pub(crate) fn unschedule(&mut self) {
        self.not_complete_before = None;
        self.state = match self.state {
            State::InFlight { number, .. } => State::InFlight { number, next: None },
            State::Idle | State::Due(_) => State::Idle,
        };
    }

    /// Unschedules the next read, and ignores the end of the one in flight.
    pub(crate) fn cancel(&mut self) {
        self.not_complete_before = None;
        self.state = State::Idle;
        self.unanswered = false;
    }

    /// As [`cancel`](Self::cancel), and forgets past failures.
    pub(crate) fn reset(&mut self) {
        self.cancel();
        self.failures = 0;
    }

    /// When [`start_if_due`](Self::start_if_due) has something.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Due(at) => Some(at),
            State::Idle | State::InFlight { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn requests_are_merged_into_one_read_at_the_earliest_time_and_one_after_it() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut resync = Resync::default();
        resync.schedule(at(300));
        resync.schedule(at(900));
        assert_eq!(resync.start_if_due(at(299)), None);
        assert_eq!(resync.start_if_due(at(300)), Some(1));
        assert_eq!(resync.start_if_due(at(900)), None, "one at a time");
        resync.schedule(at(700));
        resync.schedule(at(600));
        assert!(!resync.ended(7), "another's");
        assert!(resync.ended(1));
        assert_eq!(resync.next_timeout(), Some(at(600)));
        assert_eq!(resync.start_if_due(at(600)), Some(2));
        resync.cancel();
        assert!(!resync.ended(2), "cancelled");
        assert_eq!(resync.next_timeout(), None);
    }

    #[test]
    fn a_read_that_begins_too_early_to_show_all_changes_is_followed_by_another() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut resync = Resync::default();
        resync.schedule(at(0));
        resync.schedule_complete(at(300));
        assert_eq!(resync.start_if_due(at(0)), Some(1));
        assert!(resync.ended(1));
        assert_eq!(resync.next_timeout(), Some(at(300)));
        assert_eq!(resync.start_if_due(at(300)), Some(2));
        assert!(resync.ended(2));
        assert_eq!(resync.next_timeout(), None);
    }
}
