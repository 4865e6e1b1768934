//! A relay as bytes: see [`crate::relay::export`].

use super::{AttributeObservation, CommandObservation, DeviceRelay, KINDS, Kind, Mode};
use crate::device::Device;
use crate::downlink::{Form, Pacing};
use crate::relay::command_queue::CommandQueue;
use crate::relay::export::{
    FORMAT, KeyOf, MAX_EXPORT, RestoreError, SessionOf, StoredObservation, Times,
};
use crate::relay::liveness::Observer;
use crate::relay::shared_attributes::SharedAttributes;
use crate::relay::{RelayContext, Settings};
use bytes::{Buf, BufMut};
use std::sync::Arc;
use std::time::Instant;

/// Of the observation of attributes; two bits higher, of the observation of commands.
const OBSERVED: u8 = 1;
/// The device does not answer.
const PARKED: u8 = 2;
const COMMANDS_SHIFT: u8 = 2;
/// Both observations are of the same session.
const SAME_SESSION: u8 = 16;
/// There are commands.
const HAS_COMMANDS: u8 = 32;
const ALL_FLAGS: u8 = 63;

fn shift(kind: Kind) -> u8 {
    match kind {
        Kind::Attributes => 0,
        Kind::Commands => COMMANDS_SHIFT,
    }
}

/// What a relay is restored with, besides its export.
pub(crate) struct RestoreContext<'a> {
    pub times: Times,
    pub form: Form,
    /// Another gateway may follow the device: nothing begins before that is over.
    pub is_paused: bool,
    pub settings: &'a Settings,
    /// Shared by all relays.
    pub pacing: &'a mut Pacing,
    /// Uniform within 0..1.
    pub random: &'a mut dyn FnMut() -> f64,
}

impl RestoreContext<'_> {
    /// When the downlink of this kind begins, and the read: one device after the other. `None` if it begins when the device
    /// sends something.
    fn begin(&mut self, kind: Kind, observer: Option<&Observer>) -> Option<Instant> {
        let mode = match kind {
            Kind::Attributes => self.settings.attributes,
            // In the mode `on-uplink` attributes are read, but no command is requested.
            Kind::Commands => self.settings.rpc,
        };
        let is_live = observer.is_some_and(Observer::is_live);
        let begins =
            !self.is_paused && is_live && (mode == Mode::WhileLive || kind == Kind::Attributes);
        begins.then(|| self.pacing.reserve(self.times.now))
    }

    /// An observation as it was. When a live device is checked is spread, so that a fleet is not pinged at once.
    fn observer(
        &mut self,
        stored: StoredObservation,
        is_parked: bool,
        session_of: SessionOf<'_>,
    ) -> Option<Observer> {
        let observation = stored.restore(session_of)?;
        let spread = 0.5 + (self.random)() / 2.0;
        let alive_for = self.settings.alive_for.mul_f64(spread);
        let mut observer = Observer::new(self.times.now, observation, alive_for);
        if is_parked {
            observer.park();
        }
        Some(observer)
    }
}

impl DeviceRelay {
    /// Another number after each change of what [`export`](Self::export) returns, apart from ages.
    pub(crate) fn revision(&self) -> u32 {
        self.revision
            .wrapping_add(self.attributes.revision())
            .wrapping_add(self.commands.revision())
    }

    pub(super) fn export_changed(&mut self) {
        self.revision = self.revision.wrapping_add(1);
    }

    /// What must outlive the process, in [`MAX_EXPORT`] bytes at most; `None` if there is nothing. Observations of sessions that
    /// are not stored are left out.
    pub(crate) fn export(&self, times: Times, key_of: KeyOf<'_>) -> Option<Vec<u8>> {
        let stored = |kind: Kind| {
            let observation = self.observation(kind)?;
            let session = key_of(observation.session)?;
            Some(StoredObservation {
                session,
                id: observation.id,
            })
        };
        let [attributes, commands] = KINDS.map(stored);
        // More than what is in front of both parts.
        let limit = MAX_EXPORT - 64;
        let queue = self.commands.export(times, limit);
        let limit = limit.saturating_sub(queue.as_ref().map_or(0, Vec::len));
        let values = attributes.and_then(|_| self.attributes.export(limit));
        let attributes = attributes.filter(|_| values.is_some());
        if attributes.is_none() && commands.is_none() && queue.is_none() {
            return None;
        }
        let mut flags = 0;
        for (kind, stored) in KINDS.into_iter().zip([attributes, commands]) {
            let is_parked = self
                .observer(kind)
                .is_some_and(|observer| !observer.is_live());
            if stored.is_some() {
                flags |= (OBSERVED | if is_parked { PARKED } else { 0 }) << shift(kind);
            }
        }
        let session = attributes.map(|stored| stored.session);
        if let Some(commands) = commands
            && session == Some(commands.session)
        {
            flags |= SAME_SESSION;
        }
        if queue.is_some() {
            flags |= HAS_COMMANDS;
        }
        let mut out = vec![FORMAT, flags];
        if let Some(attributes) = attributes {
            attributes.put(&mut out, None);
        }
        if let Some(commands) = commands {
            commands.put(&mut out, session);
        }
        for part in [values, queue].into_iter().flatten() {
            out.put_slice(&part);
        }
        Some(out)
    }

    /// A relay out of its export. Observations whose session was not restored have ended with it; commands stay queued for
    /// the next registration.
    pub(crate) fn restore(
        device: Arc<Device>,
        mut export: &[u8],
        session_of: SessionOf<'_>,
        mut context: RestoreContext<'_>,
    ) -> Result<DeviceRelay, RestoreError> {
        if export.len() > MAX_EXPORT {
            return Err(RestoreError::Malformed);
        }
        let from = &mut export;
        match from.try_get_u8()? {
            FORMAT => {}
            format => return Err(RestoreError::Format(format)),
        }
        let flags = from.try_get_u8()?;
        if flags & !ALL_FLAGS != 0 {
            return Err(RestoreError::Malformed);
        }
        let has = |kind: Kind, flag: u8| flags & flag << shift(kind) != 0;
        let is_observed = KINDS.map(|kind| has(kind, OBSERVED));
        let is_parked = KINDS.map(|kind| has(kind, PARKED));
        if flags & SAME_SESSION != 0 && is_observed != [true; 2]
            || is_parked
                .into_iter()
                .zip(is_observed)
                .any(|(parked, observed)| parked && !observed)
        {
            return Err(RestoreError::Malformed);
        }
        let mut stored = [None; 2];
        let mut session = None;
        for (kind, stored) in KINDS.into_iter().zip(&mut stored) {
            if has(kind, OBSERVED) {
                let one = StoredObservation::get(from, session)?;
                session = Some(one.session).filter(|_| flags & SAME_SESSION != 0);
                *stored = Some(one);
            }
        }
        let [attributes, commands] = stored;
        // One relation is of one kind.
        if attributes.is_some() && attributes == commands {
            return Err(RestoreError::Malformed);
        }
        let shared = match attributes {
            Some(_) => SharedAttributes::restore(from)?,
            None => SharedAttributes::default(),
        };
        let mut queue = match flags & HAS_COMMANDS {
            0 => CommandQueue::default(),
            _ => CommandQueue::restore(context.times, from)?,
        };
        if from.has_remaining() {
            return Err(RestoreError::Malformed);
        }
        // From here on it is restored.
        let mut observer = |kind: Kind, stored: Option<StoredObservation>| {
            stored.and_then(|stored| context.observer(stored, has(kind, PARKED), session_of))
        };
        let (attributes, commands) = (
            observer(Kind::Attributes, attributes),
            observer(Kind::Commands, commands),
        );
        let begin = context.begin(Kind::Attributes, attributes.as_ref());
        let command_begin = match (context.form, begin) {
            // Both are on the device's connection.
            (Form::Push, Some(begin)) => Some(begin),
            (Form::Push | Form::Polling, _) => context.begin(Kind::Commands, commands.as_ref()),
        };
        if let Some(begin) = command_begin {
            queue.begins_at(context.times.now, begin);
        }
        let (form, is_paused) = (context.form, context.is_paused);
        Ok(DeviceRelay {
            device,
            attributes: AttributeObservation::restore(form, attributes, shared, begin),
            commands: CommandObservation::restore(form, commands, queue, command_begin),
            revision: 0,
            is_paused,
        })
    }

    /// Goes on with those observations of a restored relay that this one lacks: the device has two sessions, and each has the
    /// relay in its row. Nothing of the restored one has begun.
    pub(crate) fn adopt(
        &mut self,
        now: Instant,
        restored: DeviceRelay,
        context: &mut RelayContext<'_>,
    ) {
        let mut begins = None;
        if self.attributes.observer().is_none() && restored.attributes.observer().is_some() {
            self.export_changed();
            self.attributes.adopt(restored.attributes);
            if !self.is_paused {
                begins = self.begin_attributes(now, context);
            }
        }
        if self.commands.observer().is_none() && restored.commands.observer().is_some() {
            self.export_changed();
            self.commands.adopt(restored.commands);
            if !self.is_paused {
                self.begin_commands(now, begins, context);
            }
        }
    }

    /// Whether it has a notification for a live device, without a read before.
    pub(crate) fn has_notification(&self) -> bool {
        let observer = self.commands.observer();
        observer.is_some_and(Observer::is_live) && self.commands.queued() > 0
    }
}
