//! Which gateway of a group follows the device: has polls or subscriptions for it. It is one at a time. While this one may not,
//! the relay is paused: its observations stay, nothing is requested and nothing notified.

use super::DeviceRelay;
use crate::downlink::{Form, Mode};
use crate::relay::RelayContext;
use crate::relay::liveness::Observer;
use std::time::Instant;

impl DeviceRelay {
    /// Another gateway may follow the device: closes both downlinks. What came on an MQTT connection, and the device has not
    /// acknowledged, is not acknowledged either: when the connection is closed, ThingsBoard sends it again.
    pub(crate) fn pause_following(&mut self, context: &mut RelayContext<'_>) {
        self.is_paused = true;
        self.attributes.pause_following(context);
        self.commands.abort_downlink(context);
    }

    /// This gateway follows the device from now on, if it did not before. Many devices may begin at once, when a gateway has
    /// died: one after the other. A device that was paused before its turn has come keeps its place.
    pub(crate) fn resume_following(&mut self, now: Instant, context: &mut RelayContext<'_>) {
        if !std::mem::take(&mut self.is_paused) {
            return;
        }
        let at = self.begin_attributes(now, context);
        self.begin_commands(now, at, context);
    }

    /// Begins to follow the attributes, if their observation is live. Returns when.
    pub(super) fn begin_attributes(
        &mut self,
        now: Instant,
        context: &mut RelayContext<'_>,
    ) -> Option<Instant> {
        self.attributes.observer().filter(|one| one.is_live())?;
        let held_until = self.attributes.downlink().held_until();
        let at = begin(now, held_until, context);
        self.attributes.resume_following(at);
        Some(at)
    }

    /// Begins to follow the commands, if their observation is live. `of_attributes`: when those begin, if they do.
    pub(super) fn begin_commands(
        &mut self,
        now: Instant,
        of_attributes: Option<Instant>,
        context: &mut RelayContext<'_>,
    ) {
        let is_live = self.commands.observer().is_some_and(Observer::is_live);
        if is_live && context.settings.rpc == Mode::WhileLive {
            let downlink = self.commands.downlink();
            let at = match (downlink.form(), of_attributes) {
                // Both are on the device's connection.
                (Form::Push, Some(at)) => at,
                (Form::Push | Form::Polling, _) => begin(now, downlink.held_until(), context),
            };
            self.commands.resume_following(at);
        }
    }

    /// The number of its read in flight, or of the one that waits to begin.
    pub(crate) fn read_in_flight(&self) -> Option<u64> {
        self.attributes.read_in_flight()
    }
}

/// When a downlink begins that was held until a time.
fn begin(now: Instant, held_until: Option<Instant>, context: &mut RelayContext<'_>) -> Instant {
    let place = held_until.filter(|at| *at > now);
    place.unwrap_or_else(|| context.pacing.reserve(now))
}
