//! The MQTT transport.

use super::Control;
use crate::clock::in_ms;
use crate::directory::Activity;
use crate::downlink::{Downlink, PollKind, PushEnd};
use crate::mqtt::{MqttCounts, MqttSettings, serve};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

impl Control {
    /// Serves one MQTT connection over a stream that is no socket, until its end. While ThingsBoard is down it is closed at
    /// once.
    pub async fn serve_mqtt<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) {
        let cuts = self.0.mqtt_cuts.subscribe();
        if !self.0.connections.is_down() {
            serve(&self.0, stream, cuts).await;
        }
    }

    /// The settings of the MQTT transport.
    #[must_use]
    pub fn mqtt_settings(&self) -> MqttSettings {
        self.0.lock().mqtt.settings
    }

    /// Sets the settings of the MQTT transport. Those of a connection's first packet id and idle timeout apply to
    /// connections that open from now on.
    pub fn set_mqtt_settings(&self, settings: MqttSettings) {
        let mut state = self.0.lock();
        state.mqtt.settings = settings;
        state.long_polls.apply(|downlink| {
            let mut delays = downlink.delays();
            delays.push_subscription_ms = in_ms(settings.subscription_delay);
            downlink.set_delays(delays);
        });
    }

    /// Makes the next `times` SUBSCRIBEs of attributes or RPC dead: granted, but nothing is ever delivered. So are those
    /// over the limit on messages.
    pub fn deaden_subscriptions(&self, times: u32) {
        self.0.lock().mqtt.dead_subscriptions = times;
    }

    /// Sends the next `times` changes of attributes this much later, behind those that come meanwhile. Their packet ids are
    /// in the order of the changes.
    pub fn delay_attribute_changes(&self, times: u32, by: Duration) {
        self.0.lock().mqtt.delayed_changes = (times, by);
    }

    /// Counts a device's MQTT connections and packets; `None` for an unknown device.
    #[must_use]
    pub fn mqtt_counts(&self, device: &str) -> Option<MqttCounts> {
        let mut state = self.0.lock();
        state.directory.get(device)?;
        let mut counts = state.mqtt.counts.get(device).copied().unwrap_or_default();
        let subscribed =
            |kind| move |downlink: &mut Downlink| downlink.is_push_subscribed(device, kind);
        let polls = &mut state.long_polls;
        counts.attributes_subscribed = polls.apply(subscribed(PollKind::Attributes));
        counts.rpc_subscribed = polls.apply(subscribed(PollKind::Rpc));
        Some(counts)
    }

    /// The counts of all devices together. Whether they are subscribed is not among them.
    #[must_use]
    pub fn mqtt_totals(&self) -> MqttCounts {
        let state = self.0.lock();
        let mut totals = MqttCounts::default();
        for counts in state.mqtt.counts.values() {
            totals.add(counts);
        }
        totals
    }

    /// How long the PUBACKs of the latest commands took, from their PUBLISHes, in microseconds; each is returned once.
    #[must_use]
    pub fn take_command_delays(&self) -> Vec<u64> {
        self.0.lock().mqtt.take_command_delays().into()
    }

    /// Cuts a device's MQTT connection without a DISCONNECT. False if there is none.
    pub fn cut_mqtt(&self, device: &str) -> bool {
        let mut state = self.0.lock();
        state
            .long_polls
            .apply(|downlink| downlink.end_device_push(device, PushEnd::Cut))
    }

    /// When ThingsBoard last noticed a device; `None` for an unknown device.
    #[must_use]
    pub fn activity(&self, device: &str) -> Option<Activity> {
        let state = self.0.lock();
        Some(state.directory.get(device)?.activity)
    }
}
