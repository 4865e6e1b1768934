//! The observation of a device's shared attributes.
//!
//! ```text
//! registered ──▶ live ──(a change)──▶ notified at once
//!                │ ▲
//!                │ └─ whenever the downlink may have lost changes all attributes are read, and differences notified
//!                ▼
//!             parked: no downlink, no read ──(the device sends something)──▶ all attributes are read, then live
//! ```
//!
//! In the mode `on-uplink` the downlink is not used: all attributes are read after each uplink, and every `sync_interval`
//! while the device is live.

use super::liveness::{Observation, Observer};
use super::repeated_registrations::RepeatedRegistrations;
use super::resync::Resync;
use super::shared_attributes::{SharedAttributes, cost_of};
use super::{ObservationEnd, RelayContext, RelayEffect};
use crate::downlink::attribute_json::{Unreadable, Update, Values};
use crate::downlink::{
    Acknowledgement, Downlink, Event, Form, Kind, Mode, Reads, Receipt, Repeat, SETTLE,
};
use crate::ota::AssignmentChange;
use crate::upstream::Error;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long after an empty answer, where there were attributes, a second read has to confirm it: ThingsBoard also answers 200
/// and `{}` when its attribute store fails.
const CONFIRM_EMPTY: Duration = Duration::from_secs(3);

/// Messages that wait for the device's confirmation, at most: the oldest is acknowledged for another.
const MAX_UNACKNOWLEDGED: usize = 32;

/// The observation of one device's shared attributes, if there is one, its downlink and reads.
#[derive(Debug)]
pub(crate) struct AttributeObservation {
    observer: Option<Observer>,
    downlink: Downlink,
    resync: Resync,
    shared: SharedAttributes,
    in_flight: Option<NotificationInFlight>,
    /// Messages to acknowledge once the device has confirmed all changes up to a number.
    unacknowledged: VecDeque<(u64, Acknowledgement)>,
    /// Notifies nothing until a read has shown the present values: the device comes back after a pause.
    notify_after_read: bool,
    /// The last read brought nothing where there were attributes, and another has to confirm that.
    is_empty_unconfirmed: bool,
    repeats: RepeatedRegistrations,
}

/// A notification that the endpoint has, and that is neither delivered nor given up.
#[derive(Debug, Clone, Copy)]
struct NotificationInFlight {
    /// The newest notification's number, which is that of the last change in it.
    number: u64,
    /// Changes that there were when it was composed. Those that did not fit wait until it is delivered.
    changes: u64,
    /// When the first of those that it superseded was given to the endpoint.
    since: Instant,
}

impl AttributeObservation {
    pub(crate) fn new(form: Form) -> AttributeObservation {
        AttributeObservation {
            observer: None,
            downlink: Downlink::new(form, Kind::Attributes),
            resync: Resync::default(),
            shared: SharedAttributes::default(),
            in_flight: None,
            unacknowledged: VecDeque::new(),
            notify_after_read: false,
            is_empty_unconfirmed: false,
            repeats: RepeatedRegistrations::default(),
        }
    }

    /// An observation out of an export. `begin`: when its downlink begins, and a read shows what has changed, if it is live.
    pub(crate) fn restore(
        form: Form,
        observer: Option<Observer>,
        shared: SharedAttributes,
        begin: Option<Instant>,
    ) -> AttributeObservation {
        let mut restored = AttributeObservation::new(form);
        if observer.is_some() {
            restored.observer = observer;
            restored.shared = shared;
        }
        if let Some(begin) = begin {
            restored.downlink.hold(begin);
            restored.resync.schedule(begin + SETTLE);
        }
        restored
    }

    /// Goes on with a restored observation as well, as there is none. Its downlink is still closed.
    pub(crate) fn adopt(&mut self, restored: AttributeObservation) {
        self.observer = restored.observer;
        self.shared = restored.shared;
        self.in_flight = None;
        self.is_empty_unconfirmed = false;
    }

    /// What the device may have of the attributes, if that takes no more bytes than this.
    pub(crate) fn export(&self, limit: usize) -> Option<Vec<u8>> {
        self.shared.export(limit)
    }

    /// Another number after each change of what is exported of the attributes.
    pub(crate) fn revision(&self) -> u32 {
        self.shared.revision()
    }

    pub(crate) fn observer(&self) -> Option<&Observer> {
        self.observer.as_ref()
    }

    pub(crate) fn observer_mut(&mut self) -> Option<&mut Observer> {
        self.observer.as_mut()
    }

    /// The values for the response to a registration, for which this was read: the known ones if it is empty, since an empty
    /// answer has to be confirmed.
    pub(crate) fn registration_values(&self, read: Values) -> Values {
        if read.is_empty() && self.observer.is_some() {
            self.shared.values().clone()
        } else {
            read
        }
    }

    /// The device has registered, and the response gives it these values.
    pub(crate) fn registered(
        &mut self,
        now: Instant,
        observation: Observation,
        values: Values,
        context: &mut RelayContext<'_>,
    ) {
        let observer = Observer::new(now, observation, context.settings.alive_for);
        match self.observer.replace(observer) {
            Some(before) if before.observation == observation => self.shared.refresh(values),
            Some(before) => {
                context.counters.replaced += 1;
                context.effects.push(RelayEffect::EndObservation(
                    before.observation,
                    ObservationEnd::Replaced,
                ));
                self.shared.reset(values);
            }
            None => {
                self.downlink.pause();
                self.shared.reset(values);
            }
        }
        self.report_assignment_change(context);
        self.in_flight = None;
        (self.notify_after_read, self.is_empty_unconfirmed) = (false, false);
        self.repeats.cancel();
        self.resync.schedule(now + SETTLE);
    }

    /// Ends the observation. A poll that is open runs out, and the next observation begins with it.
    pub(crate) fn end(&mut self) -> Option<Observation> {
        let observer = self.observer.take()?;
        self.downlink.pause();
        // The numbers of reads go on, so that a late end is not taken for that of a new one.
        self.resync.cancel();
        self.shared.clear();
        self.repeats.cancel();
        Some(observer.observation)
    }

    /// Closes the downlink.
    pub(crate) fn abort_downlink(&mut self, context: &mut RelayContext<'_>) {
        self.downlink.abort(&mut context.downlink());
    }

    /// What the attributes cost, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.shared.bytes()
    }

    pub(crate) fn downlink(&self) -> &Downlink {
        &self.downlink
    }

    /// Whether the downlink or a read backs off because ThingsBoard did not answer.
    pub(crate) fn awaits_recovery(&self) -> bool {
        self.downlink.awaits_recovery() || self.resync.awaits_recovery()
    }

    /// ThingsBoard answers again: any back-off for that reason ends.
    pub(crate) fn retry_now(&mut self, now: Instant) {
        self.downlink.retry_now();
        self.resync.retry_now(now);
    }

    /// Cancels the downlink and reads, and begins again: the device has another token.
    pub(crate) fn restart(&mut self, now: Instant, context: &mut RelayContext<'_>) {
        self.downlink.restart(&mut context.downlink());
        self.resync.reset();
        self.shared.read_failed();
        if self.is_live() {
            self.resume(now);
        }
    }

    /// Requests nothing until [`resume`](Self::resume).
    pub(crate) fn pause(&mut self) {
        self.downlink.pause();
        self.resync.cancel();
        self.shared.read_failed();
    }

    /// The device sends something after a pause.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.notify_after_read = true;
        self.resync.schedule(now);
    }

    /// Another gateway may follow the device: closes the downlink, and requests nothing until
    /// [`resume_following`](Self::resume_following).
    pub(crate) fn pause_following(&mut self, context: &mut RelayContext<'_>) {
        self.abort_downlink(context);
        self.resync.cancel();
        self.shared.read_failed();
    }

    /// This gateway follows the live device from now on: its downlink begins at this time, and a read shows what has changed.
    pub(crate) fn resume_following(&mut self, begin: Instant) {
        self.notify_after_read = true;
        self.downlink.hold(begin);
        self.resync.schedule(begin + SETTLE);
    }

    /// The number of the read in flight, or of the one that waits to begin.
    pub(crate) fn read_in_flight(&self) -> Option<u64> {
        self.resync.in_flight()
    }

    /// A request of the device was answered.
    pub(crate) fn uplink(&mut self, now: Instant, mode: Mode) {
        if mode == Mode::OnUplink && self.is_live() {
            self.resync.schedule(now);
        }
    }

    /// The device has acknowledged the notification of this number.
    pub(crate) fn delivered(&mut self, number: u64) {
        self.shared.confirm_up_to(number);
        // Changes that did not fit are notified next.
        self.in_flight.take_if(|newest| newest.number <= number);
    }

    /// The endpoint has given up the notification. Returns since when it had it.
    pub(crate) fn delivery_failed(&mut self) -> Option<Instant> {
        self.in_flight.take().map(|newest| newest.since)
    }

    /// The notification of this number does not fit the device's datagrams.
    pub(crate) fn too_large(&mut self, number: u64, context: &mut RelayContext<'_>) {
        context.counters.too_large += 1;
        self.shared.skip(number);
        self.in_flight = None;
    }

    /// The device has repeated its registration (the same token and Message ID), and may have missed the response.
    pub(crate) fn registration_repeated(&mut self, now: Instant) {
        if self.repeats.repeated(now) {
            self.shared.unconfirm_all();
        }
    }

    /// Something has happened to the downlink.
    pub(crate) fn downlink_event(
        &mut self,
        now: Instant,
        event: Event<Result<Update, Unreadable>>,
        context: &mut RelayContext<'_>,
    ) {
        let acknowledgement = event.acknowledgement();
        let event = event.map(|update| self.receive(update, context));
        if let Some(acknowledgement) = acknowledgement {
            let change = self.shared.changes();
            self.unacknowledged.push_back((change, acknowledgement));
        }
        self.report_assignment_change(context);
        let handled = self.downlink.handle(now, event, &mut context.downlink());
        if self.observer.is_none() {
            return;
        }
        match handled.reads {
            Reads::Unchanged => {}
            Reads::At(at) => self.resync.schedule(at),
            Reads::NotBefore(at) => self.resync.schedule_complete(at),
            Reads::Suspended => self.resync.unschedule(),
        }
    }

    /// Acknowledges the messages whose changes the device has confirmed.
    fn acknowledge(&mut self, context: &mut RelayContext<'_>) {
        if self.unacknowledged.is_empty() {
            return;
        }
        let oldest = self.shared.oldest_unconfirmed();
        while let Some((change, acknowledgement)) = self.unacknowledged.front().copied()
            && (oldest.is_none_or(|oldest| change < oldest)
                || self.unacknowledged.len() > MAX_UNACKNOWLEDGED)
        {
            self.unacknowledged.pop_front();
            self.downlink
                .acknowledge(acknowledgement, &mut context.downlink());
        }
        if self.unacknowledged.is_empty() {
            // Most devices have none: each is to cost as little memory as possible.
            self.unacknowledged = VecDeque::new();
        }
    }

    fn receive(
        &mut self,
        update: Result<Update, Unreadable>,
        context: &mut RelayContext<'_>,
    ) -> Receipt {
        let before = self.shared.changes();
        match update {
            Ok(update) => {
                self.is_empty_unconfirmed = false;
                if self.observer.is_some() && !self.shared.update(update, context.room) {
                    context.counters.too_large += 1;
                }
                // Every open poll gets a copy.
                match self.shared.changes() == before {
                    true => Receipt::Known(Repeat::default()),
                    false => Receipt::New,
                }
            }
            // A read would bring too many as well: the device keeps the values it has.
            Err(Unreadable::TooManyKeys) => {
                context.counters.too_large += 1;
                let any = AssignmentChange::ANY;
                context.effects.push(RelayEffect::AssignmentChanged(any));
                Receipt::Unreadable
            }
            Err(Unreadable::Malformed) => {
                let effect = RelayEffect::UnreadableMessage(Kind::Attributes);
                context.effects.push(effect);
                Receipt::Unreadable
            }
        }
    }

    /// A read has ended. Returns false if it was cancelled.
    pub(crate) fn read_ended(
        &mut self,
        now: Instant,
        number: u64,
        result: Result<Result<Values, Unreadable>, Error>,
        context: &mut RelayContext<'_>,
    ) -> bool {
        if !self.resync.ended(number) {
            return false;
        }
        self.notify_after_read = false;
        let is_unanswered = matches!(&result, Err(Error::Timeout | Error::Unreachable));
        let fits = |values: &Values| {
            let fits = cost_of(values) <= self.shared.bytes().saturating_add(context.room)
                && self.shared.has_room_for(values);
            // The device keeps the values it has.
            context.counters.too_large += u64::from(!fits);
            fits
        };
        let Some(values) = result.ok().and_then(Result::ok).filter(fits) else {
            self.shared.read_failed();
            context.counters.reads_failed += 1;
            self.resync.failed(now, is_unanswered, (context.random)());
            return true;
        };
        self.resync.succeeded();
        if values.is_empty() && !self.shared.is_empty() && !self.is_empty_unconfirmed {
            self.shared.read_failed();
            context.counters.empty_reads_unconfirmed += 1;
            self.is_empty_unconfirmed = true;
            self.resync.schedule(now + CONFIRM_EMPTY);
            return true;
        }
        self.is_empty_unconfirmed = false;
        let missed = self.shared.read_ended(values);
        self.report_assignment_change(context);
        if missed > 0 {
            self.downlink.changes_missed(now, &mut context.downlink());
        }
        context.counters.changes_found_by_reading += u64::try_from(missed).unwrap_or(u64::MAX);
        true
    }

    /// Reports a change of the keys that assign packages. To be called before the device is notified of it: the device may
    /// request its package at once.
    fn report_assignment_change(&mut self, context: &mut RelayContext<'_>) {
        let change = self.shared.take_assignment_change();
        if change.is_any() {
            context.effects.push(RelayEffect::AssignmentChanged(change));
        }
    }

    /// Opens the downlink and begins the read that is due, then notifies what is unconfirmed.
    pub(crate) fn advance(&mut self, now: Instant, context: &mut RelayContext<'_>) {
        self.acknowledge(context);
        let Some(observer) = self.observer.as_ref().filter(|observer| observer.is_live()) else {
            let mode = context.settings.attributes;
            self.downlink
                .advance(now, false, mode, &mut context.downlink());
            return;
        };
        let observation = observer.observation;
        self.fetch(now, context);
        if self.repeats.take_due(now) {
            self.shared.unconfirm_all();
        }
        self.notify(now, observation, context);
    }

    fn fetch(&mut self, now: Instant, context: &mut RelayContext<'_>) {
        let settings = context.settings;
        let mode = settings.attributes;
        let gap = self
            .downlink
            .advance(now, true, mode, &mut context.downlink());
        if let Some(at) = gap {
            self.resync.schedule_complete(at);
        }
        if self.downlink.is_interrupted() {
            self.resync.unschedule();
            self.notify_after_read = false;
            return;
        }
        if self.downlink.needs_regular_reads(mode)
            && self.resync.next_timeout().is_none()
            && !self.resync.is_in_flight()
        {
            self.resync.schedule(now + settings.sync_interval);
        }
        if let Some(number) = self.resync.start_if_due(now) {
            self.shared.read_begins();
            context.counters.reads += 1;
            context.effects.push(RelayEffect::ReadAttributes(number));
        }
    }

    fn notify(&mut self, now: Instant, observation: Observation, context: &mut RelayContext<'_>) {
        let changes = self.shared.changes();
        let has_all = self
            .in_flight
            .is_some_and(|newest| newest.changes == changes);
        if self.notify_after_read || !self.shared.has_unconfirmed() || has_all {
            return;
        }
        let (number, payload) = loop {
            match self.shared.compose(context.largest_payload) {
                None => return,
                Some(Ok(notification)) => break notification,
                Some(Err(change)) => {
                    context.counters.too_large += 1;
                    self.shared.skip(change);
                }
            }
        };
        self.in_flight = Some(NotificationInFlight {
            number,
            changes,
            since: self.in_flight.map_or(now, |superseded| superseded.since),
        });
        context.counters.attribute_notifications += 1;
        context.effects.push(RelayEffect::Notify {
            observation,
            number,
            payload,
        });
    }

    /// When [`advance`](Self::advance) has something to do, if time alone decides.
    pub(crate) fn next_timeout(&self, mode: Mode) -> Option<Instant> {
        if !self.is_live() {
            return None;
        }
        let downlink = self.downlink.next_timeout(mode);
        [
            downlink,
            self.resync.next_timeout(),
            self.repeats.next_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether there is neither an observation nor an open downlink.
    pub(crate) fn is_idle(&self) -> bool {
        self.observer.is_none() && !self.downlink.is_open()
    }

    fn is_live(&self) -> bool {
        self.observer.as_ref().is_some_and(Observer::is_live)
    }
}
