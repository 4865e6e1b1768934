//! The resources of the device API, one row each: path, label, methods, representation, and what can be observed.

use super::representation::Representation;
use crate::downlink::Kind;
use crate::upstream::Package;
use coap::Method;
use std::sync::LazyLock;

/// What a device addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Telemetry,
    /// Also `api/v1/attributes/updates`.
    Attributes,
    Rpc {
        /// Of the command that is replied to; `None` for a client-side RPC.
        id: Option<u32>,
    },
    Claim,
    Provision,
    /// Also `api/v1/firmware` and `api/v1/software`.
    Package(Package),
    /// RFC 6690.
    WellKnownCore,
}

/// A row of the table.
struct Row {
    path: &'static str,
    /// The last segment of the path under `api/v1`.
    feature: Option<&'static str>,
    /// The value of the metrics' label `resource`.
    label: &'static str,
    methods: &'static [Method],
    /// What its responses contain.
    representation: Option<Representation>,
    observable: Option<Kind>,
    /// Whether `.well-known/core` lists it.
    is_listed: bool,
}

impl Resource {
    /// All resources, in the order of `.well-known/core`. Of the commands' replies one stands for all.
    pub const ALL: [Resource; 9] = [
        Resource::Telemetry,
        Resource::Attributes,
        Resource::Rpc { id: None },
        Resource::Claim,
        Resource::Provision,
        Resource::Package(Package::Firmware),
        Resource::Package(Package::Software),
        Resource::Rpc { id: Some(0) },
        Resource::WellKnownCore,
    ];

    const fn row(self) -> Row {
        const GET: &[Method] = &[Method::Get];
        const POST: &[Method] = &[Method::Post];
        const BOTH: &[Method] = &[Method::Get, Method::Post];
        match self {
            Resource::Telemetry => Row {
                path: "api/v1/telemetry",
                feature: Some("telemetry"),
                label: "telemetry",
                methods: POST,
                representation: None,
                observable: None,
                is_listed: true,
            },
            Resource::Attributes => Row {
                path: "api/v1/attributes",
                feature: Some("attributes"),
                label: "attributes",
                methods: BOTH,
                representation: Some(Representation::Json),
                observable: Some(Kind::Attributes),
                is_listed: true,
            },
            Resource::Rpc { id: None } => Row {
                path: "api/v1/rpc",
                feature: Some("rpc"),
                label: "rpc",
                methods: BOTH,
                representation: Some(Representation::Json),
                observable: Some(Kind::Commands),
                is_listed: true,
            },
            // ThingsBoard ignores the id of a GET.
            Resource::Rpc { id: Some(_) } => Row {
                path: "api/v1/rpc/0",
                feature: None,
                label: "rpc_reply",
                methods: BOTH,
                representation: None,
                observable: Some(Kind::Commands),
                is_listed: false,
            },
            Resource::Claim => Row {
                path: "api/v1/claim",
                feature: Some("claim"),
                label: "claim",
                methods: POST,
                representation: None,
                observable: None,
                is_listed: true,
            },
            Resource::Provision => Row {
                path: "api/v1/provision",
                feature: Some("provision"),
                label: "provision",
                methods: POST,
                representation: Some(Representation::Json),
                observable: None,
                is_listed: true,
            },
            Resource::Package(Package::Firmware) => Row {
                path: "fw",
                feature: Some("firmware"),
                label: "firmware",
                methods: GET,
                representation: Some(Representation::Bytes),
                observable: None,
                is_listed: true,
            },
            Resource::Package(Package::Software) => Row {
                path: "sw",
                feature: Some("software"),
                label: "software",
                methods: GET,
                representation: Some(Representation::Bytes),
                observable: None,
                is_listed: true,
            },
            Resource::WellKnownCore => Row {
                path: ".well-known/core",
                feature: None,
                label: "well_known_core",
                methods: GET,
                representation: Some(Representation::Links),
                observable: None,
                is_listed: false,
            },
        }
    }

    /// The value of the metrics' label `resource`.
    pub fn label(self) -> &'static str {
        self.row().label
    }

    pub fn methods(self) -> &'static [Method] {
        self.row().methods
    }

    /// What a registration for it observes.
    pub fn observable(self) -> Option<Kind> {
        self.row().observable
    }

    /// Its last path segment under `api/v1`, if it has one.
    pub(super) fn feature(self) -> Option<&'static str> {
        self.row().feature
    }

    /// The resource whose path under `api/v1` ends in this segment, in lower case.
    pub(super) fn with_feature(feature: &str) -> Option<Resource> {
        let mut all = Resource::ALL.into_iter();
        all.find(|resource| resource.feature() == Some(feature))
    }

    /// All of them in the format of RFC 6690.
    pub(super) fn links() -> &'static str {
        static LINKS: LazyLock<String> = LazyLock::new(|| {
            let rows = Resource::ALL.map(Resource::row);
            let listed = rows.iter().filter(|row| row.is_listed);
            let links = listed.map(|row| match row.representation {
                Some(format) => format!("</{}>;ct={}", row.path, format.content_format()),
                None => format!("</{}>", row.path),
            });
            links.collect::<Vec<String>>().join(",")
        });
        &LINKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::path;
    use std::collections::BTreeSet;

    #[test]
    fn each_path_and_feature_of_the_table_names_its_resource() {
        for resource in Resource::ALL {
            let resolve = |text: &str| {
                let segments: Vec<String> = text.split('/').map(str::to_owned).collect();
                path::resolve(&segments)
            };
            assert_eq!(resolve(resource.row().path), Ok(resource));
            if let Some(feature) = resource.feature() {
                assert_eq!(resolve(&format!("api/v1/{feature}")), Ok(resource));
            }
        }
        let labels: BTreeSet<&str> = Resource::ALL.map(Resource::label).into();
        assert_eq!(labels.len(), Resource::ALL.len());
    }

    #[test]
    fn links_are_in_the_format_of_rfc_6690() {
        let expected = "</api/v1/telemetry>,</api/v1/attributes>;ct=50,</api/v1/rpc>;ct=50,</api/v1/claim>,\
                        </api/v1/provision>;ct=50,</fw>;ct=42,</sw>;ct=42";
        assert_eq!(Resource::links(), expected);
    }
}
