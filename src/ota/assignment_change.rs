//! Which of the attributes that assign packages (`fw_*` and `sw_*`) were seen to change.
//!
//! The relay sees a change before [`downloaders`](super::downloaders) would read the attributes again, and a device that is
//! notified of it may request its package at once. So with the change the known assignment is no longer used.

use crate::upstream::Package;

/// For which kinds of package attributes were seen to change.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AssignmentChange {
    firmware: bool,
    software: bool,
}

impl AssignmentChange {
    /// Any of the device's attributes may have changed.
    pub(crate) const ANY: AssignmentChange = AssignmentChange {
        firmware: true,
        software: true,
    };

    /// Adds the change of the attribute of this key.
    pub(crate) fn add(&mut self, key: &str) {
        self.firmware |= key.starts_with("fw_");
        self.software |= key.starts_with("sw_");
    }

    /// Whether any attribute that assigns a package has changed.
    pub(crate) fn is_any(self) -> bool {
        self.firmware || self.software
    }

    /// The kinds of package that may be assigned otherwise now.
    pub(crate) fn packages(self) -> impl Iterator<Item = Package> {
        let kinds = [
            (self.firmware, Package::Firmware),
            (self.software, Package::Software),
        ];
        kinds
            .into_iter()
            .filter(|(is_changed, _)| *is_changed)
            .map(|(_, package)| package)
    }
}
