//! The polling form: HTTP long polls.
//!
//! | File | Holds |
//! |---|---|
//! | [`poller`] | the polls of one device and kind: when to open the next, so that nothing falls between two |
//! | [`command_polls`] | what polls for commands wait for beside that: replies on their way, and commands not replied to |
//! | [`pacing`] | what all devices share: back-off, the ramp after an outage, the longest poll that ThingsBoard allows |
//!
//! These polls lose changes that happen between two of them, and repeat a two-way command until it is replied to. So the
//! relay reads all attributes after each message and after each gap, and recognises commands.

mod command_polls;
pub(crate) mod pacing;
pub(crate) mod poller;

use super::{Context, Effect, Handled, Kind, Mode, Reads, Receipt};
use crate::upstream::Error;
use command_polls::CommandPolls;
use poller::{OpenedPoll, PollOutcome, Poller};
use std::time::{Duration, Instant};

/// How long after a poll was sent, or brought something, all attributes are read: by then ThingsBoard's device actor has the
/// subscription, and the second of two changes in quick succession is stored.
pub(crate) const SETTLE: Duration = Duration::from_millis(300);
/// The length of a poll after an uplink: the device is awake for some seconds only.
const SHORT_POLL: Duration = Duration::from_secs(1);

/// The polls of one device and kind.
#[derive(Debug)]
pub(crate) struct Polling {
    kind: Kind,
    poller: Poller,
    /// Unused for attributes.
    commands: CommandPolls,
}

impl Polling {
    pub(super) fn new(kind: Kind) -> Polling {
        Polling {
            kind,
            poller: Poller::default(),
            commands: CommandPolls::default(),
        }
    }

    pub(super) fn poller(&self) -> &Poller {
        &self.poller
    }

    /// Opens a poll if one is due. Returns when to read all attributes because changes may have been lost.
    pub(super) fn open_if_due(
        &mut self,
        now: Instant,
        mode: Mode,
        context: &mut Context<'_>,
    ) -> Option<Instant> {
        match mode {
            Mode::WhileLive => {
                let timeout = context.pacing.poll_timeout();
                let opened = self.open(now, timeout, true, context)?;
                self.commands.opened();
                opened.after_gap.then_some(now + SETTLE)
            }
            // One that is open brings whatever has come since.
            Mode::OnUplink if self.is_short_poll_wanted() => {
                let opened = self.open(now, SHORT_POLL, false, context);
                self.commands.is_wanted = opened.is_none();
                None
            }
            Mode::OnUplink => None,
        }
    }

    fn is_short_poll_wanted(&self) -> bool {
        self.kind == Kind::Commands && self.commands.is_wanted && self.poller.open() == 0
    }

    fn open(
        &mut self,
        now: Instant,
        timeout: Duration,
        overlap: bool,
        context: &mut Context<'_>,
    ) -> Option<OpenedPoll> {
        let poller = &mut self.poller;
        let opened = poller.due(now, timeout, overlap, context.pacing, context.random)?;
        context.counters.polls += 1;
        let effect = Effect::OpenPoll(self.kind, opened.number, opened.timeout);
        context.effects.push_effect(effect);
        Some(opened)
    }

    /// When [`open_if_due`](Self::open_if_due) has something to do, if time alone decides.
    pub(super) fn next_timeout(&self, mode: Mode) -> Option<Instant> {
        let is_wanted = match mode {
            Mode::WhileLive => true,
            Mode::OnUplink => self.is_short_poll_wanted(),
        };
        self.poller.next_timeout().filter(|_| is_wanted)
    }

    /// A poll has ended.
    pub(super) fn ended(
        &mut self,
        now: Instant,
        number: u64,
        result: Result<Receipt, Error>,
        context: &mut Context<'_>,
    ) -> Handled {
        let (outcome, repeat) = match result {
            Ok(Receipt::New) => (PollOutcome::Message, None),
            Ok(Receipt::Known(repeat)) => (PollOutcome::Repeated, Some(repeat)),
            Ok(Receipt::Unreadable) => (PollOutcome::Failed, None),
            Err(error) => (PollOutcome::of(&error), None),
        };
        if !self.poller_ended(now, number, outcome, context) {
            return Handled::default();
        }
        if self.kind == Kind::Commands {
            self.commands
                .ended(now, number, outcome, repeat, &mut self.poller);
        }
        match outcome {
            PollOutcome::Message | PollOutcome::Repeated => Handled {
                reads: Reads::At(now + SETTLE),
                may_have_restarted: false,
            },
            PollOutcome::Elapsed => Handled::default(),
            PollOutcome::Overloaded | PollOutcome::Unanswered | PollOutcome::Failed => Handled {
                reads: match self.poller.open() {
                    0 => Reads::Suspended,
                    _ => Reads::Unchanged,
                },
                may_have_restarted: true,
            },
        }
    }

    /// Returns whether the poll was one of these.
    fn poller_ended(
        &mut self,
        now: Instant,
        number: u64,
        outcome: PollOutcome,
        context: &mut Context<'_>,
    ) -> bool {
        let Some(ended) = self.poller.ended(now, number, outcome, context.random) else {
            return false;
        };
        match outcome {
            PollOutcome::Message | PollOutcome::Repeated | PollOutcome::Elapsed => {}
            PollOutcome::Overloaded | PollOutcome::Unanswered | PollOutcome::Failed => {
                context.counters.polls_failed += 1;
            }
        }
        let (requested, lasted) = (ended.requested, ended.lasted);
        if outcome == PollOutcome::Overloaded && context.pacing.poll_cut_short(requested, lasted) {
            let effect = Effect::PollCutShort { requested, lasted };
            context.effects.push_effect(effect);
        }
        true
    }

    /// Polls are not wanted for a while. Those that are open run out.
    pub(super) fn pause(&mut self) {
        self.poller.lapse();
        self.commands.is_wanted = false;
    }

    /// Opens no poll before this time, and remembers that changes may have been lost until then.
    pub(super) fn hold(&mut self, until: Instant) {
        self.poller.lapse();
        self.poller.hold(until);
    }

    /// The device is awake: in the mode `on-uplink` it is polled for.
    pub(super) fn device_awake(&mut self) {
        self.commands.is_wanted = true;
    }

    /// Closes the polls that are open.
    pub(super) fn abort(&mut self, context: &mut Context<'_>) {
        for number in self.poller.abandon() {
            let effect = Effect::AbortPoll(self.kind, number);
            context.effects.push_effect(effect);
        }
    }

    /// Closes the polls that are open, and forgets past failures: the device has another token.
    pub(super) fn restart(&mut self, context: &mut Context<'_>) {
        self.poller.forget_failures();
        self.abort(context);
        self.commands.is_wanted = true;
    }

    /// ThingsBoard answers again: any back-off for that reason ends.
    pub(super) fn retry_now(&mut self) {
        self.poller.retry_now();
    }

    /// A reply to a command is on its way to ThingsBoard.
    pub(super) fn reply_begins(&mut self, now: Instant) {
        self.commands.reply_begins(now, &mut self.poller);
    }

    /// ThingsBoard has a reply, which came so long after its command.
    pub(super) fn reply_accepted(&mut self, took: Duration) {
        self.commands.reply_accepted(took, &mut self.poller);
    }

    /// ThingsBoard did not take a reply.
    pub(super) fn reply_failed(&mut self) {
        self.poller.release();
    }
}
