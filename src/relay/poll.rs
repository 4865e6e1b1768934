//! When to poll ThingsBoard for one device and kind, so that as little as possible falls between polls.
//!
//! ```text
//! nothing open ──▶ open ──▶ (a second before it runs out) a successor beside it ──▶ the successor alone
//!      ▲             │ a message: the next is opened at once
//!      └─ waiting ◀──┘ a failure: after a wait, with jitter, and after an outage by the ramp
//! ```
//!
//! ThingsBoard forgets what happens while no poll is open, or loses it to one that ran out (`thingsboard`
//! calls them stale subscriptions). So polls overlap when they run out idle, and whatever left a gap is
//! remembered until the next poll opens: who polls for state reads it all then.

use super::pace::Pace;
use super::rate::Rate;
use crate::upstream::Error;
use std::time::{Duration, Instant};

/// How long before a poll runs out its successor is opened, plus up to half as much again so that
/// devices which began together drift apart.
const OVERLAP: Duration = Duration::from_secs(1);
/// Answers that may follow each other at once: a burst of commands comes one a poll. Beyond it something
/// upstream answers whatever is asked, and is asked four times a second.
const BURST: u32 = 32;
const AFTER_BURST: Duration = Duration::from_millis(250);
/// A poll that lasted this long ends a burst.
const CALM: Duration = Duration::from_secs(1);

/// What became of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It brought something.
    Message,
    /// It brought what is known: the copy that every open poll gets, or what waits for the device's reply.
    Repeated,
    /// It ran out without news: 408.
    Elapsed,
    /// 502 or 503.
    Overloaded,
    /// ThingsBoard did not answer at all.
    Unanswered,
    /// Anything else that may pass.
    Failed,
}

impl Outcome {
    /// What a failed poll comes to; refusals of the device are the caller's.
    pub fn of(error: &Error) -> Outcome {
        match error {
            Error::Elapsed => Outcome::Elapsed,
            Error::Overloaded | Error::RetryAfter(_) => Outcome::Overloaded,
            Error::Timeout | Error::Unreachable => Outcome::Unanswered,
            Error::Unintelligible(_) | Error::Rejected(_) => Outcome::Failed,
        }
    }
}

/// A poll to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Its name among this poller's.
    pub number: u64,
    /// How long it is to wait.
    pub timeout: Duration,
    /// Whether something may have been missed since the last one.
    pub after_gap: bool,
}

#[derive(Debug)]
struct Open {
    number: u64,
    opened: Instant,
    timeout: Duration,
    renew_at: Instant,
}

/// The polls of one device and kind.
#[derive(Debug, Default)]
pub struct Poller {
    /// Two at most.
    open: Vec<Open>,
    last_number: u64,
    /// A message took one away: the next is wanted though another may be open.
    rearm: bool,
    not_before: Option<Instant>,
    /// In a row.
    failures: u32,
    /// Quick answers in a row.
    quick: u32,
    gap: bool,
    /// The last brought a message: the one that follows it is no burden that a device could cause.
    after_message: bool,
    rate: Rate,
    /// The last was not answered, and what waits for that it is has not been woken since.
    unanswered: bool,
}

impl Poller {
    /// The poll to open now, if one is wanted: call whenever something has happened, while polls are
    /// wanted. `overlap`: open a successor before the one that is open runs out.
    pub fn due(
        &mut self,
        now: Instant,
        timeout: Duration,
        overlap: bool,
        pace: &mut Pace,
        random: &mut dyn FnMut() -> f64,
    ) -> Option<Opening> {
        if self.not_before.is_some_and(|at| at > now) {
            return None;
        }
        self.not_before = None;
        let wanted = match self.open.as_slice() {
            [] => true,
            [only] => self.rearm || overlap && only.renew_at <= now,
            _ => false,
        };
        if !wanted {
            return None;
        }
        if !self.after_message
            && let Err(at) = self.rate.may_take(now)
        {
            self.not_before = Some(at);
            self.gap |= self.open.is_empty();
            return None;
        }
        if self.failures > 0
            && let Err(wait) = pace.admit(now, random())
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
        self.open.push(Open {
            number: self.last_number,
            opened: now,
            timeout,
            renew_at: now + timeout.saturating_sub(lead),
        });
        Some(Opening {
            number: self.last_number,
            timeout,
            after_gap: std::mem::take(&mut self.gap),
        })
    }

    /// When [`due`](Self::due) has something next, if time alone decides.
    pub fn next_timeout(&self) -> Option<Instant> {
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

    /// A poll has come to its end. Returns how long it was asked to wait and how long it did; nothing if
    /// it is none of ours (any more).
    pub fn ended(
        &mut self,
        now: Instant,
        number: u64,
        outcome: Outcome,
        random: &mut dyn FnMut() -> f64,
    ) -> Option<(Duration, Duration)> {
        let at = self.open.iter().position(|open| open.number == number)?;
        let poll = self.open.swap_remove(at);
        if self.open.is_empty() {
            // Devices without a poll are many; each costs as little as can be.
            self.open = Vec::new();
        }
        let lasted = now.saturating_duration_since(poll.opened);
        self.unanswered = outcome == Outcome::Unanswered;
        self.after_message |= outcome == Outcome::Message;
        match outcome {
            Outcome::Message | Outcome::Repeated => {
                self.failures = 0;
                self.rearm = outcome == Outcome::Message || self.open.is_empty();
                self.quick = match lasted < CALM {
                    true => self.quick.saturating_add(1),
                    false => 0,
                };
                if self.quick > BURST {
                    self.hold(now + AFTER_BURST);
                }
            }
            // A poll that ends long before its time, and not with news, is no patience at all: were it
            // taken for one, the next would follow at once, and the next.
            Outcome::Elapsed if lasted >= poll.timeout / 2 => {
                (self.failures, self.quick) = (0, 0);
                self.gap |= self.open.is_empty();
            }
            Outcome::Elapsed | Outcome::Overloaded | Outcome::Unanswered | Outcome::Failed => {
                self.failures = self.failures.saturating_add(1);
                self.gap |= self.open.is_empty();
                self.hold(now + Pace::wait_after(self.failures, random()));
            }
        }
        Some((poll.timeout, lasted))
    }

    /// No poll before this time.
    pub fn hold(&mut self, until: Instant) {
        self.not_before = self.not_before.max(Some(until));
    }

    /// What [`hold`](Self::hold) said no longer counts, unless polls fail.
    pub fn release(&mut self) {
        if self.failures == 0 {
            self.not_before = None;
        }
    }

    /// Whether it waits to try again, for ThingsBoard did not answer.
    pub fn awaits_answers(&self) -> bool {
        self.unanswered && self.open.is_empty()
    }

    /// ThingsBoard answers others: there is nothing to wait for.
    pub fn wake(&mut self) {
        if std::mem::take(&mut self.unanswered) {
            self.not_before = None;
        }
    }

    /// When it is forgotten how many polls have begun.
    pub fn rested_at(&self) -> Option<Instant> {
        self.rate.rested_at()
    }

    /// Polls are no longer wanted, or were not for a while: whatever comes next comes after a gap.
    pub fn lapse(&mut self) {
        self.gap = true;
        self.rearm = false;
    }

    /// Forgets the polls that are open; their numbers are given back, to be aborted.
    pub fn abandon(&mut self) -> impl Iterator<Item = u64> + use<> {
        self.lapse();
        std::mem::take(&mut self.open)
            .into_iter()
            .map(|open| open.number)
    }

    /// Forgets the polls that are open, and why they failed: they are asked for anew.
    pub fn start_over(&mut self) -> impl Iterator<Item = u64> + use<> {
        (self.failures, self.quick, self.not_before) = (0, 0, None);
        self.abandon()
    }

    /// The numbers of those that are open.
    pub fn open_polls(&self) -> impl Iterator<Item = u64> + '_ {
        self.open.iter().map(|open| open.number)
    }

    /// The number of the poll that was opened last.
    pub fn last_number(&self) -> u64 {
        self.last_number
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Whether polls fail at present.
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }
}

#[cfg(test)]
mod tests;
