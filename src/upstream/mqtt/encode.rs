//! Writes an operation as an MQTT message: its topic and its payload.

use super::super::thingsboard::assignment_keys;
use super::super::{Error, Operation, Package, Request};
use super::topics::{self, Inbound};
use super::validate;
use bytes::Bytes;
use std::borrow::Cow;

/// The longest answer that is read, in bytes: as over HTTP.
pub(super) const LARGEST_ANSWER: usize = 256 * 1024;

/// A checked message for ThingsBoard. It has no `Debug`: payloads may carry secrets.
#[derive(Clone)]
pub(super) struct Outgoing {
    pub(super) target: Target,
    pub(super) payload: Bytes,
    /// The longest answer that makes sense, in bytes.
    pub(super) largest_answer: usize,
}

/// Where a message goes, without the number that the connection gives to its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Telemetry,
    Attributes,
    Claim,
    /// The reply to the command with this id.
    CommandReply(u32),
    ReadAttributes,
    ClientRpc,
    Chunk {
        package: Package,
        chunk: u64,
    },
    Provision,
}

/// Whether a request has a body that does not fit a packet of MQTT.
pub(in crate::upstream) fn is_too_large(request: &Request) -> bool {
    let (target, body) = match request {
        Request::Provision { body } => (Target::Provision, body),
        Request::Device { operation, .. } => match operation {
            Operation::PostTelemetry(body) => (Target::Telemetry, body),
            Operation::PostAttributes(body) => (Target::Attributes, body),
            Operation::Claim(body) => (Target::Claim, body),
            Operation::ReplyRpc { id, body } => (Target::CommandReply(*id), body),
            Operation::CallRpc(body) => (Target::ClientRpc, body),
            Operation::GetAttributes { .. }
            | Operation::ReadAttributes
            | Operation::ReadAssignment(_)
            | Operation::GetPackage { .. }
            | Operation::PollRpc { .. }
            | Operation::PollAttributes { .. } => return false,
        },
    };
    validate::check_size(&target.topic(u32::MAX), body.len()).is_err()
}

impl Outgoing {
    /// Checks and encodes an operation. To be called in the call's task: it reads the whole body.
    pub(super) fn new(operation: &Operation) -> Result<Outgoing, Error> {
        validate::check(operation)?;
        let (target, payload) = match operation {
            Operation::PostTelemetry(body) => (Target::Telemetry, body.clone()),
            Operation::PostAttributes(body) => (Target::Attributes, body.clone()),
            Operation::Claim(body) => (Target::Claim, body.clone()),
            Operation::ReplyRpc { id, body } => (Target::CommandReply(*id), body.clone()),
            Operation::CallRpc(body) => (Target::ClientRpc, body.clone()),
            Operation::GetAttributes {
                client_keys,
                shared_keys,
            } => {
                let keys = key_lists(client_keys.as_deref(), shared_keys.as_deref());
                (Target::ReadAttributes, keys)
            }
            // Without keys all of both scopes are read.
            Operation::ReadAttributes => (Target::ReadAttributes, Bytes::from_static(b"{}")),
            Operation::ReadAssignment(package) => {
                let keys = key_lists(None, Some(assignment_keys(*package)));
                (Target::ReadAttributes, keys)
            }
            Operation::GetPackage {
                package,
                size,
                chunk,
                ..
            } => {
                let (package, chunk) = (*package, *chunk);
                let size = Bytes::from(size.to_string());
                (Target::Chunk { package, chunk }, size)
            }
            Operation::PollRpc { .. } | Operation::PollAttributes { .. } => {
                return Err(Error::Unintelligible("there are no long polls over MQTT"));
            }
        };
        let largest_answer = match operation {
            Operation::GetPackage { size, .. } => usize::try_from(*size).ok(),
            Operation::PostTelemetry(_)
            | Operation::PostAttributes(_)
            | Operation::Claim(_)
            | Operation::GetAttributes { .. }
            | Operation::ReplyRpc { .. }
            | Operation::CallRpc(_)
            | Operation::PollRpc { .. }
            | Operation::PollAttributes { .. }
            | Operation::ReadAttributes
            | Operation::ReadAssignment(_) => None,
        };
        let largest_answer = largest_answer.unwrap_or(LARGEST_ANSWER);
        Outgoing::checked(target, payload, largest_answer)
    }

    /// Checks and encodes a provision request.
    pub(super) fn provision(body: Bytes) -> Result<Outgoing, Error> {
        validate::check_provision(&body)?;
        Outgoing::checked(Target::Provision, body, LARGEST_ANSWER)
    }

    fn checked(target: Target, payload: Bytes, largest_answer: usize) -> Result<Outgoing, Error> {
        // The longest number that a request may get.
        validate::check_size(&target.topic(u32::MAX), payload.len())?;
        Ok(Outgoing {
            target,
            payload,
            largest_answer,
        })
    }
}

impl Target {
    /// The topic of the request with this number, from 1 to 2³¹ - 1.
    pub(super) fn topic(self, request: u32) -> Cow<'static, str> {
        let numbered = |begin: &str, number: u32| format!("{begin}{number}").into();
        match self {
            Target::Telemetry => topics::TELEMETRY.into(),
            Target::Attributes => topics::ATTRIBUTES.into(),
            Target::Claim => topics::CLAIM.into(),
            Target::CommandReply(id) => numbered(topics::RPC_RESPONSE, id),
            Target::ReadAttributes => numbered(topics::ATTRIBUTES_REQUEST, request),
            Target::ClientRpc => numbered(topics::RPC_REQUEST, request),
            Target::Chunk { package, chunk } => {
                let begin = topics::package_topic(package);
                format!("{begin}request/{request}/chunk/{chunk}").into()
            }
            Target::Provision => topics::PROVISION_REQUEST.into(),
        }
    }

    /// Whether a PUBLISH follows the PUBACK.
    pub(super) fn has_answer(self) -> bool {
        match self {
            Target::Telemetry | Target::Attributes | Target::Claim | Target::CommandReply(_) => {
                false
            }
            Target::ReadAttributes
            | Target::ClientRpc
            | Target::Chunk { .. }
            | Target::Provision => true,
        }
    }

    /// Whether this is the answer to the request with this number.
    pub(super) fn is_answered_by(self, request: u32, inbound: Inbound) -> bool {
        match (self, inbound) {
            (Target::ReadAttributes, Inbound::Attributes(answered))
            | (Target::ClientRpc, Inbound::ClientRpc(answered)) => answered == request,
            (
                Target::Chunk { package, chunk },
                Inbound::Chunk {
                    package: of_package,
                    request: answered,
                    chunk: of_chunk,
                },
            ) => (package, request, chunk) == (of_package, answered, of_chunk),
            (Target::Provision, Inbound::Provision) => true,
            _ => false,
        }
    }
}

/// `{"clientKeys":"a,b","sharedKeys":"c"}`. Lists without keys are left out: ThingsBoard would not answer.
fn key_lists(client: Option<&str>, shared: Option<&str>) -> Bytes {
    let members: Vec<String> = [("clientKeys", client), ("sharedKeys", shared)]
        .into_iter()
        .filter_map(|(name, list)| {
            let keys: Vec<&str> = list?.split(',').filter(|key| !key.is_empty()).collect();
            let list = serde_json::Value::from(keys.join(","));
            (!keys.is_empty()).then(|| format!("\"{name}\":{list}"))
        })
        .collect();
    Bytes::from(format!("{{{}}}", members.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{AccessToken, Device};
    use crate::upstream::Rejection;
    use std::sync::Arc;
    use std::time::Duration;

    fn encoded(operation: &Operation) -> (String, String) {
        let outgoing = Outgoing::new(operation).unwrap();
        let payload = String::from_utf8(outgoing.payload.to_vec()).unwrap();
        (outgoing.target.topic(9).into_owned(), payload)
    }

    #[test]
    fn every_operation_has_its_topic_and_payload() {
        let body = Bytes::from_static(b"{method:m}");
        let text = "{method:m}";
        let package = |package, size, chunk| Operation::GetPackage {
            package,
            title: "t".into(),
            version: "v".into(),
            size,
            chunk,
        };
        let assignment = "fw_title,fw_version,fw_size,fw_checksum,fw_checksum_algorithm".to_owned();
        for (operation, topic, payload) in [
            (Operation::PostTelemetry(body.clone()), "v2/t/j", text),
            (Operation::PostAttributes(body.clone()), "v2/a/j", text),
            (Operation::Claim(Bytes::new()), "v1/devices/me/claim", ""),
            (
                Operation::ReplyRpc {
                    id: 17,
                    body: body.clone(),
                },
                "v2/r/res/j/17",
                text,
            ),
            (Operation::CallRpc(body), "v2/r/req/j/9", text),
            (Operation::ReadAttributes, "v2/a/req/j/9", "{}"),
            (
                Operation::ReadAssignment(Package::Firmware),
                "v2/a/req/j/9",
                &format!("{{\"sharedKeys\":\"{assignment}\"}}"),
            ),
            (
                package(Package::Firmware, 65_536, 0),
                "v2/fw/request/9/chunk/0",
                "65536",
            ),
            (
                package(Package::Software, 1, 1 << 40),
                "v2/sw/request/9/chunk/1099511627776",
                "1",
            ),
        ] {
            assert_eq!(encoded(&operation), (topic.to_owned(), payload.to_owned()));
        }
        let poll = Operation::PollRpc {
            timeout: Duration::from_secs(1),
        };
        assert!(matches!(
            Outgoing::new(&poll),
            Err(Error::Unintelligible(_))
        ));
    }

    #[test]
    fn key_lists_without_keys_are_left_out() {
        let get = |client: Option<&str>, shared: Option<&str>| {
            let operation = Operation::GetAttributes {
                client_keys: client.map(str::to_owned),
                shared_keys: shared.map(str::to_owned),
            };
            encoded(&operation).1
        };
        assert_eq!(get(None, None), "{}");
        assert_eq!(get(Some(""), Some(",,")), "{}");
        assert_eq!(get(Some("a,b"), None), r#"{"clientKeys":"a,b"}"#);
        assert_eq!(
            get(Some(",a\"b, c,"), Some("d")),
            r#"{"clientKeys":"a\"b, c","sharedKeys":"d"}"#
        );
    }

    #[test]
    fn an_answer_belongs_to_the_request_with_its_number() {
        let chunk = |package, chunk| Target::Chunk { package, chunk };
        let answer = |request, chunk| Inbound::Chunk {
            package: Package::Firmware,
            request,
            chunk,
        };
        let firmware = chunk(Package::Firmware, 3);
        assert!(firmware.is_answered_by(9, answer(9, 3)));
        assert!(!firmware.is_answered_by(9, answer(9, 4)));
        assert!(!firmware.is_answered_by(8, answer(9, 3)));
        assert!(!chunk(Package::Software, 3).is_answered_by(9, answer(9, 3)));
        assert!(Target::ReadAttributes.is_answered_by(1, Inbound::Attributes(1)));
        assert!(!Target::ReadAttributes.is_answered_by(1, Inbound::ClientRpc(1)));
        assert!(!Target::Telemetry.is_answered_by(1, Inbound::Attributes(1)));
    }

    #[test]
    fn a_body_that_does_not_fit_a_packet_is_too_large() {
        for (length, expected) in [
            (65_536 - 5 - 6, Ok(())),
            (65_536 - 5 - 5, Err(Error::Rejected(Rejection::TooLarge))),
        ] {
            let operation = Operation::PostTelemetry(vec![b' '; length].into());
            let outcome = Outgoing::new(&operation).map(|_| ());
            assert_eq!(outcome, expected);
            let device = Arc::new(Device {
                name: "d".into(),
                token: AccessToken::new("t").unwrap(),
            });
            let request = Request::Device { device, operation };
            assert_eq!(is_too_large(&request), expected.is_err());
        }
    }
}
