//! Responds to a long poll.

use super::{never_sent, until_closing};
use crate::clock::epoch_ms;
use crate::connection::ConnectionHandle;
use crate::downlink::PollEnd;
use crate::long_poll::{OpenPoll, PollStarted};
use crate::response::{HttpResponse, JSON};
use crate::state::Shared;
use axum::http::StatusCode;
use std::sync::Arc;
use std::time::Duration;

/// Waits for a poll's end. Where the client goes away, hyper drops this future, and [`OpenPoll`] with it.
pub(super) async fn respond(
    shared: &Arc<Shared>,
    connection: &ConnectionHandle,
    delay: Duration,
    poll: PollStarted,
    sequence: u64,
) -> HttpResponse {
    let poll = OpenPoll::new(shared, poll);
    let end = async {
        // The poll is open from the beginning, and its response waits for the delay.
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        poll.end().await
    };
    let end = until_closing(shared, connection, end).await;
    let Some(response) = end.and_then(response) else {
        connection.cut();
        return never_sent();
    };
    let status = response.status.as_u16();
    shared.lock().arrivals.set_poll_status(sequence, status);
    response
}

/// The response to a poll; `None` where the connection is cut instead.
fn response(end: PollEnd) -> Option<HttpResponse> {
    Some(match end {
        PollEnd::Message(body) => HttpResponse::with_body(StatusCode::OK, JSON, body),
        PollEnd::Elapsed => HttpResponse::empty(StatusCode::REQUEST_TIMEOUT),
        PollEnd::AsyncTimeout => HttpResponse::asynchronous_timeout(epoch_ms()),
        // The handler declares that it produces JSON, so this text has that content type as well.
        PollEnd::Deleted => {
            HttpResponse::with_body(StatusCode::FORBIDDEN, JSON, "Device was deleted!")
        }
        PollEnd::Cut => return None,
    })
}
