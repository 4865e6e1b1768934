//! A long poll from its arrival to its answer.

use super::{unless_closing, unseen};
use crate::clock::epoch_ms;
use crate::connection::ConnectionHandle;
use crate::downlink::PollEnd;
use crate::long_poll::{OpenPoll, PollStarted};
use crate::response::{HttpResponse, JSON};
use crate::state::Shared;
use axum::http::StatusCode;
use std::sync::Arc;
use std::time::Duration;

/// Waits for a poll's end. The task is dropped where its client goes away, and takes [`OpenPoll`] with it.
pub(super) async fn poll(
    shared: &Arc<Shared>,
    connection: &ConnectionHandle,
    pause: Duration,
    opened: PollStarted,
    sequence: u64,
) -> HttpResponse {
    let waiting = OpenPoll::new(shared, opened);
    let end = async {
        // Whatever it is, it is told after the pause.
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        waiting.ended().await
    };
    let ended = unless_closing(shared, connection, end).await;
    let Some(answer) = ended.and_then(answer) else {
        connection.cut();
        return unseen();
    };
    let status = answer.status.as_u16();
    shared.lock().arrivals.set_poll_status(sequence, status);
    answer
}

/// The answer to a poll; `None` where the connection breaks instead.
fn answer(ended: PollEnd) -> Option<HttpResponse> {
    Some(match ended {
        PollEnd::Message(body) => HttpResponse::with_body(StatusCode::OK, JSON, body),
        PollEnd::Elapsed => HttpResponse::empty(StatusCode::REQUEST_TIMEOUT),
        PollEnd::AsyncTimeout => HttpResponse::asynchronous_timeout(epoch_ms()),
        // The handler says that it produces JSON, so even this text is called so.
        PollEnd::Deleted => {
            HttpResponse::with_body(StatusCode::FORBIDDEN, JSON, "Device was deleted!")
        }
        PollEnd::Cut => return None,
    })
}
