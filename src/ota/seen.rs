//! What the gateway has seen of `fw_*` and `sw_*` among a device's shared attributes.
//!
//! Whoever relays a change to a device knows of it before [`readers`](super::readers) would ask again, and the device
//! may ask for its package at once. So what was known of its assignment ends with the change.

use super::packages::Packages;
use crate::device::Device;
use crate::upstream::Package;
use std::time::Instant;

/// For which kinds of package attributes were seen to change.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct AssignmentChange {
    firmware: bool,
    software: bool,
}

impl AssignmentChange {
    /// Any of its attributes may have changed.
    pub const ANY: AssignmentChange = AssignmentChange {
        firmware: true,
        software: true,
    };

    /// The attribute of this key was seen to change.
    pub fn add(&mut self, key: &str) {
        self.firmware |= key.starts_with("fw_");
        self.software |= key.starts_with("sw_");
    }

    /// Whether it concerns a package at all.
    pub fn is_any(self) -> bool {
        self.firmware || self.software
    }
}

impl Packages {
    /// Attributes of a device were seen to change: which package is assigned to it, and what it may have, is asked
    /// again before it is served.
    pub fn attributes_changed(&mut self, now: Instant, device: &Device, change: AssignmentChange) {
        let kinds = [
            (change.firmware, Package::Firmware),
            (change.software, Package::Software),
        ];
        for (_, package) in kinds.into_iter().filter(|(is_changed, _)| *is_changed) {
            if let Some(reader) = self.readers.find(&device.name, package) {
                self.counters.assignments_seen_to_change += 1;
                self.assignment_changed(reader);
            }
        }
        self.go_on(now);
    }
}
