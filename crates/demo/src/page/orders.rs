//! What the page's forms and switches ask for. Each is a small JSON object, read strictly.

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
use thingsboard_simulator::{CommandOutcome, ControlError, Fault, FaultAction, Scope, ServerRpc};

/// How slow ThingsBoard is when it is: longer than `coap.piggyback_timeout`, so that responses come separately.
const SLOW: Duration = Duration::from_secs(2);
/// What is slow. Long polls are left alone.
const SLOW_PATHS: [&str; 2] = ["/api/v1/*/telemetry", "/api/v1/*/attributes"];
/// Until it comes back.
const AWAY: Duration = Duration::from_secs(365 * 24 * 3600);

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
struct OfLink {
    loss: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfUpstream {
    /// Left as it is if it is not given; likewise the other.
    slow: Option<bool>,
    away: Option<bool>,
}

/// `POST /attributes`: sets or deletes a shared attribute.
pub(super) async fn attributes(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    answer(read(&body).and_then(|order: Attribute| {
        let control = &shared.scene.control;
        if order.key.is_empty() {
            return Err("an attribute has a name".to_owned());
        }
        if order.value.is_null() {
            control.remove_attributes(&order.device, Scope::Shared, &[order.key])
        } else {
            control.set_shared_attribute(&order.device, &order.key, &order.value)
        }
        .map_err(told)?;
        Ok(json!({}))
    }))
}

/// `POST /command`: sends a command, and answers with the device's reply.
pub(super) async fn command(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let order: Command = match read(&body) {
        Ok(order) => order,
        Err(wrong) => return answer(Err(wrong)),
    };
    let sent = now();
    let rpc = ServerRpc::twoway(&order.method, &order.params);
    let outcome = shared.scene.control.command(&order.device, rpc).await;
    let took = u64::try_from(sent.elapsed().as_millis()).unwrap_or(u64::MAX);
    answer(outcome.map_err(told).map(|outcome| {
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
    }))
}

/// `POST /link`: lets the link lose packets, or not.
pub(super) async fn link(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    answer(read(&body).map(|OfLink { loss }| {
        shared.scene.weather.set(loss);
        shared.switches.send_modify(|switches| switches.loss = loss);
        json!({})
    }))
}

/// `POST /upstream`: makes ThingsBoard slow, or takes it away.
pub(super) async fn upstream(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    answer(read(&body).and_then(|OfUpstream { slow, away }| {
        let (control, before) = (&shared.scene.control, *shared.switches.borrow());
        let (slow, away) = (slow.unwrap_or(before.slow), away.unwrap_or(before.away));
        if slow != before.slow {
            control.clear_faults();
        }
        if slow && !before.slow {
            for path in SLOW_PATHS {
                let fault = Fault::always(FaultAction::Pass).on(path).after(SLOW);
                control.add_fault(fault).map_err(told)?;
            }
        }
        if away != before.away {
            control.restart(if away { AWAY } else { Duration::ZERO });
        }
        let set = |switches: &mut Switches| (switches.slow, switches.away) = (slow, away);
        shared.switches.send_modify(set);
        Ok(json!({}))
    }))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn told(refused: ControlError) -> String {
    refused.to_string()
}

fn answer(outcome: Result<Value, String>) -> Response {
    let (status, value) = match outcome {
        Ok(value) => (StatusCode::OK, value),
        Err(wrong) => (StatusCode::BAD_REQUEST, json!({"error": wrong})),
    };
    let kind = [(CONTENT_TYPE, "application/json")];
    (status, kind, value.to_string()).into_response()
}
