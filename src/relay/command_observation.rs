//! The observation of a device's commands (server-side RPC).
//!
//! ```text
//! registered ──▶ polling ──(a command)──▶ the next poll is opened, then the command notified
//!                 ▲   │ (the same command again: the device has not replied)
//!                 │   ▼
//!                 └─ holding off: 1, 2, then 5 s, until ThingsBoard has the device's reply
//! ```
//!
//! A poll that is open while the device replies brings the same command again. So if the device replied to the last command,
//! the next poll waits for its reply to this one, for a second at most.
//!
//! Commands must not be superseded: the endpoint has one at a time, and gets the next once it was delivered. One that was
//! not acknowledged is notified again, under the same id, when the device sends something. While many are queued there are no
//! polls: ThingsBoard keeps them safer than the gateway's memory does.
//!
//! In the mode `on-uplink` one short poll follows each uplink, and another each command that it brings.

use super::Mode;
use super::command_error::CommandError;
use super::command_queue::{Command, CommandQueue, Pushed, Repeated};
use super::liveness::{Observation, Observer};
use super::polling::poller::{PollOutcome, Poller};
use super::{Kind, ObservationEnd, RelayContext, RelayEffect};
use crate::upstream::Error;
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
/// The length of a poll after an uplink: the device is awake for some seconds only.
const SHORT_POLL: Duration = Duration::from_secs(1);

/// The observation of one device's commands, if there is one, its polls and the queue.
#[derive(Debug, Default)]
pub(crate) struct CommandObservation {
    observer: Option<Observer>,
    poller: Poller,
    queue: CommandQueue,
    /// The first command in the queue, if the endpoint has it. It stays until the endpoint reports its delivery or failure,
    /// whatever else happens: if it were given again before, the device could get it twice.
    in_flight: Option<NotificationInFlight>,
    /// An observation of the same session that another replaced while a notification was in flight for it. It ends when the
    /// endpoint has reported what became of that notification.
    replaced: Option<Observation>,
    last_number: u64,
    /// How many polls in a row brought a command that the device has.
    repeats: usize,
    replies: ReplyTimes,
    /// In the mode `on-uplink`: whether to open a short poll.
    is_poll_wanted: bool,
}

/// A notification that the endpoint has, and that is neither delivered nor given up.
#[derive(Debug, Clone, Copy)]
struct NotificationInFlight {
    number: u64,
    since: Instant,
}

/// How soon the device replies, so that the next poll can wait for it.
#[derive(Debug, Default)]
struct ReplyTimes {
    /// From the last command to its reply, if that was within [`LONGEST_REPLY_TIME`].
    last: Option<Duration>,
    /// The next poll waits for a reply.
    is_awaited: bool,
    /// The number of the last poll that was opened before ThingsBoard had the newest reply.
    newest_after_poll: u64,
}

impl CommandObservation {
    pub(crate) fn observer(&self) -> Option<&Observer> {
        self.observer.as_ref()
    }

    pub(crate) fn observer_mut(&mut self) -> Option<&mut Observer> {
        self.observer.as_mut()
    }

    /// The device has registered.
    pub(crate) fn registered(
        &mut self,
        now: Instant,
        observation: Observation,
        context: &mut RelayContext<'_>,
    ) {
        let observer = Observer::new(now, observation, context.settings.alive_for);
        let before = self.observer.replace(observer);
        let before = before.map(|before| before.observation);
        if let Some(before) = before.filter(|before| *before != observation) {
            context.counters.replaced += 1;
            let same_session = before.session == observation.session;
            if !same_session {
                self.end_replaced(context);
                self.in_flight = None;
            }
            match self.in_flight.is_some() && self.replaced.is_none() {
                true => self.replaced = Some(before),
                false => context.effects.push(RelayEffect::EndObservation(
                    before,
                    ObservationEnd::Replaced,
                )),
            }
        }
        self.is_poll_wanted = true;
    }

    fn end_replaced(&mut self, context: &mut RelayContext<'_>) {
        if let Some(replaced) = self.replaced.take() {
            context.effects.push(RelayEffect::EndObservation(
                replaced,
                ObservationEnd::Replaced,
            ));
        }
    }

    /// Whether this is the observation, or the replaced one that a notification is still in flight for.
    pub(crate) fn has(&self, observation: Observation) -> bool {
        let own = self.observer.as_ref().map(|own| own.observation);
        [own, self.replaced].contains(&Some(observation))
    }

    /// The device has rejected the notification in flight for an observation, if that one was replaced.
    pub(crate) fn replaced_cancelled(&mut self, observation: Observation) {
        if self.replaced.take_if(|own| *own == observation).is_some() {
            self.in_flight = None;
        }
    }

    /// Ends the observation. The poll that is open runs out; what it brings is queued for the next observation, which begins
    /// with that poll.
    pub(crate) fn end(&mut self, context: &mut RelayContext<'_>) -> Option<Observation> {
        let observer = self.observer.take()?;
        self.end_replaced(context);
        self.poller.lapse();
        self.in_flight = None;
        Some(observer.observation)
    }

    /// Closes the polls that are open.
    pub(crate) fn abort_polls(&mut self, context: &mut RelayContext<'_>) {
        self.poller.abort_open(Kind::Commands, context);
    }

    pub(crate) fn poller(&self) -> &Poller {
        &self.poller
    }

    /// ThingsBoard answers again: any back-off for that reason ends.
    pub(crate) fn retry_now(&mut self) {
        self.poller.retry_now();
    }

    /// Cancels polls, and begins again: the device has another token. Queued commands are still the device's.
    pub(crate) fn restart(&mut self, context: &mut RelayContext<'_>) {
        self.poller.abort_and_restart(Kind::Commands, context);
        self.is_poll_wanted = true;
    }

    /// Drops all commands: the device is deleted in ThingsBoard, or its token was rejected.
    pub(crate) fn discard(&mut self) {
        self.queue = CommandQueue::default();
    }

    /// Polls nothing until [`poll_soon`](Self::poll_soon). The polls that are open run out, and what they bring is queued.
    pub(crate) fn pause(&mut self) {
        self.poller.lapse();
        self.is_poll_wanted = false;
    }

    /// The endpoint has given up the notification in flight. Returns since when it had it.
    pub(crate) fn delivery_failed(&mut self, context: &mut RelayContext<'_>) -> Option<Instant> {
        self.end_replaced(context);
        self.in_flight.take().map(|first| first.since)
    }

    /// The session that observed has ended.
    pub(crate) fn session_ended(&mut self) {
        self.pause();
        (self.in_flight, self.replaced) = (None, None);
        self.observer = None;
    }

    /// The device sends something after a pause, or a request of it was answered: in the mode `on-uplink` it is polled for.
    pub(crate) fn poll_soon(&mut self) {
        self.is_poll_wanted = true;
    }

    /// The device has acknowledged the notification of this number.
    pub(crate) fn delivered(&mut self, now: Instant, number: u64, context: &mut RelayContext<'_>) {
        if self.is_in_flight(number) {
            self.first_delivered(now, context);
        }
    }

    fn is_in_flight(&self, number: u64) -> bool {
        self.in_flight.is_some_and(|first| first.number == number)
    }

    fn first_delivered(&mut self, now: Instant, context: &mut RelayContext<'_>) {
        self.in_flight = None;
        self.end_replaced(context);
        context.counters.commands_delivered += 1;
        self.queue.first_delivered(now);
    }

    /// The notification of this number does not fit the device's datagrams.
    pub(crate) fn too_large(&mut self, now: Instant, number: u64, context: &mut RelayContext<'_>) {
        if self.is_in_flight(number) {
            self.in_flight = None;
            self.end_replaced(context);
            self.reject_first(now, context);
        }
    }

    fn reject_first(&mut self, now: Instant, context: &mut RelayContext<'_>) {
        if let Some(id) = self.queue.first().map(|first| first.id) {
            context.counters.too_large += 1;
            self.queue.first_delivered(now);
            self.reply_with_error(now, id, CommandError::TooLarge, context);
        }
    }

    /// Replies to a command in the device's place. Polls wait until ThingsBoard has the reply: before, they would bring the
    /// command again.
    fn reply_with_error(
        &mut self,
        now: Instant,
        id: u32,
        error: CommandError,
        context: &mut RelayContext<'_>,
    ) {
        if !self.queue.gateway_replies(id, error) {
            return;
        }
        self.poller.hold(now + REPLY_TIMEOUT);
        let effect = RelayEffect::ReplyToCommand(id, error);
        context.effects.push(effect);
    }

    /// Whether the device's reply under this id must not reach ThingsBoard, which would take it for one to another command.
    pub(crate) fn is_reply_outdated(&self, id: u32) -> bool {
        self.queue.is_reply_outdated(id)
    }

    /// The device replies to a command, through any session: so it has it, even if its acknowledgement was lost and the
    /// notification given up.
    pub(crate) fn reply_received(&mut self, now: Instant, id: u32, context: &mut RelayContext<'_>) {
        if self.queue.may_have_first(id) {
            self.first_delivered(now, context);
        }
        if self.queue.reply_begins(id) {
            self.poller.hold(now + REPLY_TIMEOUT);
        }
    }

    /// ThingsBoard has the reply: the next poll brings another command. Ignored for commands that were not delivered, or
    /// replied to before.
    pub(crate) fn reply_accepted(&mut self, now: Instant, id: u32) {
        let Some(took) = self.queue.reply_accepted(now, id) else {
            return;
        };
        self.repeats = 0;
        self.is_poll_wanted = true;
        self.replies = ReplyTimes {
            last: Some(took).filter(|took| *took <= LONGEST_REPLY_TIME),
            is_awaited: false,
            newest_after_poll: self.poller.last_number(),
        };
        self.poller.release();
    }

    /// ThingsBoard did not take the reply.
    pub(crate) fn reply_failed(&mut self, id: u32) {
        if self.queue.reply_failed(id) {
            self.poller.release();
        }
    }

    /// A poll has ended.
    pub(crate) fn poll_ended(
        &mut self,
        now: Instant,
        number: u64,
        result: Result<Option<Command>, Error>,
        context: &mut RelayContext<'_>,
    ) {
        let mut repeated = None;
        let outcome = match result {
            Ok(Some(command)) => {
                let id = command.id;
                let before = self.queue.bytes();
                match self.queue.push(now, command) {
                    Pushed::New => {
                        if self.queue.bytes() > before.saturating_add(context.room)
                            && let Some(id) = self.queue.drop_newest(now)
                        {
                            context.counters.no_room += 1;
                            self.reply_with_error(now, id, CommandError::NoRoom, context);
                        }
                        PollOutcome::Message
                    }
                    Pushed::Repeated(known) => {
                        repeated = Some((id, known));
                        PollOutcome::Repeated
                    }
                }
            }
            Ok(None) => {
                let effect = RelayEffect::UnreadableMessage(Kind::Commands);
                context.effects.push(effect);
                PollOutcome::Failed
            }
            Err(error) => PollOutcome::of(&error),
        };
        self.poller.poll_ended(now, number, outcome, context);
        match outcome {
            PollOutcome::Message => {
                context.counters.commands_received += 1;
                self.repeats = 0;
                self.is_poll_wanted = true;
                if let Some(last) = self.replies.last {
                    let wait = last * 2 + LONGEST_REPLY_TIME / 10;
                    self.poller.hold(now + wait.min(LONGEST_REPLY_TIME));
                    self.replies.is_awaited = true;
                }
            }
            PollOutcome::Repeated => {
                context.counters.commands_repeated += 1;
                if let Some((id, known)) = repeated {
                    self.repeated(now, number, id, known, context);
                }
            }
            PollOutcome::Elapsed => self.is_poll_wanted = false,
            PollOutcome::Overloaded | PollOutcome::Unanswered | PollOutcome::Failed => {
                self.is_poll_wanted = false;
                self.queue.polls_interrupted(now);
            }
        }
    }

    /// A poll has brought a command that is known.
    fn repeated(
        &mut self,
        now: Instant,
        number: u64,
        id: u32,
        known: Repeated,
        context: &mut RelayContext<'_>,
    ) {
        // ThingsBoard answered this poll before it had the reply, which it has by now.
        let is_outdated = known == Repeated::Answered && number <= self.replies.newest_after_poll;
        self.is_poll_wanted = is_outdated;
        let limit = context.settings.command_answer;
        let reply_at = match known {
            Repeated::Unanswered(since) => limit.map(|limit| since + limit),
            Repeated::Queued
            | Repeated::Rejected(_)
            | Repeated::ReplyInFlight
            | Repeated::Answered => None,
        };
        if let Repeated::Rejected(error) = known {
            self.reply_with_error(now, id, error, context);
        } else if reply_at.is_some_and(|at| at <= now) {
            context.counters.commands_unanswered += 1;
            self.reply_with_error(now, id, CommandError::Unanswered, context);
        } else if self.poller.open() == 0 && !is_outdated {
            // While another poll is open this was the copy that every open poll gets, and no reason to hold off.
            let wait = HOLD_OFF.get(self.repeats).or(HOLD_OFF.last());
            let until = now + wait.copied().unwrap_or_default();
            self.poller.hold(reply_at.map_or(until, |at| at.min(until)));
            self.repeats = self.repeats.saturating_add(1);
        }
    }

    /// Drops expired commands, begins the poll that is due, then notifies the first command.
    pub(crate) fn advance(&mut self, now: Instant, context: &mut RelayContext<'_>) {
        let expired = self.queue.remove_expired(now);
        if expired > 0 {
            // The first has waited longest, so the one in flight is among them.
            context.counters.commands_expired += u64::try_from(expired).unwrap_or(u64::MAX);
            self.in_flight = None;
            self.end_replaced(context);
        }
        let Some(observer) = self.observer.as_ref().filter(|observer| observer.is_live()) else {
            return;
        };
        let observation = observer.observation;
        if !self.queue.is_full() {
            self.poll(now, context);
        }
        self.notify(now, observation, context);
    }

    fn poll(&mut self, now: Instant, context: &mut RelayContext<'_>) {
        let kind = Kind::Commands;
        match context.settings.rpc {
            Mode::LongPoll => {
                let timeout = context.pacing.poll_timeout();
                let opened = self.poller.open_if_due(now, kind, timeout, true, context);
                if opened.is_some() && std::mem::take(&mut self.replies.is_awaited) {
                    // None came in time: the next poll does not wait for one.
                    self.replies.last = None;
                }
            }
            // One that is open brings whatever has come since.
            Mode::OnUplink if self.is_poll_wanted && self.poller.open() == 0 => {
                let opened = self
                    .poller
                    .open_if_due(now, kind, SHORT_POLL, false, context);
                self.is_poll_wanted = opened.is_none();
            }
            Mode::OnUplink => {}
        }
    }

    fn notify(&mut self, now: Instant, observation: Observation, context: &mut RelayContext<'_>) {
        while self.in_flight.is_none()
            && let Some(first) = self.queue.first()
        {
            if first.body.len() > context.largest_payload {
                self.reject_first(now, context);
                continue;
            }
            self.last_number += 1;
            self.in_flight = Some(NotificationInFlight {
                number: self.last_number,
                since: now,
            });
            context.effects.push(RelayEffect::Notify {
                observation,
                number: self.last_number,
                payload: first.body.clone(),
            });
            self.queue.first_notified();
        }
    }

    /// When [`advance`](Self::advance) has something to do, if time alone decides.
    pub(crate) fn next_timeout(&self, mode: Mode) -> Option<Instant> {
        let expiry = self.queue.next_timeout();
        let is_live = self.observer.as_ref().is_some_and(Observer::is_live);
        let is_wanted = match mode {
            Mode::LongPoll => true,
            Mode::OnUplink => self.is_poll_wanted && self.poller.open() == 0,
        };
        let polls = is_live && is_wanted && !self.queue.is_full();
        let poll = self.poller.next_timeout().filter(|_| polls);
        [expiry, poll].into_iter().flatten().min()
    }

    /// What the queued commands cost, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Commands queued for the device.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is neither an observation, nor an open poll, nor a command.
    pub(crate) fn is_idle(&self) -> bool {
        self.observer.is_none() && self.poller.open() == 0 && self.queue.is_empty()
    }
}
