//! A long poll from its arrival to its answer.

use super::{unless_closing, unseen};
use crate::clock::epoch_ms;
use crate::connection::Line;
use crate::downlink::Ended;
use crate::long_poll::{Opened, Waiting};
use crate::response::{Answer, JSON};
use crate::state::Shared;
use axum::http::StatusCode;
use std::sync::Arc;
use std::time::Duration;

/// Waits for a poll's end. The task is dropped where its client goes away, and takes [`Waiting`] with it.
pub(super) async fn poll(
    shared: &Arc<Shared>,
    line: &Line,
    pause: Duration,
    opened: Opened,
    sequence: u64,
) -> Answer {
    let waiting = Waiting::new(shared, opened);
    let end = async {
        // Whatever it is, it is told after the pause.
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        waiting.ended().await
    };
    let ended = unless_closing(shared, line, end).await;
    let Some(answer) = ended.and_then(answer) else {
        line.cut();
        return unseen();
    };
    let status = answer.status.as_u16();
    shared.lock().arrivals.poll_answered(sequence, status);
    answer
}

/// The answer to a poll; `None` where the connection breaks instead.
fn answer(ended: Ended) -> Option<Answer> {
    Some(match ended {
        Ended::Message(body) => Answer::with_body(StatusCode::OK, JSON, body),
        Ended::Elapsed => Answer::empty(StatusCode::REQUEST_TIMEOUT),
        Ended::AsyncTimeout => Answer::asynchronous_timeout(epoch_ms()),
        // The handler says that it produces JSON, so even this text is called so.
        Ended::Deleted => Answer::with_body(StatusCode::FORBIDDEN, JSON, "Device was deleted!"),
        Ended::Cut => return None,
    })
}
