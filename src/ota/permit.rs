//! What a device may have of one package.
//!
//! ```text
//! unchecked ──▶ reading attributes ──▶ probing ──▶ allowed ──(ota.authorise_every)──▶ reading attributes …
//!                  │           │──▶ refused ──(5 s)──▶ unchecked
//!                  └───────────┴──▶ failing: allowed for 30 s more, if it was allowed before
//! ```

use super::ids::{ChunkKey, EditionId};
use super::sample::Sample;
use super::{Name, PackageError};
use std::time::{Duration, Instant};

/// How long ThingsBoard's refusal counts, and that no package is assigned: a device that tries again and again must not become
/// a burden for ThingsBoard, but one that waits for its package is to get it soon.
pub(super) const REFUSED_FOR: Duration = Duration::from_secs(5);
/// How long what was known before is used after a failure, without trying again: if ThingsBoard does not answer at all, each
/// try costs the device the whole of `upstream.timeout`.
pub(super) const FAILING_FOR: Duration = Duration::from_secs(30);
/// The same if nothing was known before: the waiting requests are refused, and the next may try.
pub(super) const FAILING_UNKNOWN_FOR: Duration = Duration::from_secs(1);

/// What a device may have, for one package.
#[derive(Debug)]
pub(crate) struct Permit {
    pub name: Name,
    /// The edition that it may have, and when that was found out.
    pub allowed: Option<(EditionId, Instant)>,
    /// ThingsBoard does not let it have the package.
    pub refused: Option<Failure>,
    /// The last check failed.
    pub failing: Option<Failure>,
    /// The check in progress.
    pub check: Option<Check>,
    /// Chunks that arrived under this device's token, with the number of that event: confirmed by a check that begins later.
    pub unconfirmed: Vec<(ChunkKey, u64)>,
}

/// How far a check has come.
#[derive(Debug)]
pub(crate) enum Check {
    /// The attributes are read.
    ReadingAttributes {
        /// A read before this event does not count.
        after: u64,
    },
    /// A piece of the package is requested.
    Probing {
        number: u64,
        /// The number of the event at which the check began.
        since: u64,
        /// The piece as it is cached.
        sample: Option<Box<Sample>>,
    },
}

/// When something failed, and the error for the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub at: Instant,
    pub error: PackageError,
}

impl Failure {
    /// Whether it is too early to try again. `known`: something is known from before that can be used until then.
    pub(crate) fn is_recent(&self, now: Instant, known: bool) -> bool {
        let keeps = if known {
            FAILING_FOR
        } else {
            FAILING_UNKNOWN_FOR
        };
        now < self.at + keeps
    }

    /// Whether ThingsBoard's refusal still counts.
    pub(crate) fn is_valid(&self, now: Instant) -> bool {
        now < self.at + REFUSED_FOR
    }
}

impl Permit {
    pub(crate) fn new(name: Name) -> Permit {
        Permit {
            name,
            allowed: None,
            refused: None,
            failing: None,
            check: None,
            unconfirmed: Vec::new(),
        }
    }

    /// Takes the permission back, until the next check.
    pub(crate) fn revoke(&mut self) {
        self.allowed = None;
    }

    /// The device's attributes were seen to change at this event: nothing that was found out before it counts. Returns whether
    /// a check is in progress, which reads them again.
    pub(crate) fn attributes_changed(&mut self, event: u64) -> bool {
        self.revoke();
        (self.refused, self.failing) = (None, None);
        let Some(check) = &mut self.check else {
            return false;
        };
        // The end of a probe in flight will be ignored.
        *check = Check::ReadingAttributes { after: event };
        true
    }

    /// Whether there is neither a check in progress nor a chunk to confirm.
    pub(crate) fn is_idle(&self) -> bool {
        self.check.is_none() && self.unconfirmed.is_empty()
    }

    /// ThingsBoard lets the device have this edition.
    pub(crate) fn allow(&mut self, now: Instant, edition: EditionId) {
        self.allowed = Some((edition, now));
        (self.refused, self.failing) = (None, None);
    }

    /// ThingsBoard does not let the device have the package.
    pub(crate) fn refuse(&mut self, now: Instant, error: PackageError) {
        self.allowed = None;
        self.refused = Some(Failure { at: now, error });
    }

    /// ThingsBoard did not answer, or not intelligibly.
    pub(crate) fn fail(&mut self, now: Instant, error: PackageError) {
        self.failing = Some(Failure { at: now, error });
    }
}

impl Check {
    /// Whether it waits for this probe.
    pub(crate) fn is_probe(&self, probe: u64) -> bool {
        match self {
            Check::Probing { number, .. } => *number == probe,
            Check::ReadingAttributes { .. } => false,
        }
    }
}
