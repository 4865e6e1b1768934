//! What the controls show.

use serde_json::{Map, Value, json};

use super::super::arrival::Arrival;
use super::super::control::{Control, Refused, as_value};
use super::super::device_api::attributes_element;
use super::super::directory::{Device, Scope};
use super::super::downlink::PollCounts;
use super::super::fault::{Fault, Outcome};
use super::super::packages::{Assignee, PackageId, PackageKind, Source, Stored};
use super::super::rule_chain::Reply;
use super::super::state::Timeouts;

/// A page of arrivals ends when its bodies reach this many bytes.
const LONGEST_PAGE: usize = 16 * 1024 * 1024;

pub(super) fn summary(control: &Control) -> Value {
    let state = control.0.lock();
    json!({
        "simulator": "of ThingsBoard's HTTP device API, in memory",
        "devices": state.directory.iter().count(),
        "arrived": state.arrivals.requests().total(),
        "listed": state.arrivals.requests().iter().count(),
        "dropped": state.arrivals.requests().dropped(),
        "polled": state.arrivals.polls().total(),
        "controls": [
            "GET|DELETE /simulator/arrivals?limit=&after=&device=&polls",
            "GET /simulator/devices",
            "GET|PUT|DELETE /simulator/devices/{name}",
            "GET|POST|DELETE /simulator/devices/{name}/attributes/{client|shared}?keys=",
            "POST /simulator/devices/{name}/rpc",
            "GET /simulator/devices/{name}/subscriptions",
            "GET|PUT|DELETE /simulator/devices/{name}/{firmware|software}",
            "GET|PUT|DELETE /simulator/{firmware|software}",
            "GET /simulator/packages",
            "GET|PUT|DELETE /simulator/packages/{firmware|software}/{title}/{version}",
            "PUT /simulator/packages/{firmware|software}/{title}/{version}/data?tag=",
            "GET /simulator/profiles",
            "PUT|DELETE /simulator/profiles/{provisionDeviceKey}",
            "GET /simulator/rpc",
            "PUT|DELETE /simulator/rpc/{method}?error=&silent",
            "GET|PUT /simulator/timeouts",
            "GET|PUT /simulator/subscription-delay",
            "GET|PUT /simulator/connections",
            "GET|PUT /simulator/attribute-store",
            "POST /simulator/restart",
            "GET|POST|DELETE /simulator/faults",
        ],
    })
}

/// Which arrivals are wanted.
pub(super) struct Selection<'a> {
    /// At most so many.
    pub(super) limit: usize,
    /// The first ones beyond this sequence number, instead of the latest.
    pub(super) after: Option<u64>,
    pub(super) device: Option<&'a str>,
    /// Polls as well.
    pub(super) polls: bool,
}

/// Oldest first.
pub(super) fn arrivals(control: &Control, selection: &Selection<'_>) -> Value {
    let state = control.0.lock();
    let requests = state.arrivals.requests();
    let polls = state.arrivals.polls();
    let wanted = |arrival: &&Arrival| {
        selection.after.is_none_or(|after| arrival.sequence > after)
            && (selection.device.is_none() || arrival.device.as_deref() == selection.device)
    };
    let mut found: Vec<&Arrival> = requests.iter().filter(wanted).collect();
    if selection.polls {
        found.extend(polls.iter().filter(wanted));
        found.sort_by_key(|arrival| arrival.sequence);
    }
    let mut bytes = 0;
    let fits = |arrival: &&Arrival| {
        bytes += arrival.body.len();
        bytes <= LONGEST_PAGE
    };
    let found = found.into_iter();
    let list: Vec<Value> = if selection.after.is_some() {
        let first = found.take(selection.limit).take_while(fits);
        first.map(arrival).collect()
    } else {
        let latest = found.rev().take(selection.limit).take_while(fits);
        let mut list: Vec<Value> = latest.map(arrival).collect();
        list.reverse();
        list
    };
    let mut shown = json!({
        "arrived": requests.total(),
        "dropped": requests.dropped(),
        "arrivals": list,
    });
    if let (true, Value::Object(members)) = (selection.polls, &mut shown) {
        members.insert("polled".to_owned(), json!(polls.total()));
        members.insert("droppedPolls".to_owned(), json!(polls.dropped()));
    }
    shown
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
    let timeouts = Timeouts::of(control.0.lock().long_polls.delays());
    let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).ok();
    json!({ "asyncMs": ms(timeouts.asynchronous), "requestMs": ms(timeouts.request) })
}

pub(super) fn subscriptions(control: &Control, name: &str) -> Option<Value> {
    let subscriptions = control.subscriptions(name)?;
    let counts = |counts: PollCounts| {
        json!({
            "live": counts.live,
            "stale": counts.stale,
            "opened": counts.opened,
            "open": counts.open,
            "mostOpen": counts.most_open,
        })
    };
    Some(json!({
        "attributes": counts(subscriptions.attributes),
        "rpc": counts(subscriptions.rpc),
        "pendingCommands": subscriptions.pending_commands,
    }))
}

pub(super) fn packages(control: &Control) -> Value {
    let state = control.0.lock();
    let list = state
        .packages
        .iter()
        .map(|(id, stored)| package_as(id, stored));
    Value::Array(list.collect())
}

pub(super) fn package(control: &Control, id: &PackageId) -> Option<Value> {
    let state = control.0.lock();
    Some(package_as(id, state.packages.get(id)?))
}

fn package_as(id: &PackageId, stored: &Stored) -> Value {
    let mut shown = json!({
        "type": id.kind.name(),
        "title": id.title.as_ref(),
        "version": id.version.as_ref(),
        "tag": stored.tag,
        "served": { "requests": stored.served.requests, "bytes": stored.served.bytes },
    });
    if let Value::Object(members) = &mut shown {
        match &stored.source {
            Source::Here { bytes, checksum } => {
                members.insert("size".to_owned(), json!(bytes.len()));
                members.insert("sha256".to_owned(), json!(checksum));
            }
            Source::External(url) => {
                members.insert("url".to_owned(), json!(url));
            }
        }
    }
    shown
}

/// Null where none is assigned. Of a device it is what it is served, its own or that of all.
pub(super) fn assignment(
    control: &Control,
    whom: Assignee<'_>,
    kind: PackageKind,
) -> Result<Value, Refused> {
    let assigned = control.assigned_package(whom, kind)?;
    let shown =
        |id: PackageId| json!({ "title": id.title.as_ref(), "version": id.version.as_ref() });
    Ok(assigned.map_or(Value::Null, shown))
}

pub(super) fn subscription_delay(control: &Control) -> Value {
    json!({ "ms": control.0.lock().long_polls.delays().subscription_ms })
}

pub(super) fn connections(control: &Control) -> Value {
    let (open, max) = control.connections();
    json!({ "open": open, "max": max })
}

pub(super) fn attribute_store(control: &Control) -> Value {
    json!({ "failing": control.0.lock().attribute_store_fails })
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
