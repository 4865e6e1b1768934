//! What a device may have of one package.
//!
//! ```text
//! unchecked ──▶ reading ──▶ probing ──▶ allowed ──(ota.authorise_every)──▶ reading …
//!                  │           │──▶ refused ──(5 s)──▶ unchecked
//!                  └───────────┴──▶ failing: allowed for a while more, if it was
//! ```

use super::cache::Key;
use super::edition::EditionId;
use super::sample::Sample;
use super::{Name, Refusal};
use std::time::{Duration, Instant};

/// How long it is believed that none is, or that ThingsBoard refuses it: a device that tries again and again must
/// not become a burden for ThingsBoard, but one that waits for its package wants to hear of it.
pub(super) const REFUSED: Duration = Duration::from_secs(5);
/// How long what was known before is used without asking again, where asking has just failed: if ThingsBoard does
/// not answer at all, each try costs the device the whole of `upstream.timeout`.
pub(super) const FAILING: Duration = Duration::from_secs(30);
/// The same if nothing was known before: those who waited are told, the next may try.
pub(super) const FAILED: Duration = Duration::from_secs(1);

/// What a device may have, for one package.
#[derive(Debug)]
pub struct Permit {
    /// Which.
    pub name: Name,
    /// Which edition it may have, once it was allowed it, and when that was.
    pub allowed: Option<(EditionId, Instant)>,
    /// ThingsBoard does not let it have it.
    pub refused: Option<Failure>,
    /// The last check came to nothing.
    pub failing: Option<Failure>,
    /// The check under way.
    pub check: Option<Check>,
    /// Chunks that came under this device's token, with the number of that event: believed once a check that began
    /// later says so.
    pub unconfirmed: Vec<(Key, u64)>,
}

/// How far a check has come.
#[derive(Debug)]
pub enum Check {
    /// The attributes are read. What was read before this event does not count.
    Reading {
        /// The event's number.
        after: u64,
    },
    /// A piece of the package is asked for.
    Probing {
        /// The event's number.
        number: u64,
        /// When the check began, as the number of an event.
        since: u64,
        /// What it should be.
        sample: Option<Box<Sample>>,
    },
}

/// When something came to nothing, and what a device is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// When.
    pub at: Instant,
    /// What a device is told.
    pub why: Refusal,
}

impl Failure {
    /// So recent that there is no use in asking again. `known`: there is something to go on with until then.
    pub fn is_recent(&self, now: Instant, known: bool) -> bool {
        now < self.at + if known { FAILING } else { FAILED }
    }

    /// A word of ThingsBoard's that still holds.
    pub fn holds(&self, now: Instant) -> bool {
        now < self.at + REFUSED
    }
}

impl Permit {
    /// Nothing is known yet.
    pub fn new(name: Name) -> Permit {
        Permit {
            name,
            allowed: None,
            refused: None,
            failing: None,
            check: None,
            unconfirmed: Vec::new(),
        }
    }

    /// What was allowed has to be asked again.
    pub fn lapse(&mut self) {
        self.allowed = None;
    }

    /// The device's attributes were seen to change at this event: nothing that was found out before it counts. True
    /// if a check is under way, which reads them again.
    pub fn attributes_changed(&mut self, event: u64) -> bool {
        self.lapse();
        (self.refused, self.failing) = (None, None);
        let Some(check) = &mut self.check else {
            return false;
        };
        // A probe that is under way is not waited for.
        *check = Check::Reading { after: event };
        true
    }

    /// Nothing is under way for it.
    pub fn is_idle(&self) -> bool {
        self.check.is_none() && self.unconfirmed.is_empty()
    }

    /// ThingsBoard lets the device have this edition.
    pub fn allow(&mut self, now: Instant, edition: EditionId) {
        self.allowed = Some((edition, now));
        (self.refused, self.failing) = (None, None);
    }

    /// ThingsBoard does not let the device have it.
    pub fn refuse(&mut self, now: Instant, why: Refusal) {
        self.allowed = None;
        self.refused = Some(Failure { at: now, why });
    }

    /// ThingsBoard has said nothing about it.
    pub fn fail(&mut self, now: Instant, why: Refusal) {
        self.failing = Some(Failure { at: now, why });
    }
}

impl Check {
    /// Whether it waits for this probe.
    pub fn is_probe(&self, probe: u64) -> bool {
        match self {
            Check::Probing { number, .. } => *number == probe,
            Check::Reading { .. } => false,
        }
    }
}
