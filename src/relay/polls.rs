//! The polls of one relay.

use super::{RelayContext, RelayEffect};
use crate::downlink::Kind;
use crate::downlink::polling::poller::{OpenedPoll, PollOutcome, Poller};
use std::time::{Duration, Instant};

impl Poller {
    /// Opens a poll if one is due: see [`Poller::due`].
    pub(super) fn open_if_due(
        &mut self,
        now: Instant,
        kind: Kind,
        timeout: Duration,
        overlap: bool,
        context: &mut RelayContext<'_>,
    ) -> Option<OpenedPoll> {
        let opened = self.due(now, timeout, overlap, context.pacing, context.random)?;
        context.counters.polls += 1;
        let effect = RelayEffect::OpenPoll(kind, opened.number, opened.timeout);
        context.effects.push(effect);
        Some(opened)
    }

    /// A poll has ended. Returns whether it was one of this poller's.
    pub(super) fn poll_ended(
        &mut self,
        now: Instant,
        number: u64,
        outcome: PollOutcome,
        context: &mut RelayContext<'_>,
    ) -> bool {
        let Some(ended) = self.ended(now, number, outcome, context.random) else {
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
            context
                .effects
                .push(RelayEffect::PollCutShort { requested, lasted });
        }
        true
    }

    /// Closes the polls that are open.
    pub(super) fn abort_open(&mut self, kind: Kind, context: &mut RelayContext<'_>) {
        let aborted = self.abandon();
        context
            .effects
            .extend(aborted.map(|number| RelayEffect::AbortPoll(kind, number)));
    }

    /// Closes the polls that are open, and forgets past failures: the device has another token.
    pub(super) fn abort_and_restart(&mut self, kind: Kind, context: &mut RelayContext<'_>) {
        self.forget_failures();
        self.abort_open(kind, context);
    }
}
