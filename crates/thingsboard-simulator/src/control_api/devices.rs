//! `/simulator/devices`: devices, their attributes, and commands to them.

use super::extract::{Input, JsonBody, Milliseconds, Params, Segments, TextBody};
use super::{ApiError, JsonLine, NO_CONTENT, NoContent, deleted};
use crate::connection::ConnectionHandle;
use crate::control::{Control, ServerRpc, as_value};
use crate::device_api::attributes_element;
use crate::directory::Scope;
use crate::downlink::{CommandOutcome, SubscriptionCounts};
use crate::json;
use crate::response::TEXT;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

pub(super) async fn list(control: Control) -> JsonLine<Value> {
    let state = control.0.lock();
    let devices = state.directory.iter().map(
        |(name, device)| json!({ "name": name, "token": device.token, "profile": device.profile }),
    );
    JsonLine(devices.collect())
}

pub(super) async fn show(
    control: Control,
    Segments(name): Segments<String>,
) -> Result<JsonLine<Value>, ApiError> {
    let state = control.0.lock();
    let device = state.directory.get(&name);
    let device = device.ok_or_else(|| ApiError::no_device(&name))?;
    let telemetry = device.telemetry().iter();
    let telemetry: Map<String, Value> = telemetry
        .map(|(key, (ts, value))| (key.clone(), json!({ "ts": ts, "value": as_value(value) })))
        .collect();
    Ok(JsonLine(json!({
        "name": name,
        "token": device.token,
        "profile": device.profile,
        "client": as_value(&attributes_element(device.attributes(Scope::Client))),
        "shared": as_value(&attributes_element(device.attributes(Scope::Shared))),
        "telemetry": telemetry,
        "activity": device.activity,
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceInput {
    token: String,
    /// A provisioning key.
    profile: Option<String>,
}

impl Input for DeviceInput {
    const EXAMPLE: &str = r#"{"token":"A1_TEST_TOKEN"}"#;
}

pub(super) async fn define(
    control: Control,
    Segments(name): Segments<String>,
    JsonBody(device): JsonBody<DeviceInput>,
) -> NoContent {
    control.put_device(&name, &device.token, device.profile)?;
    NO_CONTENT
}

pub(super) async fn remove(control: Control, Segments(name): Segments<String>) -> NoContent {
    deleted(control.remove_device(&name), "device", &name)
}

pub(super) async fn subscriptions(
    control: Control,
    Segments(name): Segments<String>,
) -> Result<JsonLine<SubscriptionCounts>, ApiError> {
    let subscriptions = control.subscriptions(&name).map(JsonLine);
    subscriptions.ok_or_else(|| ApiError::no_device(&name))
}

pub(super) async fn attributes(
    control: Control,
    Segments((name, scope)): Segments<(String, Scope)>,
) -> Result<JsonLine<Value>, ApiError> {
    let attributes = control.attributes(&name, scope).map(JsonLine);
    attributes.ok_or_else(|| ApiError::no_device(&name))
}

/// The body is read as leniently as ThingsBoard would.
pub(super) async fn set_attributes(
    control: Control,
    Segments((name, scope)): Segments<(String, Scope)>,
    TextBody(body): TextBody,
) -> NoContent {
    let values = json::read(&body).map_err(|error| error.0)?;
    control.set_attributes(&name, scope, &values)?;
    NO_CONTENT
}

#[derive(Deserialize)]
pub(super) struct Keys {
    /// Separated by commas.
    keys: Option<String>,
}

pub(super) async fn remove_attributes(
    control: Control,
    Segments((name, scope)): Segments<(String, Scope)>,
    Params(Keys { keys }): Params<Keys>,
) -> NoContent {
    let keys = keys.filter(|keys| !keys.is_empty());
    let keys = keys.ok_or_else(|| ApiError::bad_request("the keys are missing: ?keys=a,b"))?;
    let keys: Vec<String> = keys.split(',').map(str::to_owned).collect();
    control.remove_attributes(&name, scope, &keys)?;
    NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct CommandInput {
    method: String,
    params: Box<RawValue>,
    oneway: Option<bool>,
    timeout_ms: Option<Milliseconds>,
    /// Whether ThingsBoard keeps it until it expires. The response has its `rpcId` at once.
    persistent: Option<bool>,
    retries: Option<u32>,
}

impl Input for CommandInput {
    const EXAMPLE: &str = r#"{"method":"setValve","params":7,"oneway":true}"#;
}

impl CommandInput {
    /// Keeps the order of the parameters' members and the digits of their numbers, without the spaces in between.
    fn into_rpc(self) -> Result<ServerRpc, String> {
        let params = json::read(self.params.get()).map_err(|error| error.0)?;
        let timeout = self.timeout_ms.map(|Milliseconds(timeout)| timeout);
        Ok(ServerRpc {
            method: self.method,
            params: params.to_string(),
            oneway: self.oneway.unwrap_or(false),
            timeout: timeout.unwrap_or(ServerRpc::DEFAULT_TIMEOUT),
        })
    }
}

/// Sends a command and responds as ThingsBoard does to its REST client, but takes a reply that is not JSON as well.
pub(super) async fn send_command(
    control: Control,
    ConnectInfo(connection): ConnectInfo<ConnectionHandle>,
    Segments(name): Segments<String>,
    JsonBody(command): JsonBody<CommandInput>,
) -> Result<Response, ApiError> {
    let _guard = connection.request_guard();
    let timed_out = |reason: &str| ApiError {
        status: StatusCode::GATEWAY_TIMEOUT,
        reason: reason.to_owned(),
    };
    if command.persistent == Some(true) {
        let retries = command.retries;
        let id = control.persistent_command(&name, command.into_rpc()?, retries)?;
        return Ok(JsonLine(json!({ "rpcId": id.number() })).into_response());
    }
    match control.command(&name, command.into_rpc()?).await? {
        CommandOutcome::Delivered => Ok(StatusCode::OK.into_response()),
        CommandOutcome::Reply(text) => Ok(([(CONTENT_TYPE, TEXT)], text).into_response()),
        CommandOutcome::TimedOut => Err(timed_out(
            "the command was sent, and no reply was received in time",
        )),
        CommandOutcome::NoActiveConnection => Err(timed_out("no poll took the command in time")),
        CommandOutcome::Lost => Err(timed_out(
            "ThingsBoard restarted, or stopped, and lost the command",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn command(body: &str) -> Result<ServerRpc, String> {
        CommandInput::parse(body.as_bytes())?.into_rpc()
    }

    #[test]
    fn a_commands_parameters_keep_their_order_and_digits() {
        let read =
            command(r#"{"method":"m","params":{"b" : 1.50, "a":null},"timeoutMs":7}"#).unwrap();
        assert_eq!(read.params, r#"{"b":1.50,"a":null}"#);
        assert_eq!(
            (read.oneway, read.timeout),
            (false, Duration::from_millis(7))
        );
    }

    #[test]
    fn a_command_without_method_or_parameters_is_refused() {
        for body in [
            r#"{"method":"m"}"#,
            r#"{"params":1}"#,
            r#"{"method":"m","params":}"#,
            r#"{"method":"m","params":1,"one_way":true}"#,
            r#"{"method":"m","params":1,"timeoutMs":86400001}"#,
        ] {
            assert!(command(body).is_err(), "{body}");
        }
    }
}
