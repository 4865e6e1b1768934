//! `POST /{token}/rpc`: client-side RPC, to which the rule chain replies.

use super::{Completion, Request, string_response};
use crate::json::{Exception, read};
use crate::response::HttpResponse;
use crate::state::State;
use axum::http::StatusCode;
use std::time::Duration;

/// `method` and `params` are both required, and a `params` of null counts as given. If the rule chain does not reply,
/// the shorter timeout decides: the servlet container's is 503, the transport's 408. (The transport's races with the
/// rule engine's own of 60 s, whose response would be 200 `{"error":"timeout"}`; script that reply to see it.)
pub(super) fn post(state: &mut State, request: &Request<'_>) -> Result<Completion, Exception> {
    let call = read(request.body)?;
    let method = call.get("method").ok_or(Exception::Other)?;
    let method = method.as_string().ok_or(Exception::Other)?;
    let params = call.get("params").ok_or(Exception::Other)?;
    if let Some(reply) = state.rule_chain.reply(&method, params, request.now_ms) {
        return Ok(Completion::Now(string_response(request, reply.to_string())));
    }
    let delays = state.long_polls.delays();
    Ok(if delays.request_ms <= delays.async_ms {
        let timeout = Duration::from_millis(delays.request_ms);
        Completion::After(timeout, HttpResponse::empty(StatusCode::REQUEST_TIMEOUT))
    } else {
        Completion::unanswered(state, request)
    })
}
