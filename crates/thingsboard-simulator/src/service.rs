//! One HTTP request from its first byte to its answer: limits, faults, the device API, the note of its arrival.

mod long_poll;

use crate::arrival::Arrival;
use crate::body::{self, BodyError};
use crate::clock::epoch_ms;
use crate::connection::Line;
use crate::device_api::{self, Then, Verdict};
use crate::fault::{Fault, Outcome, status_code};
use crate::long_poll::Opened;
use crate::response::{Answer, ErrorCode};
use crate::state::{Shared, State};
use axum::body::Bytes;
use axum::extract::{self, ConnectInfo, Request};
use axum::http::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Answers one request to the device API.
pub(super) async fn serve(
    extract::State(shared): extract::State<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    answer(&shared, &line, request).await.into_response()
}

/// Counts the requests of a connection, and closes it after the last one that it may have.
pub(super) async fn count_request(
    extract::State(shared): extract::State<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
    next: Next,
) -> Response {
    if *shared.closing.borrow() {
        line.cut();
    }
    line.count_request();
    let mut response = next.run(request).await;
    if line.is_spent() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

async fn answer(shared: &Arc<Shared>, line: &Line, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let announced = header(&head, &CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    let limit = body::payload_limit(head.uri.path());
    if let (Some(limit), Some(length)) = (limit, announced)
        && length > limit
    {
        let answer = Answer::too_large(limit);
        note_unread(shared, &head, length, &answer);
        body::drain(body).await;
        return answer;
    }
    let held = match body::read(body, body::LIMIT, &shared.body_budget).await {
        Ok(held) => held,
        Err(error) => {
            let answer = match error {
                BodyError::TooLong => Answer::too_large(body::LIMIT),
                BodyError::NoRoom => {
                    no_room("this simulator holds too many request bodies at once")
                }
                BodyError::Broken => Answer::empty(StatusCode::BAD_REQUEST),
            };
            note_unread(shared, &head, announced.unwrap_or_default(), &answer);
            return answer;
        }
    };
    let _working = line.working();
    let decision = decide(&mut shared.lock(), &head, &held.bytes);
    drop((head, held));
    let pause = decision.pause;
    let ending = match decision.course {
        Course::Poll(opened) => {
            return long_poll::poll(shared, line, pause, opened, decision.sequence).await;
        }
        Course::End(ending) => ending,
    };
    if !pause.is_zero() {
        unless_closing(shared, line, tokio::time::sleep(pause)).await;
    }
    match ending {
        Ending::Answer(answer) => return answer,
        Ending::Drop => line.cut(),
        Ending::Garbage => line.garble(),
        Ending::Hang => {
            unless_closing(shared, line, std::future::pending::<()>()).await;
        }
    }
    unseen()
}

/// Nobody sees this one: the connection is cut or garbled.
fn unseen() -> Answer {
    Answer::empty(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What becomes of a request.
struct Decision {
    /// How long nothing happens first.
    pause: Duration,
    course: Course,
    /// The number of its arrival.
    sequence: u64,
}

enum Course {
    Poll(Opened),
    End(Ending),
}

/// How a request ends that is no poll.
enum Ending {
    Answer(Answer),
    Drop,
    Garbage,
    Hang,
}

/// Applies a fault or asks the device API, and notes the arrival, all at the same moment.
fn decide(state: &mut State, head: &Parts, bytes: &Bytes) -> Decision {
    let path = head.uri.path();
    let mut arrival = arrival(head, epoch_ms());
    arrival.body = bytes.clone();
    arrival.body_length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let fault = state.faults.take(path);
    arrival.fault = fault.as_ref().map(Fault::name);
    let (delay, outcome) = match fault {
        Some(fault) => (fault.delay, fault.outcome),
        None => (Duration::ZERO, Outcome::Answer),
    };
    if outcome != Outcome::Answer {
        arrival.device = device_api::token(path)
            .and_then(|token| state.directory.holder_of(&token).map(str::to_owned));
    }
    let mut wait = Duration::ZERO;
    let course = match outcome {
        Outcome::Answer => {
            let verdict = ask(state, head, bytes, arrival.received_ms);
            arrival.device = verdict.device;
            match verdict.then {
                Then::Answer(answer) => Course::End(Ending::Answer(answer)),
                Then::After(silence, answer) => {
                    wait = silence;
                    Course::End(Ending::Answer(answer))
                }
                Then::Poll { kind, timeout_ms } => {
                    let device = arrival.device.as_deref().unwrap_or_default();
                    match state.long_polls.open(device, kind, timeout_ms) {
                        Ok(opened) => Course::Poll(opened),
                        Err(full) => Course::End(Ending::Answer(no_room(&full.0))),
                    }
                }
            }
        }
        Outcome::Status {
            status,
            body,
            content_type,
        } => Course::End(Ending::Answer(Answer {
            content_type,
            body,
            ..Answer::empty(status_code(status))
        })),
        Outcome::Drop => Course::End(Ending::Drop),
        Outcome::Garbage => Course::End(Ending::Garbage),
        Outcome::Hang => Course::End(Ending::Hang),
    };
    if let (Course::End(Ending::Answer(answer)), true) = (&course, wait.is_zero()) {
        arrival.answer = Some(answer.status.as_u16());
    }
    Decision {
        pause: delay.saturating_add(wait),
        course,
        sequence: state.arrivals.note(arrival, is_poll(head)),
    }
}

/// What ThingsBoard's controller says.
fn ask(state: &mut State, head: &Parts, bytes: &Bytes, now_ms: u64) -> Verdict {
    let request = device_api::Request {
        method: &head.method,
        path: head.uri.path(),
        query: head.uri.query(),
        body: &body::text(header(head, &CONTENT_TYPE), bytes),
        accepts_json: header(head, &ACCEPT)
            .is_some_and(|accept| accept.contains("application/json")),
        now_ms,
    };
    device_api::answer(state, &request)
}

/// What ThingsBoard never says: it has a heap instead of bounds.
fn no_room(message: &str) -> Answer {
    Answer::error(
        StatusCode::SERVICE_UNAVAILABLE,
        Some(message),
        ErrorCode::General,
        epoch_ms(),
    )
}

/// Notes a request whose body was not kept.
fn note_unread(shared: &Shared, head: &Parts, length: usize, answer: &Answer) {
    let mut arrival = arrival(head, epoch_ms());
    arrival.body_length = u64::try_from(length).unwrap_or(u64::MAX);
    arrival.answer = Some(answer.status.as_u16());
    shared.lock().arrivals.note(arrival, is_poll(head));
}

fn is_poll(head: &Parts) -> bool {
    device_api::is_poll(&head.method, head.uri.path())
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
async fn unless_closing<T>(
    shared: &Shared,
    line: &Line,
    wait: impl Future<Output = T>,
) -> Option<T> {
    let mut closing = shared.closing.subscribe();
    tokio::select! {
        value = wait => Some(value),
        _ = closing.wait_for(|closing| *closing) => {
            line.cut();
            None
        }
    }
}

fn header<'a>(head: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    head.headers.get(name)?.to_str().ok()
}
