//! One HTTP request from its first byte to its answer: limits, faults, the device API, the note of its arrival.

mod long_poll;

use crate::arrival::Arrival;
use crate::body::{self, BodyError};
use crate::clock::epoch_ms;
use crate::connection::ConnectionHandle;
use crate::device_api::{self, Completion, Handled};
use crate::fault::{Fault, FaultAction, status_code};
use crate::long_poll::PollStarted;
use crate::response::{ErrorCode, HttpResponse};
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
    ConnectInfo(connection): ConnectInfo<ConnectionHandle>,
    request: Request,
) -> Response {
    answer(&shared, &connection, request).await.into_response()
}

/// Counts the requests of a connection, and closes it after the last one that it may have.
pub(super) async fn count_request(
    extract::State(shared): extract::State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<ConnectionHandle>,
    request: Request,
    next: Next,
) -> Response {
    if *shared.closing.borrow() {
        connection.cut();
    }
    connection.count_request();
    let mut response = next.run(request).await;
    if connection.is_exhausted() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

async fn answer(
    shared: &Arc<Shared>,
    connection: &ConnectionHandle,
    request: Request,
) -> HttpResponse {
    let (head, body) = request.into_parts();
    let announced = header(&head, &CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    let limit = body::payload_limit(head.uri.path());
    if let (Some(limit), Some(length)) = (limit, announced)
        && length > limit
    {
        let answer = HttpResponse::too_large(limit);
        record_unread(shared, &head, length, &answer);
        body::drain(body).await;
        return answer;
    }
    let held = match body::read(body, body::LIMIT, &shared.body_budget).await {
        Ok(held) => held,
        Err(error) => {
            let answer = match error {
                BodyError::TooLong => HttpResponse::too_large(body::LIMIT),
                BodyError::NoRoom => {
                    unavailable("this simulator holds too many request bodies at once")
                }
                BodyError::Broken => HttpResponse::empty(StatusCode::BAD_REQUEST),
            };
            record_unread(shared, &head, announced.unwrap_or_default(), &answer);
            return answer;
        }
    };
    let _guard = connection.request_guard();
    let decision = decide(&mut shared.lock(), &head, &held.bytes);
    drop((head, held));
    let pause = decision.pause;
    let ending = match decision.course {
        Course::Poll(opened) => {
            return long_poll::poll(shared, connection, pause, opened, decision.sequence).await;
        }
        Course::End(ending) => ending,
    };
    if !pause.is_zero() {
        unless_closing(shared, connection, tokio::time::sleep(pause)).await;
    }
    match ending {
        Ending::Answer(answer) => return answer,
        Ending::Drop => connection.cut(),
        Ending::Garbage => connection.send_garbage(),
        Ending::Hang => {
            unless_closing(shared, connection, std::future::pending::<()>()).await;
        }
    }
    unseen()
}

/// Nobody sees this one: the connection is cut or garbled.
fn unseen() -> HttpResponse {
    HttpResponse::empty(StatusCode::INTERNAL_SERVER_ERROR)
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
    Poll(PollStarted),
    End(Ending),
}

/// How a request ends that is no poll.
enum Ending {
    Answer(HttpResponse),
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
    let (delay, action) = match fault {
        Some(fault) => (fault.delay, fault.action),
        None => (Duration::ZERO, FaultAction::Pass),
    };
    if action != FaultAction::Pass {
        arrival.device = device_api::token_in_path(path)
            .and_then(|token| state.directory.device_with_token(&token).map(str::to_owned));
    }
    let mut wait = Duration::ZERO;
    let course = match action {
        FaultAction::Pass => {
            let handled = call_controller(state, head, bytes, arrival.received_ms);
            arrival.device = handled.device;
            match handled.then {
                Completion::Now(answer) => Course::End(Ending::Answer(answer)),
                Completion::After(silence, answer) => {
                    wait = silence;
                    Course::End(Ending::Answer(answer))
                }
                Completion::LongPoll { kind, timeout_ms } => {
                    let device = arrival.device.as_deref().unwrap_or_default();
                    match state.long_polls.open(device, kind, timeout_ms) {
                        Ok(opened) => Course::Poll(opened),
                        Err(full) => Course::End(Ending::Answer(unavailable(&full.0))),
                    }
                }
            }
        }
        FaultAction::Status {
            status,
            body,
            content_type,
        } => Course::End(Ending::Answer(HttpResponse {
            content_type,
            body,
            ..HttpResponse::empty(status_code(status))
        })),
        FaultAction::Drop => Course::End(Ending::Drop),
        FaultAction::Garbage => Course::End(Ending::Garbage),
        FaultAction::Hang => Course::End(Ending::Hang),
    };
    if let (Course::End(Ending::Answer(answer)), true) = (&course, wait.is_zero()) {
        arrival.status = Some(answer.status.as_u16());
    }
    Decision {
        pause: delay.saturating_add(wait),
        course,
        sequence: state.arrivals.record(arrival, is_poll(head)),
    }
}

/// What ThingsBoard's controller says.
fn call_controller(state: &mut State, head: &Parts, bytes: &Bytes, now_ms: u64) -> Handled {
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
fn unavailable(message: &str) -> HttpResponse {
    HttpResponse::error(
        StatusCode::SERVICE_UNAVAILABLE,
        Some(message),
        ErrorCode::General,
        epoch_ms(),
    )
}

/// Notes a request whose body was not kept.
fn record_unread(shared: &Shared, head: &Parts, length: usize, answer: &HttpResponse) {
    let mut arrival = arrival(head, epoch_ms());
    arrival.body_length = u64::try_from(length).unwrap_or(u64::MAX);
    arrival.status = Some(answer.status.as_u16());
    shared.lock().arrivals.record(arrival, is_poll(head));
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
        path: device_api::redacted_path(head.uri.path()),
        query: head.uri.query().map(str::to_owned),
        device: None,
        content_type: header(head, &CONTENT_TYPE).map(str::to_owned),
        body: Bytes::new(),
        body_length: 0,
        status: None,
        fault: None,
    }
}

/// Waits, but not beyond the simulator's end: then the connection is cut.
async fn unless_closing<T>(
    shared: &Shared,
    connection: &ConnectionHandle,
    wait: impl Future<Output = T>,
) -> Option<T> {
    let mut closing = shared.closing.subscribe();
    tokio::select! {
        value = wait => Some(value),
        _ = closing.wait_for(|closing| *closing) => {
            connection.cut();
            None
        }
    }
}

fn header<'a>(head: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    head.headers.get(name)?.to_str().ok()
}
