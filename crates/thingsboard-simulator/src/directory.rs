//! ThingsBoard's devices, with their attributes and latest telemetry.

use crate::json::Element;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// More devices than this are refused.
const MAX_DEVICES: usize = 100_000;
/// The memory of attributes and telemetry of all devices together, in bytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// An attribute scope. (ThingsBoard's third, `server`, is not visible to devices.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Set by the device.
    Client,
    /// Set by the platform and read by the device.
    Shared,
}

impl Scope {
    /// The scope's name in ThingsBoard's responses.
    pub(super) fn name(self) -> &'static str {
        match self {
            Scope::Client => "client",
            Scope::Shared => "shared",
        }
    }
}

/// The simulator's limit on stored values is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutOfSpace;

/// One device. No `Debug`: it holds the token.
#[derive(Default)]
pub(super) struct Device {
    /// The access token; `None` if its credentials are of another type, which HTTP does not accept.
    pub(super) token: Option<String>,
    /// The provisioning key of its device profile.
    pub(super) profile: Option<String>,
    /// Whether it has been provisioned: `CHECK_PRE_PROVISIONED_DEVICES` works once.
    pub(super) provisioned: bool,
    client: BTreeMap<String, Element>,
    shared: BTreeMap<String, Element>,
    /// The latest value of each key, with its time in milliseconds since the Unix epoch.
    telemetry: BTreeMap<String, (i64, Element)>,
    pub(super) activity: Activity,
}

/// When ThingsBoard last noticed a device: server attributes `lastActivityTime` and so on, in milliseconds since the Unix
/// epoch. 0: never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Activity {
    /// The last message, ping, connect or disconnect.
    pub last_activity_time: u64,
    /// The last CONNECT of MQTT.
    pub last_connect_time: u64,
    /// The last end of an MQTT connection.
    pub last_disconnect_time: u64,
}

impl Device {
    pub(super) fn attributes(&self, scope: Scope) -> &BTreeMap<String, Element> {
        match scope {
            Scope::Client => &self.client,
            Scope::Shared => &self.shared,
        }
    }

    pub(super) fn telemetry(&self) -> &BTreeMap<String, (i64, Element)> {
        &self.telemetry
    }

    fn memory_size(&self) -> usize {
        let attributes = self.client.iter().chain(&self.shared);
        let latest = self.telemetry.iter().map(|(key, (_, value))| (key, value));
        attributes
            .chain(latest)
            .map(|(key, value)| memory_size(key, value))
            .sum()
    }
}

/// All devices, by name and by token.
#[derive(Default)]
pub(super) struct Directory {
    devices: BTreeMap<String, Device>,
    by_token: HashMap<String, String>,
    bytes: usize,
}

impl Directory {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Device)> {
        self.devices.iter()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Device> {
        self.devices.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Device> {
        self.devices.get_mut(name)
    }

    /// The name of the device with this access token.
    pub(super) fn device_with_token(&self, token: &str) -> Option<&str> {
        self.by_token.get(token).map(String::as_str)
    }

    /// Adds a device, or changes the token and profile of the one of that name, which keeps its values.
    pub(super) fn put(
        &mut self,
        name: &str,
        token: Option<String>,
        profile: Option<String>,
    ) -> Result<(), String> {
        if name.is_empty() {
            return Err("the device's name is empty".to_owned());
        }
        if let Some(token) = &token {
            if token.is_empty() {
                return Err(format!("the access token of device {name:?} is empty"));
            }
            if let Some(other) = self.device_with_token(token).filter(|other| *other != name) {
                return Err(format!(
                    "device {other:?} has that access token already: each device needs its own"
                ));
            }
        }
        if self.devices.len() >= MAX_DEVICES && !self.devices.contains_key(name) {
            return Err(format!("there are {MAX_DEVICES} devices already"));
        }
        let device = self.devices.entry(name.to_owned()).or_default();
        if let Some(old) = &device.token {
            self.by_token.remove(old);
        }
        if let Some(token) = &token {
            self.by_token.insert(token.clone(), name.to_owned());
        }
        device.token = token;
        device.profile = profile;
        Ok(())
    }

    /// Records that a device was active.
    pub(super) fn record_activity(&mut self, name: &str, epoch_ms: u64) {
        if let Some(device) = self.devices.get_mut(name) {
            device.activity.last_activity_time = epoch_ms;
        }
    }

    /// Removes a device; false if there was none.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let Some(device) = self.devices.remove(name) else {
            return false;
        };
        if let Some(token) = &device.token {
            self.by_token.remove(token);
        }
        self.bytes = self.bytes.saturating_sub(device.memory_size());
        true
    }

    /// Sets attributes: all, or none if there is no room.
    pub(super) fn set_attributes(
        &mut self,
        name: &str,
        scope: Scope,
        values: Vec<(String, Element)>,
    ) -> Result<(), OutOfSpace> {
        let Some(device) = self.devices.get_mut(name) else {
            return Ok(());
        };
        let kept = match scope {
            Scope::Client => &mut device.client,
            Scope::Shared => &mut device.shared,
        };
        insert_all(&mut self.bytes, kept, values, |value| value, |value| value)
    }

    pub(super) fn remove_attributes(&mut self, name: &str, scope: Scope, keys: &[String]) {
        let Some(device) = self.devices.get_mut(name) else {
            return;
        };
        let kept = match scope {
            Scope::Client => &mut device.client,
            Scope::Shared => &mut device.shared,
        };
        for key in keys {
            if let Some(value) = kept.remove(key) {
                self.bytes = self.bytes.saturating_sub(memory_size(key, &value));
            }
        }
    }

    /// Stores telemetry values of one time. An older value never replaces a newer one of its key.
    pub(super) fn set_telemetry(
        &mut self,
        name: &str,
        ts: i64,
        mut values: Vec<(String, Element)>,
    ) -> Result<(), OutOfSpace> {
        let Some(device) = self.devices.get_mut(name) else {
            return Ok(());
        };
        let kept = &mut device.telemetry;
        values.retain(|(key, _)| kept.get(key).is_none_or(|(newest, _)| *newest <= ts));
        insert_all(
            &mut self.bytes,
            kept,
            values,
            |value| (ts, value),
            |(_, value)| value,
        )
    }
}

fn insert_all<T>(
    bytes: &mut usize,
    kept: &mut BTreeMap<String, T>,
    values: Vec<(String, Element)>,
    wrap: impl Fn(Element) -> T,
    element: impl Fn(&T) -> &Element,
) -> Result<(), OutOfSpace> {
    let more: usize = values
        .iter()
        .map(|(key, value)| memory_size(key, value))
        .sum();
    if *bytes + more > MAX_BYTES {
        return Err(OutOfSpace);
    }
    for (key, value) in values {
        let new = memory_size(&key, &value);
        let old = kept
            .get(&key)
            .map_or(0, |old| memory_size(&key, element(old)));
        kept.insert(key, wrap(value));
        *bytes = (*bytes + new).saturating_sub(old);
    }
    Ok(())
}

/// Estimates the memory of a key and its value, in bytes.
fn memory_size(key: &str, value: &Element) -> usize {
    fn inside(value: &Element) -> usize {
        32 + match value {
            Element::Null | Element::Boolean(_) => 0,
            Element::Number(text) | Element::Text(text) => text.len(),
            Element::Array(elements) => elements.iter().map(inside).sum(),
            Element::Object(members) => members
                .iter()
                .map(|(name, value)| 24 + name.len() + inside(value))
                .sum(),
        }
    }
    64 + key.len() + inside(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_one() -> Directory {
        let mut directory = Directory::default();
        directory.put("meter", Some("T1".into()), None).unwrap();
        directory
    }

    fn text(value: &str) -> Element {
        Element::Text(value.into())
    }

    #[test]
    fn a_new_token_replaces_the_old_one_and_the_values_stay() {
        let mut directory = with_one();
        let values = vec![("a".to_owned(), text("x"))];
        directory
            .set_attributes("meter", Scope::Client, values)
            .unwrap();
        directory.put("meter", Some("T2".into()), None).unwrap();
        assert_eq!(directory.device_with_token("T1"), None);
        assert_eq!(directory.device_with_token("T2"), Some("meter"));
        assert_eq!(
            directory.get("meter").unwrap().attributes(Scope::Client)["a"],
            text("x")
        );
    }

    #[test]
    fn two_devices_never_share_a_token_and_the_refusal_does_not_show_it() {
        let mut directory = with_one();
        let refused = directory.put("other", Some("T1".into()), None).unwrap_err();
        assert!(refused.contains("meter") && !refused.contains("T1"));
        assert!(directory.get("other").is_none());
    }

    #[test]
    fn an_older_value_never_replaces_a_newer_one() {
        let mut directory = with_one();
        for (ts, value) in [(2, "new"), (1, "old")] {
            directory
                .set_telemetry("meter", ts, vec![("k".to_owned(), text(value))])
                .unwrap();
        }
        assert_eq!(
            directory.get("meter").unwrap().telemetry()["k"],
            (2, text("new"))
        );
    }

    #[test]
    fn the_memory_of_values_is_bounded_and_freed() {
        let mut directory = with_one();
        let large = || vec![("k".to_owned(), text(&"x".repeat(MAX_BYTES / 2)))];
        assert_eq!(
            directory.set_attributes("meter", Scope::Client, large()),
            Ok(())
        );
        assert_eq!(
            directory.set_attributes("meter", Scope::Shared, large()),
            Err(OutOfSpace)
        );
        directory.remove_attributes("meter", Scope::Client, &["k".to_owned()]);
        assert_eq!(directory.bytes, 0);
        assert_eq!(
            directory.set_attributes("meter", Scope::Shared, large()),
            Ok(())
        );
        assert!(directory.remove("meter"));
        assert_eq!(directory.bytes, 0);
    }
}
