//! The observation of a device's commands (server-side RPC).
//!
//! ```text
//! registered ──▶ polling ──(a command)──▶ the next poll is opened, then the command notified
//!                 ▲   │ (the same again: the device has not replied)
//!                 │   ▼
//!                 └─ holding off: 1, 2, then 5 s, until ThingsBoard has taken the device's reply
//! ```
//!
//! A poll that is open while the device replies brings the command once more, for nothing. So after a command of a
//! device that replied to the one before, the next poll waits for the reply, for a second at most.
//!
//! State may be superseded, commands may not: one at a time is given to the endpoint, and the next once
//! it has arrived. One that was not acknowledged goes first when the device is heard again, under the same
//! id. While many wait, polls do too: what ThingsBoard keeps is kept better than what we do.
//!
//! In the mode `on-uplink` one short poll follows each uplink, and another each command it brings.

use super::Mode;
use super::command_queue::{Command, CommandQueue, Known, Taken};
use super::poll::{Outcome, Poller};
use super::refusal::Refusal;
use super::{Context, Effect, Kind, Last};
use crate::relay::liveness::{Observation, Observer};
use crate::upstream::Error;
use std::time::{Duration, Instant};

/// How long the next poll waits when the last brought what the device has not replied to.
const HOLD_OFF: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];
/// How long polls wait for ThingsBoard to take a reply to a command, at most: before that they would bring the command
/// again.
const REPLY_TAKES: Duration = Duration::from_secs(5);
/// How long the next poll waits for a reply, at most, if the device replied to the last command. Meanwhile nothing is
/// lost: a command took all of ThingsBoard's subscriptions away, and what comes without one waits for the next poll.
const REPLY_EXPECTED: Duration = Duration::from_secs(1);
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
    /// How long after the last command ThingsBoard had the device's reply, if it was soon.
    replies_within: Option<Duration>,
    /// The next poll waits for the reply.
    awaits_reply: bool,
    /// The number of the last poll that was opened before ThingsBoard had the newest reply.
    opened_before_reply: u64,
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

    /// The observation is over: nothing is polled for. The poll that is open runs out, and what it brings is kept, as is
    /// what is queued, for the next observation; that one begins with this poll.
    pub fn end(&mut self, context: &mut Context<'_>) -> Option<Observation> {
        let observer = self.observer.take()?;
        self.settle_replaced(context);
        self.poller.lapse();
        self.under_way = None;
        Some(observer.observation)
    }

    /// Nobody waits for the polls that are open.
    pub fn abort_polls(&mut self, context: &mut Context<'_>) {
        for number in self.poller.abandon() {
            context.effects.push(Effect::Abort(Kind::Commands, number));
        }
    }

    /// What decides when it polls.
    pub fn poller(&self) -> &Poller {
        &self.poller
    }

    /// ThingsBoard answers others.
    pub fn wake(&mut self) {
        self.poller.wake();
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
        if let Some(id) = self.queue.first().map(|first| first.id) {
            context.counters.too_large += 1;
            self.queue.first_delivered(now);
            self.refuse(now, id, Refusal::TooLarge, context);
        }
    }

    /// The gateway replies to a command itself. Until ThingsBoard has that, polls would bring the command again.
    fn refuse(&mut self, now: Instant, id: u32, refusal: Refusal, context: &mut Context<'_>) {
        self.queue.refuse(id, refusal);
        self.poller.hold(now + REPLY_TAKES);
        context.effects.push(Effect::Refuse(id, refusal));
    }

    /// The device replies to a command: through whichever session, it has it, even if its acknowledgement was lost and
    /// the notification given up.
    pub fn reply_came(&mut self, now: Instant, id: u32, context: &mut Context<'_>) {
        if self.queue.may_have_first(id) {
            self.first_delivered(now, context);
        }
        if self.queue.reply_begins(id) {
            self.poller.hold(now + REPLY_TAKES);
        }
    }

    /// ThingsBoard has the reply: the next poll brings another command. Replies to what was not given, or was replied to,
    /// hasten nothing.
    pub fn replied(&mut self, now: Instant, id: u32) {
        let Some(took) = self.queue.replied(now, id) else {
            return;
        };
        (self.repeated, self.awaits_reply, self.asked) = (0, false, true);
        self.replies_within = Some(took).filter(|took| *took <= REPLY_EXPECTED);
        self.opened_before_reply = self.poller.last_number();
        self.poller.release();
    }

    /// ThingsBoard has not taken the reply.
    pub fn reply_failed(&mut self, id: u32) {
        if self.queue.reply_failed(id) {
            self.poller.release();
        }
    }

    /// A poll has come to its end.
    pub fn poll_ended(
        &mut self,
        now: Instant,
        number: u64,
        result: Result<Option<Command>, Error>,
        context: &mut Context<'_>,
    ) {
        let mut repeated = None;
        let outcome = match result {
            Ok(Some(command)) => {
                let id = command.id;
                let before = self.queue.bytes();
                match self.queue.take(now, command) {
                    Taken::New => {
                        if self.queue.bytes() > before.saturating_add(context.room)
                            && let Some(id) = self.queue.drop_newest(now)
                        {
                            context.counters.no_room += 1;
                            self.refuse(now, id, Refusal::NoRoom, context);
                        }
                        Outcome::Message
                    }
                    Taken::Repeated(known) => {
                        repeated = Some((id, known));
                        Outcome::Repeated
                    }
                }
            }
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
                if let Some(within) = self.replies_within {
                    let wait = within * 2 + REPLY_EXPECTED / 10;
                    self.poller.hold(now + wait.min(REPLY_EXPECTED));
                    self.awaits_reply = true;
                }
            }
            Outcome::Repeated => {
                context.counters.commands_repeated += 1;
                if let Some((id, known)) = repeated {
                    self.came_again(now, number, id, known, context);
                }
            }
            Outcome::Elapsed => self.asked = false,
            Outcome::Overloaded | Outcome::Unanswered | Outcome::Failed => {
                self.asked = false;
                self.queue.interrupted(now);
            }
        }
    }

    /// A poll has brought a command that is known.
    fn came_again(
        &mut self,
        now: Instant,
        number: u64,
        id: u32,
        known: Known,
        context: &mut Context<'_>,
    ) {
        // ThingsBoard had not seen the reply yet when it answered this poll. It has by now.
        let overtaken = known == Known::Answered && number <= self.opened_before_reply;
        self.asked = overtaken;
        let limit = context.settings.command_answer;
        let refuse_at = match known {
            Known::Unanswered(since) => limit.map(|limit| since + limit),
            Known::Waiting | Known::Refused(_) | Known::ReplyUnderWay | Known::Answered => None,
        };
        if let Known::Refused(refusal) = known {
            self.refuse(now, id, refusal, context);
        } else if refuse_at.is_some_and(|at| at <= now) {
            context.counters.commands_unanswered += 1;
            self.refuse(now, id, Refusal::Unanswered, context);
        } else if self.poller.open() == 0 && !overtaken {
            // Beside another poll it is the copy that every open poll gets, and nothing to wait for.
            let wait = HOLD_OFF.get(self.repeated).or(HOLD_OFF.last());
            let until = now + wait.copied().unwrap_or_default();
            self.poller
                .hold(refuse_at.map_or(until, |at| at.min(until)));
            self.repeated = self.repeated.saturating_add(1);
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
                Mode::LongPoll => {
                    let timeout = context.pace.poll_timeout();
                    let opened = context.poll(now, Kind::Commands, &mut self.poller, timeout, true);
                    if opened.is_some() && std::mem::take(&mut self.awaits_reply) {
                        // None came: the next poll is not kept waiting for one.
                        self.replies_within = None;
                    }
                }
                // One that is open covers what was asked since.
                Mode::OnUplink if self.asked && self.poller.open() == 0 => {
                    let opened =
                        context.poll(now, Kind::Commands, &mut self.poller, SHORT_POLL, false);
                    self.asked = opened.is_none();
                }
                Mode::OnUplink => {}
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
    pub fn next_timeout(&self, mode: Mode) -> Option<Instant> {
        let forget = self.queue.next_timeout();
        let live = self.observer.as_ref().is_some_and(Observer::is_live);
        let wanted = match mode {
            Mode::LongPoll => true,
            Mode::OnUplink => self.asked && self.poller.open() == 0,
        };
        let polls = live && wanted && !self.queue.is_full();
        let poll = self.poller.next_timeout().filter(|_| polls);
        [forget, poll].into_iter().flatten().min()
    }

    /// What the commands that wait cost, in bytes.
    pub fn bytes(&self) -> usize {
        self.queue.bytes()
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
