//! What the controls show.

use serde_json::{Map, Value, json};

use super::super::arrival::Arrival;
use super::super::control::{Control, as_value};
use super::super::device_api::attributes_element;
use super::super::directory::{Device, Scope};
use super::super::fault::{Fault, Outcome};
use super::super::rule_chain::Reply;

/// A page of arrivals ends when its bodies reach this many bytes.
const LONGEST_PAGE: usize = 16 * 1024 * 1024;

pub(super) fn summary(control: &Control) -> Value {
    let state = control.0.lock();
    json!({
        "simulator": "of ThingsBoard's HTTP device API, in memory",
        "devices": state.directory.iter().count(),
        "arrived": state.arrivals.total(),
        "listed": state.arrivals.iter().count(),
        "dropped": state.arrivals.dropped(),
        "controls": [
            "GET|DELETE /simulator/arrivals?limit=&after=&device=",
            "GET /simulator/devices",
            "GET|PUT|DELETE /simulator/devices/{name}",
            "GET|POST|DELETE /simulator/devices/{name}/attributes/{client|shared}?keys=",
            "GET /simulator/profiles",
            "PUT|DELETE /simulator/profiles/{provisionDeviceKey}",
            "GET /simulator/rpc",
            "PUT|DELETE /simulator/rpc/{method}?error=&silent",
            "GET|PUT /simulator/timeouts",
            "GET|POST|DELETE /simulator/faults",
        ],
    })
}

/// The latest `limit`, or, with `after`, the first `limit` beyond that sequence number; oldest first.
pub(super) fn arrivals(
    control: &Control,
    limit: usize,
    after: Option<u64>,
    device: Option<&str>,
) -> Value {
    let state = control.0.lock();
    let mut bytes = 0;
    let wanted = |arrival: &&Arrival| {
        after.is_none_or(|after| arrival.sequence > after)
            && device.is_none_or(|device| arrival.device.as_deref() == Some(device))
    };
    let fits = |arrival: &&Arrival| {
        bytes += arrival.body.len();
        bytes <= LONGEST_PAGE
    };
    let all = state.arrivals.iter();
    let list: Vec<Value> = if after.is_some() {
        all.filter(wanted)
            .take(limit)
            .take_while(fits)
            .map(arrival)
            .collect()
    } else {
        let latest = all.rev().filter(wanted).take(limit).take_while(fits);
        let mut list: Vec<Value> = latest.map(arrival).collect();
        list.reverse();
        list
    };
    json!({
        "arrived": state.arrivals.total(),
        "dropped": state.arrivals.dropped(),
        "arrivals": list,
    })
}

fn arrival(arrival: &Arrival) -> Value {
    let mut shown = json!({
        "sequence": arrival.sequence,
        "receivedTs": arrival.received_ms,
        "method": arrival.method,
        "path": arrival.path,
        "query": arrival.query,
        "device": arrival.device,
        "contentType": arrival.content_type,
        "bodyLength": arrival.body_length,
        "answer": arrival.answer,
        "fault": arrival.fault,
    });
    if let Value::Object(members) = &mut shown {
        // A body that is no text is shown in hexadecimal, lest anything of it be lost.
        let (name, body) = match std::str::from_utf8(&arrival.body) {
            Ok(text) => ("body", text.to_owned()),
            Err(_) => {
                let digits = arrival.body.iter().map(|byte| format!("{byte:02x}"));
                ("bodyHex", digits.collect())
            }
        };
        members.insert(name.to_owned(), Value::String(body));
    }
    shown
}

pub(super) fn devices(control: &Control) -> Value {
    let state = control.0.lock();
    let list = state.directory.iter().map(
        |(name, device)| json!({ "name": name, "token": device.token, "profile": device.profile }),
    );
    Value::Array(list.collect())
}

pub(super) fn device(control: &Control, name: &str) -> Option<Value> {
    let state = control.0.lock();
    let device: &Device = state.directory.get(name)?;
    let telemetry: Map<String, Value> = device
        .telemetry()
        .iter()
        .map(|(key, (ts, value))| (key.clone(), json!({ "ts": ts, "value": as_value(value) })))
        .collect();
    Some(json!({
        "name": name,
        "token": device.token,
        "profile": device.profile,
        "client": as_value(&attributes_element(device.attributes(Scope::Client))),
        "shared": as_value(&attributes_element(device.attributes(Scope::Shared))),
        "telemetry": telemetry,
    }))
}

/// Without the secrets: whoever set them has them.
pub(super) fn profiles(control: &Control) -> Value {
    let state = control.0.lock();
    let list = state
        .profiles
        .values()
        .map(|profile| json!({ "key": profile.key, "strategy": profile.strategy.name() }));
    Value::Array(list.collect())
}

pub(super) fn replies(control: &Control) -> Value {
    let state = control.0.lock();
    let list = state.rule_chain.iter().map(|(method, reply)| match reply {
        Reply::Json(text) => json!({ "method": method, "reply": text }),
        Reply::Error(error) => json!({ "method": method, "error": error }),
        Reply::Silence => json!({ "method": method, "silent": true }),
    });
    Value::Array(list.collect())
}

pub(super) fn timeouts(control: &Control) -> Value {
    let timeouts = control.0.lock().timeouts;
    let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).ok();
    json!({ "asyncMs": ms(timeouts.asynchronous), "requestMs": ms(timeouts.request) })
}

pub(super) fn faults(control: &Control) -> Value {
    let state = control.0.lock();
    Value::Array(state.faults.iter().map(fault).collect())
}

fn fault(fault: &Fault) -> Value {
    let mut shown = json!({
        "path": fault.path,
        "times": fault.times,
        "delayMs": u64::try_from(fault.delay.as_millis()).ok(),
    });
    if let Value::Object(members) = &mut shown {
        match &fault.outcome {
            Outcome::Answer => {}
            Outcome::Status {
                status,
                body,
                content_type,
            } => {
                members.insert("status".to_owned(), json!(status));
                members.insert("body".to_owned(), json!(String::from_utf8_lossy(body)));
                members.insert("contentType".to_owned(), json!(content_type));
            }
            Outcome::Drop | Outcome::Garbage | Outcome::Hang => {
                members.insert(fault.name().to_owned(), Value::Bool(true));
            }
        }
    }
    shown
}
