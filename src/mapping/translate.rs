//! CoAP requests into upstream requests, upstream outcomes into CoAP responses (RFC 8075 the other
//! way round; ThingsBoard's own CoAP transport where it is specific).

use crate::device::Device;
use crate::mapping::package::Download;
use crate::mapping::resource::{NoRoute, Resource};
use crate::ota::Wanted;
use crate::relay::Kind;
use crate::relay::shared_attributes::Unreadable;
#[cfg(test)]
use crate::upstream::Answer;
use crate::upstream::{self, Error, Operation};
use bytes::Bytes;
use coap::option::content_format::{JSON, LINK_FORMAT, OCTET_STREAM, TEXT_PLAIN};
use coap::{Code, Method, Observe, Request, Response};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Seconds after which a device may try again when upstream is away or overloaded.
pub(crate) const RETRY_AFTER: u32 = 30;
/// The resources, in RFC 6690's format.
const LINKS: &str = "</api/v1/telemetry>,</api/v1/attributes>;ct=50,</api/v1/rpc>;ct=50,\
                     </api/v1/claim>,</api/v1/provision>;ct=50,</fw>;ct=42,</sw>;ct=42";

/// What becomes of a 200 from upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expect {
    /// 2.01, empty.
    Created,
    /// The same, in reply to the command of this id.
    CommandReply(u32),
    /// The state with which an observation of attributes begins.
    Registration,
    /// 2.05 with the attributes, or 4.04 when there are none.
    Attributes,
    /// 2.05 with the reply of the rule chain.
    RpcReply,
    /// 2.01 or 4.00 with the JSON, by its `status`.
    Provisioned,
}

/// What a request comes to.
#[derive(Debug)]
pub enum Translated {
    /// Ask upstream.
    Ask(Expect, upstream::Request),
    /// Observe.
    Register(Kind),
    /// Read part of a package.
    Download(Download, Wanted),
    /// Answer at once.
    Answer(Response),
}

/// What can be observed of a resource.
pub fn observable(resource: Resource) -> Option<Kind> {
    match resource {
        Resource::Attributes => Some(Kind::Attributes),
        Resource::Rpc { .. } => Some(Kind::Commands),
        Resource::Telemetry
        | Resource::Claim
        | Resource::Provision
        | Resource::Package(_)
        | Resource::WellKnownCore => None,
    }
}

/// The answer to a path that leads nowhere.
pub fn no_route(no_route: NoRoute) -> Response {
    match no_route {
        NoRoute::NotFound => Response::error(Code::NOT_FOUND, "no such resource"),
        NoRoute::Malformed(why) => Response::error(Code::BAD_REQUEST, why),
    }
}

/// Translates a request of a registered device, or of a certificate that may only provision.
/// `largest_body` is what a body may have, and `max_message` a message, in bytes.
pub fn to_upstream(
    request: Request,
    resource: Resource,
    device: Option<&Arc<Device>>,
    largest_body: usize,
    max_message: usize,
) -> Translated {
    translate(request, resource, device, largest_body, max_message)
        .unwrap_or_else(Translated::Answer)
}

fn translate(
    request: Request,
    resource: Resource,
    device: Option<&Arc<Device>>,
    largest_body: usize,
    max_message: usize,
) -> Result<Translated, Response> {
    if request.conditional {
        // RFC 7252 §5.10.8: nothing here has an ETag to match, and everything exists.
        let why = "the condition in If-Match or If-None-Match is not met";
        return Err(Response::error(Code::PRECONDITION_FAILED, why));
    }
    let registered = || {
        device.cloned().ok_or_else(|| {
            let why = "this certificate is not registered at the gateway";
            Response::error(Code::UNAUTHORIZED, why)
        })
    };
    let ask = |expect, operation| {
        let device = registered()?;
        let request = upstream::Request::Device { device, operation };
        Ok(Translated::Ask(expect, request))
    };
    if request.method == Method::Get
        && request.observe == Some(Observe::Register)
        && let Some(kind) = observable(resource)
        && device.is_some()
    {
        accepts(&request, JSON)?;
        return Ok(Translated::Register(kind));
    }
    match (request.method, resource) {
        (Method::Get, Resource::WellKnownCore) => {
            accepts(&request, LINK_FORMAT)?;
            let links = Response::content(LINK_FORMAT, Bytes::from_static(LINKS.as_bytes()));
            Ok(Translated::Answer(links))
        }
        (Method::Get, Resource::Attributes) => {
            accepts(&request, JSON)?;
            let keys = |name| query(&request, name).map(str::to_owned);
            let (client_keys, shared_keys) = (keys("clientKeys"), keys("sharedKeys"));
            let operation = Operation::GetAttributes {
                client_keys,
                shared_keys,
            };
            ask(Expect::Attributes, operation)
        }
        (Method::Get, Resource::Package(package)) => {
            registered()?;
            let (download, wanted) = Download::read(&request, package, max_message)?;
            Ok(Translated::Download(download, wanted))
        }
        (Method::Post, Resource::Telemetry) => {
            let body = body(request, largest_body)?;
            ask(Expect::Created, Operation::PostTelemetry(body))
        }
        (Method::Post, Resource::Attributes) => {
            let body = body(request, largest_body)?;
            ask(Expect::Created, Operation::PostAttributes(body))
        }
        (Method::Post, Resource::Claim) => {
            let body = optional_body(request, largest_body)?;
            ask(Expect::Created, Operation::Claim(body))
        }
        (Method::Post, Resource::Rpc { id: Some(id) }) => {
            let body = body(request, largest_body)?;
            ask(Expect::CommandReply(id), Operation::ReplyRpc { id, body })
        }
        (Method::Post, Resource::Rpc { id: None }) => {
            accepts(&request, JSON)?;
            let body = body(request, largest_body)?;
            ask(Expect::RpcReply, Operation::CallRpc(body))
        }
        (Method::Post, Resource::Provision) => {
            accepts(&request, JSON)?;
            let body = body(request, largest_body)?;
            let provision = upstream::Request::Provision { body };
            Ok(Translated::Ask(Expect::Provisioned, provision))
        }
        // RFC 7641 §4.1: a GET without Observe, and it is answered as the registration was.
        (Method::Get, Resource::Rpc { .. }) if request.observe == Some(Observe::Deregister) => {
            registered()?;
            Ok(Translated::Answer(Response::new(Code::VALID)))
        }
        // ThingsBoard says 4.00 here, where RFC 7252 would rather have 4.05; devices know ThingsBoard.
        (Method::Get, Resource::Rpc { .. }) => Err(Response::error(
            Code::BAD_REQUEST,
            "GET rpc is for Observe: register with Observe 0",
        )),
        (Method::Get, Resource::Telemetry | Resource::Claim | Resource::Provision) => {
            let why = "this resource takes POST";
            Err(Response::error(Code::BAD_REQUEST, why))
        }
        (Method::Post, Resource::WellKnownCore | Resource::Package(_)) | (Method::Other, _) => {
            let why = "this method is not served here";
            Err(Response::error(Code::METHOD_NOT_ALLOWED, why))
        }
    }
}

/// RFC 7252 §5.10.4: 4.06 if the client can't read what we would send.
pub(crate) fn accepts(request: &Request, content_format: u16) -> Result<(), Response> {
    match request.accept {
        Some(accept) if accept != content_format => Err(Response::error(
            Code::NOT_ACCEPTABLE,
            format!("only Content-Format {content_format} is served here"),
        )),
        _ => Ok(()),
    }
}

/// The value of a query parameter. As ThingsBoard takes it: several parameters may stand in one option with `&` between
/// them, and of one that comes twice the last counts.
pub(crate) fn query<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request
        .query
        .iter()
        .rev()
        .flat_map(|option| option.rsplit('&'))
        .find_map(|parameter| parameter.strip_prefix(name)?.strip_prefix('='))
}

fn body(request: Request, largest: usize) -> Result<Bytes, Response> {
    let body = optional_body(request, largest)?;
    if body.is_empty() {
        return Err(Response::error(Code::BAD_REQUEST, "the payload is missing"));
    }
    Ok(body)
}

fn optional_body(request: Request, largest: usize) -> Result<Bytes, Response> {
    if request.payload.len() > largest {
        let why = "the body is too large";
        return Err(Response {
            size1: u32::try_from(largest).ok(),
            ..Response::error(Code::REQUEST_ENTITY_TOO_LARGE, why)
        });
    }
    // ThingsBoard reads any Content-Format as JSON text; devices send it as text, bytes or JSON.
    // What says it is something else (CBOR, XML, …) is not what ThingsBoard would take it for.
    match request.content_format {
        None | Some(TEXT_PLAIN | OCTET_STREAM | JSON) => Ok(request.payload),
        Some(other) => Err(Response::error(
            Code::UNSUPPORTED_CONTENT_FORMAT,
            format!("Content-Format {other} is not understood here: send JSON (50)"),
        )),
    }
}

/// Translates what came of an upstream request.
#[cfg(test)]
fn to_response(expect: Expect, outcome: Result<Answer, Error>) -> Response {
    match outcome {
        Ok(answer) => accepted(expect, answer.body),
        Err(error) => refused(expect, &error),
    }
}

/// A 200 that is not what it should be.
pub(crate) fn nonsense() -> Response {
    let why = "ThingsBoard's reply is not the JSON it should be";
    Response::error(Code::BAD_GATEWAY, why)
}

/// The answer to a registration for attributes that can't be observed.
pub(crate) fn unreadable(unreadable: Unreadable) -> Response {
    match unreadable {
        Unreadable::Nonsense => nonsense(),
        Unreadable::TooMany => Response::error(
            Code::INTERNAL_SERVER_ERROR,
            "the device has too many shared attributes to be observed",
        ),
    }
}

/// What a 200 of upstream's becomes. Not to be called in the loop: how large the body is was chosen elsewhere.
pub(crate) fn accepted(expect: Expect, body: Bytes) -> Response {
    match expect {
        Expect::Created | Expect::CommandReply(_) => Response::new(Code::CREATED),
        // Registrations are answered by the relay.
        Expect::Attributes | Expect::Registration => attributes(body),
        Expect::RpcReply => match serde_json::from_slice::<&RawValue>(&body) {
            Ok(_) => Response::content(JSON, body).with_max_age(0),
            Err(_) => nonsense(),
        },
        Expect::Provisioned => match status_of(&body) {
            // ThingsBoard answers 200 to failures too; `status` tells.
            Some(status) => Response {
                code: match status == "SUCCESS" {
                    true => Code::CREATED,
                    false => Code::BAD_REQUEST,
                },
                ..Response::content(JSON, body)
            },
            None => nonsense(),
        },
    }
}

/// The attributes as upstream has written them: numbers that no double holds, a lone surrogate and any depth are the
/// device's affair. Only whether it is an object, and an empty one, concerns us.
fn attributes(body: Bytes) -> Response {
    let object = body.trim_ascii();
    let members = object
        .strip_prefix(b"{")
        .and_then(|rest| rest.strip_suffix(b"}"));
    match members {
        Some(members) if members.trim_ascii().is_empty() => {
            Response::error(Code::NOT_FOUND, "the device has no such attributes").with_max_age(0)
        }
        Some(_) => Response::content(JSON, body).with_max_age(0),
        None => nonsense(),
    }
}

/// The `status` of an answer to a provision request; empty if it has none, nothing if it is no object.
fn status_of(body: &[u8]) -> Option<String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(body).ok()?;
    let status = members.get("status").copied();
    let text = status.and_then(|status| serde_json::from_str::<String>(status.get()).ok());
    Some(text.unwrap_or_default())
}

fn too_many_requests() -> Response {
    Response::error(Code::TOO_MANY_REQUESTS, "too many requests of this device")
}

/// One exhaustive match: a new kind of error must be given its code here.
pub(crate) fn refused(expect: Expect, error: &Error) -> Response {
    let unavailable =
        |why| Response::error(Code::SERVICE_UNAVAILABLE, why).with_max_age(RETRY_AFTER);
    let status = match error {
        // Only a long poll elapses, and no device waits for one.
        Error::Timeout | Error::Elapsed => {
            return Response::error(Code::GATEWAY_TIMEOUT, "ThingsBoard did not answer in time");
        }
        // A rule chain that stays silent shows as 503 once ThingsBoard's own limit has passed.
        Error::Overloaded if expect == Expect::RpcReply => {
            return Response::error(Code::GATEWAY_TIMEOUT, "the rule chain did not answer");
        }
        // RFC 8516, and RFC 7252 §5.9.3.4: Max-Age says when to come back.
        Error::RetryAfter(retry_after) => {
            let response = match retry_after.code {
                429 => too_many_requests(),
                _ => unavailable("ThingsBoard is not serving requests now"),
            };
            return response.with_max_age(retry_after.seconds);
        }
        Error::Unreachable => return unavailable("ThingsBoard can't be reached"),
        Error::Overloaded => return unavailable("ThingsBoard is not serving requests now"),
        Error::Unintelligible(_) => {
            let why = "ThingsBoard's reply makes no sense";
            return Response::error(Code::BAD_GATEWAY, why);
        }
        Error::Rejected(status) => status,
    };
    match status.code {
        400 => Response::error(Code::BAD_REQUEST, "ThingsBoard calls the request bad"),
        401 => Response::error(
            Code::UNAUTHORIZED,
            "ThingsBoard does not know the access token registered for this device",
        ),
        403 => Response::error(Code::FORBIDDEN, "ThingsBoard forbids it to this device"),
        413 => Response::error(
            Code::REQUEST_ENTITY_TOO_LARGE,
            "the body is too large for ThingsBoard",
        ),
        429 => too_many_requests().with_max_age(RETRY_AFTER),
        // Bad JSON is a 500 with the parser's words; rate limits and full queues are one without.
        500 if status.has_text && !matches!(expect, Expect::Attributes | Expect::Registration) => {
            Response::error(Code::BAD_REQUEST, "ThingsBoard can't read the payload")
        }
        500 => Response::error(
            Code::INTERNAL_SERVER_ERROR,
            "ThingsBoard failed, or limits this device's rate",
        ),
        // 404 or 405 for a resource that ThingsBoard has: something else answers there.
        _ => Response::error(
            Code::BAD_GATEWAY,
            format!("unexpected HTTP status {}", status.code),
        ),
    }
}

#[cfg(test)]
mod tests;
