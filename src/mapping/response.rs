//! ThingsBoard's answers, and errors, into responses.

use super::path::NoRoute;
use super::representation::Representation;
use crate::relay::attribute_json::Unreadable;
use crate::upstream::{Error, Rejection, RetryAfter, RetryCause};
use bytes::Bytes;
use coap::{Code, Response};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Seconds after which a device may try again when ThingsBoard is away or overloaded.
pub(crate) const RETRY_AFTER: u32 = 30;

/// What the response to a 200 of ThingsBoard's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerKind {
    /// 2.01, empty.
    Created,
    /// The same, to a device's reply to the command with this id.
    CommandReply(u32),
    /// The response to a registration for attributes: their current values.
    Registration,
    /// 2.05 with the attributes, or 4.04 when there are none.
    Attributes,
    /// 2.05 with the reply of the rule chain.
    RpcReply,
    /// 2.01 or 4.00 with the JSON, by its `status`.
    Provisioned,
}

/// The response to a path that names no resource.
pub(super) fn no_route(error: NoRoute) -> Response {
    match error {
        NoRoute::NotFound => Response::error(Code::NOT_FOUND, "no such resource"),
        NoRoute::Malformed(why) => Response::error(Code::BAD_REQUEST, why),
    }
}

/// The response if the body of a 200 is not what it should be.
pub(crate) fn unreadable_answer() -> Response {
    let why = "ThingsBoard's reply is not the JSON it should be";
    Response::error(Code::BAD_GATEWAY, why)
}

/// The response to a registration for attributes that can't be observed.
pub(crate) fn attributes_unreadable(unreadable: Unreadable) -> Response {
    match unreadable {
        Unreadable::Malformed => unreadable_answer(),
        Unreadable::TooManyKeys => Response::error(
            Code::INTERNAL_SERVER_ERROR,
            "the device has too many shared attributes to be observed",
        ),
    }
}

/// The response to a 200 of ThingsBoard. Not to be called in the loop, since it parses a body of any size.
pub(crate) fn answered(expect: AnswerKind, body: Bytes) -> Response {
    match expect {
        AnswerKind::Created | AnswerKind::CommandReply(_) => Response::new(Code::CREATED),
        // The core responds to registrations.
        AnswerKind::Attributes | AnswerKind::Registration => attributes(body),
        AnswerKind::RpcReply => match serde_json::from_slice::<&RawValue>(&body) {
            Ok(_) => Representation::Json.content(body).with_max_age(0),
            Err(_) => unreadable_answer(),
        },
        AnswerKind::Provisioned => match status_of(&body) {
            // ThingsBoard answers failures with 200 too, and with another `status`.
            Some(status) => Response {
                code: match status == "SUCCESS" {
                    true => Code::CREATED,
                    false => Code::BAD_REQUEST,
                },
                ..Representation::Json.content(body)
            },
            None => unreadable_answer(),
        },
    }
}

/// The attributes as ThingsBoard has written them. It checks only that they are an object, and whether it is empty: numbers
/// that no double holds, lone surrogates and any depth are left to the device.
fn attributes(body: Bytes) -> Response {
    let object = body.trim_ascii();
    let members = object
        .strip_prefix(b"{")
        .and_then(|rest| rest.strip_suffix(b"}"));
    match members {
        Some(members) if members.trim_ascii().is_empty() => {
            Response::error(Code::NOT_FOUND, "the device has no such attributes").with_max_age(0)
        }
        Some(_) => Representation::Json.content(body).with_max_age(0),
        None => unreadable_answer(),
    }
}

/// The `status` of an answer to a provision request; empty if it has none, `None` if it is no object.
fn status_of(body: &[u8]) -> Option<String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(body).ok()?;
    let status = members.get("status").copied();
    let text = status.and_then(|status| serde_json::from_str::<String>(status.get()).ok());
    Some(text.unwrap_or_default())
}

fn too_many_requests() -> Response {
    Response::error(Code::TOO_MANY_REQUESTS, "too many requests of this device")
}

/// The response to a request that ThingsBoard has not answered with 200.
pub(crate) fn failed(expect: AnswerKind, error: &Error) -> Response {
    let unavailable =
        |why| Response::error(Code::SERVICE_UNAVAILABLE, why).with_max_age(RETRY_AFTER);
    match error {
        // Only a long poll elapses, and that is no request of a device.
        Error::Timeout | Error::Elapsed => {
            Response::error(Code::GATEWAY_TIMEOUT, "ThingsBoard did not answer in time")
        }
        // A rule chain that stays silent shows as 503 once ThingsBoard's own limit has passed.
        Error::Overloaded if expect == AnswerKind::RpcReply => {
            Response::error(Code::GATEWAY_TIMEOUT, "the rule chain did not answer")
        }
        // RFC 8516, and RFC 7252 §5.9.3.4: Max-Age says when to come back.
        Error::RetryAfter(RetryAfter { cause, seconds }) => match cause {
            RetryCause::RateLimited => too_many_requests().with_max_age(*seconds),
            RetryCause::NotServing => {
                unavailable("ThingsBoard is not serving requests now").with_max_age(*seconds)
            }
        },
        Error::Unreachable => unavailable("ThingsBoard can't be reached"),
        Error::Overloaded => unavailable("ThingsBoard is not serving requests now"),
        Error::Unintelligible(_) => Response::error(
            Code::BAD_GATEWAY,
            "ThingsBoard's reply could not be understood",
        ),
        Error::Rejected(rejection) => rejected(expect, *rejection),
    }
}

fn rejected(expect: AnswerKind, rejection: Rejection) -> Response {
    let server_error = || {
        Response::error(
            Code::INTERNAL_SERVER_ERROR,
            "ThingsBoard failed, or limits this device's rate",
        )
    };
    match rejection {
        Rejection::BadRequest => {
            Response::error(Code::BAD_REQUEST, "ThingsBoard rejected the request (400)")
        }
        Rejection::TokenRefused => Response::error(
            Code::UNAUTHORIZED,
            "ThingsBoard does not know the access token registered for this device",
        ),
        Rejection::Forbidden => {
            Response::error(Code::FORBIDDEN, "ThingsBoard forbids it to this device")
        }
        Rejection::TooLarge => Response::error(
            Code::REQUEST_ENTITY_TOO_LARGE,
            "the body is too large for ThingsBoard",
        ),
        Rejection::RateLimited => too_many_requests().with_max_age(RETRY_AFTER),
        Rejection::Unparsable => match expect {
            // These requests have no body.
            AnswerKind::Attributes | AnswerKind::Registration => server_error(),
            AnswerKind::Created
            | AnswerKind::CommandReply(_)
            | AnswerKind::RpcReply
            | AnswerKind::Provisioned => {
                Response::error(Code::BAD_REQUEST, "ThingsBoard can't read the payload")
            }
        },
        Rejection::Failed => server_error(),
        // A resource that ThingsBoard has is not found only where something else answers.
        Rejection::NotFound
        | Rejection::UnexpectedClientError(_)
        | Rejection::UnexpectedServerError(_) => Response::error(
            Code::BAD_GATEWAY,
            format!("unexpected HTTP status {rejection}"),
        ),
    }
}

#[cfg(test)]
mod tests;
