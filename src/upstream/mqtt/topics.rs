//! ThingsBoard's MQTT topics. The short ones that end in `/j` are JSON whatever the device's profile says; claims, packages
//! and provisioning have none.

use super::super::Package;

pub(super) const TELEMETRY: &str = "v2/t/j";
/// Client attributes published, and changes of shared ones received.
pub(super) const ATTRIBUTES: &str = "v2/a/j";
pub(super) const ATTRIBUTES_REQUEST: &str = "v2/a/req/j/";
const ATTRIBUTES_RESPONSE: &str = "v2/a/res/j/";
/// Requests of either side: commands received, client-side RPCs published.
pub(super) const RPC_REQUEST: &str = "v2/r/req/j/";
pub(super) const RPC_RESPONSE: &str = "v2/r/res/j/";
/// The filter of commands.
pub(super) const COMMANDS: &str = "v2/r/req/j/+";
pub(super) const CLAIM: &str = "v1/devices/me/claim";
pub(super) const PROVISION_REQUEST: &str = "/provision/request";
const PROVISION_RESPONSE: &str = "/provision/response";
/// For software, too.
const PACKAGE_ERROR: &str = "v2/fw/error";

/// What a PUBLISH of ThingsBoard's is, by its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inbound {
    /// Changed or deleted shared attributes.
    AttributesUpdate,
    /// A command with this id.
    Command(u32),
    /// The answer to the request with this id.
    Attributes(u32),
    /// The answer to the client-side RPC with this id.
    ClientRpc(u32),
    Chunk {
        package: Package,
        /// The id of the request.
        request: u32,
        chunk: u64,
    },
    PackageError,
    Provision,
}

/// `None` for a topic that was not subscribed to.
pub(super) fn inbound(topic: &str) -> Option<Inbound> {
    match topic {
        ATTRIBUTES => return Some(Inbound::AttributesUpdate),
        PROVISION_RESPONSE => return Some(Inbound::Provision),
        PACKAGE_ERROR => return Some(Inbound::PackageError),
        _ => {}
    }
    if let Some(id) = topic.strip_prefix(RPC_REQUEST) {
        return id.parse().ok().map(Inbound::Command);
    }
    if let Some(id) = topic.strip_prefix(ATTRIBUTES_RESPONSE) {
        return id.parse().ok().map(Inbound::Attributes);
    }
    if let Some(id) = topic.strip_prefix(RPC_RESPONSE) {
        return id.parse().ok().map(Inbound::ClientRpc);
    }
    for package in [Package::Firmware, Package::Software] {
        let rest = topic.strip_prefix(package_topic(package));
        if let Some((request, chunk)) =
            rest.and_then(|rest| rest.strip_prefix("response/")?.split_once("/chunk/"))
        {
            return Some(Inbound::Chunk {
                package,
                request: request.parse().ok()?,
                chunk: chunk.parse().ok()?,
            });
        }
    }
    None
}

/// The begin of a package's topics.
pub(super) fn package_topic(package: Package) -> &'static str {
    match package {
        Package::Firmware => "v2/fw/",
        Package::Software => "v2/sw/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_says_what_a_message_is() {
        for (topic, expected) in [
            ("v2/a/j", Some(Inbound::AttributesUpdate)),
            ("v2/r/req/j/7", Some(Inbound::Command(7))),
            ("v2/a/res/j/1", Some(Inbound::Attributes(1))),
            ("v2/r/res/j/2", Some(Inbound::ClientRpc(2))),
            ("/provision/response", Some(Inbound::Provision)),
            ("v2/fw/error", Some(Inbound::PackageError)),
            (
                "v2/sw/response/5/chunk/4294967296",
                Some(Inbound::Chunk {
                    package: Package::Software,
                    request: 5,
                    chunk: 1 << 32,
                }),
            ),
            ("v2/fw/response/5/chunk/", None),
            ("v2/fw/response/5", None),
            ("v2/fw/request/5/chunk/1", None),
            ("v2/a/res/j/", None),
            ("v2/a/res/j/-1", None),
            ("v2/r/req/j/99999999999", None),
            ("v2/r/req/j/1/2", None),
            ("", None),
        ] {
            assert_eq!(inbound(topic), expected, "{topic}");
        }
    }
}
