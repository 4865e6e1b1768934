//! The words of packages: what is asked for, and what comes of it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The two kinds of packages: a device can have one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageKind {
    /// `GET firmware`, and the attributes `fw_…`.
    Firmware,
    /// `GET software`, and the attributes `sw_…`.
    Software,
}

impl PackageKind {
    /// Both.
    pub const ALL: [PackageKind; 2] = [PackageKind::Firmware, PackageKind::Software];

    /// The kind as paths name it.
    pub fn name(self) -> &'static str {
        match self {
            PackageKind::Firmware => "firmware",
            PackageKind::Software => "software",
        }
    }

    /// How the attributes of this kind begin.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            PackageKind::Firmware => "fw",
            PackageKind::Software => "sw",
        }
    }
}

/// What a package goes by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageId {
    pub kind: PackageKind,
    pub title: Arc<str>,
    pub version: Arc<str>,
}

impl PackageId {
    /// The package of this kind, title and version.
    #[must_use]
    pub fn new(kind: PackageKind, title: &str, version: &str) -> PackageId {
        PackageId {
            kind,
            title: title.into(),
            version: version.into(),
        }
    }

    /// Whether it is firmware or software.
    #[must_use]
    pub fn kind(&self) -> PackageKind {
        self.kind
    }
}

/// As in a reason: `firmware "meter" "1.0"`.
impl std::fmt::Display for PackageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {:?} {:?}",
            self.kind.name(),
            self.title,
            self.version
        )
    }
}

/// Whom a package is assigned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignee<'a> {
    /// One device; its own package goes before that of all.
    Device(&'a str),
    /// Every device that has none of its own.
    All,
}

/// What was given out of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Served {
    /// Requests that were answered 200, those past the end included.
    pub requests: u64,
    /// The bytes in those answers.
    pub bytes: u64,
}

/// `GET firmware` or `GET software`, its parameters converted: Java's integers are what ThingsBoard calculates with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRequest {
    pub kind: PackageKind,
    pub title: String,
    pub version: String,
    /// Less than one stands for the whole package.
    pub size: i32,
    pub chunk: i32,
}

/// What comes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// 200 with these bytes; past the end there are none.
    Part { bytes: Bytes, file_name: Arc<str> },
    /// 404: no package of this kind, or only an external URL.
    NotFound,
    /// 400: another title or version is assigned.
    OtherAssigned,
    /// 500: the offset is beyond Java's integers.
    Failed,
}

impl Fetched {
    /// The HTTP status; but for 200 it has no body.
    pub fn status(&self) -> u16 {
        match self {
            Fetched::Part { .. } => 200,
            Fetched::NotFound => 404,
            Fetched::OtherAssigned => 400,
            Fetched::Failed => 500,
        }
    }
}
