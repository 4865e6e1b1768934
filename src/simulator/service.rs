//! One HTTP request from its first byte to its answer: limits, faults, the device API, the note of its arrival.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};

use super::answer::{Answer, ErrorCode};
use super::arrival::Arrival;
use super::body::{self, BodyError};
use super::connection::Line;
use super::control_api;
use super::device_api;
use super::fault::{Fault, Outcome, status_code};
use super::state::Shared;

/// Answers one request.
pub(super) async fn serve(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response<Body> {
    if *shared.closing.borrow() {
        line.cut();
    }
    let last = line.count_request();
    let answer = if control_api::is_for(request.uri().path()) {
        control_api::serve(&shared, request).await
    } else {
        serve_device(&shared, &line, request).await
    };
    let mut response = answer.into_response();
    if last {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

async fn serve_device(shared: &Arc<Shared>, line: &Line, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let announced = header(&head, &CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    let limit = body::payload_limit(head.uri.path());
    if let (Some(limit), Some(length)) = (limit, announced)
        && length > limit
    {
        let answer = Answer::too_large(limit);
        note_unread(shared, &head, length, &answer);
        body::swallow(body).await;
        return answer;
    }
    let held = match body::read(body, body::LIMIT, shared).await {
        Ok(held) => held,
        Err(error) => {
            let answer = match error {
                BodyError::TooLong => Answer::too_large(body::LIMIT),
                BodyError::NoRoom => Answer::error(
                    StatusCode::SERVICE_UNAVAILABLE,
                    Some("this simulator holds too many request bodies at once"),
                    ErrorCode::General,
                    now_ms(),
                ),
                BodyError::Broken => Answer::empty(StatusCode::BAD_REQUEST),
            };
            note_unread(shared, &head, announced.unwrap_or_default(), &answer);
            return answer;
        }
    };
    let _working = line.working();
    let (pause, ending) = decide(shared, &head, &held.bytes);
    drop(held);
    if !pause.is_zero() {
        unless_closing(shared, line, tokio::time::sleep(pause)).await;
    }
    match ending {
        Ending::Answer(answer) => return answer,
        Ending::Drop => line.cut(),
        Ending::Garbage => line.garble(),
        Ending::Hang => unless_closing(shared, line, std::future::pending()).await,
    }
    // Nobody sees this one: the connection is cut or garbled.
    Answer::empty(StatusCode::INTERNAL_SERVER_ERROR)
}

/// How a request ends, after its pause.
enum Ending {
    Answer(Answer),
    Drop,
    Garbage,
    Hang,
}

/// Applies a fault or asks the device API, and notes the arrival, all at the same moment.
fn decide(shared: &Shared, head: &Parts, bytes: &Bytes) -> (Duration, Ending) {
    let now_ms = now_ms();
    let path = head.uri.path();
    let mut arrival = arrival(head, now_ms);
    arrival.body = bytes.clone();
    arrival.body_length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);

    let mut state = shared.lock();
    let fault = state.faults.take(path);
    arrival.fault = fault.as_ref().map(Fault::name);
    let (delay, outcome) = match fault {
        Some(fault) => (fault.delay, fault.outcome),
        None => (Duration::ZERO, Outcome::Answer),
    };
    let mut wait = Duration::ZERO;
    if outcome != Outcome::Answer {
        arrival.device = device_api::token(path)
            .and_then(|token| state.directory.holder_of(&token).map(str::to_owned));
    }
    let ending = match outcome {
        Outcome::Answer => {
            let verdict = device_api::answer(
                &mut state,
                &device_api::Request {
                    method: &head.method,
                    path,
                    query: head.uri.query(),
                    body: &body::text(header(head, &CONTENT_TYPE), bytes),
                    accepts_json: header(head, &ACCEPT)
                        .is_some_and(|accept| accept.contains("application/json")),
                    now_ms,
                },
            );
            arrival.device = verdict.device;
            wait = verdict.after;
            Ending::Answer(verdict.answer)
        }
        Outcome::Status {
            status,
            body,
            content_type,
        } => Ending::Answer(Answer {
            content_type,
            body,
            ..Answer::empty(status_code(status))
        }),
        Outcome::Drop => Ending::Drop,
        Outcome::Garbage => Ending::Garbage,
        Outcome::Hang => Ending::Hang,
    };
    if let (Ending::Answer(answer), true) = (&ending, wait.is_zero()) {
        arrival.answer = Some(answer.status.as_u16());
    }
    state.arrivals.note(arrival);
    (delay.saturating_add(wait), ending)
}

/// Notes a request whose body was not kept.
fn note_unread(shared: &Shared, head: &Parts, length: u64, answer: &Answer) {
    let mut arrival = arrival(head, now_ms());
    arrival.body_length = length;
    arrival.answer = Some(answer.status.as_u16());
    shared.lock().arrivals.note(arrival);
}

/// What a request's head says of its arrival.
fn arrival(head: &Parts, received_ms: u64) -> Arrival {
    Arrival {
        sequence: 0,
        received_ms,
        method: head.method.to_string(),
        path: device_api::shown(head.uri.path()),
        query: head.uri.query().map(str::to_owned),
        device: None,
        content_type: header(head, &CONTENT_TYPE).map(str::to_owned),
        body: Bytes::new(),
        body_length: 0,
        answer: None,
        fault: None,
    }
}

/// Waits, but not beyond the simulator's end: then the connection is cut.
async fn unless_closing(shared: &Shared, line: &Line, wait: impl Future<Output = ()>) {
    let mut closing = shared.closing.subscribe();
    tokio::select! {
        () = wait => {}
        _ = closing.wait_for(|closing| *closing) => line.cut(),
    }
}

fn header<'a>(head: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    head.headers.get(name)?.to_str().ok()
}

/// The one place where the simulator reads the clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the simulator stands in for a server, whose edge this is; its decisions take `now_ms`"
)]
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
