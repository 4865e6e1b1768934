//! Which package is assigned to a device: ThingsBoard writes that into its shared attributes.

use super::Name;
use crate::upstream::Package;
use serde_json::{Map, Value};
use std::sync::Arc;

/// ThingsBoard takes titles and versions up to 255 characters.
const LONGEST_NAME: usize = 4 * 255;
/// ThingsBoard's answer is longer only if someone has put something else into these attributes. It is parsed in the I/O loop.
const LONGEST_ANSWER: usize = 16 * 1024;
/// A SHA-512 in hexadecimal digits.
const LONGEST_CHECKSUM: usize = 128;

/// What the attributes of a device name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// `fw_title` and `fw_version`.
    pub name: Name,
    /// `fw_checksum` and `fw_size`.
    pub identity: Identity,
}

/// A package's name, and what the attributes name to distinguish its contents.
pub(crate) type Content = (Name, Identity);

/// What distinguishes two contents of the same name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    /// `fw_checksum` and its algorithm.
    pub checksum: Option<Checksum>,
    /// `fw_size`: bytes.
    pub size: Option<u64>,
}

/// A checksum, as the attributes name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Checksum {
    /// Such as `SHA256`.
    pub algorithm: Box<str>,
    /// Hexadecimal for the algorithms that are verified; opaque otherwise.
    pub value: Box<str>,
}

/// An answer that can't be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl Assignment {
    /// Parses ThingsBoard's answer to `GET attributes`. `None`: nothing is assigned, or ThingsBoard could not read its own
    /// attributes, which looks the same.
    pub(crate) fn read(package: Package, body: &[u8]) -> Result<Option<Assignment>, Unreadable> {
        if body.len() > LONGEST_ANSWER {
            return Err(Unreadable);
        }
        let mut answer: Map<String, Value> =
            serde_json::from_slice(body).map_err(|_| Unreadable)?;
        let shared = match answer.remove("shared") {
            Some(Value::Object(shared)) => shared,
            // A scope without values is left out.
            None => return Ok(None),
            Some(_) => return Err(Unreadable),
        };
        let prefix = match package {
            Package::Firmware => "fw",
            Package::Software => "sw",
        };
        let text = |key: &str| -> Option<Box<str>> {
            let text: Box<str> = match shared.get(&format!("{prefix}_{key}"))? {
                Value::String(text) => text.as_str().into(),
                // Someone has set it by hand, and ThingsBoard has made it a number.
                Value::Number(number) => number.to_string().into(),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
            };
            (!text.is_empty() && text.len() <= LONGEST_NAME).then_some(text)
        };
        let (Some(title), Some(version)) = (text("title"), text("version")) else {
            return Ok(None);
        };
        let short = |key| text(key).filter(|text| text.len() <= LONGEST_CHECKSUM);
        let checksum = short("checksum").map(|value| Checksum {
            algorithm: short("checksum_algorithm")
                .unwrap_or_default()
                .to_ascii_uppercase()
                .into(),
            value: value.to_ascii_lowercase().into(),
        });
        Ok(Some(Assignment {
            name: Name {
                package,
                title: Arc::from(title),
                version: Arc::from(version),
            },
            identity: Identity {
                checksum,
                size: text("size").and_then(|size| size.parse().ok()),
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Option<Assignment>, Unreadable> {
        Assignment::read(Package::Firmware, body.as_bytes())
    }

    #[test]
    fn title_version_size_and_checksum_are_read() {
        let body = r#"{"shared":{"fw_title":"meter","fw_version":"1.2","fw_size":1048576,
            "fw_checksum":"ABcd","fw_checksum_algorithm":"SHA256","fw_tag":"meter 1.2"}}"#;
        let assignment = read(body).unwrap().unwrap();
        assert_eq!(
            (&*assignment.name.title, &*assignment.name.version),
            ("meter", "1.2")
        );
        assert_eq!(assignment.identity.size, Some(1_048_576));
        let checksum = assignment.identity.checksum.unwrap();
        assert_eq!((&*checksum.algorithm, &*checksum.value), ("SHA256", "abcd"));
        assert_eq!(
            Assignment::read(Package::Software, body.as_bytes()),
            Ok(None)
        );
    }

    #[test]
    fn a_title_and_a_version_are_enough_also_as_numbers() {
        let body = r#"{"shared":{"sw_title":7,"sw_version":1.10}}"#;
        let assignment = Assignment::read(Package::Software, body.as_bytes())
            .unwrap()
            .unwrap();
        assert_eq!(&*assignment.name.title, "7");
        assert_eq!(assignment.identity, Identity::default());
    }

    #[test]
    fn without_title_or_version_there_is_no_assignment() {
        let long = format!(
            r#"{{"shared":{{"fw_title":"{}","fw_version":"1"}}}}"#,
            "x".repeat(1021)
        );
        for body in [
            "{}",
            r#"{"client":{"fw_title":"a","fw_version":"1"}}"#,
            r#"{"shared":{}}"#,
            r#"{"shared":{"fw_title":"a"}}"#,
            r#"{"shared":{"fw_title":"a","fw_version":""}}"#,
            r#"{"shared":{"fw_title":"a","fw_version":null}}"#,
            r#"{"shared":{"fw_title":"a","fw_version":["1"]}}"#,
            &long,
        ] {
            assert_eq!(read(body), Ok(None), "{body}");
        }
    }

    #[test]
    fn an_answer_that_is_no_such_object_is_an_error() {
        let long = format!(
            r#"{{"shared":{{"fw_checksum":"{}"}}}}"#,
            "0".repeat(1 << 14)
        );
        for body in ["", "[]", "null", "{", r#"{"shared":[]}"#, "<html>", &long] {
            assert_eq!(read(body), Err(Unreadable), "{body}");
        }
    }
}
