//! [`Control`]: the simulator's controls for code in the same process.

mod attributes;
mod mqtt;
mod outage;
mod packages;
mod rpc;

use crate::arrival::Arrival;
use crate::clock::in_ms;
use crate::device_api::Profile;
use crate::directory::OutOfSpace;
use crate::fault::Fault;
use crate::json::Element;
use crate::rule_chain::Reply;
use crate::state::{Shared, State, Timeouts};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::broadcast;

pub use rpc::ServerRpc;

/// More device profiles than this are refused.
const MAX_PROFILES: usize = 1000;

/// Why a control was refused, as a message for people. It never contains a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlError(pub(super) String);

impl std::fmt::Display for ControlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ControlError {}

impl From<String> for ControlError {
    fn from(reason: String) -> ControlError {
        ControlError(reason)
    }
}

/// A handle on a simulator, before, while and after it runs. Clones are cheap and control the same one.
#[derive(Clone)]
pub struct Control(pub(super) Arc<Shared>);

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control {
    /// A simulator without sockets, for a simulated network and time: see [`serve_mqtt`](Self::serve_mqtt). Its timers run
    /// in [`run_timers`](Self::run_timers).
    #[must_use]
    pub fn without_sockets() -> Control {
        Control(Arc::new(Shared::new()))
    }

    /// Runs the timers of polls and commands, where [`Simulator::run`](super::Simulator::run) does not. Never returns.
    pub async fn run_timers(&self) {
        crate::long_poll::run_timers(&self.0).await;
    }

    /// Adds a device, or changes the token of the one of that name, which keeps its attributes and telemetry. With
    /// another token the device's subscriptions are removed: its open polls get no message any more and end by their
    /// timeout, and its MQTT connection is closed. A new device has the packages that are assigned to all.
    ///
    /// # Errors
    /// An empty name or token, a token that another device has, too many devices, or no room for its attributes.
    pub fn add_device(&self, name: &str, token: &str) -> Result<(), ControlError> {
        self.put_device(name, token, None)
    }

    /// As [`add_device`](Self::add_device), in the device profile with this provisioning key, as
    /// [`CheckPreProvisionedDevices`](super::Strategy::CheckPreProvisionedDevices) requires.
    ///
    /// # Errors
    /// As [`add_device`](Self::add_device).
    pub fn add_device_in_profile(
        &self,
        name: &str,
        token: &str,
        key: &str,
    ) -> Result<(), ControlError> {
        self.put_device(name, token, Some(key.to_owned()))
    }

    pub(super) fn put_device(
        &self,
        name: &str,
        token: &str,
        key: Option<String>,
    ) -> Result<(), ControlError> {
        let mut state = self.0.lock();
        let old = state.directory.get(name).map(|device| device.token.clone());
        state.directory.put(name, Some(token.to_owned()), key)?;
        if let Some(device) = state.directory.get_mut(name) {
            device.provisioned = false;
        }
        match old {
            None => state.set_package_attributes(name).map_err(out_of_space),
            Some(old) => {
                if old.as_deref() != Some(token) {
                    state
                        .long_polls
                        .apply(|downlink| downlink.token_changed(name));
                }
                Ok(())
            }
        }
    }

    /// Deletes a device: its open polls end with a 403, its MQTT connection is closed, and its token is unknown from now on. False if there was no
    /// such device.
    pub fn remove_device(&self, name: &str) -> bool {
        let mut state = self.0.lock();
        let existed = state.directory.remove(name);
        if existed {
            state
                .long_polls
                .apply(|downlink| downlink.delete_device(name));
            state.packages.delete_device(name);
            state.mqtt.delete_device(name);
        }
        existed
    }

    /// Adds a device profile, or replaces the one with the same provisioning key.
    ///
    /// # Errors
    /// An empty key or secret (ThingsBoard finds neither), or too many profiles.
    pub fn add_profile(&self, profile: Profile) -> Result<(), ControlError> {
        if profile.key.is_empty() || profile.secret.is_empty() {
            let reason = "a profile needs a provisioning key and a secret, neither empty";
            return Err(ControlError(reason.to_owned()));
        }
        let profiles = &mut self.0.lock().profiles;
        if profiles.len() >= MAX_PROFILES && !profiles.contains_key(&profile.key) {
            return Err(ControlError(format!(
                "there are {MAX_PROFILES} profiles already"
            )));
        }
        profiles.insert(profile.key.clone(), profile);
        Ok(())
    }

    /// Deletes the device profile with this provisioning key; false if there was none.
    pub fn remove_profile(&self, key: &str) -> bool {
        self.0.lock().profiles.remove(key).is_some()
    }

    /// The requests that arrived, without polls, oldest first: the last 10,000, or fewer if their bodies exceed 64 MiB.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.0.lock().arrivals.requests().iter().cloned().collect()
    }

    /// The polls (`GET rpc` and `GET attributes/updates`) that arrived, whatever their response, oldest first: the last
    /// 10,000.
    #[must_use]
    pub fn polls(&self) -> Vec<Arrival> {
        self.0.lock().arrivals.polls().iter().cloned().collect()
    }

    /// How many arrivals (without polls) were dropped from the list since it was last cleared.
    #[must_use]
    pub fn dropped_arrivals(&self) -> u64 {
        self.0.lock().arrivals.requests().dropped()
    }

    /// Empties the lists of arrivals and polls.
    pub fn clear_arrivals(&self) {
        self.0.lock().arrivals.clear();
    }

    /// Receives each arrival from now on, without polls. A receiver that is more than 512 behind loses the oldest
    /// ([`RecvError::Lagged`](broadcast::error::RecvError::Lagged) says how many).
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arrival> {
        self.0.lock().arrivals.subscribe()
    }

    /// The latest value of a telemetry key and its time in milliseconds since the Unix epoch.
    #[must_use]
    pub fn latest_telemetry(&self, device: &str, key: &str) -> Option<(i64, Value)> {
        let state = self.0.lock();
        let (ts, value) = state.directory.get(device)?.telemetry().get(key)?;
        Some((*ts, as_value(value)))
    }

    /// Sets the rule chain's reply to one method of client-side RPC. Without it there are replies to `getTime` and
    /// `echo` only.
    ///
    /// # Errors
    /// A reply that is not JSON, or too many replies.
    pub fn set_reply(&self, method: &str, reply: Reply) -> Result<(), ControlError> {
        Ok(self.0.lock().rule_chain.set(method, reply)?)
    }

    /// Removes a reply; false if there was none.
    pub fn remove_reply(&self, method: &str) -> bool {
        self.0.lock().rule_chain.remove(method)
    }

    /// Sets how long a client-side RPC waits for the rule chain, and a poll for a message.
    pub fn set_timeouts(&self, timeouts: Timeouts) {
        self.0.lock().long_polls.apply(|downlink| {
            let mut delays = downlink.delays();
            delays.request_ms = in_ms(timeouts.request);
            delays.async_ms = in_ms(timeouts.asynchronous);
            downlink.set_delays(delays);
        });
    }

    /// Adds a fault at the end of the list. The first one whose path matches is applied to a request.
    ///
    /// # Errors
    /// A path without a leading slash, an invalid status, zero times, or too many faults.
    pub fn add_fault(&self, fault: Fault) -> Result<(), ControlError> {
        Ok(self.0.lock().faults.add(fault)?)
    }

    /// Removes all faults and delays.
    pub fn clear_faults(&self) {
        self.0.lock().faults.clear();
    }
}

fn require_device(state: &State, device: &str) -> Result<(), ControlError> {
    match state.directory.get(device) {
        Some(_) => Ok(()),
        None => Err(ControlError(format!("there is no device {device:?}"))),
    }
}

fn out_of_space(OutOfSpace: OutOfSpace) -> ControlError {
    ControlError("there is no room for more values".to_owned())
}

/// Converts to `serde_json`. What is not valid JSON (a double that is infinite) becomes text.
pub(super) fn as_value(element: &Element) -> Value {
    let text = element.to_string();
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
