//! The observation of a device's commands (server-side RPC).
//!
//! ```text
//! registered ──▶ polling ──(a command)──▶ the next poll is opened, then the command notified
//!                 ▲   │ (the same again: the device has not replied)
//!                 │   ▼
//!                 └─ holding off: 1, 2, then 5 s, until the device replies
//! ```
//!
//! State may be superseded, commands may not: one at a time is given to the endpoint, and the next once
//! it has arrived. One that was not acknowledged goes first when the device is heard again, under the same
//! id. While many wait, polls do too: what ThingsBoard keeps is kept better than what we do.
//!
//! In the mode `on-uplink` one short poll follows each uplink, and another each command it brings.

use super::command_queue::{Command, CommandQueue, Taken};
use super::observer::{Observation, Observer};
use super::poll::{Outcome, Poller};
use super::{Context, Effect, Kind, Last};
use crate::config::RelayMode;
use crate::upstream::Error;
use std::time::{Duration, Instant};

/// How long the next poll waits when the last brought what the device has not replied to.
const HOLD_OFF: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];
/// How long a poll waits after an uplink: the device is awake for some seconds only.
const SHORT_POLL: Duration = Duration::from_secs(1);

/// The relay of one device's commands.
#[derive(Debug, Default)]
pub struct Commands {
    observer: Option<Observer>,
    poller: Poller,
    queue: CommandQueue,
    /// The number under which the first in the queue was given to the endpoint, and when. It stays until the endpoint
    /// says what became of it, whatever else happens: were it given again meanwhile, the device could get it twice.
    under_way: Option<(u64, Instant)>,
    /// An observation of the same session that another has replaced while a notification was under way for it. It ends
    /// when the endpoint has said what became of that.
    replaced: Option<Observation>,
    last_number: u64,
    /// How often in a row polls brought what the device has.
    repeated: usize,
    /// In the mode `on-uplink`: a short poll is wanted.
    asked: bool,
}

impl Commands {
    /// Who observes.
    pub fn observer(&self) -> Option<&Observer> {
        self.observer.as_ref()
    }

    /// Who observes, for its liveness.
    pub fn observer_mut(&mut self) -> Option<&mut Observer> {
        self.observer.as_mut()
    }

    /// An observation stands.
    pub fn registered(
        &mut self,
        now: Instant,
        observation: Observation,
        context: &mut Context<'_>,
    ) {
        let observer = Observer::new(now, observation, context.settings.alive_for);
        let before = self.observer.replace(observer);
        let before = before.map(|before| before.observation);
        if let Some(before) = before.filter(|before| *before != observation) {
            context.counters.replaced += 1;
            let same_session = before.session == observation.session;
            if !same_session {
                self.settle_replaced(context);
                self.under_way = None;
            }
            match self.under_way.is_some() && self.replaced.is_none() {
                true => self.replaced = Some(before),
                false => context.effects.push(Effect::End(before, Last::Replaced)),
            }
        }
        self.asked = true;
    }

    fn settle_replaced(&mut self, context: &mut Context<'_>) {
        if let Some(replaced) = self.replaced.take() {
            context.effects.push(Effect::End(replaced, Last::Replaced));
        }
    }

    /// Whether an observation is this, or what is under way was given to it before it was replaced.
    pub fn has(&self, observation: Observation) -> bool {
        let own = self.observer.as_ref().map(|own| own.observation);
        [own, self.replaced].contains(&Some(observation))
    }

    /// The device has rejected what was under way for an observation that another has replaced.
    pub fn replaced_cancelled(&mut self, observation: Observation) {
        if self.replaced.take_if(|own| *own == observation).is_some() {
            self.under_way = None;
        }
    }

    /// The observation is over: nothing is polled for. What is queued waits for the next.
    pub fn end(&mut self, context: &mut Context<'_>) -> Option<Observation> {
        let observer = self.observer.take()?;
        self.settle_replaced(context);
        for number in self.poller.abandon() {
            context.effects.push(Effect::Abort(Kind::Commands, number));
        }
        self.under_way = None;
        Some(observer.observation)
    }

    /// Whatever is under way is not waited for, and asked anew. Commands that have come are still the device's.
    pub fn start_over(&mut self, context: &mut Context<'_>) {
        for number in self.poller.start_over() {
            context.effects.push(Effect::Abort(Kind::Commands, number));
        }
        self.asked = true;
    }

    /// The numbers of the polls that are open.
    pub fn open_polls(&self) -> impl Iterator<Item = u64> + '_ {
        self.poller.open_polls()
    }

    /// Whoever gave these commands has gone.
    pub fn discard(&mut self) {
        self.queue = CommandQueue::default();
    }

    /// Nothing is asked for until the device is heard again. The polls that are open run out, and what
    /// they bring is kept.
    pub fn pause(&mut self) {
        self.poller.lapse();
        self.asked = false;
    }

    /// The endpoint has given up the notification under way. Returns since when it had it.
    pub fn undelivered(&mut self, context: &mut Context<'_>) -> Option<Instant> {
        self.settle_replaced(context);
        let (_, since) = self.under_way.take()?;
        Some(since)
    }

    /// The session that observed has gone.
    pub fn session_gone(&mut self) {
        self.pause();
        (self.under_way, self.replaced) = (None, None);
        self.observer = None;
    }

    /// The device is heard again after a pause, or a request of it was answered.
    pub fn uplink(&mut self) {
        self.asked = true;
    }

    /// A notification has arrived.
    pub fn delivered(&mut self, now: Instant, number: u64, context: &mut Context<'_>) {
        if self.is_under_way(number) {
            self.first_delivered(now, context);
        }
    }

    fn is_under_way(&self, number: u64) -> bool {
        self.under_way.is_some_and(|(own, _)| own == number)
    }

    fn first_delivered(&mut self, now: Instant, context: &mut Context<'_>) {
        self.under_way = None;
        self.settle_replaced(context);
        context.counters.commands_delivered += 1;
        self.queue.first_delivered(now);
    }

    /// A command can't be delivered, however often it is tried.
    pub fn too_large(&mut self, now: Instant, number: u64, context: &mut Context<'_>) {
        if self.is_under_way(number) {
            self.under_way = None;
            self.settle_replaced(context);
            self.refuse_first(now, context);
        }
    }

    fn refuse_first(&mut self, now: Instant, context: &mut Context<'_>) {
        if let Some(first) = self.queue.first() {
            context.counters.too_large += 1;
            // Whoever waits for the reply should not do so in vain, nor those behind it.
            context.effects.push(Effect::Refuse(first.id));
            // Until ThingsBoard has the refusal, polls bring it again: it is known then, and held off.
            self.queue.first_delivered(now);
        }
    }

    /// The device replies to a command: through whichever session, it has it, even if its acknowledgement was lost and
    /// the notification given up.
    pub fn reply_came(&mut self, now: Instant, id: u32, context: &mut Context<'_>) {
        if self.queue.may_have_first(id) {
            self.first_delivered(now, context);
        }
    }

    /// ThingsBoard has the reply.
    pub fn replied(&mut self, now: Instant, id: u32) {
        self.queue.replied(now, id);
        self.repeated = 0;
        self.asked = true;
        self.poller.release();
    }

    /// A poll has come to its end.
    pub fn poll_ended(
        &mut self,
        now: Instant,
        number: u64,
        result: Result<Option<Command>, Error>,
        context: &mut Context<'_>,
    ) {
        let outcome = match result {
            Ok(Some(command)) => match self.queue.take(now, command) {
                Taken::New => Outcome::Message,
                Taken::Repeated => Outcome::Repeated,
            },
            Ok(None) => {
                context.effects.push(Effect::Nonsense(Kind::Commands));
                Outcome::Failed
            }
            Err(error) => Outcome::of(&error),
        };
        context.poll_ended(now, &mut self.poller, number, outcome);
        match outcome {
            Outcome::Message => {
                context.counters.commands_taken += 1;
                self.repeated = 0;
                self.asked = true;
            }
            Outcome::Repeated => {
                context.counters.commands_repeated += 1;
                self.asked = false;
                // Beside another poll it is the copy that every open poll gets, and nothing to wait for.
                if self.poller.open() == 0 {
                    let wait = HOLD_OFF.get(self.repeated).or(HOLD_OFF.last());
                    self.poller.hold(now + wait.copied().unwrap_or_default());
                    self.repeated = self.repeated.saturating_add(1);
                }
            }
            Outcome::Elapsed => self.asked = false,
            Outcome::Overloaded | Outcome::Failed => {
                self.asked = false;
                self.queue.interrupted(now);
            }
        }
    }

    /// Polls and notifies what is to be polled and notified by now.
    pub fn advance(&mut self, now: Instant, context: &mut Context<'_>) {
        let expired = self.queue.forget(now);
        if expired > 0 {
            // The first has waited longest.
            context.counters.commands_expired += u64::try_from(expired).unwrap_or(u64::MAX);
            self.under_way = None;
            self.settle_replaced(context);
        }
        let Some(observer) = self.observer.as_ref().filter(|observer| observer.is_live()) else {
            return;
        };
        let observation = observer.observation;
        if !self.queue.is_full() {
            match context.settings.rpc {
                RelayMode::LongPoll => {
                    let timeout = context.pace.poll_timeout();
                    context.poll(now, Kind::Commands, &mut self.poller, timeout, true);
                }
                // One that is open covers what was asked since.
                RelayMode::OnUplink if self.asked && self.poller.open() == 0 => {
                    let opened =
                        context.poll(now, Kind::Commands, &mut self.poller, SHORT_POLL, false);
                    self.asked = opened.is_none();
                }
                RelayMode::OnUplink => {}
            }
        }
        while self.under_way.is_none()
            && let Some(first) = self.queue.first()
        {
            if first.body.len() > context.largest_payload {
                self.refuse_first(now, context);
                continue;
            }
            self.last_number += 1;
            self.under_way = Some((self.last_number, now));
            context.effects.push(Effect::Notify {
                observation,
                number: self.last_number,
                payload: first.body.clone(),
            });
            self.queue.first_notified();
        }
    }

    /// When [`advance`](Self::advance) is wanted, if time alone decides.
    pub fn next_timeout(&self, mode: RelayMode) -> Option<Instant> {
        let forget = self.queue.next_timeout();
        let live = self.observer.as_ref().is_some_and(Observer::is_live);
        let wanted = match mode {
            RelayMode::LongPoll => true,
            RelayMode::OnUplink => self.asked && self.poller.open() == 0,
        };
        let polls = live && wanted && !self.queue.is_full();
        let poll = self.poller.next_timeout().filter(|_| polls);
        [forget, poll].into_iter().flatten().min()
    }

    /// Commands that wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is neither an observation, nor anything under way for one, nor a command.
    pub fn is_idle(&self) -> bool {
        self.observer.is_none() && self.poller.open() == 0 && self.queue.is_empty()
    }
}
