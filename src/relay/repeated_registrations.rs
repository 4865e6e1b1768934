//! Registrations for attributes that a device repeats.

use std::time::{Duration, Instant};

/// How often a repeated registration has all attributes notified again: a device can repeat it as fast as it can send, and
/// each time the notification is composed again.
const REPEAT_INTERVAL: Duration = Duration::from_secs(1);

/// Limits how often repeated registrations have all attributes notified again.
#[derive(Debug, Default)]
pub(super) struct RepeatedRegistrations {
    last: Option<Instant>,
    next: Option<Instant>,
}

impl RepeatedRegistrations {
    /// Whether to notify all attributes now. If not, they are due later.
    pub(super) fn repeated(&mut self, now: Instant) -> bool {
        match self.last.filter(|last| now < *last + REPEAT_INTERVAL) {
            Some(last) => {
                self.next = Some(last + REPEAT_INTERVAL);
                false
            }
            None => {
                self.done(now);
                true
            }
        }
    }

    /// Whether all attributes are due now.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.next.is_some_and(|at| at <= now);
        if is_due {
            self.done(now);
        }
        is_due
    }

    fn done(&mut self, now: Instant) {
        (self.last, self.next) = (Some(now), None);
    }

    pub(super) fn cancel(&mut self) {
        self.next = None;
    }

    /// When [`take_due`](Self::take_due) has something.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.next
    }
}
