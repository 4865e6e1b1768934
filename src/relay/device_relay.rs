//! The relay of one device: routes each event to one of its two observations, and does for both what concerns the device.

mod downlinks;
mod export;
mod following;
mod parking;

use super::Settings;
use super::attribute_observation::AttributeObservation;
use super::command_observation::CommandObservation;
use super::liveness::{Observation, Observer};
use super::{ObservationCounts, ObservationEnd, RelayContext, RelayEffect};
use crate::device::Device;
use crate::downlink::attribute_json::{Unreadable, Values};
use crate::downlink::{Downlink, Event, Form, Kind, Message, Mode};
use crate::dtls::SessionId;
use crate::upstream::Error;
use std::sync::Arc;
use std::time::Instant;

pub(crate) use export::RestoreContext;

const KINDS: [Kind; 2] = [Kind::Attributes, Kind::Commands];

/// The observations of one device.
#[derive(Debug)]
pub(crate) struct DeviceRelay {
    pub device: Arc<Device>,
    attributes: AttributeObservation,
    commands: CommandObservation,
    /// Another one after each change of an observation.
    revision: u32,
    /// Another gateway may follow the device.
    is_paused: bool,
}

impl DeviceRelay {
    /// `is_paused`: another gateway may follow the device.
    pub(crate) fn new(device: Arc<Device>, form: Form, is_paused: bool) -> DeviceRelay {
        DeviceRelay {
            device,
            attributes: AttributeObservation::new(form),
            commands: CommandObservation::new(form),
            revision: 0,
            is_paused,
        }
    }

    /// The observation of this kind, if there is one.
    pub(crate) fn observation(&self, kind: Kind) -> Option<Observation> {
        self.observer(kind).map(|observer| observer.observation)
    }

    fn observer(&self, kind: Kind) -> Option<&Observer> {
        match kind {
            Kind::Attributes => self.attributes.observer(),
            Kind::Commands => self.commands.observer(),
        }
    }

    fn observer_mut(&mut self, kind: Kind) -> Option<&mut Observer> {
        match kind {
            Kind::Attributes => self.attributes.observer_mut(),
            Kind::Commands => self.commands.observer_mut(),
        }
    }

    /// The observer of this kind, if it is of this session.
    fn observer_of(&mut self, kind: Kind, session: SessionId) -> Option<&mut Observer> {
        self.observer_mut(kind)
            .filter(|observer| observer.observation.session == session)
    }

    // Registration, and the end of observations.

    /// The values for the response to a registration for which `read` was read.
    pub(crate) fn registration_values(&self, read: Values) -> Values {
        self.attributes.registration_values(read)
    }

    /// The device has registered for shared attributes, and the response gives it `values`.
    pub(crate) fn attributes_registered(
        &mut self,
        now: Instant,
        observation: Observation,
        values: Values,
        context: &mut RelayContext<'_>,
    ) {
        context.counters.registrations += 1;
        self.export_changed();
        self.attributes
            .registered(now, observation, values, context);
    }

    /// The device has registered for commands.
    pub(crate) fn commands_registered(
        &mut self,
        now: Instant,
        observation: Observation,
        context: &mut RelayContext<'_>,
    ) {
        context.counters.registrations += 1;
        self.export_changed();
        self.commands.registered(now, observation, context);
    }

    /// The device has repeated its registration, and may have missed the response, which may be outdated by now.
    pub(crate) fn registration_repeated(&mut self, now: Instant, observation: Observation) {
        if self.observation(Kind::Attributes) == Some(observation) {
            self.attributes.registration_repeated(now);
        }
    }

    /// The device has ended this observation.
    pub(crate) fn cancelled(&mut self, observation: Observation, context: &mut RelayContext<'_>) {
        self.commands.replaced_cancelled(observation);
        for kind in KINDS {
            if self.observation(kind) == Some(observation) {
                context.counters.cancelled += 1;
                self.end(kind, context);
            }
        }
    }

    fn end(&mut self, kind: Kind, context: &mut RelayContext<'_>) -> Option<Observation> {
        self.export_changed();
        match kind {
            Kind::Attributes => self.attributes.end(),
            Kind::Commands => self.commands.end(context),
        }
    }

    /// ThingsBoard has answered 401 or 403 to some request of the device: its observations end, its downlinks are closed, and
    /// its queued commands dropped.
    pub(crate) fn rejected(&mut self, end: ObservationEnd, context: &mut RelayContext<'_>) {
        for kind in KINDS {
            if let Some(observation) = self.end(kind, context) {
                context.counters.refused += 1;
                let effect = RelayEffect::EndObservation(observation, end);
                context.effects.push(effect);
            }
        }
        self.attributes.abort_downlink(context);
        self.commands.abort_downlink(context);
        self.commands.discard();
    }

    /// The certificate of a session is no longer this device's: the session's observations end.
    pub(crate) fn unregistered(&mut self, session: SessionId, context: &mut RelayContext<'_>) {
        for kind in KINDS {
            let is_of_session = is_of(self.observer(kind), session);
            if is_of_session && let Some(observation) = self.end(kind, context) {
                context.counters.ended_unregistered_certificate += 1;
                match kind {
                    Kind::Attributes => self.attributes.abort_downlink(context),
                    Kind::Commands => self.commands.abort_downlink(context),
                }
                context.effects.push(RelayEffect::EndObservation(
                    observation,
                    ObservationEnd::Unregistered,
                ));
            }
        }
    }

    /// A session has ended, and its observations with it. Commands stay queued for the next registration.
    pub(crate) fn session_ended(&mut self, session: SessionId) {
        self.export_changed();
        if is_of(self.attributes.observer(), session) {
            self.attributes.end();
        }
        if is_of(self.commands.observer(), session) {
            self.commands.session_ended();
        }
    }

    /// The device registry was read again. If the device has another token, everything in flight under the one before is
    /// cancelled and requested again.
    pub(crate) fn update_device(
        &mut self,
        now: Instant,
        device: Arc<Device>,
        context: &mut RelayContext<'_>,
    ) {
        let same = self.device.token == device.token;
        self.device = device;
        if !same {
            self.attributes.restart(now, context);
            self.commands.restart(context);
        }
    }

    // What the device sends.

    /// Whether anything that this session receives changes the relay's state.
    pub(crate) fn awaits_sign_of_life(&self, session: SessionId) -> bool {
        KINDS
            .into_iter()
            .filter_map(|kind| self.observer(kind))
            .filter(|observer| observer.observation.session == session)
            .any(Observer::awaits_sign_of_life)
    }

    /// A session has received something authentic.
    pub(crate) fn received(
        &mut self,
        now: Instant,
        session: SessionId,
        context: &mut RelayContext<'_>,
    ) {
        let alive_for = context.settings.alive_for;
        for kind in KINDS {
            let observer = self.observer_of(kind, session);
            if observer.is_some_and(|observer| observer.received(now, alive_for)) {
                context.counters.resumed += 1;
                self.export_changed();
                match kind {
                    Kind::Attributes => self.attributes.resume(now),
                    Kind::Commands => self.commands.device_awake(),
                }
            }
        }
    }

    /// A request of the device, through any session, was answered: it is awake.
    pub(crate) fn uplink(&mut self, now: Instant, context: &RelayContext<'_>) {
        self.attributes.uplink(now, context.settings.attributes);
        self.commands.device_awake();
    }

    /// Whether the device's reply to a command must not reach ThingsBoard, which would take it for one to another command.
    pub(crate) fn is_reply_outdated(&self, id: u32) -> bool {
        self.commands.is_reply_outdated(id)
    }

    /// The device replies to a command.
    pub(crate) fn reply_received(&mut self, now: Instant, id: u32, context: &mut RelayContext<'_>) {
        self.commands.reply_received(now, id, context);
    }

    /// ThingsBoard has answered a reply to a command, the device's or the gateway's own: whether it took it.
    pub(crate) fn reply_answered(&mut self, now: Instant, id: u32, is_accepted: bool) {
        match is_accepted {
            true => self.commands.reply_accepted(now, id),
            false => self.commands.reply_failed(id),
        }
    }

    // What becomes of a notification; that it failed is in `parking`.

    /// The device has acknowledged a notification.
    pub(crate) fn delivered(
        &mut self,
        now: Instant,
        observation: Observation,
        number: u64,
        context: &mut RelayContext<'_>,
    ) {
        if self.observation(Kind::Attributes) == Some(observation) {
            self.attributes.delivered(number);
        } else if self.commands.has(observation) {
            self.commands.delivered(now, number, context);
        }
    }

    /// A notification does not fit the device's datagrams.
    pub(crate) fn too_large(
        &mut self,
        now: Instant,
        observation: Observation,
        number: u64,
        context: &mut RelayContext<'_>,
    ) {
        if self.observation(Kind::Attributes) == Some(observation) {
            self.attributes.too_large(number, context);
        } else if self.commands.has(observation) {
            self.commands.too_large(now, number, context);
        }
    }

    // What ThingsBoard answers.

    /// Something has happened to the downlink of this kind.
    pub(crate) fn downlink_event(
        &mut self,
        now: Instant,
        kind: Kind,
        event: Event<Message>,
        context: &mut RelayContext<'_>,
    ) {
        let end = event.error().and_then(ObservationEnd::of);
        match kind {
            Kind::Attributes => {
                let event = event.map(Message::attributes);
                self.attributes.downlink_event(now, event, context);
            }
            Kind::Commands => {
                let event = event.map(Message::command);
                self.commands.downlink_event(now, event, context);
            }
        }
        if let Some(end) = end {
            self.rejected(end, context);
        }
    }

    /// A read of all attributes has ended.
    pub(crate) fn read_ended(
        &mut self,
        now: Instant,
        number: u64,
        result: Result<Result<Values, Unreadable>, Error>,
        context: &mut RelayContext<'_>,
    ) {
        let end = result.as_ref().err().and_then(ObservationEnd::of);
        let is_current = self.attributes.read_ended(now, number, result, context);
        if let Some(end) = end.filter(|_| is_current) {
            self.rejected(end, context);
        }
    }

    // Time.

    /// Does what has become due. To be called after every other event, and at [`next_timeout`](Self::next_timeout).
    pub(crate) fn advance(&mut self, now: Instant, context: &mut RelayContext<'_>) {
        if self.is_paused {
            return self.commands.remove_expired(now, context);
        }
        let settings = context.settings;
        if let Some(session) = self.silent_session(now, Kind::Attributes, context) {
            match settings.attributes {
                Mode::WhileLive => context.effects.push(RelayEffect::Ping(session)),
                // It is expected to sleep, and will send something when it wakes.
                Mode::OnUplink => self.unresponsive(session, context),
            }
        }
        if settings.rpc == Mode::WhileLive
            && let Some(session) = self.silent_session(now, Kind::Commands, context)
        {
            context.effects.push(RelayEffect::Ping(session));
        }
        self.attributes.advance(now, context);
        self.commands.advance(now, context);
    }

    /// The session of an observer that is to be pinged now.
    fn silent_session(
        &mut self,
        now: Instant,
        kind: Kind,
        context: &RelayContext<'_>,
    ) -> Option<SessionId> {
        let observer = self.observer_mut(kind)?;
        let session = observer.observation.session;
        let last_received = (context.last_received)(session).unwrap_or(now);
        observer
            .ping_due(now, last_received, context.settings.alive_for)
            .then_some(session)
    }

    /// When [`advance`](Self::advance) has something to do, if time alone decides.
    pub(crate) fn next_timeout(&self, settings: &Settings) -> Option<Instant> {
        if self.is_paused {
            return self.commands.next_expiry();
        }
        let pinged = self.commands.observer();
        let pinged = pinged.filter(|_| settings.rpc == Mode::WhileLive);
        let liveness = [self.attributes.observer(), pinged]
            .into_iter()
            .flatten()
            .filter_map(Observer::next_timeout)
            .min();
        let attributes = self.attributes.next_timeout(settings.attributes);
        let commands = self.commands.next_timeout(settings.rpc);
        [liveness, attributes, commands].into_iter().flatten().min()
    }

    // What the table counts.

    /// How many observations it has, and commands.
    pub(crate) fn counts(&self) -> ObservationCounts {
        let (attributes, commands) = (self.attributes.observer(), self.commands.observer());
        let parked = |observer: Option<&Observer>| {
            usize::from(observer.is_some_and(|observer| !observer.is_live()))
        };
        ObservationCounts {
            attributes: attributes.iter().count(),
            commands: commands.iter().count(),
            parked: parked(attributes) + parked(commands),
            commands_queued: self.commands_queued(),
            subscriptions: self.subscriptions(Downlink::has_subscription),
            working_subscriptions: self.subscriptions(Downlink::is_subscribed),
        }
    }

    /// Commands queued for the device.
    pub(crate) fn commands_queued(&self) -> usize {
        self.commands.queued()
    }

    /// What is held for the device, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.attribute_bytes() + self.commands.bytes()
    }

    /// What is held of its attributes, in bytes.
    pub(crate) fn attribute_bytes(&self) -> usize {
        self.attributes.bytes()
    }

    /// Whether nothing is lost by removing it, once [`keep_until`](Self::keep_until) is over.
    pub(crate) fn is_idle(&self) -> bool {
        self.attributes.is_idle() && self.commands.is_idle()
    }
}

fn is_of(observer: Option<&Observer>, session: SessionId) -> bool {
    observer.is_some_and(|observer| observer.observation.session == session)
}
