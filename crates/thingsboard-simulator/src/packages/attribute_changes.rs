//! What an assignment changes in a device's shared attributes (`DefaultOtaPackageStateService.updateAttributes`).
//!
//! First a delete of the keys that the new package has no value for, then an update of the others: two changes, of which
//! a client of the HTTP API that has just been told the first one misses the second (issue 14314). ThingsBoard keeps the
//! state of an update (`fw_state`, `target_fw_…`) in the device's telemetry, which devices don't see; it isn't modelled.

use super::package::{Source, StoredPackage};
use super::{PackageId, PackageKind};
use crate::json::Element;
use std::fmt;

/// All keys of a kind, in the order of `OtaPackageKey`; `ts` and `state` are deleted though nothing sets them.
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
    /// The keys deleted first, whether or not they are there; possibly none.
    pub deleted: Vec<String>,
    /// The values set then; none where no package is assigned any more.
    pub updated: Vec<(String, Value)>,
}

/// The value of an attribute. A version `1.0` is text and stays text, however much it looks like a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Number(usize),
}

impl From<Value> for Element {
    fn from(value: Value) -> Element {
        match value {
            Value::Text(text) => Element::Text(text),
            Value::Number(number) => Element::Number(number.to_string()),
        }
    }
}

/// As JSON.
impl fmt::Display for Value {
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
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        let (size, algorithm, checksum, url) = match &package.source {
            Source::Local { bytes, checksum } => (
                Some(Value::Number(bytes.len())),
                text("SHA256"),
                text(checksum),
                None,
            ),
            Source::External(url) => (None, None, None, text(url)),
        };
        let values = [
            ("title", text(&id.title)),
            ("version", text(&id.version)),
            ("tag", package.tag.clone().map(Value::Text)),
            ("size", size),
            ("checksum_algorithm", algorithm),
            ("checksum", checksum),
            ("url", url),
        ];
        let mut announcement = AttributeChanges {
            deleted: Vec::new(),
            updated: Vec::new(),
        };
        for (key, value) in values {
            let key = attribute(id.kind, key);
            match value {
                Some(value) => announcement.updated.push((key, value)),
                None => announcement.deleted.push(key),
            }
        }
        announcement
    }
}

fn attribute(kind: PackageKind, key: &str) -> String {
    format!("{}_{key}", kind.prefix())
}
