//! The observation of a device's shared attributes.
//!
//! ```text
//! registered ──▶ polling ──(a change)──▶ told at once; some 300 ms later all is read, and the difference told
//!                   │ ▲
//!                   │ └─ after every gap between polls all is read as well
//!                   ▼
//!                parked (nothing is asked for) ──(the device is heard)──▶ all is read, then polling
//! ```
//!
//! In the mode `on-uplink` nothing is polled: all is read after each uplink, and every `sync_interval`
//! while the device is known to live.

use super::Mode;
use super::pace::Pace;
use super::poll::{Outcome, Poller};
use super::{Context, Effect, Kind};
use crate::ota::AssignmentChange;
use crate::relay::liveness::{Observation, Observer};
use crate::relay::resync::Reader;
use crate::relay::shared_attributes;
use crate::relay::shared_attributes::{Shared, Unreadable, Update, Values};
use crate::upstream::Error;
use std::time::{Duration, Instant};

/// How long after a poll was sent, or brought something, all is read: by then ThingsBoard's device actor
/// has the subscription, and the second of two changes in quick succession is in.
const SETTLE: Duration = Duration::from_millis(300);
/// How long an empty answer after a state that was not waits for a second one. ThingsBoard answers 200
/// and `{}` as well when its attribute store fails.
const CONFIRM: Duration = Duration::from_secs(3);

/// How often all attributes are notified again because a registration is repeated: they are put together for each, and a
/// device can repeat its registration as fast as it can send.
const REPEATED: Duration = Duration::from_secs(1);

/// The relay of one device's shared attributes.
#[derive(Debug, Default)]
pub struct Attributes {
    observer: Option<Observer>,
    poller: Poller,
    reader: Reader,
    shared: Shared,
    /// How far the changes had come when the endpoint was given something last, and that one's number.
    told: u64,
    newest: u64,
    /// Since when the endpoint has something that it has said nothing of.
    told_since: Option<Instant>,
    /// What the device does not know is told once a read has shown what is true now.
    read_first: bool,
    /// The last answer was empty, and not believed.
    doubted: bool,
    /// The last read was not answered, and is to be tried again.
    read_unanswered: bool,
    /// When a repeated registration last had all attributes notified again, and when one may do so next.
    doubted_at: Option<Instant>,
    doubt_at: Option<Instant>,
}

impl Attributes {
    /// Who observes.
    pub fn observer(&self) -> Option<&Observer> {
        self.observer.as_ref()
    }

    /// Who observes, for its liveness.
    pub fn observer_mut(&mut self) -> Option<&mut Observer> {
        self.observer.as_mut()
    }

    /// What to answer a registration for which this was read: that, or what was known before if an empty
    /// answer has to be doubted.
    pub fn believed(&self, read: Values) -> Values {
        if read.is_empty() && self.observer.is_some() {
            self.shared.values().clone()
        } else {
            read
        }
    }

    /// An observation stands, and its response has told these.
    pub fn registered(
        &mut self,
        now: Instant,
        observation: Observation,
        values: Values,
        context: &mut Context<'_>,
    ) {
        let observer = Observer::new(now, observation, context.settings.alive_for);
        let before = self.observer.replace(observer);
        if before.is_none() {
            self.poller.lapse();
        }
        let refreshed = before
            .as_ref()
            .is_some_and(|b| b.observation == observation);
        context.replaced(before, observation);
        match refreshed {
            true => self.shared.told_again(values),
            false => self.shared.told(values),
        }
        self.tell_of_assignment(context);
        (self.told, self.newest, self.told_since) = (0, 0, None);
        (self.read_first, self.doubted) = (false, false);
        self.doubt_at = None;
        self.reader.want(now + SETTLE);
    }

    /// The observation is over: nothing is polled for, nothing kept. The poll that is open runs out, and the next
    /// observation begins with it.
    pub fn end(&mut self) -> Option<Observation> {
        let observer = self.observer.take()?;
        self.poller.lapse();
        // The numbers of polls and reads go on: what is late must not be taken for what is new.
        self.reader.cancel();
        self.read_unanswered = false;
        self.shared = Shared::default();
        self.doubt_at = None;
        Some(observer.observation)
    }

    /// Nobody waits for the polls that are open.
    pub fn abort_polls(&mut self, context: &mut Context<'_>) {
        for number in self.poller.abandon() {
            context
                .effects
                .push(Effect::Abort(Kind::Attributes, number));
        }
    }

    /// What is kept of the attributes, in bytes.
    pub fn bytes(&self) -> usize {
        self.shared.bytes()
    }

    /// What decides when it polls.
    pub fn poller(&self) -> &Poller {
        &self.poller
    }

    /// Whether something waits to be tried again, for ThingsBoard did not answer.
    pub fn awaits_answers(&self) -> bool {
        self.poller.awaits_answers() || self.read_unanswered
    }

    /// ThingsBoard answers others.
    pub fn wake(&mut self, now: Instant) {
        self.poller.wake();
        if std::mem::take(&mut self.read_unanswered) {
            self.reader.want(now);
        }
    }

    /// Whatever is under way is not waited for, and asked anew.
    pub fn start_over(&mut self, now: Instant, context: &mut Context<'_>) {
        for number in self.poller.start_over() {
            context
                .effects
                .push(Effect::Abort(Kind::Attributes, number));
        }
        self.reader.cancel();
        self.reader.failures = 0;
        self.read_unanswered = false;
        self.shared.read_failed();
        if self.is_live() {
            self.resume(now);
        }
    }

    /// Nothing is asked for until the device is heard again. The polls that are open run out.
    pub fn pause(&mut self) {
        self.poller.lapse();
        self.reader.cancel();
        self.read_unanswered = false;
        self.shared.read_failed();
    }

    /// The endpoint has given up what it had. Returns since when it had it.
    pub fn undelivered(&mut self) -> Option<Instant> {
        self.told = 0;
        self.told_since.take()
    }

    /// The device is heard again after a pause.
    pub fn resume(&mut self, now: Instant) {
        self.read_first = true;
        self.reader.want(now);
    }

    /// A request of the device was answered.
    pub fn uplink(&mut self, now: Instant, mode: Mode) {
        if mode == Mode::OnUplink && self.is_live() {
            self.reader.want(now);
        }
    }

    /// A notification that told changes up to this one has arrived.
    pub fn delivered(&mut self, change: u64) {
        self.shared.delivered(change);
        if change >= self.newest {
            // What did not fit goes on with the next.
            self.told = 0;
            self.told_since = None;
        }
    }

    /// This change can't be told.
    pub fn too_large(&mut self, change: u64, context: &mut Context<'_>) {
        context.counters.too_large += 1;
        self.shared.skip(change);
        (self.told, self.told_since) = (0, None);
    }

    /// The device may have missed the response to its registration.
    pub fn registration_repeated(&mut self, now: Instant) {
        match self.doubted_at.filter(|last| now < *last + REPEATED) {
            Some(last) => self.doubt_at = Some(last + REPEATED),
            None => self.doubt_all(now),
        }
    }

    fn doubt_all(&mut self, now: Instant) {
        self.shared.doubt_all();
        (self.doubted_at, self.doubt_at) = (Some(now), None);
    }

    /// A poll has come to its end.
    pub fn poll_ended(
        &mut self,
        now: Instant,
        number: u64,
        result: Result<Result<Update, Unreadable>, Error>,
        context: &mut Context<'_>,
    ) {
        let before = self.shared.changes();
        let outcome = match result {
            Ok(Ok(update)) => {
                if self.observer.is_some() && !self.shared.update(update, context.room) {
                    context.counters.too_large += 1;
                }
                // Every open poll gets a copy.
                match self.shared.changes() == before {
                    true => Outcome::Repeated,
                    false => Outcome::Message,
                }
            }
            // A read would bring too many as well: the device keeps what it knows.
            Ok(Err(Unreadable::TooMany)) => {
                context.counters.too_large += 1;
                let any = AssignmentChange::ANY;
                context.effects.push(Effect::AssignmentChanged(any));
                Outcome::Failed
            }
            Ok(Err(Unreadable::Nonsense)) => {
                context.effects.push(Effect::Nonsense(Kind::Attributes));
                Outcome::Failed
            }
            Err(error) => Outcome::of(&error),
        };
        self.tell_of_assignment(context);
        if !context.poll_ended(now, &mut self.poller, number, outcome) || self.observer.is_none() {
            return;
        }
        match outcome {
            Outcome::Message | Outcome::Repeated => {
                self.doubted = false;
                self.reader.want(now + SETTLE);
            }
            // Reads would fail like polls: one follows the next poll that opens.
            Outcome::Overloaded | Outcome::Unanswered | Outcome::Failed
                if self.poller.open() == 0 =>
            {
                self.reader.call_off();
            }
            Outcome::Elapsed | Outcome::Overloaded | Outcome::Unanswered | Outcome::Failed => {}
        }
    }

    /// A read has come to its end. Returns whether it was waited for.
    pub fn read_ended(
        &mut self,
        now: Instant,
        number: u64,
        result: Result<Result<Values, Unreadable>, Error>,
        context: &mut Context<'_>,
    ) -> bool {
        if !self.reader.ended(number) {
            return false;
        }
        self.read_first = false;
        self.read_unanswered = matches!(&result, Err(Error::Timeout | Error::Unreachable));
        let fits = |values: &Values| {
            let fits = shared_attributes::cost_of(values)
                <= self.shared.bytes().saturating_add(context.room)
                && self.shared.has_room_for(values.len());
            // The device keeps what it knows.
            context.counters.too_large += u64::from(!fits);
            fits
        };
        let Some(values) = result.ok().and_then(Result::ok).filter(fits) else {
            self.shared.read_failed();
            context.counters.reads_failed += 1;
            self.reader.failures = self.reader.failures.saturating_add(1);
            let wait = Pace::wait_after(self.reader.failures, (context.random)());
            self.reader.want(now + wait.max(SETTLE));
            return true;
        };
        self.reader.failures = 0;
        if values.is_empty() && !self.shared.values().is_empty() && !self.doubted {
            self.shared.read_failed();
            context.counters.empty_answers_doubted += 1;
            self.doubted = true;
            self.reader.want(now + CONFIRM);
            return true;
        }
        self.doubted = false;
        let missed = self.shared.read_ended(values);
        self.tell_of_assignment(context);
        context.counters.changes_found_by_reading += u64::try_from(missed).unwrap_or(u64::MAX);
        true
    }

    /// Before the device is notified: it may ask for its package at once.
    fn tell_of_assignment(&mut self, context: &mut Context<'_>) {
        let change = self.shared.take_assignment_change();
        if change.is_any() {
            context.effects.push(Effect::AssignmentChanged(change));
        }
    }

    /// Polls, reads and tells what is to be polled, read and told by now.
    pub fn advance(&mut self, now: Instant, context: &mut Context<'_>) {
        let Some(observer) = self.observer.as_ref().filter(|observer| observer.is_live()) else {
            return;
        };
        let observation = observer.observation;
        let settings = context.settings;
        if settings.attributes == Mode::LongPoll {
            let timeout = context.pace.poll_timeout();
            let opening = context.poll(now, Kind::Attributes, &mut self.poller, timeout, true);
            if opening.is_some_and(|opening| opening.after_gap) {
                self.reader.want_settled(now + SETTLE);
            }
        } else if self.reader.next_timeout().is_none() && !self.reader.is_under_way() {
            self.reader.want(now + settings.sync_interval);
        }
        if let Some(number) = self.reader.due(now) {
            self.shared.read_begins();
            context.counters.reads += 1;
            context.effects.push(Effect::Read(number));
        }
        if self.doubt_at.is_some_and(|at| at <= now) {
            self.doubt_all(now);
        }
        if self.read_first || !self.shared.is_in_doubt() || self.told == self.shared.changes() {
            return;
        }
        let notification = loop {
            match self.shared.compose(context.largest_payload) {
                None => return,
                Some(Ok(notification)) => break notification,
                Some(Err(change)) => {
                    context.counters.too_large += 1;
                    self.shared.skip(change);
                }
            }
        };
        let (number, payload) = notification;
        (self.told, self.newest) = (self.shared.changes(), number);
        self.told_since.get_or_insert(now);
        context.counters.states_told += 1;
        context.effects.push(Effect::Notify {
            observation,
            number,
            payload,
        });
    }

    /// When [`advance`](Self::advance) is wanted, if time alone decides.
    pub fn next_timeout(&self, mode: Mode) -> Option<Instant> {
        if !self.is_live() {
            return None;
        }
        let poll = self.poller.next_timeout();
        let poll = poll.filter(|_| mode == Mode::LongPoll);
        [poll, self.reader.next_timeout(), self.doubt_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether there is neither an observation nor anything under way for one.
    pub fn is_idle(&self) -> bool {
        self.observer.is_none() && self.poller.open() == 0
    }

    fn is_live(&self) -> bool {
        self.observer.as_ref().is_some_and(Observer::is_live)
    }
}
