//! The inputs and outputs of [`Packages`](super::Packages).

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
    /// Both kinds.
    pub const ALL: [PackageKind; 2] = [PackageKind::Firmware, PackageKind::Software];

    /// The kind's name in paths.
    pub fn name(self) -> &'static str {
        match self {
            PackageKind::Firmware => "firmware",
            PackageKind::Software => "software",
        }
    }

    /// The prefix of this kind's attributes.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            PackageKind::Firmware => "fw",
            PackageKind::Software => "sw",
        }
    }
}

/// Identifies a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageId {
    pub(crate) kind: PackageKind,
    pub(crate) title: Arc<str>,
    pub(crate) version: Arc<str>,
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

    /// Firmware or software.
    #[must_use]
    pub fn kind(&self) -> PackageKind {
        self.kind
    }
}

/// As in messages: `firmware "meter" "1.0"`.
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

/// The devices that a package is assigned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignee<'a> {
    /// One device; its own package has precedence over that of all.
    Device(&'a str),
    /// Every device without one of its own.
    All,
}

/// Counts what was served of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Served {
    /// Requests with status 200, those past the end included.
    pub requests: u64,
    /// The bytes in their responses.
    pub bytes: u64,
}

/// The parameters of `GET firmware` or `GET software`. The numbers are Java's `int`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRequest {
    /// Firmware or software, by the path.
    pub kind: PackageKind,
    /// The title of the requested package.
    pub title: String,
    /// Its version.
    pub version: String,
    /// The bytes of a chunk; less than one means the whole package.
    pub size: i32,
    /// The number of the chunk, from 0.
    pub chunk: i32,
}

/// The result of a [`PackageRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// 200. Past the end there are no bytes.
    Part {
        /// The body of the response.
        bytes: Bytes,
        /// For the headers `Content-Disposition` and `x-filename`.
        file_name: Arc<str>,
    },
    /// 404: no package of this kind, or one at an external URL.
    NotFound,
    /// 400: another title or version is assigned.
    OtherAssigned,
    /// 500: the offset is negative, after Java's overflow or by itself.
    Failed,
}

impl Fetched {
    /// The HTTP status. Only 200 has a body.
    pub fn status(&self) -> u16 {
        match self {
            Fetched::Part { .. } => 200,
            Fetched::NotFound => 404,
            Fetched::OtherAssigned => 400,
            Fetched::Failed => 500,
        }
    }
}
