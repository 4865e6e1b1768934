//! ThingsBoard's own timeouts and limits, and its restarts.

use super::extract::{Input, JsonBody, Milliseconds};
use super::{ApiError, JsonLine, NO_CONTENT, NoContent};
use crate::connection::ConnectionHandle;
use crate::control::Control;
use crate::state::Timeouts;
use axum::extract::ConnectInfo;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// What is not given has its default.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct TimeoutsJson {
    async_ms: Option<Milliseconds>,
    request_ms: Option<Milliseconds>,
}

impl Input for TimeoutsJson {
    const EXAMPLE: &str = r#"{"asyncMs":30000,"requestMs":60000}"#;
}

pub(super) async fn timeouts(control: Control) -> JsonLine<TimeoutsJson> {
    let timeouts = Timeouts::of(control.0.lock().long_polls.delays());
    JsonLine(TimeoutsJson {
        async_ms: Some(Milliseconds(timeouts.asynchronous)),
        request_ms: Some(Milliseconds(timeouts.request)),
    })
}

pub(super) async fn set_timeouts(
    control: Control,
    JsonBody(timeouts): JsonBody<TimeoutsJson>,
) -> NoContent {
    let default = Timeouts::default();
    let or =
        |given: Option<Milliseconds>, default: Duration| given.map_or(default, |given| given.0);
    control.set_timeouts(Timeouts {
        asynchronous: or(timeouts.async_ms, default.asynchronous),
        request: or(timeouts.request_ms, default.request),
    });
    NO_CONTENT
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscriptionDelay {
    ms: Milliseconds,
}

impl Input for SubscriptionDelay {
    const EXAMPLE: &str = r#"{"ms":5}"#;
}

pub(super) async fn subscription_delay(control: Control) -> JsonLine<SubscriptionDelay> {
    let ms = control.0.lock().long_polls.delays().subscription_ms;
    JsonLine(SubscriptionDelay {
        ms: Milliseconds(Duration::from_millis(ms)),
    })
}

pub(super) async fn set_subscription_delay(
    control: Control,
    JsonBody(delay): JsonBody<SubscriptionDelay>,
) -> NoContent {
    control.set_subscription_delay(delay.ms.0);
    NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConnectionLimit {
    max: usize,
}

impl Input for ConnectionLimit {
    const EXAMPLE: &str = r#"{"max":8192}"#;
}

pub(super) async fn connections(control: Control) -> JsonLine<Value> {
    let (open, max) = control.connections();
    JsonLine(json!({ "open": open, "max": max }))
}

pub(super) async fn set_connections(
    control: Control,
    JsonBody(ConnectionLimit { max }): JsonBody<ConnectionLimit>,
) -> NoContent {
    if max == 0 {
        return Err(ApiError::bad_request(
            "max is 0: no control could reach the simulator any more",
        ));
    }
    control.set_max_connections(max);
    NO_CONTENT
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AttributeStore {
    failing: u32,
}

impl Input for AttributeStore {
    const EXAMPLE: &str = r#"{"failing":2}"#;
}

pub(super) async fn attribute_store(control: Control) -> JsonLine<AttributeStore> {
    let failing = control.0.lock().attribute_store_fails;
    JsonLine(AttributeStore { failing })
}

pub(super) async fn set_attribute_store(
    control: Control,
    JsonBody(store): JsonBody<AttributeStore>,
) -> NoContent {
    control.fail_attribute_store(store.failing);
    NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Restart {
    down_ms: Milliseconds,
}

impl Input for Restart {
    const EXAMPLE: &str = r#"{"downMs":3000}"#;
}

/// Responds, and cuts all other connections.
pub(super) async fn restart(
    control: Control,
    ConnectInfo(connection): ConnectInfo<ConnectionHandle>,
    JsonBody(restart): JsonBody<Restart>,
) -> NoContent {
    connection.close_after_response();
    control.restart_except(restart.down_ms.0, Some(&connection));
    NO_CONTENT
}
