//! Relays that outlive the process: which of them have changed, their exports, and how they come back.

use super::RelayTable;
use crate::device::Device;
use crate::downlink::Kind;
use crate::relay::device_relay::RestoreContext;
use crate::relay::export::{KeyOf, RestoreError, SessionOf, Times};
use crate::relay::{DeviceRelay, Observation};
use std::cell::Cell;
use std::sync::Arc;

#[allow(
    dead_code,
    reason = "what keeps relays on disk calls these, and is not there yet"
)]
impl RelayTable {
    /// Remembers from now on which relays have changed, for [`take_changed`](Self::take_changed).
    pub(crate) fn remember_changes(&mut self) {
        self.changed.turn_on();
    }

    /// The name of a device whose relay's export may have changed since it was last taken. It is to be [exported](Self::export),
    /// and what is stored of it replaced or deleted.
    pub(crate) fn take_changed(&mut self) -> Option<Arc<str>> {
        self.changed.pop()
    }

    /// How many [`take_changed`](Self::take_changed) has.
    pub(crate) fn changed(&self) -> usize {
        self.changed.len()
    }

    /// Has [`take_changed`](Self::take_changed) return a device's relay: its export was not stored, or its session is stored under
    /// another number.
    pub(crate) fn set_changed(&mut self, device: &Arc<str>) {
        self.changed.insert(device);
    }

    /// What of a device's relay must outlive the process; `None` if there is nothing, and what is stored is to be deleted.
    pub(crate) fn export(&self, times: Times, device: &str, key_of: KeyOf<'_>) -> Option<Vec<u8>> {
        let id = self.find(device)?;
        self.get(id)?.export(times, key_of)
    }

    /// Adds a device's relay out of its export, at any time. A relay that the device has already goes on, with the observations that
    /// it lacks: each of the device's sessions may have one, and be restored by itself. Bounds that were lowered since are
    /// exceeded: they are for what is added.
    pub(crate) fn restore(
        &mut self,
        times: Times,
        device: &Arc<Device>,
        export: &[u8],
        session_of: SessionOf<'_>,
    ) -> Result<(), RestoreError> {
        let known = self.find(&device.name);
        let is_complete = Cell::new(true);
        let session_of = |key, id| {
            let session = session_of(key, id);
            is_complete.set(is_complete.get() && session.is_some());
            session
        };
        let context = RestoreContext {
            times,
            form: self.form,
            is_paused: known.is_some() || self.is_paused(&device.name),
            settings: &self.settings,
            pacing: &mut self.pacing,
            random: &mut || self.random.f64(),
        };
        let relay = DeviceRelay::restore(device.clone(), export, &session_of, context)?;
        if let Some(id) = known {
            self.changed.insert(&device.name);
            // What the sessions received last is of no consequence here.
            let now = times.now;
            self.update(now, id, &|_| Some(now), |known, context| {
                known.adopt(now, relay, context);
            });
            return Ok(());
        }
        if !is_complete.get() || relay.is_idle() {
            self.changed.insert(&device.name);
        }
        if relay.is_idle() {
            return Ok(());
        }
        let notifies = relay.has_notification();
        let id = self.add(relay);
        self.recount(id);
        self.arm_or_remove(times.now, id);
        if notifies && let Some(entry) = self.relays.get_mut(&id) {
            self.timers.arm(id, &mut entry.timer, times.now);
        }
        Ok(())
    }

    /// Whether a relay has this observation. A relation of a restored endpoint that has none is to be ended.
    pub(crate) fn observes(&self, device: &str, observation: Observation) -> bool {
        let relay = self.find(device).and_then(|id| self.get(id));
        relay.is_some_and(|relay| {
            [Kind::Attributes, Kind::Commands]
                .into_iter()
                .any(|kind| relay.observation(kind) == Some(observation))
        })
    }
}

#[cfg(test)]
mod tests;
