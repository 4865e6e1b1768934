//! A device's request into a request to ThingsBoard, or a response at once.
//!
//! The mapping is RFC 8075 in the other direction, and ThingsBoard's own CoAP transport where that is specific.

use super::package::Download;
use super::path::NoRoute;
use super::query;
use super::representation::{Representation, json_body, optional_json_body};
use super::resource::Resource;
use super::response::{AnswerKind, no_route};
use crate::device::Device;
use crate::ota::ReadRequest;
use crate::relay::Kind;
use crate::upstream::{self, Operation};
use bytes::Bytes;
use coap::{Code, Method, Observe, Request, Response};
use std::sync::Arc;

/// What to do about a request.
#[derive(Debug)]
pub enum Action {
    /// Send this to ThingsBoard.
    Call(AnswerKind, upstream::Request),
    Register(Kind),
    /// Read part of a package.
    Download(Download, ReadRequest),
    Respond(Response),
}

/// Bounds of what one request may carry, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// A request's body.
    pub largest_body: usize,
    /// A message with its options and payload.
    pub max_message: usize,
}

/// Maps a request of a registered device, or of a certificate that may only provision (`device` is `None`).
pub fn map(
    request: Request,
    resource: Result<Resource, NoRoute>,
    device: Option<&Arc<Device>>,
    sizes: Sizes,
) -> Action {
    let resource = match resource {
        Ok(resource) => resource,
        Err(error) => return Action::Respond(no_route(error)),
    };
    action(request, resource, device, sizes).unwrap_or_else(Action::Respond)
}

fn action(
    request: Request,
    resource: Resource,
    device: Option<&Arc<Device>>,
    sizes: Sizes,
) -> Result<Action, Response> {
    if request.conditional {
        // RFC 7252 §5.10.8: all resources exist, so If-None-Match is not met. The ETags of packages and of attributes in
        // blocks are not known before the resource is read, so an If-Match with an ETag is not compared, and not met.
        let why = "the condition in If-Match or If-None-Match is not met";
        return Err(Response::error(Code::PRECONDITION_FAILED, why));
    }
    let registered = || {
        device.cloned().ok_or_else(|| {
            let why = "this certificate is not registered at the gateway";
            Response::error(Code::UNAUTHORIZED, why)
        })
    };
    let call = |expect, operation| {
        let device = registered()?;
        let request = upstream::Request::Device { device, operation };
        Ok(Action::Call(expect, request))
    };
    if request.method == Method::Get
        && request.observe == Some(Observe::Register)
        && let Some(kind) = resource.observable()
        && device.is_some()
    {
        Representation::Json.check_accept(&request)?;
        return Ok(Action::Register(kind));
    }
    match (request.method, resource) {
        (Method::Get, Resource::WellKnownCore) => {
            Representation::Links.check_accept(&request)?;
            let links = Bytes::from_static(Resource::links().as_bytes());
            Ok(Action::Respond(Representation::Links.content(links)))
        }
        (Method::Get, Resource::Attributes) => {
            Representation::Json.check_accept(&request)?;
            let keys = |name| query::parameter(&request, name).map(str::to_owned);
            let (client_keys, shared_keys) = (keys("clientKeys"), keys("sharedKeys"));
            let operation = Operation::GetAttributes {
                client_keys,
                shared_keys,
            };
            call(AnswerKind::Attributes, operation)
        }
        (Method::Get, Resource::Package(package)) => {
            registered()?;
            let (download, wanted) = Download::read(&request, package, sizes.max_message)?;
            Ok(Action::Download(download, wanted))
        }
        (Method::Post, Resource::Telemetry) => {
            let body = json_body(request, sizes.largest_body)?;
            call(AnswerKind::Created, Operation::PostTelemetry(body))
        }
        (Method::Post, Resource::Attributes) => {
            let body = json_body(request, sizes.largest_body)?;
            call(AnswerKind::Created, Operation::PostAttributes(body))
        }
        (Method::Post, Resource::Claim) => {
            let body = optional_json_body(request, sizes.largest_body)?;
            call(AnswerKind::Created, Operation::Claim(body))
        }
        (Method::Post, Resource::Rpc { id: Some(id) }) => {
            let body = json_body(request, sizes.largest_body)?;
            call(
                AnswerKind::CommandReply(id),
                Operation::ReplyRpc { id, body },
            )
        }
        (Method::Post, Resource::Rpc { id: None }) => {
            Representation::Json.check_accept(&request)?;
            let body = json_body(request, sizes.largest_body)?;
            call(AnswerKind::RpcReply, Operation::CallRpc(body))
        }
        (Method::Post, Resource::Provision) => {
            Representation::Json.check_accept(&request)?;
            let body = json_body(request, sizes.largest_body)?;
            let provision = upstream::Request::Provision { body };
            Ok(Action::Call(AnswerKind::Provisioned, provision))
        }
        // RFC 7641 §4.1: a GET without Observe, and it is answered as the registration was.
        (Method::Get, Resource::Rpc { .. }) if request.observe == Some(Observe::Deregister) => {
            registered()?;
            Ok(Action::Respond(Response::new(Code::VALID)))
        }
        (
            Method::Get,
            Resource::Rpc { .. } | Resource::Telemetry | Resource::Claim | Resource::Provision,
        )
        | (Method::Post, Resource::WellKnownCore | Resource::Package(_))
        | (Method::Other, _) => Err(wrong_method(request.method, resource)),
    }
}

/// The response to a method that the resource does not have.
fn wrong_method(method: Method, resource: Resource) -> Response {
    let why = match (resource, resource.methods()) {
        (Resource::Rpc { .. }, _) if method == Method::Get => {
            "GET rpc is for Observe: register with Observe 0"
        }
        (_, [Method::Get]) => "this resource takes GET",
        (_, [Method::Post]) => "this resource takes POST",
        _ => "this resource takes GET and POST",
    };
    let code = match method {
        // As ThingsBoard answers a GET, which devices know; by RFC 7252 it would be 4.05.
        Method::Get => Code::BAD_REQUEST,
        Method::Post | Method::Other => Code::METHOD_NOT_ALLOWED,
    };
    Response::error(code, why)
}

#[cfg(test)]
mod tests;
