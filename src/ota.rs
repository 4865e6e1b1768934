//! Firmware and software packages: a cache for the fleet, pure, and without state for a download.
//!
//! A device names a package, an offset and a length; block number times block size is all it takes. So it may
//! pause for a day, begin anywhere, ask in any order, or come back through another session. ThingsBoard is asked
//! in aligned chunks, each of which crosses the uplink once, whoever asks for it.
//!
//! | Part | Owns |
//! |---|---|
//! | [`packages`] | the whole: requests in, [`Effect`]s out |
//! | [`assignment`] | which package is assigned to a device, as its attributes tell |
//! | [`readers`] | what is known of each device |
//! | [`permit`] | what it may have of one package |
//! | [`checks`] | whether a device may have a package, and whether that is still the same |
//! | [`sample`] | the pieces that are compared for it |
//! | [`chunks`] | from ThingsBoard to the cache, and from there into blocks |
//! | [`edition`], [`editions`] | one content under one name: whose it is, its ETag, its length, and what contradicts it |
//! | [`proving`] | when what one device fetched may be read by others |
//! | [`seen`] | what the gateway has seen of the attributes that assign packages |
//! | [`cache`] | chunks, within the bound of `ota.cache` |
//! | [`calls`] | requests to ThingsBoard, few at a time |
//! | [`waiters`] | requests of devices that can't be answered yet |
//!
//! # The walk of one request
//!
//! ```text
//!  read ──▶ name ──▶ permitted? ──▶ bytes ──▶ is there more? ──▶ Answer
//!            │           │            │              │
//!            ▼           ▼            ▼              ▼
//!        assignment  assignment    the chunk      the next chunk
//!                     + probe         └──▶ confirmed: assignment + probe
//! ```
//!
//! Where something is missing the request waits for it, with all others that wait for the same, and walks again
//! from the beginning when it has come. Nothing waits under a timer of its own: requests to ThingsBoard end in
//! their own time.
//!
//! # Whose bytes
//!
//! Attributes are written by tenants, so title, version, checksum and length are claims, and two tenants on one gateway
//! may claim the same. An edition is therefore its owner's: the device's whose token fetched it, or that of a
//! `package_group` in the registry. Only what was hashed as a whole to a SHA-256, SHA-384 or SHA-512 is everyone's whose
//! attributes name that, and then every chunk that is fetched again must be the one that was hashed, whoever's token
//! brings it. What contradicts a proven edition ends nothing for others: the owner that was shown something else has an
//! edition of its own from then on. `tests/tenants.rs` and `tests/tenants_random.rs` have devices that lie in every way.
//!
//! How many there may be of all this, and who gives way: the table in [`shares`].
//!
//! # Who may have what
//!
//! Before a device is served it is *checked*: its attributes tell the checksum and the length that its own package
//! of this name has, and 64 bytes of the package, asked for with its own token, whether ThingsBoard lets it have
//! them. A check holds for `ota.authorise_every`. If ThingsBoard is gone by then, what is cached goes on being
//! served to it.
//!
//! # One name, one content?
//!
//! Two tenants may use the same title and version, and a package can be deleted and made anew under its name. The
//! cache therefore holds *editions*: a name, a checksum and a length. ThingsBoard says with no answer which content
//! it is from, so a chunk that came is believed only after a check that began later: then the attributes still name
//! the checksum and the length, and 64 bytes out of what the edition has already, at a place drawn by lot, are still
//! the same. For what was the same before and after was the same between. An edition has something to compare
//! from the beginning, as its first chunk is fetched before any other. Beside that:
//!
//! * A chunk that is fetched again must be the one that was served before.
//! * The lengths of chunks must agree on where the package ends.
//! * All chunks together must have the SHA-2 checksum that the attributes name.
//!
//! Any contradiction ends the edition, its chunks are dropped, and what follows has another ETag. What can't be
//! seen: a package replaced, under the same name, checksum attribute and length, by one that is the same in almost
//! all places. For packages with a checksum this needs attributes that are wrong or late (and the whole is held
//! against the checksum in the end); without one, a new package that differs in a few bytes. Also, an ETag without
//! a checksum is that of the first chunk and the length: after a restart it says no more than these.

pub mod assignment;
pub mod cache;
pub mod calls;
mod checks;
mod chunks;
mod counters;
pub mod edition;
pub mod editions;
pub mod packages;
pub mod permit;
pub mod proving;
pub mod readers;
mod sample;
pub mod seen;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod waiters;

pub use calls::CallId;
pub use counters::Counters;
pub use packages::Packages;
pub use seen::AssignmentChange;
pub use settings::Settings;

use crate::device::Device;
use crate::upstream::{Error, Operation, Package};
use bytes::Bytes;
use std::sync::Arc;

/// A package as ThingsBoard names it: of one tenant no two have the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// Firmware or software.
    pub package: Package,
    /// Its title.
    pub title: Arc<str>,
    /// Its version.
    pub version: Arc<str>,
}

/// Names a request of a device; the caller's choice, and never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(pub u64);

/// What a device wants to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Firmware or software.
    pub package: Package,
    /// `title`, if the device named one; that of the assigned package otherwise.
    pub title: Option<Arc<str>>,
    /// `version`; likewise.
    pub version: Option<Arc<str>>,
    /// `size` and `chunk`, if the device has ThingsBoard cut the package before it reads.
    pub cut: Option<Cut>,
    /// The first byte, counted in the cut.
    pub offset: u64,
    /// How many, at most. More than a chunk of `ota.chunk` are not given.
    pub length: usize,
}

/// ThingsBoard's `size` and `chunk`: as much of a package as begins at their product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Bytes. Zero stands for no cut at all.
    pub size: u64,
    /// Counted from zero.
    pub chunk: u64,
}

/// Part of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// As many bytes as were wanted, or fewer at the end. They are a copy: a slice would keep a whole chunk in
    /// memory for as long as the response is kept for duplicates.
    pub payload: Bytes,
    /// The same for as long as the content is the same.
    pub etag: [u8; 8],
    /// Whether the package (or the cut) goes on after it.
    pub more: bool,
    /// How long the package (or the cut) is, where that is known.
    pub size: Option<u64>,
}

/// Why a device gets no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
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
    /// ThingsBoard is gone or limits the rate, or too many wait already: 5.03 with Max-Age.
    Unavailable,
    /// What ThingsBoard answered makes no sense: 5.02.
    Nonsense,
}

/// What the packages want done.
#[derive(Debug)]
pub enum Effect {
    /// Ask ThingsBoard under this device's token, and report what came of it.
    Ask {
        /// Comes back with the answer.
        call: CallId,
        /// Whose token is used.
        device: Arc<Device>,
        /// What is asked.
        operation: Operation,
    },
    /// Tell a device.
    Answer(WaiterId, Result<Block, Refusal>),
}

impl Refusal {
    /// What ThingsBoard's refusal of a package means; `None` if it is no word about this device.
    fn of(error: &Error) -> Option<Refusal> {
        match error {
            Error::Rejected(status) => match status.code {
                400 => Some(Refusal::OtherPackage),
                401 => Some(Refusal::Unauthorized),
                403 => Some(Refusal::Forbidden),
                404 => Some(Refusal::NotAssigned),
                // A 500 without text is how ThingsBoard limits a device's rate.
                _ => None,
            },
            Error::Timeout
            | Error::Elapsed
            | Error::Unreachable
            | Error::Overloaded
            | Error::RetryAfter(_)
            | Error::Unintelligible(_) => None,
        }
    }

    /// What a device is told when ThingsBoard has said nothing about it.
    fn for_want_of_an_answer(error: &Error) -> Refusal {
        match error {
            Error::Unintelligible(_) => Refusal::Nonsense,
            Error::Rejected(_)
            | Error::Timeout
            | Error::Elapsed
            | Error::Unreachable
            | Error::Overloaded
            | Error::RetryAfter(_) => Refusal::Unavailable,
        }
    }
}
