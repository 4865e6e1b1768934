//! Firmware and software packages: a cache for the fleet, between ThingsBoard and the devices. Sans-IO, and without state for
//! a download.
//!
//! A device requests a package, an offset and a length: block number times block size is all it takes (RFC 7959). So it may
//! pause for a day, begin anywhere, read in any order, or come back through another session. The gateway requests aligned
//! chunks of ThingsBoard, and each crosses the uplink once, whichever device needs it first.
//!
//! # One request
//!
//! ```text
//! read ──▶ which package? ──▶ may it have it? ──▶ bytes cached? ──▶ is there more? ──▶ Answer
//!               │                   │                  │                  │
//!               ▼                   ▼                  ▼                  ▼
//!          assignment      check: assignment       the chunk       the next chunk
//!                             and probe                └──▶ confirmed by a check: assignment and probe
//! ```
//!
//! Where something is missing, the request waits for the calls to ThingsBoard drawn below it, with all others that wait for
//! the same, and starts again from the left when they have ended. No request has a timer: calls end in their own time, and
//! only a verification has a deadline.
//!
//! # Files
//!
//! | File | Holds |
//! |---|---|
//! | [`package_cache`] | the whole: requests in, [`PackageEffect`]s out |
//! | `package_cache/checks.rs` | whether a device may have a package, and whether that is still the same one |
//! | `package_cache/chunks.rs` | from ThingsBoard to the cache, and from there into blocks |
//! | `package_cache/contents.rs` | how editions are added, contradicted and ended |
//! | `package_cache/verification.rs` | when other devices may have what one device fetched |
//! | [`assignment`] | the package assigned to a device, from its attributes |
//! | [`assignment_change`] | which of these attributes the relay saw change |
//! | [`downloaders`] | the devices: what is assigned to each |
//! | [`permit`] | what a device may have of one package, and how far its check has come |
//! | [`sample`] | which bytes a probe compares |
//! | [`edition`], [`editions`] | one content of a package: its owner, ETag and length, and what contradicts it |
//! | [`chunk_cache`] | cached chunks, within `ota.cache` |
//! | [`fetches`] | chunks on their way |
//! | [`calls`] | calls to ThingsBoard, few at a time |
//! | [`pending_requests`] | requests of devices that wait |
//! | [`ids`], [`settings`] | |
//!
//! # Which device may have which bytes
//!
//! *Permission.* Before a device is served it is *checked*: its attributes name its package, with a checksum and a length;
//! then 64 bytes of it are requested with the device's own token (a *probe*), which shows whether ThingsBoard lets it have
//! them. A check counts for `ota.authorise_every`. If ThingsBoard does not answer then, cached chunks are served all the same.
//!
//! *Ownership.* Attributes are written by tenants, so title, version, checksum and length are claims, and two tenants on one
//! gateway may make the same ones. So an *edition* (one content of a package) has an owner: the device whose token fetches it,
//! or the device's `package_group` in the registry. Only an edition whose whole was hashed to a SHA-256, SHA-384 or SHA-512 is
//! shared, with every device whose attributes name that; from then on each chunk that is fetched again must have the hash it had,
//! whichever token fetches it. What contradicts a verified edition ends nothing for others: the owner that was shown
//! something else has an edition of its own from then on. `tests/tenants.rs` and `tests/random_tenants.rs` have devices that
//! lie in every way.
//!
//! *Bounds.* How many there may be of everything, and what is evicted first: the table in [`shares`].
//!
//! # One name, several contents
//!
//! Two tenants may use the same title and version, and a package can be deleted and created again under its name. No answer of
//! ThingsBoard says which content it is from. So an edition is a name, a checksum and a length, and a chunk that arrives is
//! *confirmed* by a check that begins later: the attributes still name the same checksum and length, and 64 bytes that were
//! cached before, at a random place, are still the same. What was the same before and after was the same in between. An edition
//! always has something to compare, because its first chunk is fetched before any other. Besides:
//!
//! * A chunk that is fetched again must be the one that was served before.
//! * The lengths of chunks must agree on where the package ends.
//! * All chunks together must have the SHA-2 checksum that the attributes name.
//!
//! Any contradiction ends the edition: its chunks are removed, and the next one has another ETag.
//!
//! What can't be detected: a package replaced by another of the same name, checksum attribute and length that is the same in
//! almost all places. With a checksum this needs attributes that are wrong or outdated, and the whole is compared with the
//! checksum in the end; without one, a new package that differs in a few bytes. Also, without a checksum the ETag is made of
//! the first chunk and the length: after a restart it says no more than these.

pub(crate) mod assignment;
pub(crate) mod assignment_change;
pub(crate) mod calls;
pub(crate) mod chunk_cache;
mod counters;
pub(crate) mod downloaders;
pub(crate) mod edition;
pub(crate) mod editions;
pub(crate) mod fetches;
pub(crate) mod ids;
pub(crate) mod package_cache;
pub(crate) mod pending_requests;
pub(crate) mod permit;
pub(crate) mod sample;
pub(crate) mod settings;
#[cfg(test)]
mod tests;

pub(crate) use assignment_change::AssignmentChange;
pub(crate) use counters::Counters;
pub(crate) use ids::{CallId, RequestId};
pub(crate) use package_cache::PackageCache;
pub use settings::Settings;

use crate::device::Device;
use crate::upstream::{Error, Operation, Package, Rejection};
use bytes::Bytes;
use std::sync::Arc;

/// A package as ThingsBoard names it: unique for one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    pub package: Package,
    pub title: Arc<str>,
    pub version: Arc<str>,
}

/// What a device wants to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRequest {
    pub package: Package,
    /// `None`: that of the assigned package.
    pub title: Option<Arc<str>>,
    /// `None`: that of the assigned package.
    pub version: Option<Arc<str>>,
    /// The part of the package that is read, if not all.
    pub cut: Option<Cut>,
    /// The first byte, counted from the beginning of the cut.
    pub offset: u64,
    /// Bytes, at most. A block has no more than `ota.chunk`.
    pub length: usize,
}

/// ThingsBoard's `size` and `chunk`: the part of a package that begins at their product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Bytes. Zero stands for the whole package.
    pub size: u64,
    /// Counted from zero.
    pub chunk: u64,
}

/// A block of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageBlock {
    /// As many bytes as were requested, or fewer at the end. A copy: a slice would keep a whole chunk in memory for as long as
    /// the response is kept for duplicates.
    pub payload: Bytes,
    /// The same for as long as the content is the same.
    pub etag: [u8; 8],
    /// Whether the package (or the cut) goes on after it.
    pub more: bool,
    /// The length of the package (or the cut), if that is known.
    pub size: Option<u64>,
}

/// Why a device gets no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageError {
    /// No package of this kind is assigned to the device, or only an external URL: 4.04.
    NotAssigned,
    /// Another title or version is assigned: 4.00.
    OtherPackage,
    /// The package ends before this block: 4.00.
    PastTheEnd,
    /// ThingsBoard does not know the device's token: 4.01.
    Unauthorized,
    /// ThingsBoard forbids it: 4.03.
    Forbidden,
    /// ThingsBoard does not answer or limits the rate, or too many requests wait: 5.03 with Max-Age.
    Unavailable,
    /// ThingsBoard's answer could not be understood: 5.02.
    MalformedAnswer,
}

/// What the package cache wants done.
#[derive(Debug)]
pub(crate) enum PackageEffect {
    /// Call ThingsBoard with this device's token, and report the outcome.
    Call {
        call: CallId,
        device: Arc<Device>,
        operation: Operation,
    },
    /// Answer a device's request.
    Answer(RequestId, Result<PackageBlock, PackageError>),
}

impl PackageError {
    /// What it means for the device that ThingsBoard rejects a request for a package; `None` if it means nothing for it.
    pub fn of(error: &Error) -> Option<PackageError> {
        match error {
            Error::Rejected(rejection) => match rejection {
                Rejection::BadRequest => Some(PackageError::OtherPackage),
                Rejection::TokenRefused => Some(PackageError::Unauthorized),
                Rejection::Forbidden => Some(PackageError::Forbidden),
                Rejection::NotFound => Some(PackageError::NotAssigned),
                // The device's rate limit, or a failure of ThingsBoard.
                Rejection::Failed
                | Rejection::RateLimited
                | Rejection::Unparsable
                | Rejection::TooLarge
                | Rejection::UnexpectedClientError(_)
                | Rejection::UnexpectedServerError(_) => None,
            },
            Error::Timeout
            | Error::Elapsed
            | Error::Unreachable
            | Error::Overloaded
            | Error::RetryAfter(_)
            | Error::Unintelligible(_) => None,
        }
    }

    /// The error for a device when ThingsBoard gave no usable answer.
    fn unanswered(error: &Error) -> PackageError {
        match error {
            Error::Unintelligible(_) => PackageError::MalformedAnswer,
            Error::Rejected(_)
            | Error::Timeout
            | Error::Elapsed
            | Error::Unreachable
            | Error::Overloaded
            | Error::RetryAfter(_) => PackageError::Unavailable,
        }
    }
}
