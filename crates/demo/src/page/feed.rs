//! One open page's events: what the core tells, what the link loses, what arrives, and how things stand.
//!
//! A task for each page makes them and waits while the browser is slow; what its sources can't keep meanwhile is
//! missed, and the page is told how much.

use super::story::Story;
use super::{Shared, Switches, now};
use crate::link::{LOST_OF_A_HUNDRED, Lost};
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

/// Events that may wait for the browser.
const WAITING: usize = 64;
/// How often attributes are looked at for changes, whoever makes them.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Points of telemetry a page begins with.
const PAST: usize = 60;
/// Values of one telemetry message that are shown.
const MOST_VALUES: usize = 16;

/// `GET /events`: the stream, until the browser closes it.
pub(super) async fn events(State(shared): State<Arc<Shared>>) -> Response {
    let Ok(place) = shared.places.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages are open\n").into_response();
    };
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        // The page has gone: that is how it ends.
        let _ = tell(&shared, &sender).await;
        drop(place);
    });
    let kind = [(CONTENT_TYPE, "text/event-stream")];
    (kind, Body::new(Stream(receiver))).into_response()
}

/// The page has gone.
struct Gone;

async fn tell(shared: &Shared, page: &mpsc::Sender<Bytes>) -> Result<(), Gone> {
    let scene = &shared.scene;
    let mut heard = scene.tap.subscribe();
    let mut lost = scene.weather.listen();
    let mut arrivals = scene.control.subscribe();
    let mut switches = shared.switches.subscribe();
    let mut story = Story::new(shared.started);
    let mut attributes = Value::Null;
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);

    send(page, "hello", &hello(shared)).await?;
    let current = *switches.borrow_and_update();
    send(page, "switches", &shown(current)).await?;
    loop {
        tokio::select! {
            event = heard.recv() => match event {
                Ok(event) => send(page, "line", &story.tell(&event)).await?,
                Err(RecvError::Lagged(missed)) => send(page, "missed", &json!(missed)).await?,
                Err(RecvError::Closed) => return Ok(()),
            },
            event = lost.recv() => if let Ok(Lost { to_gateway, length }) = event {
                let line = json!({"kind": "lost", "in": to_gateway, "wire": length, "ms": story.time(now())});
                send(page, "line", &line).await?;
            },
            arrival = arrivals.recv() => if let Ok(arrival) = arrival {
                for point in points(&arrival) {
                    send(page, "telemetry", &point).await?;
                }
            },
            changed = switches.changed() => {
                let current = *switches.borrow_and_update();
                send(page, "switches", &shown(current)).await?;
                changed.map_err(|_| Gone)?;
            }
            _ = look.tick() => {
                let current = attributes_of_all(shared);
                if current != attributes {
                    send(page, "attributes", &current).await?;
                    attributes = current;
                }
            }
            () = page.closed() => return Err(Gone),
        }
    }
}

/// What does not change, and the telemetry so far.
fn hello(shared: &Shared) -> Value {
    let scene = &shared.scene;
    let commands = scene.commands.iter();
    let commands = commands.map(|some| json!({"purpose": some.purpose, "lines": some.lines}));
    let mut past: Vec<Value> = scene
        .control
        .arrivals()
        .iter()
        .rev()
        .flat_map(points)
        .take(PAST)
        .collect();
    past.reverse();
    json!({
        "device": DEVICE,
        "client": CLIENT,
        "devices": DEVICES.map(|(name, _)| name),
        "commands": commands.collect::<Vec<_>>(),
        "lost": LOST_OF_A_HUNDRED,
        "telemetry": past,
    })
}

fn shown(switches: Switches) -> Value {
    json!({"loss": switches.loss, "slow": switches.slow, "away": switches.away})
}

fn attributes_of_all(shared: &Shared) -> Value {
    let all = DEVICES.map(|(name, _)| {
        let attributes = shared.scene.control.attributes(name, Scope::Shared);
        (name.to_owned(), attributes.unwrap_or_default())
    });
    Value::Object(all.into_iter().collect())
}

/// The numbers in telemetry that ThingsBoard has accepted.
fn points(arrival: &Arrival) -> Vec<Value> {
    let is_telemetry = arrival.path.ends_with("/telemetry");
    if !is_telemetry || arrival.status != Some(200) {
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
        .take(MOST_VALUES);
    let points = numbers.map(|(key, value)| {
        json!({"device": arrival.device, "key": key, "value": value, "at": arrival.received_ms})
    });
    points.collect()
}

async fn send(page: &mpsc::Sender<Bytes>, name: &str, value: &Value) -> Result<(), Gone> {
    // JSON has no line breaks outside of strings, and escapes those within.
    let event = format!("event: {name}\ndata: {value}\n\n");
    page.send(event.into()).await.map_err(|_| Gone)
}

/// The body of an answer that goes on.
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
