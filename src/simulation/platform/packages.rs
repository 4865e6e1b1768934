//! Packages and their assignments.

use super::{Platform, State, json_object};
use crate::upstream::{self, Error, Operation, Rejection};
use bytes::Bytes;
use std::time::Instant;
use thingsboard_simulator::downlink::Change;
use thingsboard_simulator::packages::{Fetched, PackageRequest};
use thingsboard_simulator::{Assignee, Package, PackageId, PackageKind, Served};

impl Platform {
    /// Defines or replaces a package. Only [`assign_package`](Self::assign_package) updates the attributes of devices.
    pub(crate) fn define_package(&mut self, id: &PackageId, package: Package) {
        let stored = package.into_stored(id).unwrap();
        self.packages.insert(id.clone(), stored).unwrap();
    }

    /// Assigns a package to a device: its shared attributes change twice, by a delete and an update.
    pub(crate) fn assign_package(&mut self, now: Instant, device: &str, id: &PackageId) {
        self.packages.assign(Assignee::Device(device), id).unwrap();
        self.update_attributes(now, device, id.kind());
    }

    /// Removes the assignment of a device.
    pub(crate) fn unassign_package(&mut self, now: Instant, device: &str, kind: PackageKind) {
        self.packages.unassign(Assignee::Device(device), kind);
        self.update_attributes(now, device, kind);
    }

    /// Counts of the requests and bytes served of a package.
    pub(crate) fn served(&self, id: &PackageId) -> Served {
        self.packages.served(id).unwrap()
    }

    fn update_attributes(&mut self, now: Instant, device: &str, kind: PackageKind) {
        self.advance_to(now);
        let changes = self.packages.attribute_changes(device, kind);
        let state = self.attributes.entry(device.to_owned()).or_default();
        state.retain(|key, _| !changes.deleted.contains(key));
        let json = |(key, value): &(String, _)| (key.clone(), format!("{value}"));
        let updated: State = changes.updated.iter().map(json).collect();
        state.extend(updated.clone());
        let deleted = Change::Deleted(changes.deleted);
        self.downlink.attributes_changed(device, deleted);
        if !updated.is_empty() {
            let updated = Change::Updated(json_object(&updated));
            self.downlink.attributes_changed(device, updated);
        }
    }

    /// The answer to a read of an assignment.
    pub(in crate::simulation) fn read_assignment(
        &mut self,
        device: &str,
        package: upstream::Package,
    ) -> Bytes {
        let mut state = self.state(device);
        let prefix = match package {
            upstream::Package::Firmware => "fw",
            upstream::Package::Software => "sw",
        };
        let keys = ["title", "version", "size", "checksum", "checksum_algorithm"];
        let keys = keys.map(|key| format!("{prefix}_{key}"));
        state.retain(|key, _| keys.contains(key));
        if self.empty_reads > 0 {
            self.empty_reads -= 1;
            state.clear();
        }
        Bytes::from(if state.is_empty() {
            "{}".to_owned()
        } else {
            format!(r#"{{"shared":{}}}"#, json_object(&state))
        })
    }

    /// The chunk of a package that the operation requests.
    pub(in crate::simulation) fn fetch(
        &mut self,
        device: &str,
        operation: &Operation,
    ) -> Result<Bytes, Error> {
        let Operation::GetPackage {
            package,
            title,
            version,
            size,
            chunk,
        } = operation
        else {
            panic!("{operation:?} fetches no package");
        };
        // Spring rejects what is no Java `int` before it calls the controller.
        let (Ok(size), Ok(chunk)) = (i32::try_from(*size), i32::try_from(*chunk)) else {
            return Err(rejected(400, true));
        };
        let request = PackageRequest {
            kind: match package {
                upstream::Package::Firmware => PackageKind::Firmware,
                upstream::Package::Software => PackageKind::Software,
            },
            title: title.to_string(),
            version: version.to_string(),
            size,
            chunk,
        };
        match self.packages.fetch(device, &request) {
            Fetched::Part { bytes, .. } => Ok(bytes),
            refused => Err(rejected(refused.status(), false)),
        }
    }
}

fn rejected(code: u16, has_text: bool) -> Error {
    Error::Rejected(Rejection::new(code, has_text))
}
