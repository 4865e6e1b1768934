//! `/simulator/rpc`: what the rule chain replies to client-side RPC.

use super::extract::{Params, Segments, TextBody};
use super::{JsonLine, NO_CONTENT, NoContent, deleted};
use crate::control::Control;
use crate::rule_chain::Reply;
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) async fn list(control: Control) -> JsonLine<Value> {
    let state = control.0.lock();
    let replies = state.rule_chain.iter().map(|(method, reply)| match reply {
        Reply::Json(text) => json!({ "method": method, "reply": text }),
        Reply::Error(error) => json!({ "method": method, "error": error }),
        Reply::Silence => json!({ "method": method, "silent": true }),
    });
    JsonLine(replies.collect())
}

/// What to reply instead of the body.
#[derive(Deserialize)]
pub(super) struct Instead {
    error: Option<String>,
    silent: Option<String>,
}

pub(super) async fn set(
    control: Control,
    Segments(method): Segments<String>,
    Params(instead): Params<Instead>,
    TextBody(body): TextBody,
) -> NoContent {
    let reply = match (instead.error, instead.silent) {
        (Some(error), _) => Reply::Error(error),
        (None, Some(_)) => Reply::Silence,
        (None, None) => Reply::Json(body),
    };
    control.set_reply(&method, reply)?;
    NO_CONTENT
}

pub(super) async fn unset(control: Control, Segments(method): Segments<String>) -> NoContent {
    deleted(control.remove_reply(&method), "reply to", &method)
}
