//! The events of one open page: the gateway's tap, losses on the link, arrivals at ThingsBoard, attributes and
//! switches.
//!
//! A task for each page sends them, and waits while the browser is slow. Events that overflow its sources in that time
//! are lost, and the page shows how many.

use super::lines::Lines;
use super::{Shared, Switches, now};
use crate::link::{LOSS_PERCENT, Lost};
use crate::{CLIENT, DEVICE, DEVICES};
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::Frame;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use thingsboard_simulator::{Arrival, Scope};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

/// How many events may wait for the browser.
const QUEUED_EVENTS: usize = 64;
/// How often attributes are polled for changes.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How many points of past telemetry a new page gets.
const PAST_POINTS: usize = 60;
/// How many values of one telemetry message are shown.
const MAX_VALUES: usize = 16;

/// `GET /events`: the stream, until the browser closes it.
pub(super) async fn events(State(shared): State<Arc<Shared>>) -> Response {
    let Ok(permit) = shared.open_pages.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages are open\n").into_response();
    };
    let (sender, receiver) = mpsc::channel(QUEUED_EVENTS);
    tokio::spawn(async move {
        // It ends when the page is closed.
        let _ = send_events(&shared, &sender).await;
        drop(permit);
    });
    let kind = [(CONTENT_TYPE, "text/event-stream")];
    (kind, Body::new(Stream(receiver))).into_response()
}

/// The page is closed.
struct Closed;

/// Sends events until the page is closed.
async fn send_events(shared: &Shared, page: &mpsc::Sender<Bytes>) -> Result<(), Closed> {
    let context = &shared.context;
    let mut records = context.tap.subscribe();
    let mut lost = context.losses.subscribe();
    let mut arrivals = context.control.subscribe();
    let mut switches = shared.switches.subscribe();
    let mut lines = Lines::new(shared.started);
    let mut attributes = Value::Null;
    let mut poll = tokio::time::interval(POLL_INTERVAL);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);

    send(page, "hello", &hello(shared)).await?;
    let current = *switches.borrow_and_update();
    send(page, "switches", &json(current)).await?;
    loop {
        tokio::select! {
            event = records.recv() => match event {
                Ok(event) => send(page, "line", &lines.line(&event)).await?,
                Err(RecvError::Lagged(missed)) => send(page, "missed", &json!(missed)).await?,
                Err(RecvError::Closed) => return Ok(()),
            },
            event = lost.recv() => if let Ok(Lost { to_gateway, length }) = event {
                let line = json!({"kind": "lost", "in": to_gateway, "datagram": length, "ms": lines.time(now())});
                send(page, "line", &line).await?;
            },
            arrival = arrivals.recv() => if let Ok(arrival) = arrival {
                for point in points(&arrival) {
                    send(page, "telemetry", &point).await?;
                }
            },
            changed = switches.changed() => {
                let current = *switches.borrow_and_update();
                send(page, "switches", &json(current)).await?;
                changed.map_err(|_| Closed)?;
            }
            _ = poll.tick() => {
                let current = attributes_of_all(shared);
                if current != attributes {
                    send(page, "attributes", &current).await?;
                    attributes = current;
                }
            }
            () = page.closed() => return Err(Closed),
        }
    }
}

/// The first event: what does not change, and the telemetry so far.
fn hello(shared: &Shared) -> Value {
    let context = &shared.context;
    let commands = context.commands.iter();
    let commands = commands.map(|some| json!({"purpose": some.purpose, "lines": some.lines}));
    let mut past: Vec<Value> = context
        .control
        .arrivals()
        .iter()
        .rev()
        .flat_map(points)
        .take(PAST_POINTS)
        .collect();
    past.reverse();
    json!({
        "device": DEVICE,
        "client": CLIENT,
        "devices": DEVICES.map(|(name, _)| name),
        "commands": commands.collect::<Vec<_>>(),
        "upstream": context.upstream,
        "loss_percent": LOSS_PERCENT,
        "telemetry": past,
    })
}

fn json(switches: Switches) -> Value {
    json!({"loss": switches.loss, "slow": switches.slow, "down": switches.down})
}

fn attributes_of_all(shared: &Shared) -> Value {
    let all = DEVICES.map(|(name, _)| {
        let attributes = shared.context.control.attributes(name, Scope::Shared);
        (name.to_owned(), attributes.unwrap_or_default())
    });
    Value::Object(all.into_iter().collect())
}

/// The numbers in telemetry that ThingsBoard has accepted.
fn points(arrival: &Arrival) -> Vec<Value> {
    // HTTP's status, or the reason code of MQTT's PUBACK.
    let accepted = match arrival.path.as_str() {
        "v2/t/j" => 0,
        path if path.ends_with("/telemetry") => 200,
        _ => return Vec::new(),
    };
    if arrival.status != Some(accepted) {
        return Vec::new();
    }
    let body: Option<Value> = serde_json::from_slice(&arrival.body).ok();
    let values = body
        .as_ref()
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let numbers = values
        .filter(|(_, value)| value.is_number())
        .take(MAX_VALUES);
    let points = numbers.map(|(key, value)| {
        json!({"device": arrival.device, "key": key, "value": value, "at": arrival.received_ms})
    });
    points.collect()
}

async fn send(page: &mpsc::Sender<Bytes>, name: &str, value: &Value) -> Result<(), Closed> {
    // JSON has no line breaks outside of strings, and escapes those within.
    let event = format!("event: {name}\ndata: {value}\n\n");
    page.send(event.into()).await.map_err(|_| Closed)
}

/// A response body that does not end.
struct Stream(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.0.poll_recv(context);
        next.map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}
