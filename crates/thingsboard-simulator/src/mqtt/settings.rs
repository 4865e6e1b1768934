//! What a test can set of the MQTT transport, and what it counts.

use super::limits::Buckets;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// A rate limit: so many messages in each period, as in ThingsBoard's `5:10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// The messages that may come at once, and in each period.
    pub messages: u32,
    /// The period.
    pub period: Duration,
}

impl RateLimit {
    pub(super) fn period_ms(self) -> u64 {
        crate::clock::in_ms(self.period)
    }
}

/// ThingsBoard's form: `5:10`, with the period in seconds.
impl std::fmt::Display for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.messages, self.period.as_secs())
    }
}

impl std::str::FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<RateLimit, String> {
        let parsed = text.split_once(':').and_then(|(messages, seconds)| {
            let (messages, seconds) = (messages.parse().ok()?, seconds.parse::<u32>().ok()?);
            let period = Duration::from_secs(seconds.into());
            (messages > 0 && seconds > 0).then_some(RateLimit { messages, period })
        });
        parsed.ok_or_else(|| {
            format!("{text:?} is no rate limit: 5:10 stands for five messages in ten seconds")
        })
    }
}

/// The settings of the MQTT transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MqttSettings {
    /// How long after CONNECT its CONNACK is sent, 2 ms. Until then 100 packets may wait.
    pub connack_delay: Duration,
    /// How long a good PUBACK, and the answer behind it, are delayed. Rejections are not, and overtake them.
    pub puback_delay: Duration,
    /// How long after SUBACK a subscription works, 20 ms.
    pub subscription_delay: Duration,
    /// How long a command waits for its PUBACK (`MQTT_TIMEOUT`), 10 s.
    pub puback_timeout: Duration,
    /// How long a connection may send nothing, 600 s.
    pub idle_timeout: Duration,
    /// The packet id of the first PUBLISH of connections that open from now on. After 65,535 comes 0.
    pub first_packet_id: u16,
    /// The limit on messages of each device: CONNECT, SUBSCRIBE, requests, replies, claims.
    pub message_limit: Option<RateLimit>,
    /// The limit on PUBLISHes of telemetry and attributes of each device.
    pub telemetry_limit: Option<RateLimit>,
    /// Whether the tenant's API usage is used up: a CONNECT is refused, and a PUBLISH closes its connection.
    pub usage_exhausted: bool,
}

impl Default for MqttSettings {
    fn default() -> MqttSettings {
        MqttSettings {
            connack_delay: Duration::from_millis(2),
            puback_delay: Duration::ZERO,
            subscription_delay: Duration::from_millis(20),
            puback_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(600),
            first_packet_id: 1,
            message_limit: None,
            telemetry_limit: None,
            usage_exhausted: false,
        }
    }
}

/// The MQTT connections of one device, and its packets over all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MqttCounts {
    /// Open connections: 0, 1, or 2 for the moment in which a newer one displaces the older.
    pub connections: usize,
    /// Accepted CONNECTs.
    pub connects: u64,
    /// PINGREQs.
    pub pings: u64,
    /// DISCONNECTs of the device.
    pub disconnects: u64,
    /// PUBLISHes of the device.
    pub publishes: u64,
    /// Its SUBSCRIBEs' filters that were granted, dead or not.
    pub subscribes: u64,
    /// PUBLISHes to the device.
    pub downlinks: u64,
    /// PUBACKs of the device.
    pub pubacks: u64,
    /// Those of them that were for a command: its delivery.
    pub command_pubacks: u64,
    /// PUBLISHes at QoS 1 to the device's open connections without a PUBACK.
    pub in_flight: usize,
    /// Whether changes of its attributes are sent to its connection now.
    pub attributes_subscribed: bool,
    /// Whether commands are.
    pub rpc_subscribed: bool,
}

impl MqttCounts {
    /// Adds the counts of another device.
    pub(crate) fn add(&mut self, other: &MqttCounts) {
        self.connections += other.connections;
        self.connects += other.connects;
        self.pings += other.pings;
        self.disconnects += other.disconnects;
        self.publishes += other.publishes;
        self.subscribes += other.subscribes;
        self.downlinks += other.downlinks;
        self.pubacks += other.pubacks;
        self.command_pubacks += other.command_pubacks;
        self.in_flight += other.in_flight;
    }
}

/// The state of the transport that connections share.
#[derive(Debug, Default)]
pub(crate) struct Mqtt {
    pub(crate) settings: MqttSettings,
    pub(crate) counts: BTreeMap<Arc<str>, MqttCounts>,
    buckets: BTreeMap<Arc<str>, Buckets>,
    /// The number of further SUBSCRIBEs that are granted, but dead.
    pub(crate) dead_subscriptions: u32,
    /// How long the PUBACKs of the latest commands took, in microseconds, oldest first.
    command_delays: VecDeque<u64>,
    /// The number of further changes of attributes that are sent later, and how much.
    pub(crate) delayed_changes: (u32, Duration),
}

/// As many are kept.
const MAX_DELAYS: usize = 20_000;

impl Mqtt {
    /// The counts of a device.
    pub(super) fn counts_mut(&mut self, device: &Arc<str>) -> &mut MqttCounts {
        self.counts.entry(Arc::clone(device)).or_default()
    }

    /// Counts a message against the device's limit; false if it is over it.
    pub(super) fn take_message(&mut self, device: &Arc<str>, now_ms: u64) -> bool {
        let limit = self.settings.message_limit;
        limit.is_none_or(|limit| self.buckets_mut(device).messages.take(limit, now_ms))
    }

    /// Counts a PUBLISH of telemetry or attributes against the device's limit; false if it is over it.
    pub(super) fn take_telemetry(&mut self, device: &Arc<str>, now_ms: u64) -> bool {
        let limit = self.settings.telemetry_limit;
        limit.is_none_or(|limit| self.buckets_mut(device).telemetry.take(limit, now_ms))
    }

    pub(super) fn record_command_delay(&mut self, us: u64) {
        if self.command_delays.len() >= MAX_DELAYS {
            self.command_delays.pop_front();
        }
        self.command_delays.push_back(us);
    }

    /// Takes them.
    pub(crate) fn take_command_delays(&mut self) -> VecDeque<u64> {
        std::mem::take(&mut self.command_delays)
    }

    /// Whether the next SUBSCRIBE is one of those that are to be dead.
    pub(super) fn is_dead_subscription(&mut self) -> bool {
        let dead = self.dead_subscriptions > 0;
        self.dead_subscriptions = self.dead_subscriptions.saturating_sub(1);
        dead
    }

    /// How much later the next change of attributes is sent, in milliseconds.
    pub(super) fn change_delay_ms(&mut self) -> u64 {
        let (times, by) = &mut self.delayed_changes;
        match times.checked_sub(1) {
            Some(left) => {
                *times = left;
                crate::clock::in_ms(*by)
            }
            None => 0,
        }
    }

    fn buckets_mut(&mut self, device: &Arc<str>) -> &mut Buckets {
        self.buckets.entry(Arc::clone(device)).or_default()
    }

    /// Removes what is kept of a deleted device.
    pub(crate) fn delete_device(&mut self, device: &str) {
        self.counts.remove(device);
        self.buckets.remove(device);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_limit_is_written_as_in_thingsboard() {
        let limit: RateLimit = "5:10".parse().unwrap();
        assert_eq!((limit.messages, limit.period.as_secs()), (5, 10));
        assert_eq!(limit.to_string(), "5:10");
        for wrong in ["", "5", "0:1", "5:0", "5:10,20:60", "-1:1"] {
            assert!(wrong.parse::<RateLimit>().is_err(), "{wrong}");
        }
    }
}
