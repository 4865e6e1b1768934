//! `POST /simulator/devices/{name}/rpc`: a server-side RPC, and the answer its caller gets.

use axum::http::StatusCode;

use super::super::answer::{Answer, TEXT};
use super::super::control::Control;
use super::super::downlink::CommandOutcome;
use super::{Answered, failed, input};

/// Calls a device and answers as ThingsBoard would its caller (but takes a reply that is no JSON).
pub(super) async fn answer(control: &Control, name: &str, body: &str) -> Answered {
    let rpc = input::command(body)?;
    let gone = |reason: &str| Ok(failed(StatusCode::GATEWAY_TIMEOUT, reason));
    match control.command(name, rpc).await? {
        CommandOutcome::Delivered => Ok(Answer::empty(StatusCode::OK)),
        CommandOutcome::Reply(text) => Ok(Answer::with_body(StatusCode::OK, TEXT, text)),
        CommandOutcome::TimedOut => gone("the command was sent, and no reply came in time"),
        CommandOutcome::NoActiveConnection => {
            gone("nobody polled in time: no poll took the command")
        }
        CommandOutcome::Lost => gone("ThingsBoard restarted, or stopped, and forgot the command"),
    }
}
