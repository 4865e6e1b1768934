//! Devices that another gateway of the group may follow: their relays are paused, and so is one that is added later.

use super::{RelayId, RelayTable};
use crate::relay::RelayEffect;
use std::sync::Arc;

impl RelayTable {
    /// Whether another gateway may follow a device.
    pub(super) fn is_paused(&self, device: &str) -> bool {
        // Without a group there are none.
        !self.paused.is_empty() && self.paused.contains(device)
    }

    /// Another gateway may follow a device, whether it has a relay or not. Returns the relay, which is to be paused. The device is
    /// remembered until [`set_resumed`](Self::set_resumed) or [`forget`](Self::forget).
    pub(crate) fn set_paused(&mut self, device: &str) -> Option<RelayId> {
        let id = self.find(device);
        if !self.paused.contains(device) {
            let known = id.and_then(|id| self.get(id));
            let name = known.map_or_else(|| Arc::from(device), |relay| relay.device.name.clone());
            self.paused.insert(name);
        }
        id
    }

    /// This gateway follows a device from now on. Returns its relay, which is to be resumed.
    pub(crate) fn set_resumed(&mut self, device: &str) -> Option<RelayId> {
        self.paused.remove(device);
        self.find(device)
    }

    /// Drops what is known of a device: another gateway goes on with it. Its relay must be paused, and has closed its downlinks;
    /// of what it wanted done only that is done.
    pub(crate) fn forget(&mut self, device: &str) {
        self.paused.remove(device);
        self.changed.remove(device);
        let Some(id) = self.find(device) else {
            return;
        };
        self.remove(id);
        self.effects
            .retain(|(of, effect)| *of != id || matches!(effect, RelayEffect::Downlink(_)));
    }
}
