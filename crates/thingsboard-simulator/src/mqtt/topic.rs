//! ThingsBoard's topics.

use crate::packages::PackageKind;

/// A family of topics. `v1` and `v2` have JSON or Protobuf by the device profile; here it is always JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `v1/devices/me/…`.
    V1,
    /// `v2/…`.
    V2,
    /// `v2/…/j`: always JSON.
    Json,
    /// `v2/…/p`: always Protobuf, which the simulator does not speak.
    Protobuf,
}

/// What a PUBLISH to a topic means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    Telemetry,
    Attributes,
    AttributesRequest(Form, &'a str),
    RpcReply(&'a str),
    ClientRpc(Form, &'a str),
    Claim,
    /// A chunk of a package: its kind, the id of the download, and the number of the chunk.
    Package(PackageKind, &'a str, &'a str),
    /// A gateway's topic.
    Gateway,
    /// A topic whose payload is Protobuf.
    Protobuf,
    Unknown,
}

/// What a SUBSCRIBE to a filter means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Filter {
    Attributes(Form),
    Rpc(Form),
    /// Answers, which come without a subscription too.
    Answers,
    Unsupported,
}

pub(super) const PROVISION_REQUEST: &str = "/provision/request";
pub(super) const PROVISION_RESPONSE: &str = "/provision/response";
/// Of firmware and of software.
pub(super) const PACKAGE_ERROR: &str = "v2/fw/error";

/// Makes the target of a topic from the id at its end.
type WithId = fn(&str) -> Target<'_>;

/// Finds what a PUBLISH to this topic means. Like ThingsBoard it compares prefixes, so an id may be no number.
pub(super) fn target(topic: &str) -> Target<'_> {
    match topic {
        "v1/devices/me/telemetry" | "v2/t" | "v2/t/j" => return Target::Telemetry,
        "v1/devices/me/attributes" | "v2/a" | "v2/a/j" => return Target::Attributes,
        "v1/devices/me/claim" => return Target::Claim,
        "v2/t/p" | "v2/a/p" => return Target::Protobuf,
        _ => {}
    }
    if topic.starts_with("v1/gateway/") {
        return Target::Gateway;
    }
    let with_id: [(&str, WithId); 12] = [
        ("v1/devices/me/attributes/request/", |id| {
            Target::AttributesRequest(Form::V1, id)
        }),
        ("v2/a/req/j/", |id| {
            Target::AttributesRequest(Form::Json, id)
        }),
        ("v2/a/req/p/", |_| Target::Protobuf),
        ("v2/a/req/", |id| Target::AttributesRequest(Form::V2, id)),
        ("v1/devices/me/rpc/response/", |id| Target::RpcReply(id)),
        ("v2/r/res/j/", |id| Target::RpcReply(id)),
        ("v2/r/res/p/", |_| Target::Protobuf),
        ("v2/r/res/", |id| Target::RpcReply(id)),
        ("v1/devices/me/rpc/request/", |id| {
            Target::ClientRpc(Form::V1, id)
        }),
        ("v2/r/req/j/", |id| Target::ClientRpc(Form::Json, id)),
        ("v2/r/req/p/", |_| Target::Protobuf),
        ("v2/r/req/", |id| Target::ClientRpc(Form::V2, id)),
    ];
    for (prefix, target) in with_id {
        if let Some(id) = topic.strip_prefix(prefix) {
            return target(id);
        }
    }
    package(topic).unwrap_or(Target::Unknown)
}

/// `v2/fw/request/{digits}/chunk/{digits}`.
fn package(topic: &str) -> Option<Target<'_>> {
    let (kind, rest) = match topic.strip_prefix("v2/fw/request/") {
        Some(rest) => (PackageKind::Firmware, rest),
        None => (PackageKind::Software, topic.strip_prefix("v2/sw/request/")?),
    };
    let (id, chunk) = rest.split_once("/chunk/")?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(id) && digits(chunk)).then_some(Target::Package(kind, id, chunk))
}

/// Finds what a SUBSCRIBE to this filter means.
pub(super) fn filter(filter: &str) -> Filter {
    match filter {
        "v1/devices/me/attributes" => Filter::Attributes(Form::V1),
        "v2/a" => Filter::Attributes(Form::V2),
        "v2/a/j" => Filter::Attributes(Form::Json),
        "v2/a/p" => Filter::Attributes(Form::Protobuf),
        "v1/devices/me/rpc/request/+" => Filter::Rpc(Form::V1),
        "v2/r/req/+" => Filter::Rpc(Form::V2),
        "v2/r/req/j/+" => Filter::Rpc(Form::Json),
        "v2/r/req/p/+" => Filter::Rpc(Form::Protobuf),
        "v1/devices/me/attributes/response/+"
        | "v1/devices/me/rpc/response/+"
        | "v2/a/res/+"
        | "v2/a/res/j/+"
        | "v2/a/res/p/+"
        | "v2/r/res/+"
        | "v2/r/res/j/+"
        | "v2/r/res/p/+"
        | "v2/fw/response/+/chunk/+"
        | "v2/fw/error"
        | "v2/sw/response/+/chunk/+"
        | "v2/sw/error"
        | "v1/gateway/attributes"
        | "v1/gateway/attributes/response"
        | "v1/gateway/rpc"
        | PROVISION_RESPONSE => Filter::Answers,
        _ => Filter::Unsupported,
    }
}

/// Whether a topic matches a filter, whose only wildcards are `+`.
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    filter.split('/').all(|part| {
        levels
            .next()
            .is_some_and(|level| part == "+" || part == level)
    }) && levels.next().is_none()
}

impl Form {
    /// The topic of changes of shared attributes.
    pub(super) fn attributes(self) -> &'static str {
        match self {
            Form::V1 => "v1/devices/me/attributes",
            Form::V2 => "v2/a",
            Form::Json => "v2/a/j",
            Form::Protobuf => "v2/a/p",
        }
    }

    /// The topic of the answer to a request for attributes.
    pub(super) fn attributes_response(self, id: i32) -> String {
        match self {
            Form::V1 => format!("v1/devices/me/attributes/response/{id}"),
            Form::V2 => format!("v2/a/res/{id}"),
            Form::Json => format!("v2/a/res/j/{id}"),
            Form::Protobuf => format!("v2/a/res/p/{id}"),
        }
    }

    /// The topic of a command.
    pub(super) fn rpc_request(self, id: i32) -> String {
        match self {
            Form::V1 => format!("v1/devices/me/rpc/request/{id}"),
            Form::V2 => format!("v2/r/req/{id}"),
            Form::Json => format!("v2/r/req/j/{id}"),
            Form::Protobuf => format!("v2/r/req/p/{id}"),
        }
    }

    /// The topic of the answer to a client-side RPC.
    pub(super) fn rpc_response(self, id: i32) -> String {
        match self {
            Form::V1 => format!("v1/devices/me/rpc/response/{id}"),
            Form::V2 => format!("v2/r/res/{id}"),
            Form::Json => format!("v2/r/res/j/{id}"),
            Form::Protobuf => format!("v2/r/res/p/{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_a_form_and_an_id() {
        for (topic, expected) in [
            ("v2/t/j", Target::Telemetry),
            ("v2/a/req/j/7", Target::AttributesRequest(Form::Json, "7")),
            ("v2/a/req/7", Target::AttributesRequest(Form::V2, "7")),
            (
                "v1/devices/me/attributes/request/x",
                Target::AttributesRequest(Form::V1, "x"),
            ),
            ("v2/r/res/j/1", Target::RpcReply("1")),
            ("v2/r/req/1", Target::ClientRpc(Form::V2, "1")),
            ("v2/r/req/p/1", Target::Protobuf),
            ("v1/gateway/telemetry", Target::Gateway),
            (
                "v2/sw/request/12/chunk/0",
                Target::Package(PackageKind::Software, "12", "0"),
            ),
            ("v2/fw/request/x/chunk/0", Target::Unknown),
            ("v2/fw/request/1/chunk/-1", Target::Unknown),
            ("", Target::Unknown),
        ] {
            assert_eq!(target(topic), expected, "{topic}");
        }
    }

    #[test]
    fn a_plus_stands_for_one_level() {
        assert!(matches("v2/r/req/j/+", "v2/r/req/j/12"));
        assert!(matches("v2/a/j", "v2/a/j"));
        assert!(!matches("v2/r/req/+", "v2/r/req/j/12"));
        assert!(!matches("v2/r/req/j/+", "v2/r/req/j"));
    }
}
