//! The MQTT transport: its settings, its connections, and the delivery of persistent commands.

use super::extract::{Input, JsonBody, Milliseconds, Segments};
use super::{ApiError, JsonLine, NO_CONTENT, NoContent};
use crate::control::Control;
use crate::downlink::CommandId;
use crate::mqtt::{MqttCounts, MqttSettings, RateLimit};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// What is not given has its default.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct SettingsJson {
    connack_delay_ms: Option<Milliseconds>,
    puback_delay_ms: Option<Milliseconds>,
    subscription_delay_ms: Option<Milliseconds>,
    puback_timeout_ms: Option<Milliseconds>,
    idle_timeout_ms: Option<Milliseconds>,
    first_packet_id: Option<u16>,
    /// `5:10`: five messages in ten seconds.
    message_limit: Option<String>,
    telemetry_limit: Option<String>,
    usage_exhausted: Option<bool>,
}

impl Input for SettingsJson {
    const EXAMPLE: &str = r#"{"telemetryLimit":"5:10","pubackDelayMs":100}"#;
}

impl From<MqttSettings> for SettingsJson {
    fn from(settings: MqttSettings) -> SettingsJson {
        let ms = |duration: Duration| Some(Milliseconds(duration));
        let limit = |limit: Option<RateLimit>| limit.map(|limit| limit.to_string());
        SettingsJson {
            connack_delay_ms: ms(settings.connack_delay),
            puback_delay_ms: ms(settings.puback_delay),
            subscription_delay_ms: ms(settings.subscription_delay),
            puback_timeout_ms: ms(settings.puback_timeout),
            idle_timeout_ms: ms(settings.idle_timeout),
            first_packet_id: Some(settings.first_packet_id),
            message_limit: limit(settings.message_limit),
            telemetry_limit: limit(settings.telemetry_limit),
            usage_exhausted: Some(settings.usage_exhausted),
        }
    }
}

impl TryFrom<SettingsJson> for MqttSettings {
    type Error = String;

    fn try_from(json: SettingsJson) -> Result<MqttSettings, String> {
        let default = MqttSettings::default();
        let or =
            |given: Option<Milliseconds>, default: Duration| given.map_or(default, |given| given.0);
        let limit = |limit: Option<String>| limit.map(|limit| limit.parse()).transpose();
        Ok(MqttSettings {
            connack_delay: or(json.connack_delay_ms, default.connack_delay),
            puback_delay: or(json.puback_delay_ms, default.puback_delay),
            subscription_delay: or(json.subscription_delay_ms, default.subscription_delay),
            puback_timeout: or(json.puback_timeout_ms, default.puback_timeout),
            idle_timeout: or(json.idle_timeout_ms, default.idle_timeout),
            first_packet_id: json.first_packet_id.unwrap_or(default.first_packet_id),
            message_limit: limit(json.message_limit)?,
            telemetry_limit: limit(json.telemetry_limit)?,
            usage_exhausted: json.usage_exhausted.unwrap_or(default.usage_exhausted),
        })
    }
}

pub(super) async fn settings(control: Control) -> JsonLine<SettingsJson> {
    JsonLine(control.mqtt_settings().into())
}

pub(super) async fn set_settings(
    control: Control,
    JsonBody(settings): JsonBody<SettingsJson>,
) -> NoContent {
    control.set_mqtt_settings(settings.try_into()?);
    NO_CONTENT
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeadSubscriptions {
    next: u32,
}

impl Input for DeadSubscriptions {
    const EXAMPLE: &str = r#"{"next":1}"#;
}

pub(super) async fn dead_subscriptions(control: Control) -> JsonLine<DeadSubscriptions> {
    let next = control.0.lock().mqtt.dead_subscriptions;
    JsonLine(DeadSubscriptions { next })
}

pub(super) async fn set_dead_subscriptions(
    control: Control,
    JsonBody(dead): JsonBody<DeadSubscriptions>,
) -> NoContent {
    control.deaden_subscriptions(dead.next);
    NO_CONTENT
}

pub(super) async fn counts(
    control: Control,
    Segments(name): Segments<String>,
) -> Result<JsonLine<MqttCounts>, ApiError> {
    let counts = control.mqtt_counts(&name).map(JsonLine);
    counts.ok_or_else(|| ApiError::no_device(&name))
}

/// The counts of all devices together.
pub(super) async fn totals(control: Control) -> JsonLine<MqttCounts> {
    JsonLine(control.mqtt_totals())
}

/// How long the PUBACKs of commands took, in microseconds. They are forgotten by this.
pub(super) async fn command_delays(control: Control) -> JsonLine<Vec<u64>> {
    JsonLine(control.take_command_delays())
}

/// Cuts the connection of a device.
pub(super) async fn cut(control: Control, Segments(name): Segments<String>) -> NoContent {
    if control.cut_mqtt(&name) {
        return NO_CONTENT;
    }
    Err(ApiError::not_found(format!(
        "device {name:?} has no MQTT connection"
    )))
}

/// The status of a persistent command.
pub(super) async fn command(
    control: Control,
    Segments(number): Segments<u64>,
) -> Result<JsonLine<Value>, ApiError> {
    match control.rpc_status(CommandId::of_number(number)) {
        Some((status, reply)) => Ok(JsonLine(json!({ "status": status, "reply": reply }))),
        None => Err(ApiError::not_found(format!(
            "there is no persistent command {number}"
        ))),
    }
}
