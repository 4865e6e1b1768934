//! Observe over ThingsBoard's long polls: one relay for each device, pure, owned by the device and not by
//! a session or token.
//!
//! ThingsBoard's HTTP API has long polls that lose updates, repeat commands and make dead devices look
//! alive. A device that observes sees none of that:
//!
//! | Part | Owns |
//! |---|---|
//! | [`attributes`] | the observation of shared attributes |
//! | [`commands`] | the observation of server-side RPC |
//! | [`liveness`] | who observes, and whether it is known to live |
//! | `parking` | what is no longer asked for while a device does not answer |
//! | [`poll`] | when to poll, without gaps |
//! | `brought` | what a poll has brought, read in the poll's task |
//! | `rate` | how fast polls of one device may begin |
//! | `budget` | how many bytes all of them may hold |
//! | `polling` | how many polls one device has, and what they wait for |
//! | [`resync`] | when to read all attributes, because polls lose some |
//! | [`shared_attributes`] | what the device may not know yet |
//! | [`refusal`] | replies to commands in the device's place |
//! | [`command_queue`] | commands in order, and those that must not come twice |
//! | [`pace`] | what all relays share: back-off, the ramp after an outage, ThingsBoard's own limit |
//! | `waking` | relays that try again as soon as ThingsBoard answers anyone |
//! | [`table`] | all relays, their timers and bounds |
//!
//! # The life of a change
//!
//! ```text
//! ThingsBoard ─poll─▶ poll_ended ─▶ shared: in doubt ─▶ advance: the next poll, then Notify ─▶ endpoint ─▶ device
//!      ▲                 │ 300 ms                            ▲                                     │ ACK
//!      └──────read───────┘ read_ended: what polls missed ────┘          shared: no longer in doubt ◀┘
//! ```
//!
//! Events go in ([`DeviceRelay`]'s methods), [`Effect`]s come out. After any event
//! [`advance`](DeviceRelay::advance) does what has become due.

pub mod attributes;
mod brought;
pub mod budget;
pub mod command_queue;
pub mod commands;
mod counters;
pub mod liveness;
pub mod pace;
mod parking;
pub mod poll;
mod polling;
pub mod rate;
pub mod refusal;
pub mod resync;
pub mod settings;
pub mod shared_attributes;
pub mod table;
#[cfg(test)]
mod tests;
pub mod waking;

pub use brought::Brought;
pub use counters::Counters;
pub use liveness::Observation;
pub use settings::{Mode, Settings};
pub use table::{RelayId, Relays, Standing};

use crate::device::Device;
use crate::dtls::SessionId;
use crate::ota::AssignmentChange;
use crate::upstream::Error;
use attributes::Attributes;
use bytes::Bytes;
use commands::Commands;
use liveness::Observer;
use pace::Pace;
use poll::{Opening, Outcome, Poller};
use refusal::Refusal;
use shared_attributes::{Unreadable, Values};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What can be observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `api/v1/attributes`
    Attributes,
    /// `api/v1/rpc`
    Commands,
}

/// The last word of an observation that the gateway ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// Another of the same device has taken its place: 2.02.
    Replaced,
    /// ThingsBoard no longer knows the device's token: 4.01.
    Unauthorized,
    /// The certificate is no longer in the device registry: 4.01.
    Unregistered,
    /// ThingsBoard says the device was deleted: 4.03.
    Forbidden,
}

impl Last {
    /// What an error says of the device itself.
    pub fn of(error: &Error) -> Option<Last> {
        match error {
            Error::Rejected(status) if status.code == 401 => Some(Last::Unauthorized),
            Error::Rejected(status) if status.code == 403 => Some(Last::Forbidden),
            Error::Rejected(_)
            | Error::Elapsed
            | Error::Timeout
            | Error::Unreachable
            | Error::Overloaded
            | Error::RetryAfter(_)
            | Error::Unintelligible(_) => None,
        }
    }
}

/// What a relay wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Open a poll, and report its end under its number.
    Poll(Kind, u64, Duration),
    /// Close a poll; nobody waits for its end.
    Abort(Kind, u64),
    /// Read all attributes, and report under this number.
    Read(u64),
    /// Give the endpoint this content for an observation.
    Notify {
        /// Whose.
        observation: Observation,
        /// Comes back when it has arrived.
        number: u64,
        /// JSON.
        payload: Bytes,
    },
    /// End an observation with a last word.
    End(Observation, Last),
    /// Ask whether the device lives.
    Ping(SessionId),
    /// Reply to this command in the device's place.
    Refuse(u32, Refusal),
    /// The device may be assigned another package now.
    AssignmentChanged(AssignmentChange),
    /// Tell the operator that a poll brought what makes no sense.
    Nonsense(Kind),
    /// Tell the operator that ThingsBoard ended a poll after so long that was to last longer.
    CutOff {
        /// What was asked for.
        asked: Duration,
        /// What ThingsBoard let pass.
        lasted: Duration,
    },
}

/// What a relay is given with each event.
pub struct Context<'a> {
    /// `[relay]`
    pub settings: &'a Settings,
    /// What fits a notification, in bytes.
    pub largest_payload: usize,
    /// How many more bytes may be held for the device.
    pub room: usize,
    /// Shared by all relays.
    pub pace: &'a mut Pace,
    /// Uniform within 0..1.
    pub random: &'a mut dyn FnMut() -> f64,
    /// When a session was heard last.
    pub heard: &'a dyn Fn(SessionId) -> Option<Instant>,
    /// What happened.
    pub counters: &'a mut Counters,
    /// What is to be done, in this order.
    pub effects: &'a mut Vec<Effect>,
}

impl Context<'_> {
    fn poll(
        &mut self,
        now: Instant,
        kind: Kind,
        poller: &mut Poller,
        timeout: Duration,
        overlap: bool,
    ) -> Option<Opening> {
        let opening = poller.due(now, timeout, overlap, self.pace, self.random)?;
        self.counters.polls += 1;
        self.effects
            .push(Effect::Poll(kind, opening.number, opening.timeout));
        Some(opening)
    }

    /// Returns whether the poll was one of this poller's.
    fn poll_ended(
        &mut self,
        now: Instant,
        poller: &mut Poller,
        number: u64,
        outcome: Outcome,
    ) -> bool {
        let Some((asked, lasted)) = poller.ended(now, number, outcome, self.random) else {
            return false;
        };
        match outcome {
            Outcome::Message | Outcome::Repeated | Outcome::Elapsed => {}
            Outcome::Overloaded | Outcome::Unanswered | Outcome::Failed => {
                self.counters.polls_failed += 1;
            }
        }
        if outcome == Outcome::Overloaded && self.pace.was_cut_off(asked, lasted) {
            self.effects.push(Effect::CutOff { asked, lasted });
        }
        true
    }

    /// The session of an observer that was not heard for too long.
    fn silent(&self, now: Instant, observer: Option<&mut Observer>) -> Option<SessionId> {
        let observer = observer?;
        let session = observer.observation.session;
        let last_heard = (self.heard)(session).unwrap_or(now);
        observer
            .wants_sign(now, last_heard, self.settings.alive_for)
            .then_some(session)
    }

    /// An observation took the place of this one, unless it is the same again.
    fn replaced(&mut self, before: Option<Observer>, by: Observation) {
        if let Some(before) = before.filter(|before| before.observation != by) {
            self.counters.replaced += 1;
            self.effects
                .push(Effect::End(before.observation, Last::Replaced));
        }
    }
}

/// The observations of one device.
#[derive(Debug)]
pub struct DeviceRelay {
    /// Whose they are.
    pub device: Arc<Device>,
    attributes: Attributes,
    commands: Commands,
}

impl DeviceRelay {
    /// None yet.
    pub fn new(device: Arc<Device>) -> DeviceRelay {
        DeviceRelay {
            device,
            attributes: Attributes::default(),
            commands: Commands::default(),
        }
    }

    /// Which observation of this kind stands.
    pub fn observation(&self, kind: Kind) -> Option<Observation> {
        let observer = match kind {
            Kind::Attributes => self.attributes.observer(),
            Kind::Commands => self.commands.observer(),
        };
        observer.map(|observer| observer.observation)
    }

    /// What to answer a registration for which this was read.
    pub fn believed(&self, read: Values) -> Values {
        self.attributes.believed(read)
    }

    /// The shared attributes are observed from now on; the response has told `values`.
    pub fn attributes_registered(
        &mut self,
        now: Instant,
        observation: Observation,
        values: Values,
        context: &mut Context<'_>,
    ) {
        context.counters.registered += 1;
        self.attributes
            .registered(now, observation, values, context);
    }

    /// Commands are observed from now on.
    pub fn commands_registered(
        &mut self,
        now: Instant,
        observation: Observation,
        context: &mut Context<'_>,
    ) {
        context.counters.registered += 1;
        self.commands.registered(now, observation, context);
    }

    /// The device has ended this observation.
    pub fn cancelled(&mut self, observation: Observation, context: &mut Context<'_>) {
        self.commands.replaced_cancelled(observation);
        for kind in [Kind::Attributes, Kind::Commands] {
            if self.observation(kind) == Some(observation) {
                context.counters.cancelled += 1;
                self.end(kind, context);
            }
        }
    }

    fn end(&mut self, kind: Kind, context: &mut Context<'_>) -> Option<Observation> {
        match kind {
            Kind::Attributes => self.attributes.end(),
            Kind::Commands => self.commands.end(context),
        }
    }

    /// ThingsBoard has answered 401 or 403 to some request of the device: its observations end, and its open polls are
    /// closed.
    pub fn refuse(&mut self, last: Last, context: &mut Context<'_>) {
        for kind in [Kind::Attributes, Kind::Commands] {
            if let Some(observation) = self.end(kind, context) {
                context.counters.refused += 1;
                context.effects.push(Effect::End(observation, last));
            }
        }
        self.attributes.abort_polls(context);
        self.commands.abort_polls(context);
        self.commands.discard();
    }

    /// A session's certificate is no longer this device's: what it observes ends.
    pub fn unregistered(&mut self, session: SessionId, context: &mut Context<'_>) {
        for kind in [Kind::Attributes, Kind::Commands] {
            let of_it = self
                .observation(kind)
                .is_some_and(|observation| observation.session == session);
            if of_it && let Some(observation) = self.end(kind, context) {
                context.counters.unregistered += 1;
                match kind {
                    Kind::Attributes => self.attributes.abort_polls(context),
                    Kind::Commands => self.commands.abort_polls(context),
                }
                context
                    .effects
                    .push(Effect::End(observation, Last::Unregistered));
            }
        }
    }

    /// The device has another token: whatever is under way with the one before is not waited for, and asked anew.
    pub fn renew(&mut self, now: Instant, device: Arc<Device>, context: &mut Context<'_>) {
        let same = self.device.token == device.token;
        self.device = device;
        if !same {
            self.attributes.start_over(now, context);
            self.commands.start_over(context);
        }
    }

    /// The numbers of the polls for commands that are open.
    pub fn open_command_polls(&self) -> impl Iterator<Item = u64> + '_ {
        self.commands.open_polls()
    }

    /// A session has ended, and with it what it observed. Commands wait for the next.
    pub fn session_gone(&mut self, session: SessionId) {
        if is_of(self.attributes.observer(), session) {
            self.attributes.end();
        }
        if is_of(self.commands.observer(), session) {
            self.commands.session_gone();
        }
    }

    /// Whether it matters that this session is heard.
    pub fn awaits(&self, session: SessionId) -> bool {
        let observers = [self.attributes.observer(), self.commands.observer()];
        let mut of_it = observers
            .into_iter()
            .filter(|o| is_of(*o, session))
            .flatten();
        of_it.any(Observer::is_in_question)
    }

    /// Something authentic came from a session.
    pub fn heard(&mut self, now: Instant, session: SessionId, context: &mut Context<'_>) {
        let alive_for = context.settings.alive_for;
        let resumes = |observer: Option<&mut Observer>| {
            observer
                .filter(|observer| observer.observation.session == session)
                .is_some_and(|observer| observer.heard(now, alive_for))
        };
        if resumes(self.attributes.observer_mut()) {
            context.counters.resumed += 1;
            self.attributes.resume(now);
        }
        if resumes(self.commands.observer_mut()) {
            context.counters.resumed += 1;
            self.commands.uplink();
        }
    }

    /// A request of the device, through any session, was answered: it is awake now.
    pub fn uplink(&mut self, now: Instant, context: &Context<'_>) {
        self.attributes.uplink(now, context.settings.attributes);
        self.commands.uplink();
    }

    /// A notification has arrived.
    pub fn delivered(
        &mut self,
        now: Instant,
        observation: Observation,
        number: u64,
        context: &mut Context<'_>,
    ) {
        if self.observation(Kind::Attributes) == Some(observation) {
            self.attributes.delivered(number);
        } else if self.commands.has(observation) {
            self.commands.delivered(now, number, context);
        }
    }

    /// A notification does not fit the device's datagrams.
    pub fn too_large(
        &mut self,
        now: Instant,
        observation: Observation,
        number: u64,
        context: &mut Context<'_>,
    ) {
        if self.observation(Kind::Attributes) == Some(observation) {
            self.attributes.too_large(number, context);
        } else if self.commands.has(observation) {
            self.commands.too_large(now, number, context);
        }
    }

    /// The device has asked once more for the response to its registration, which may be old by now.
    pub fn registration_repeated(&mut self, now: Instant, observation: Observation) {
        if self.observation(Kind::Attributes) == Some(observation) {
            self.attributes.registration_repeated(now);
        }
    }

    /// The device replies to a command.
    pub fn reply_came(&mut self, now: Instant, id: u32, context: &mut Context<'_>) {
        self.commands.reply_came(now, id, context);
    }

    /// ThingsBoard has taken a reply to a command, the device's or the gateway's own, or has not.
    pub fn replied(&mut self, now: Instant, id: u32, is_taken: bool) {
        match is_taken {
            true => self.commands.replied(now, id),
            false => self.commands.reply_failed(id),
        }
    }

    /// A poll has come to its end.
    pub fn poll_ended(
        &mut self,
        now: Instant,
        kind: Kind,
        number: u64,
        result: Result<Brought, Error>,
        context: &mut Context<'_>,
    ) {
        let last = result.as_ref().err().and_then(Last::of);
        match kind {
            Kind::Attributes => {
                let update = result.map(Brought::update);
                self.attributes.poll_ended(now, number, update, context);
            }
            Kind::Commands => {
                let command = result.map(Brought::command);
                self.commands.poll_ended(now, number, command, context);
            }
        }
        if let Some(last) = last {
            self.refuse(last, context);
        }
    }

    /// A read has come to its end.
    pub fn read_ended(
        &mut self,
        now: Instant,
        number: u64,
        result: Result<Result<Values, Unreadable>, Error>,
        context: &mut Context<'_>,
    ) {
        let last = result.as_ref().err().and_then(Last::of);
        let awaited = self.attributes.read_ended(now, number, result, context);
        if let Some(last) = last.filter(|_| awaited) {
            self.refuse(last, context);
        }
    }

    /// Does what has become due. To be called after every other event, and when time demands.
    pub fn advance(&mut self, now: Instant, context: &mut Context<'_>) {
        let settings = context.settings;
        if let Some(session) = context.silent(now, self.attributes.observer_mut()) {
            match settings.attributes {
                Mode::LongPoll => context.effects.push(Effect::Ping(session)),
                // It sleeps, as is to be expected, and will be heard when it wakes.
                Mode::OnUplink => self.silent(session, context),
            }
        }
        if settings.rpc == Mode::LongPoll
            && let Some(session) = context.silent(now, self.commands.observer_mut())
        {
            context.effects.push(Effect::Ping(session));
        }
        self.attributes.advance(now, context);
        self.commands.advance(now, context);
    }

    /// When [`advance`](Self::advance) is wanted, if time alone decides.
    pub fn next_timeout(&self, settings: &Settings) -> Option<Instant> {
        let polled = self.commands.observer();
        let polled = polled.filter(|_| settings.rpc == Mode::LongPoll);
        let liveness = [self.attributes.observer(), polled]
            .into_iter()
            .flatten()
            .filter_map(Observer::next_timeout)
            .min();
        let attributes = self.attributes.next_timeout(settings.attributes);
        let commands = self.commands.next_timeout(settings.rpc);
        [liveness, attributes, commands].into_iter().flatten().min()
    }

    /// What there is of its observations.
    pub fn standing(&self) -> Standing {
        let (attributes, commands) = (self.attributes.observer(), self.commands.observer());
        let parked = |observer: Option<&Observer>| {
            usize::from(observer.is_some_and(|observer| !observer.is_live()))
        };
        Standing {
            attributes: attributes.iter().count(),
            commands: commands.iter().count(),
            parked: parked(attributes) + parked(commands),
            commands_waiting: self.commands_waiting(),
        }
    }

    /// Commands that wait for the device.
    pub fn commands_waiting(&self) -> usize {
        self.commands.waiting()
    }

    /// Whether it can be forgotten.
    pub fn is_idle(&self) -> bool {
        self.attributes.is_idle() && self.commands.is_idle()
    }
}

fn is_of(observer: Option<&Observer>, session: SessionId) -> bool {
    observer.is_some_and(|observer| observer.observation.session == session)
}
