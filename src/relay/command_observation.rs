//! The observation of a device's commands (server-side RPC).
//!
//! ```text
//! a command comes ──▶ queued ──▶ notified ──▶ delivered ──▶ replied to
//! ```
//!
//! Commands must not be superseded: the endpoint has one at a time, and gets the next once it was delivered. One that was
//! not acknowledged is notified again, under the same id, when the device sends something. While many are queued no more
//! are requested, if they wait in ThingsBoard then: it keeps them safer than the gateway's memory does.

use super::command_error::CommandError;
use super::command_queue::{CommandQueue, Pushed, Repeated};
use super::export::Times;
use super::liveness::{Observation, Observer};
use super::{ObservationEnd, RelayContext, RelayEffect};
use crate::downlink::{
    Acknowledgement, Command, Downlink, Event, Form, Kind, Mode, Reads, Receipt, Repeat,
};
use std::time::Instant;

/// The observation of one device's commands, if there is one, its downlink and the queue.
#[derive(Debug)]
pub(crate) struct CommandObservation {
    observer: Option<Observer>,
    downlink: Downlink,
    queue: CommandQueue,
    /// The first command in the queue, if the endpoint has it. It stays until the endpoint reports its delivery or failure,
    /// whatever else happens: if it were given again before, the device could get it twice.
    in_flight: Option<NotificationInFlight>,
    /// An observation of the same session that another replaced while a notification was in flight for it. It ends when the
    /// endpoint has reported what became of that notification.
    replaced: Option<Observation>,
    last_number: u64,
}

/// A notification that the endpoint has, and that is neither delivered nor given up.
#[derive(Debug, Clone, Copy)]
struct NotificationInFlight {
    number: u64,
    since: Instant,
}

impl CommandObservation {
    pub(crate) fn new(form: Form) -> CommandObservation {
        CommandObservation {
            observer: None,
            downlink: Downlink::new(form, Kind::Commands),
            queue: CommandQueue::default(),
            in_flight: None,
            replaced: None,
            last_number: 0,
        }
    }

    /// An observation out of an export, and commands. `begin`: when its downlink begins, if it is live.
    pub(crate) fn restore(
        form: Form,
        observer: Option<Observer>,
        queue: CommandQueue,
        begin: Option<Instant>,
    ) -> CommandObservation {
        let mut restored = CommandObservation::new(form);
        restored.observer = observer;
        restored.queue = queue;
        if let Some(begin) = begin {
            restored.downlink.hold(begin);
        }
        restored
    }

    /// Goes on with a restored observation as well, as there is none. Its downlink is still closed.
    pub(crate) fn adopt(&mut self, restored: CommandObservation) {
        self.observer = restored.observer;
        self.queue.adopt(restored.queue);
    }

    /// Its commands, those that fit so many bytes, if there are any.
    pub(crate) fn export(&self, times: Times, limit: usize) -> Option<Vec<u8>> {
        self.queue.export(times, limit)
    }

    /// Another number after each change of what is exported of the commands.
    pub(crate) fn revision(&self) -> u32 {
        self.queue.revision()
    }

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
        self.downlink.device_awake();
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

    /// Ends the observation. A poll that is open runs out; what it brings is queued for the next observation, which begins
    /// with that poll.
    pub(crate) fn end(&mut self, context: &mut RelayContext<'_>) -> Option<Observation> {
        let observer = self.observer.take()?;
        self.end_replaced(context);
        self.downlink.pause();
        self.in_flight = None;
        Some(observer.observation)
    }

    /// Closes the downlink.
    pub(crate) fn abort_downlink(&mut self, context: &mut RelayContext<'_>) {
        self.downlink.abort(&mut context.downlink());
    }

    pub(crate) fn downlink(&self) -> &Downlink {
        &self.downlink
    }

    /// ThingsBoard answers again: any back-off for that reason ends.
    pub(crate) fn retry_now(&mut self) {
        self.downlink.retry_now();
    }

    /// Cancels the downlink, and begins again: the device has another token. Queued commands are still the device's.
    pub(crate) fn restart(&mut self, context: &mut RelayContext<'_>) {
        self.downlink.restart(&mut context.downlink());
    }

    /// Drops the queued commands: the device is deleted in ThingsBoard, or its token was rejected.
    pub(crate) fn discard(&mut self) {
        self.queue.drop_queued();
    }

    /// Requests nothing until [`device_awake`](Self::device_awake). What comes nevertheless is queued.
    pub(crate) fn pause(&mut self) {
        self.downlink.pause();
    }

    /// This gateway follows the live device from now on: its downlink begins at this time. Nothing showed meanwhile whether
    /// ThingsBoard restarted.
    pub(crate) fn resume_following(&mut self, begin: Instant) {
        self.downlink.hold(begin);
        self.queue.may_have_restarted(begin);
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

    /// The device sends something after a pause, or a request of it was answered.
    pub(crate) fn device_awake(&mut self) {
        self.downlink.device_awake();
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
        self.acknowledge_first(now, context);
    }

    fn acknowledge_first(&mut self, now: Instant, context: &mut RelayContext<'_>) {
        if self.queue.is_first_overdue(now) {
            self.downlink.acknowledged_late(now);
        }
        let acknowledgement = self.queue.first_delivered(now);
        self.acknowledge(acknowledgement, context);
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
            self.acknowledge_first(now, context);
            self.reply_with_error(now, id, CommandError::TooLarge, context);
        }
    }

    /// Replies to a command in the device's place.
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
        self.downlink.reply_begins(now);
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
            self.downlink.reply_begins(now);
        }
    }

    /// ThingsBoard has the reply. Ignored for commands that were not delivered, or replied to before.
    pub(crate) fn reply_accepted(&mut self, now: Instant, id: u32) {
        if let Some(took) = self.queue.reply_accepted(now, id) {
            self.downlink.reply_accepted(took);
        }
    }

    /// ThingsBoard did not take the reply.
    pub(crate) fn reply_failed(&mut self, id: u32) {
        if self.queue.reply_failed(id) {
            self.downlink.reply_failed();
        }
    }

    /// Something has happened to the downlink.
    pub(crate) fn downlink_event(
        &mut self,
        now: Instant,
        event: Event<Option<Command>>,
        context: &mut RelayContext<'_>,
    ) {
        let acknowledgement = event.acknowledgement();
        let event = event.map(|command| self.receive(now, command, acknowledgement, context));
        let handled = self.downlink.handle(now, event, &mut context.downlink());
        if handled.reads == Reads::Suspended {
            self.queue.interrupted();
        }
        if handled.may_have_restarted {
            self.queue.may_have_restarted(now);
        }
    }

    fn receive(
        &mut self,
        now: Instant,
        command: Option<Command>,
        acknowledgement: Option<Acknowledgement>,
        context: &mut RelayContext<'_>,
    ) -> Receipt {
        let Some(command) = command else {
            let effect = RelayEffect::UnreadableMessage(Kind::Commands);
            context.effects.push(effect);
            self.acknowledge(acknowledgement, context);
            return Receipt::Unreadable;
        };
        let id = command.id;
        let before = self.queue.bytes();
        match self.queue.push(now, command, acknowledgement) {
            Pushed::New => {
                context.counters.commands_received += 1;
                let exceeds_room = self.queue.bytes() > before.saturating_add(context.room);
                if (exceeds_room || self.queue.is_overfull())
                    && let Some(id) = self.queue.drop_newest(now)
                {
                    self.acknowledge(acknowledgement, context);
                    context.counters.no_room += 1;
                    self.reply_with_error(now, id, CommandError::NoRoom, context);
                }
                Receipt::New
            }
            Pushed::Repeated(known) => {
                context.counters.commands_repeated += 1;
                if known != Repeated::Queued {
                    self.acknowledge(acknowledgement, context);
                }
                Receipt::Known(self.repeated(now, id, known, context))
            }
        }
    }

    fn acknowledge(
        &self,
        acknowledgement: Option<Acknowledgement>,
        context: &mut RelayContext<'_>,
    ) {
        if let Some(acknowledgement) = acknowledgement {
            self.downlink
                .acknowledge(acknowledgement, &mut context.downlink());
        }
    }

    /// ThingsBoard has sent a command again. The gateway replies to it if its last reply was not taken, or if the device has
    /// not replied within `relay.command_answer`.
    fn repeated(
        &mut self,
        now: Instant,
        id: u32,
        known: Repeated,
        context: &mut RelayContext<'_>,
    ) -> Repeat {
        let limit = context.settings.command_answer;
        let reply_at = match known {
            Repeated::Unanswered(since) => limit.map(|limit| since + limit),
            Repeated::Queued
            | Repeated::Rejected(_)
            | Repeated::ReplyInFlight
            | Repeated::Answered => None,
        };
        let error = match known {
            Repeated::Rejected(error) => Some(error),
            Repeated::Queued
            | Repeated::Unanswered(_)
            | Repeated::ReplyInFlight
            | Repeated::Answered => reply_at.filter(|at| *at <= now).map(|_| {
                context.counters.commands_unanswered += 1;
                CommandError::Unanswered
            }),
        };
        if let Some(error) = error {
            self.reply_with_error(now, id, error, context);
        }
        Repeat {
            is_replied_to: known == Repeated::Answered,
            gateway_replies: error.is_some(),
            reply_at,
        }
    }

    /// Drops expired commands.
    pub(crate) fn remove_expired(&mut self, now: Instant, context: &mut RelayContext<'_>) {
        let expired = self.queue.remove_expired(now);
        if expired > 0 {
            // The first has waited longest, so the one in flight is among them.
            context.counters.commands_expired += u64::try_from(expired).unwrap_or(u64::MAX);
            self.in_flight = None;
            self.end_replaced(context);
        }
    }

    /// Drops expired commands, opens the downlink if it is due, then notifies the first command.
    pub(crate) fn advance(&mut self, now: Instant, context: &mut RelayContext<'_>) {
        self.remove_expired(now, context);
        let observer = self.observer.as_ref().filter(|observer| observer.is_live());
        let observation = observer.map(|observer| observer.observation);
        let is_wanted = observation.is_some() && self.has_room();
        let mode = context.settings.rpc;
        self.downlink
            .advance(now, is_wanted, mode, &mut context.downlink());
        let Some(observation) = observation else {
            return;
        };
        if self.may_renew(mode) {
            let interval = context.settings.sync_interval;
            let context = &mut context.downlink();
            self.downlink.renew_if_due(now, interval, context);
        }
        self.notify(now, observation, context);
    }

    /// Whether what ThingsBoard sends again can be acknowledged at once.
    fn may_renew(&self, mode: Mode) -> bool {
        mode == Mode::WhileLive && self.queue.first().is_none()
    }

    /// Whether more commands may be requested.
    fn has_room(&self) -> bool {
        !(self.queue.is_full() && self.downlink.pauses_when_full())
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
        let expiry = self.next_expiry();
        let is_live = self.observer.as_ref().is_some_and(Observer::is_live);
        let is_wanted = is_live && self.has_room();
        let downlink = self.downlink.next_timeout(mode).filter(|_| is_wanted);
        let renewal = self.downlink.next_renewal();
        let renewal = renewal.filter(|_| is_live && self.may_renew(mode));
        [expiry, downlink, renewal].into_iter().flatten().min()
    }

    /// When [`remove_expired`](Self::remove_expired) has something to do.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.queue.next_timeout()
    }

    /// What the queued commands cost, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Commands queued for the device.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is neither an observation, nor an open downlink, nor a command.
    pub(crate) fn is_idle(&self) -> bool {
        self.observer.is_none() && !self.downlink.is_open() && self.queue.is_empty()
    }
}
