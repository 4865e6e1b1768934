//! When to poll ThingsBoard for one device and kind, so that as little as possible happens between two polls.
//!
//! ```text
//! none open ──▶ one open ──(a second before it runs out)──▶ it and its successor ──▶ the successor alone
//!     ▲            │ a message: the next is opened at once
//!     └─ waiting ◀─┘ a failure: after a back-off with jitter, and after an outage as the ramp admits it
//! ```
//!
//! ThingsBoard drops what happens while no poll is open, or sends it to a poll that has run out (a stale subscription). So
//! polls overlap when they run out idle, and a gap is remembered until the next poll opens: whoever polls for state then
//! reads it all.

use super::pacing::Pacing;
use crate::downlink::start_rate::StartRate;
use crate::upstream::Error;
use std::time::{Duration, Instant};

/// How long before a poll runs out its successor is opened, plus up to half as much again, so that devices that began
/// together drift apart.
const OVERLAP: Duration = Duration::from_secs(1);
/// Messages that may follow each other at once: a burst of commands comes one a poll. More of them mean that something
/// upstream answers every poll at once, and it is polled four times a second.
const BURST: u32 = 32;
const AFTER_BURST: Duration = Duration::from_millis(250);
/// A poll that lasted this long ends a burst.
const CALM: Duration = Duration::from_secs(1);

/// How a poll ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PollOutcome {
    Message,
    /// It brought what is known: the copy that every open poll gets, or a command that ThingsBoard repeats until the device
    /// has replied.
    Repeated,
    /// It ran out without a message: 408.
    Elapsed,
    /// 502 or 503.
    Overloaded,
    /// ThingsBoard did not answer at all.
    Unanswered,
    /// Any other failure that may be temporary.
    Failed,
}

impl PollOutcome {
    /// The outcome of a poll that failed. That a rejection may end the observation is the caller's business.
    pub(crate) fn of(error: &Error) -> PollOutcome {
        match error {
            Error::Elapsed => PollOutcome::Elapsed,
            Error::Overloaded | Error::RetryAfter(_) => PollOutcome::Overloaded,
            Error::Timeout | Error::Unreachable => PollOutcome::Unanswered,
            Error::Unintelligible(_) | Error::Rejected(_) => PollOutcome::Failed,
        }
    }
}

/// A poll to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenedPoll {
    /// Unique for this poller.
    pub number: u64,
    /// How long it may wait for a message.
    pub timeout: Duration,
    /// Whether something may have been missed since the one before.
    pub after_gap: bool,
}

/// A poll that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndedPoll {
    /// How long it was to wait.
    pub requested: Duration,
    /// How long it did.
    pub lasted: Duration,
}

#[derive(Debug)]
struct OpenPoll {
    number: u64,
    opened: Instant,
    timeout: Duration,
    /// When its successor is opened.
    renew_at: Instant,
}

/// The polls of one device and kind.
#[derive(Debug, Default)]
pub(crate) struct Poller {
    /// Two at most.
    open: Vec<OpenPoll>,
    last_number: u64,
    /// A message ended a poll: the next is opened even if another is open.
    rearm: bool,
    not_before: Option<Instant>,
    /// In a row.
    failures: u32,
    /// Messages of polls that lasted less than [`CALM`], in a row.
    quick: u32,
    /// Whether something may have been missed since the last poll.
    gap: bool,
    /// The last poll brought a message: the one that follows is not counted by `rate`, since a device can't cause it.
    after_message: bool,
    rate: StartRate,
    /// The last poll was not answered, and [`Poller::retry_now`] has not been called since.
    unanswered: bool,
}

impl Poller {
    /// The poll to open now, if one is due. To be called after every event, while polls are wanted. `overlap`: open a
    /// successor before the one that is open runs out.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        timeout: Duration,
        overlap: bool,
        pacing: &mut Pacing,
        random: &mut dyn FnMut() -> f64,
    ) -> Option<OpenedPoll> {
        if self.not_before.is_some_and(|at| at > now) {
            return None;
        }
        self.not_before = None;
        let is_due = match self.open.as_slice() {
            [] => true,
            [only] => self.rearm || overlap && only.renew_at <= now,
            _ => false,
        };
        if !is_due {
            return None;
        }
        if !self.after_message
            && let Err(at) = self.rate.check(now)
        {
            self.not_before = Some(at);
            self.gap |= self.open.is_empty();
            return None;
        }
        if self.failures > 0
            && let Err(wait) = pacing.admit(now, random())
        {
            self.not_before = Some(now + wait);
            return None;
        }
        self.last_number += 1;
        self.rearm = false;
        if !std::mem::take(&mut self.after_message) {
            self.rate.take(now);
        }
        let lead = OVERLAP.mul_f64(1.0 + random() / 2.0).min(timeout / 2);
        self.open.push(OpenPoll {
            number: self.last_number,
            opened: now,
            timeout,
            renew_at: now + timeout.saturating_sub(lead),
        });
        Some(OpenedPoll {
            number: self.last_number,
            timeout,
            after_gap: std::mem::take(&mut self.gap),
        })
    }

    /// When [`due`](Self::due) has something next, if time alone decides.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match self.open.as_slice() {
            [] => self.not_before,
            [_] if self.rearm => self.not_before,
            [only] => Some(
                self.not_before
                    .map_or(only.renew_at, |at| at.max(only.renew_at)),
            ),
            _ => None,
        }
    }

    /// A poll has ended. `None` if it is not one of the open ones, or was abandoned.
    pub(crate) fn ended(
        &mut self,
        now: Instant,
        number: u64,
        outcome: PollOutcome,
        random: &mut dyn FnMut() -> f64,
    ) -> Option<EndedPoll> {
        let at = self.open.iter().position(|open| open.number == number)?;
        let poll = self.open.swap_remove(at);
        if self.open.is_empty() {
            // Many devices have no poll open: each is to cost as little memory as possible.
            self.open = Vec::new();
        }
        let lasted = now.saturating_duration_since(poll.opened);
        self.unanswered = outcome == PollOutcome::Unanswered;
        self.after_message |= outcome == PollOutcome::Message;
        match outcome {
            PollOutcome::Message | PollOutcome::Repeated => {
                self.failures = 0;
                self.rearm = outcome == PollOutcome::Message || self.open.is_empty();
                self.quick = match lasted < CALM {
                    true => self.quick.saturating_add(1),
                    false => 0,
                };
                if self.quick > BURST {
                    self.hold(now + AFTER_BURST);
                }
            }
            // One that ends long before its time, and without a message, is a failure: otherwise the next would follow at
            // once, and the next.
            PollOutcome::Elapsed if lasted >= poll.timeout / 2 => {
                (self.failures, self.quick) = (0, 0);
                self.gap |= self.open.is_empty();
            }
            PollOutcome::Elapsed
            | PollOutcome::Overloaded
            | PollOutcome::Unanswered
            | PollOutcome::Failed => {
                self.failures = self.failures.saturating_add(1);
                self.gap |= self.open.is_empty();
                self.hold(now + Pacing::back_off(self.failures, random()));
            }
        }
        Some(EndedPoll {
            requested: poll.timeout,
            lasted,
        })
    }

    /// Opens no poll before this time.
    pub(crate) fn hold(&mut self, until: Instant) {
        self.not_before = self.not_before.max(Some(until));
    }

    /// Before which time no poll is opened, if there is one.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        self.not_before
    }

    /// Takes back [`hold`](Self::hold), unless polls fail.
    pub(crate) fn release(&mut self) {
        if self.failures == 0 {
            self.not_before = None;
        }
    }

    /// Whether it backs off because ThingsBoard did not answer.
    pub(crate) fn awaits_recovery(&self) -> bool {
        self.unanswered && self.open.is_empty()
    }

    /// ThingsBoard answers again: the back-off ends.
    pub(crate) fn retry_now(&mut self) {
        if std::mem::take(&mut self.unanswered) {
            self.not_before = None;
        }
    }

    /// When its rate limit has nothing left to remember.
    pub(crate) fn rate_full_at(&self) -> Option<Instant> {
        self.rate.full_at()
    }

    /// Polls are not wanted for a while: the next one comes after a gap.
    pub(crate) fn lapse(&mut self) {
        self.gap = true;
        self.rearm = false;
    }

    /// Forgets the polls that are open, and returns their numbers.
    pub(crate) fn abandon(&mut self) -> impl Iterator<Item = u64> + use<> {
        self.lapse();
        std::mem::take(&mut self.open)
            .into_iter()
            .map(|open| open.number)
    }

    pub(crate) fn forget_failures(&mut self) {
        (self.failures, self.quick, self.not_before) = (0, 0, None);
    }

    /// The numbers of the polls that are open.
    pub(crate) fn open_polls(&self) -> impl Iterator<Item = u64> + '_ {
        self.open.iter().map(|open| open.number)
    }

    /// The number of the poll that was opened last.
    pub(crate) fn last_number(&self) -> u64 {
        self.last_number
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    /// Whether the last poll failed.
    #[cfg(test)]
    pub(crate) fn is_failing(&self) -> bool {
        self.failures > 0
    }
}

#[cfg(test)]
mod tests;
