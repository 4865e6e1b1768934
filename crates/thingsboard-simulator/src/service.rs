//! One request to the device API: its body is read within limits, its arrival recorded, a fault applied or the
//! controller called, and the response sent.

mod long_poll;

use crate::arrival::Arrival;
use crate::body::{self, BodyError};
use crate::clock::epoch_ms;
use crate::connection::ConnectionHandle;
use crate::device_api::{self, Completion, Handled};
use crate::downlink::LimitReached;
use crate::fault::{Fault, FaultAction, status_code};
use crate::long_poll::PollStarted;
use crate::response::{ErrorCode, HttpResponse};
use crate::state::{Shared, State};
use axum::body::Bytes;
use axum::extract::{self, ConnectInfo, Request};
use axum::http::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, Version};
use axum::middleware::Next;
use axum::response::Response;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Responds to one request to the device API.
pub(super) async fn serve(
    extract::State(shared): extract::State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<ConnectionHandle>,
    request: Request,
) -> Response {
    respond(&shared, &connection, request).await.into_response()
}

/// Counts the requests of a connection, and closes it after the last one that keep-alive allows.
pub(super) async fn count_request(
    extract::State(shared): extract::State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<ConnectionHandle>,
    request: Request,
    next: Next,
) -> Response {
    if *shared.closing.borrow() {
        connection.cut();
    }
    if request.version() < Version::HTTP_2 {
        connection.count_request();
    }
    let mut response = next.run(request).await;
    if connection.is_exhausted() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

async fn respond(
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
        let response = HttpResponse::too_large(limit);
        record_without_body(shared, &head, length, &response);
        body::drain(body).await;
        return response;
    }
    let body = match body::read(body, body::LIMIT, &shared.body_budget).await {
        Ok(body) => body,
        Err(error) => {
            let response = match error {
                BodyError::TooLong => HttpResponse::too_large(body::LIMIT),
                BodyError::NoRoom => {
                    unavailable("this simulator holds too many request bodies at once")
                }
                BodyError::Broken => HttpResponse::empty(StatusCode::BAD_REQUEST),
            };
            record_without_body(shared, &head, announced.unwrap_or_default(), &response);
            return response;
        }
    };
    let _guard = connection.request_guard();
    let decision = {
        let mut state = shared.lock();
        // A restart cuts first and then drops all polls: none may begin in between. With HTTP/2 the handler of a request
        // does not end with its connection.
        if connection.is_cut() {
            return never_sent();
        }
        decide(&mut state, &head, &body.bytes)
    };
    drop((head, body));
    if let Action::LongPoll(poll) = decision.action {
        let sequence = decision.sequence;
        return long_poll::respond(shared, connection, decision.delay, poll, sequence).await;
    }
    if !decision.delay.is_zero() {
        until_closing(shared, connection, tokio::time::sleep(decision.delay)).await;
    }
    match decision.action {
        Action::Respond(response) => return response,
        Action::Drop | Action::LongPoll(_) => connection.cut(),
        Action::Garbage => connection.send_garbage(),
        Action::Hang => {
            until_closing(shared, connection, std::future::pending::<()>()).await;
        }
    }
    never_sent()
}

/// Stands for a response where the connection is cut or sends garbage instead.
fn never_sent() -> HttpResponse {
    HttpResponse::empty(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What is done with a request.
struct Decision {
    /// How long to wait before the action.
    delay: Duration,
    action: Action,
    /// The sequence number of its arrival.
    sequence: u64,
}

enum Action {
    Respond(HttpResponse),
    LongPoll(PollStarted),
    /// Close the connection without a response.
    Drop,
    /// Send bytes that are not HTTP, then close the connection.
    Garbage,
    /// Wait until the client or the simulator goes away.
    Hang,
}

/// Applies a fault or calls the controller, and records the arrival, all under one lock.
fn decide(state: &mut State, head: &Parts, body: &Bytes) -> Decision {
    let path = head.uri.path();
    let mut arrival = arrival(head, epoch_ms());
    arrival.body = body.clone();
    arrival.body_length = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let fault = state.faults.take(path);
    arrival.fault = fault.as_ref().map(Fault::name);
    let (mut delay, fault) = match fault {
        Some(fault) => (fault.delay, fault.action),
        None => (Duration::ZERO, FaultAction::Pass),
    };
    if fault != FaultAction::Pass {
        let token = device_api::token_in_path(path);
        let device = token.and_then(|token| state.directory.device_with_token(&token));
        arrival.device = device.map(str::to_owned);
    }
    let action = match fault {
        FaultAction::Pass => {
            let handled = call_controller(state, head, body, arrival.received_ms);
            if let Some(device) = &handled.device {
                state.directory.record_activity(device, arrival.received_ms);
            }
            arrival.device = handled.device;
            match handled.completion {
                Completion::Now(response) => {
                    arrival.status = Some(response.status.as_u16());
                    Action::Respond(response)
                }
                Completion::After(wait, response) => {
                    if wait.is_zero() {
                        arrival.status = Some(response.status.as_u16());
                    }
                    delay = delay.saturating_add(wait);
                    Action::Respond(response)
                }
                Completion::LongPoll { kind, timeout_ms } => {
                    let device = arrival.device.as_deref().unwrap_or_default();
                    match state.long_polls.open(device, kind, timeout_ms) {
                        Ok(poll) => Action::LongPoll(poll),
                        Err(LimitReached(reason)) => {
                            let response = unavailable(&reason);
                            arrival.status = Some(response.status.as_u16());
                            Action::Respond(response)
                        }
                    }
                }
            }
        }
        FaultAction::Status {
            status,
            body,
            content_type,
        } => {
            let response = HttpResponse {
                content_type,
                body,
                ..HttpResponse::empty(status_code(status))
            };
            arrival.status = Some(response.status.as_u16());
            Action::Respond(response)
        }
        FaultAction::Drop => Action::Drop,
        FaultAction::Garbage => Action::Garbage,
        FaultAction::Hang => Action::Hang,
    };
    Decision {
        delay,
        action,
        sequence: state.arrivals.record(arrival, is_poll(head)),
    }
}

fn call_controller(state: &mut State, head: &Parts, body: &Bytes, now_ms: u64) -> Handled {
    let request = device_api::Request {
        method: &head.method,
        path: head.uri.path(),
        query: head.uri.query(),
        body: &body::text(header(head, &CONTENT_TYPE), body),
        accepts_json: header(head, &ACCEPT)
            .is_some_and(|accept| accept.contains("application/json")),
        now_ms,
    };
    device_api::handle(state, &request)
}

/// The response where a limit of the simulator is reached. ThingsBoard has no such limit: it has a heap.
fn unavailable(message: &str) -> HttpResponse {
    HttpResponse::error(
        StatusCode::SERVICE_UNAVAILABLE,
        Some(message),
        ErrorCode::General,
        epoch_ms(),
    )
}

/// Records the arrival of a request whose body was not read or not kept.
fn record_without_body(shared: &Shared, head: &Parts, length: usize, response: &HttpResponse) {
    let mut arrival = arrival(head, epoch_ms());
    arrival.body_length = u64::try_from(length).unwrap_or(u64::MAX);
    arrival.status = Some(response.status.as_u16());
    shared.lock().arrivals.record(arrival, is_poll(head));
}

fn is_poll(head: &Parts) -> bool {
    device_api::is_poll(&head.method, head.uri.path())
}

/// An arrival with what the request's head says of it.
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

/// Waits, but cuts the connection and returns `None` once the simulator stops.
async fn until_closing<T>(
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

#[cfg(test)]
mod tests {
    use super::{ConnectionHandle, Shared, respond};
    use axum::body::Body;
    use axum::extract::Request;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_request_whose_connection_was_cut_changes_nothing() {
        for (is_cut, arrivals) in [(true, 0), (false, 1)] {
            let shared = Arc::new(Shared::new());
            let connection = ConnectionHandle::default();
            if is_cut {
                connection.cut();
            }
            let request = Request::get("/api/v1/unknown/attributes");
            let request = request.body(Body::empty()).unwrap();
            respond(&shared, &connection, request).await;
            assert_eq!(
                shared.lock().arrivals.requests().total(),
                arrivals,
                "{is_cut}"
            );
        }
    }
}
