//! The changes of a device's shared attributes by an assignment (`DefaultOtaPackageStateService.updateAttributes`).
//!
//! First the keys without a value in the new package are deleted, then the others are updated. A client of the HTTP API
//! that polls gets the first change and misses the second (ThingsBoard's issue 14314). ThingsBoard also keeps the state
//! of an update (`fw_state`, `target_fw_…`) in the device's telemetry, which devices cannot read; that is not modelled.

use super::package::{Source, StoredPackage};
use super::{PackageId, PackageKind};
use crate::json::Element;
use std::fmt;

/// All keys of a kind, in the order of `OtaPackageKey`; `ts` and `state` are deleted although nothing sets them.
const KEYS: [&str; 9] = [
    "title",
    "version",
    "ts",
    "state",
    "size",
    "checksum",
    "checksum_algorithm",
    "url",
    "tag",
];

/// A change of shared attributes, in two steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeChanges {
    /// The keys that are deleted first, whether or not they exist; possibly none.
    pub deleted: Vec<String>,
    /// The values that are set then; none if no package is assigned any more.
    pub updated: Vec<(String, AttributeValue)>,
}

/// The value of an attribute. A version `1.0` is text, although it looks like a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// A title, a version, a checksum and the like.
    Text(String),
    /// A size in bytes.
    Number(usize),
}

impl From<AttributeValue> for Element {
    fn from(value: AttributeValue) -> Element {
        match value {
            AttributeValue::Text(text) => Element::Text(text),
            AttributeValue::Number(number) => Element::Number(number.to_string()),
        }
    }
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Element::from(self.clone()))
    }
}

impl AttributeChanges {
    /// For a device that has no package of this kind any more.
    pub(super) fn none(kind: PackageKind) -> AttributeChanges {
        AttributeChanges {
            deleted: KEYS.map(|key| attribute(kind, key)).into(),
            updated: Vec::new(),
        }
    }

    /// For a device that has this package from now on.
    pub(super) fn of(id: &PackageId, package: &StoredPackage) -> AttributeChanges {
        let text = |text: &str| Some(AttributeValue::Text(text.to_owned()));
        let (size, algorithm, checksum, url) = match &package.source {
            Source::Local { bytes, checksum } => (
                Some(AttributeValue::Number(bytes.len())),
                text("SHA256"),
                text(checksum),
                None,
            ),
            Source::External(url) => (None, None, None, text(url)),
        };
        let values = [
            ("title", text(&id.title)),
            ("version", text(&id.version)),
            ("tag", package.tag.clone().map(AttributeValue::Text)),
            ("size", size),
            ("checksum_algorithm", algorithm),
            ("checksum", checksum),
            ("url", url),
        ];
        let mut changes = AttributeChanges {
            deleted: Vec::new(),
            updated: Vec::new(),
        };
        for (key, value) in values {
            let key = attribute(id.kind, key);
            match value {
                Some(value) => changes.updated.push((key, value)),
                None => changes.deleted.push(key),
            }
        }
        changes
    }
}

fn attribute(kind: PackageKind, key: &str) -> String {
    format!("{}_{key}", kind.prefix())
}
