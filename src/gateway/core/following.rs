//! Which gateway of a group follows a device, that is, has polls, subscriptions and an MQTT connection for it: one at a time. A
//! relay is *paused* while another gateway may do so, *resumed* when this one does, and *forgotten* when another one goes on with
//! the device.
//!
//! A device can be paused before it has a relay. The table of relays remembers those that are paused, as the relay that is added
//! later must be paused as well: a name for each, from [`Core::pause_relay`] until [`Core::resume_relay`] or
//! [`Core::forget_relay`]. So whoever pauses a device must do one of the two later, at the latest when its last session ends.
//!
//! | | Paused | Forgotten |
//! |---|---|---|
//! | polls, subscriptions, the read of attributes, the MQTT connection | closed, and not opened | closed |
//! | observations | stay, and can be registered: the read for the response is made | dropped; their sessions are elsewhere |
//! | notifications in the endpoint | go on there; there is no new one | end with their session |
//! | commands | stay queued, and expire | dropped: the other gateway has them out of the export |
//! | the device's requests and replies to commands | are forwarded. Over MQTT that opens a connection | are not received here |
//! | what MQTT brought, and the device has not acknowledged | is not acknowledged: ThingsBoard sends it again | the same |
//!
//! A command that ThingsBoard gives to a poll just before it is aborted is lost if it is one-way; a two-way one is given to the
//! next poll as well.

use super::Core;
use crate::calls::{RelayCall, Ticket};
use crate::device::Device;
use crate::relay::RelayId;
use std::sync::Arc;
use std::time::Instant;

impl Core {
    /// Another gateway may follow a device: nothing is requested for it, nor notified, until
    /// [`resume_relay`](Self::resume_relay). It may have no relay yet.
    pub(crate) fn pause_relay(&mut self, now: Instant, device: &str) {
        let connected = self.connected_as(device);
        if let Some(id) = self.relays.set_paused(device) {
            self.stop_following(now, id);
        }
        self.close_followed(now, connected);
    }

    /// This gateway follows a device from now on. A read of its attributes shows what has changed.
    pub(crate) fn resume_relay(&mut self, now: Instant, device: &str) {
        if let Some(id) = self.relays.set_resumed(device) {
            self.with_relay(now, id, |relay, context| {
                relay.resume_following(now, context);
            });
            self.run_relay_effects(now);
        }
    }

    /// Another gateway goes on with a device: drops its relay with all that it holds. Nothing is notified, and ThingsBoard gets
    /// nothing.
    pub(crate) fn forget_relay(&mut self, now: Instant, device: &str) {
        let connected = self.connected_as(device);
        if let Some(id) = self.relays.find(device) {
            self.stop_following(now, id);
        }
        self.relays.forget(device);
        self.close_followed(now, connected);
    }

    /// Not all that [`settle`](Self::settle) does, which calls these itself for each session that has ended: with thousands of
    /// them the stack would not be large enough.
    fn run_relay_effects(&mut self, now: Instant) {
        while let Some((relay, effect)) = self.relays.poll_effect() {
            self.run_relay_effect(now, relay, effect);
        }
    }

    /// Closes a relay's downlinks, and ends its read.
    fn stop_following(&mut self, now: Instant, id: RelayId) {
        let read = self.relays.get(id).and_then(|relay| relay.read_in_flight());
        if let Some(number) = read
            && self.relay_calls.end_read(id, number)
        {
            let ticket = Ticket::Relay(id, RelayCall::Read(number));
            self.tallies.upstream.aborted(&ticket);
            self.relay_calls.abort(ticket);
            self.start_reads(now);
        }
        self.with_relay(now, id, |relay, context| relay.pause_following(context));
    }

    /// A device as its connection to ThingsBoard has it.
    fn connected_as(&self, device: &str) -> Option<Arc<Device>> {
        let relay = self.relays.find(device).and_then(|id| self.relays.get(id));
        let of_session = || self.sessions.device_named(device);
        relay
            .map(|relay| &relay.device)
            .or_else(of_session)
            .cloned()
    }

    /// Ends polls and subscriptions of a relay that is paused or forgotten, then its device's connection.
    fn close_followed(&mut self, now: Instant, connected: Option<Arc<Device>>) {
        self.run_relay_effects(now);
        if let Some(device) = connected {
            self.close_connection(device);
        }
    }
}
