//! What the polls for commands wait for beside the rules of all polls.
//!
//! ```text
//! polling ──(a command)──▶ the next poll is opened
//!  ▲   │ (the same command again: the device has not replied)
//!  │   ▼
//!  └─ holding off: 1, 2, then 5 s, until ThingsBoard has the device's reply
//! ```
//!
//! A poll that is open while the device replies brings the same command again. So if the device replied to the last command,
//! the next poll waits for its reply to this one, for a second at most.
//!
//! In the mode `on-uplink` one short poll follows each uplink, and another each command that it brings.

use super::poller::{PollOutcome, Poller};
use crate::downlink::Repeat;
use std::time::{Duration, Instant};

/// How long the next poll waits after one that brought a command which the device has and has not replied to.
const HOLD_OFF: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];
/// How long polls wait until ThingsBoard has a reply, at most: before that they would bring the command again.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the next poll waits for a reply, at most, if the device replied to the last command. Nothing is lost meanwhile: a
/// command ended all of ThingsBoard's subscriptions, and one that comes without a subscription waits for the next poll.
const LONGEST_REPLY_TIME: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct CommandPolls {
    /// How many polls in a row brought a command that the device has.
    repeats: usize,
    /// From the last command to its reply, if that was within [`LONGEST_REPLY_TIME`].
    last_reply_time: Option<Duration>,
    /// The next poll waits for a reply.
    is_reply_awaited: bool,
    /// The number of the last poll that was opened before ThingsBoard had the newest reply.
    newest_before_reply: u64,
    /// In the mode `on-uplink`: whether to open a short poll.
    pub is_wanted: bool,
}

impl CommandPolls {
    /// A poll has ended.
    pub(super) fn ended(
        &mut self,
        now: Instant,
        number: u64,
        outcome: PollOutcome,
        repeat: Option<Repeat>,
        poller: &mut Poller,
    ) {
        match outcome {
            PollOutcome::Message => {
                self.repeats = 0;
                self.is_wanted = true;
                if let Some(last) = self.last_reply_time {
                    let wait = last * 2 + LONGEST_REPLY_TIME / 10;
                    poller.hold(now + wait.min(LONGEST_REPLY_TIME));
                    self.is_reply_awaited = true;
                }
            }
            PollOutcome::Repeated => {
                if let Some(repeat) = repeat {
                    self.repeated(now, number, repeat, poller);
                }
            }
            PollOutcome::Elapsed
            | PollOutcome::Overloaded
            | PollOutcome::Unanswered
            | PollOutcome::Failed => self.is_wanted = false,
        }
    }

    /// A poll has brought a command that is known.
    fn repeated(&mut self, now: Instant, number: u64, repeat: Repeat, poller: &mut Poller) {
        // ThingsBoard answered this poll before it had the reply, which it has by now.
        let is_outdated = repeat.is_replied_to && number <= self.newest_before_reply;
        self.is_wanted = is_outdated;
        if !repeat.gateway_replies && poller.open() == 0 && !is_outdated {
            // While another poll is open this was the copy that every open poll gets, and no reason to hold off.
            let wait = HOLD_OFF.get(self.repeats).or(HOLD_OFF.last());
            let until = now + wait.copied().unwrap_or_default();
            poller.hold(repeat.reply_at.map_or(until, |at| at.min(until)));
            self.repeats = self.repeats.saturating_add(1);
        }
    }

    /// A poll was opened.
    pub(super) fn opened(&mut self) {
        if std::mem::take(&mut self.is_reply_awaited) {
            // None came in time: the next poll does not wait for one.
            self.last_reply_time = None;
        }
    }

    /// A reply is on its way to ThingsBoard.
    pub(super) fn reply_begins(&self, now: Instant, poller: &mut Poller) {
        poller.hold(now + REPLY_TIMEOUT);
    }

    /// ThingsBoard has a reply, which came so long after its command: the next poll brings another command.
    pub(super) fn reply_accepted(&mut self, took: Duration, poller: &mut Poller) {
        self.repeats = 0;
        self.is_wanted = true;
        self.last_reply_time = Some(took).filter(|took| *took <= LONGEST_REPLY_TIME);
        self.is_reply_awaited = false;
        self.newest_before_reply = poller.last_number();
        poller.release();
    }
}
