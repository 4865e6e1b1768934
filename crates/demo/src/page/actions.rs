//! The requests of the page's forms and switches. Each is a small JSON object; unknown fields are errors.

use super::{Shared, Switches, now};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use thingsboard_simulator::{CommandOutcome, Fault, FaultAction, MqttSettings, Scope, ServerRpc};

/// The delay of ThingsBoard while it is slow: longer than `coap.piggyback_timeout`, so that responses are separate.
const DELAY: Duration = Duration::from_secs(2);
/// The paths with the delay. Long polls have none.
const SLOW_PATHS: [&str; 2] = ["/api/v1/*/telemetry", "/api/v1/*/attributes"];
/// An outage that lasts until it is switched off.
const OUTAGE: Duration = Duration::from_secs(365 * 24 * 3600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attribute {
    device: String,
    key: String,
    /// `null` deletes it.
    value: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    device: String,
    method: String,
    params: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkSwitch {
    loss: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpstreamSwitches {
    /// Not changed if absent, like the other.
    slow: Option<bool>,
    down: Option<bool>,
}

/// `POST /attributes`: sets or deletes a shared attribute.
pub(super) async fn attributes(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    answer(read(&body).and_then(|action: Attribute| {
        let control = &shared.context.control;
        if action.key.is_empty() {
            return Err("an attribute must have a name".to_owned());
        }
        if action.value.is_null() {
            control.remove_attributes(&action.device, Scope::Shared, &[action.key])
        } else {
            control.set_shared_attribute(&action.device, &action.key, &action.value)
        }
        .map_err(|refused| refused.to_string())?;
        Ok(json!({}))
    }))
}

/// `POST /command`: sends a command, and answers with the device's reply.
pub(super) async fn command(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let action: Command = match read(&body) {
        Ok(action) => action,
        Err(error) => return answer(Err(error)),
    };
    let sent = now();
    let rpc = ServerRpc::twoway(&action.method, &action.params);
    let outcome = shared.context.control.command(&action.device, rpc).await;
    let took = u64::try_from(sent.elapsed().as_millis()).unwrap_or(u64::MAX);
    answer(
        outcome
            .map_err(|refused| refused.to_string())
            .map(|outcome| {
                let (reply, text) = match outcome {
                    CommandOutcome::Reply(reply) => (Some(reply), "the device has replied"),
                    CommandOutcome::Delivered => (None, "delivered"),
                    CommandOutcome::TimedOut => (None, "the device did not reply in time"),
                    CommandOutcome::NoActiveConnection => {
                        (None, "the device does not observe its commands")
                    }
                    CommandOutcome::Lost => (None, "ThingsBoard has lost it"),
                };
                json!({"reply": reply, "text": text, "took": took})
            }),
    )
}

/// `POST /link`: switches losses on the link on or off.
pub(super) async fn link(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    answer(read(&body).map(|LinkSwitch { loss }| {
        shared.context.losses.set(loss);
        shared.switches.send_modify(|switches| switches.loss = loss);
        json!({})
    }))
}

/// `POST /upstream`: makes ThingsBoard slow, or takes it down.
pub(super) async fn upstream(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    answer(read(&body).and_then(|UpstreamSwitches { slow, down }| {
        let (control, before) = (&shared.context.control, *shared.switches.borrow());
        let (slow, down) = (slow.unwrap_or(before.slow), down.unwrap_or(before.down));
        if slow != before.slow {
            control.clear_faults();
            let puback_delay = if slow { DELAY } else { Duration::ZERO };
            control.set_mqtt_settings(MqttSettings {
                puback_delay,
                ..control.mqtt_settings()
            });
        }
        if slow && !before.slow {
            for path in SLOW_PATHS {
                let fault = Fault::always(FaultAction::Pass).on(path).after(DELAY);
                control
                    .add_fault(fault)
                    .map_err(|refused| refused.to_string())?;
            }
        }
        if down != before.down {
            control.restart(if down { OUTAGE } else { Duration::ZERO });
        }
        let set = |switches: &mut Switches| (switches.slow, switches.down) = (slow, down);
        shared.switches.send_modify(set);
        Ok(json!({}))
    }))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn answer(outcome: Result<Value, String>) -> Response {
    let (status, value) = match outcome {
        Ok(value) => (StatusCode::OK, value),
        Err(error) => (StatusCode::BAD_REQUEST, json!({"error": error})),
    };
    let kind = [(CONTENT_TYPE, "application/json")];
    (status, kind, value.to_string()).into_response()
}
