//! `POST /{token}/rpc`: a call from the device, answered by the rule chain.

use super::{Completion, HandlerError, Request, string_answer};
use crate::json::read;
use crate::response::HttpResponse;
use crate::state::State;
use axum::http::StatusCode;
use std::time::Duration;

/// `method` and `params` are both required, and a `params` of null counts as given. Where the rule chain is silent
/// the shorter timeout wins: the servlet container's is 503, the transport's 408. (The transport's races with the
/// rule engine's own of 60 s, which would answer 200 `{"error":"timeout"}`; script that reply to see it.)
pub(super) fn post(state: &mut State, request: &Request<'_>) -> Result<Completion, HandlerError> {
    let call = read(request.body)?;
    let method = call.get("method").ok_or(HandlerError::Other)?;
    let method = method.as_string().ok_or(HandlerError::Other)?;
    let params = call.get("params").ok_or(HandlerError::Other)?;
    if let Some(reply) = state.rule_chain.reply(&method, params, request.now_ms) {
        return Ok(Completion::Now(string_answer(request, reply.to_string())));
    }
    let delays = state.long_polls.delays();
    Ok(if delays.request_ms <= delays.async_ms {
        let waits = Duration::from_millis(delays.request_ms);
        Completion::After(waits, HttpResponse::empty(StatusCode::REQUEST_TIMEOUT))
    } else {
        // The timestamp is that of the end, as far as it can be told now.
        let end_ms = request.now_ms.saturating_add(delays.async_ms);
        let waits = Duration::from_millis(delays.async_ms);
        Completion::After(waits, HttpResponse::asynchronous_timeout(end_ms))
    })
}
