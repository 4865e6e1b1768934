//! A model of ThingsBoard's firmware and software packages: which there are, which are assigned to which devices, and
//! the requests that fetch them. It has no socket and no clock, so it can be used in a simulated network as well.
//!
//! A device has its own package of a kind, or else the one assigned to all (in ThingsBoard: to its profile), and can
//! fetch no other. Its shared attributes name that package, and [change](AttributeChanges) with the assignment.
//!
//! Two things are less strict than in ThingsBoard, for tests of a gateway:
//!
//! * A package can be [replaced](Packages::insert). In ThingsBoard it has to be deleted, and another one uploaded with
//!   the same title and version.
//! * A firmware and a software package may have the same title and version.

mod attribute_changes;
mod package;
#[cfg(test)]
mod tests;
mod types;

use bytes::Bytes;
use std::collections::BTreeMap;

pub use attribute_changes::{AttributeChanges, AttributeValue};
pub(crate) use package::Source;
pub use package::{Package, StoredPackage};
pub use types::{Assignee, Fetched, PackageId, PackageKind, PackageRequest, Served};

/// More packages than this are refused.
const MAX_PACKAGES: usize = 1000;
/// The bytes of one package.
pub(crate) const MAX_PACKAGE_BYTES: usize = 16 * 1024 * 1024;
/// The bytes of all packages together.
const MAX_BYTES: usize = 256 * 1024 * 1024;
/// The characters of a title, a version, a tag or a URL.
const MAX_TEXT: usize = 255;

/// A package that a device downloads over MQTT. Assigning another one does not change it.
#[derive(Clone)]
pub(crate) struct OpenPackage {
    id: PackageId,
    bytes: Bytes,
}

/// Why no download begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// No package of this kind is assigned.
    NotFound,
    /// The package is at a URL elsewhere.
    External,
}

/// The assignments of one kind.
#[derive(Default)]
struct Assignments {
    all: Option<PackageId>,
    own: BTreeMap<String, PackageId>,
}

/// All packages and assignments.
#[derive(Default)]
pub struct Packages {
    packages: BTreeMap<PackageId, StoredPackage>,
    firmware: Assignments,
    software: Assignments,
    total_bytes: usize,
}

impl Packages {
    /// Adds a package, or replaces the one of that id: then its counts begin at zero, and the devices that had the old
    /// one have the new one.
    ///
    /// # Errors
    /// Too many packages, or too many bytes in all.
    pub fn insert(&mut self, id: PackageId, package: StoredPackage) -> Result<(), String> {
        let freed = match self.packages.get(&id) {
            Some(old) => old.size(),
            None if self.packages.len() >= MAX_PACKAGES => {
                return Err(format!("there are {MAX_PACKAGES} packages already"));
            }
            None => 0,
        };
        let total_bytes = (self.total_bytes + package.size()).saturating_sub(freed);
        if total_bytes > MAX_BYTES {
            return Err(format!(
                "all packages together have at most {MAX_BYTES} bytes: delete some"
            ));
        }
        self.total_bytes = total_bytes;
        self.packages.insert(id, package);
        Ok(())
    }

    /// Deletes a package that is not assigned; false if there was none.
    ///
    /// # Errors
    /// It is assigned.
    pub fn remove(&mut self, id: &PackageId) -> Result<bool, String> {
        let assignments = self.assignments(id.kind);
        if assignments
            .own
            .values()
            .chain(&assignments.all)
            .any(|assigned| assigned == id)
        {
            return Err(format!(
                "{id} is assigned: take it away from its devices first"
            ));
        }
        let Some(removed) = self.packages.remove(id) else {
            return Ok(false);
        };
        self.total_bytes = self.total_bytes.saturating_sub(removed.size());
        Ok(true)
    }

    /// Assigns a package, in place of the one before.
    ///
    /// # Errors
    /// There is no such package.
    pub fn assign(&mut self, to: Assignee<'_>, id: &PackageId) -> Result<(), String> {
        if !self.packages.contains_key(id) {
            return Err(format!("there is no {id}"));
        }
        let assignments = self.assignments_mut(id.kind);
        match to {
            Assignee::Device(name) => assignments.own.insert(name.to_owned(), id.clone()),
            Assignee::All => assignments.all.replace(id.clone()),
        };
        Ok(())
    }

    /// Removes an assignment; false if there was none.
    pub fn unassign(&mut self, from: Assignee<'_>, kind: PackageKind) -> bool {
        let assignments = self.assignments_mut(kind);
        let assigned = match from {
            Assignee::Device(name) => assignments.own.remove(name),
            Assignee::All => assignments.all.take(),
        };
        assigned.is_some()
    }

    /// Removes the assignments of a deleted device.
    pub fn delete_device(&mut self, device: &str) {
        for kind in PackageKind::ALL {
            self.unassign(Assignee::Device(device), kind);
        }
    }

    /// The package of a device: its own, or the one assigned to all.
    pub fn assigned(&self, device: &str, kind: PackageKind) -> Option<&PackageId> {
        let assignments = self.assignments(kind);
        assignments.own.get(device).or(assignments.all.as_ref())
    }

    /// The changes of a device's shared attributes for the package that it has now, or for none.
    pub fn attribute_changes(&self, device: &str, kind: PackageKind) -> AttributeChanges {
        let assigned = self.assigned(device, kind);
        match assigned.and_then(|id| Some((id, self.packages.get(id)?))) {
            Some((id, package)) => AttributeChanges::of(id, package),
            None => AttributeChanges::none(kind),
        }
    }

    /// Fetches a package or a part of it for a device, and counts what is served.
    pub fn fetch(&mut self, device: &str, request: &PackageRequest) -> Fetched {
        let Some(id) = self.assigned(device, request.kind).cloned() else {
            return Fetched::NotFound;
        };
        let Some(package) = self.packages.get_mut(&id) else {
            return Fetched::NotFound;
        };
        // An external URL is a 404 whatever the title and version: ThingsBoard checks that first.
        let Some(whole) = package.bytes() else {
            return Fetched::NotFound;
        };
        if *id.title != *request.title || *id.version != *request.version {
            return Fetched::OtherAssigned;
        }
        let Some(bytes) = part(whole, request.size, request.chunk) else {
            return Fetched::Failed;
        };
        package.count(bytes.len());
        Fetched::Part {
            bytes,
            file_name: package.file_name(),
        }
    }

    /// The package that a device would fetch, for a download over MQTT.
    ///
    /// # Errors
    /// No package is assigned, or one at an external URL.
    pub(crate) fn open(&self, device: &str, kind: PackageKind) -> Result<OpenPackage, OpenError> {
        let id = self.assigned(device, kind).ok_or(OpenError::NotFound)?;
        let package = self.packages.get(id).ok_or(OpenError::NotFound)?;
        let bytes = package.bytes().ok_or(OpenError::External)?.clone();
        Ok(OpenPackage {
            id: id.clone(),
            bytes,
        })
    }

    /// A part of a package for MQTT, which is empty past the end, and once the package was deleted or replaced. `None`
    /// where Java's offset is negative.
    pub(crate) fn fetch_part(
        &mut self,
        open: &OpenPackage,
        size: i32,
        chunk: i32,
    ) -> Option<Bytes> {
        let package = self.packages.get_mut(&open.id);
        let unchanged = |bytes: &Bytes| {
            bytes.as_ptr() == open.bytes.as_ptr() && bytes.len() == open.bytes.len()
        };
        let Some(package) = package.filter(|package| package.bytes().is_some_and(unchanged)) else {
            return Some(Bytes::new());
        };
        let bytes = part(&open.bytes, size, chunk)?;
        package.count(bytes.len());
        Some(bytes)
    }

    /// What was served of a package; `None` for an unknown one.
    pub fn served(&self, id: &PackageId) -> Option<Served> {
        Some(self.packages.get(id)?.served)
    }

    pub(crate) fn get(&self, id: &PackageId) -> Option<&StoredPackage> {
        self.packages.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&PackageId, &StoredPackage)> {
        self.packages.iter()
    }

    /// The package of the devices without one of their own.
    pub(crate) fn assigned_to_all(&self, kind: PackageKind) -> Option<&PackageId> {
        self.assignments(kind).all.as_ref()
    }

    fn assignments(&self, kind: PackageKind) -> &Assignments {
        match kind {
            PackageKind::Firmware => &self.firmware,
            PackageKind::Software => &self.software,
        }
    }

    fn assignments_mut(&mut self, kind: PackageKind) -> &mut Assignments {
        match kind {
            PackageKind::Firmware => &mut self.firmware,
            PackageKind::Software => &mut self.software,
        }
    }
}

/// `OtaPackageDataCache.get`: `size` bytes from `chunk` × `size` on, without a copy. Java's product wraps around, so an
/// offset far beyond the end may become one at the beginning. `None` where it is negative: Java throws an exception.
fn part(whole: &Bytes, size: i32, chunk: i32) -> Option<Bytes> {
    let Some(size) = usize::try_from(size).ok().filter(|size| *size > 0) else {
        return Some(whole.clone());
    };
    let offset = i32::try_from(size).ok()?.wrapping_mul(chunk);
    let from = usize::try_from(offset).ok()?.min(whole.len());
    let to = from.saturating_add(size).min(whole.len());
    Some(whole.slice(from..to))
}
