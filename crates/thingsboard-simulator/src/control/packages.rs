//! Firmware and software packages.

use super::{Control, ControlError, out_of_space, require_device};
use crate::packages::{Assignee, Package, PackageId, PackageKind, Packages, Served};
use crate::state::State;

impl Control {
    /// Adds a package, or replaces the one of that id. The shared attributes of devices that have it are updated, as if
    /// it had been deleted, and another one uploaded and assigned.
    ///
    /// # Errors
    /// No title or version, no bytes or more than 16 MiB, or too many packages.
    pub fn add_package(&self, id: &PackageId, package: Package) -> Result<(), ControlError> {
        // Generated and hashed before the lock is taken.
        let stored = package.into_stored(id)?;
        let mut state = self.0.lock();
        state.packages.insert(id.clone(), stored)?;
        let has_it = |name: &&String| state.packages.assigned(name, id.kind) == Some(id);
        let names = state.directory.iter().map(|(name, _)| name);
        let names: Vec<String> = names.filter(has_it).cloned().collect();
        update_package_attributes(&mut state, &names, id.kind)
    }

    /// Deletes a package; false if there was none.
    ///
    /// # Errors
    /// The package is assigned (as in ThingsBoard).
    pub fn remove_package(&self, id: &PackageId) -> Result<bool, ControlError> {
        Ok(self.0.lock().packages.remove(id)?)
    }

    /// Assigns a package. The shared attributes of each device that gets another package by this change twice: a delete
    /// of those without a value (`fw_url`, `fw_tag`), then an update of the others (`fw_title`, `fw_version`,
    /// `fw_size`, …). An open poll gets the first change only.
    ///
    /// # Errors
    /// No such package or device, or no room for the attributes: then it is assigned, but not all devices are updated.
    pub fn assign_package(&self, to: Assignee<'_>, id: &PackageId) -> Result<(), ControlError> {
        self.reassign(to, id.kind, |packages| packages.assign(to, id))
    }

    /// Removes an assignment; false if there was none. A device then has the package that is assigned to all, or none.
    ///
    /// # Errors
    /// No such device, or no room for the attributes.
    pub fn unassign_package(
        &self,
        from: Assignee<'_>,
        kind: PackageKind,
    ) -> Result<bool, ControlError> {
        self.reassign(from, kind, |packages| Ok(packages.unassign(from, kind)))
    }

    /// The package of a device: its own, or the one assigned to all. Of all: the one assigned to all.
    ///
    /// # Errors
    /// No such device.
    pub fn assigned_package(
        &self,
        assignee: Assignee<'_>,
        kind: PackageKind,
    ) -> Result<Option<PackageId>, ControlError> {
        let state = self.0.lock();
        let assigned = match assignee {
            Assignee::Device(name) => {
                require_device(&state, name)?;
                state.packages.assigned(name, kind)
            }
            Assignee::All => state.packages.assigned_to_all(kind),
        };
        Ok(assigned.cloned())
    }

    /// What was served of a package since it was added; `None` for an unknown one.
    #[must_use]
    pub fn served(&self, id: &PackageId) -> Option<Served> {
        self.0.lock().packages.served(id)
    }

    /// Changes assignments, and updates the attributes of the devices that have another package than before.
    fn reassign<T>(
        &self,
        assignee: Assignee<'_>,
        kind: PackageKind,
        change: impl FnOnce(&mut Packages) -> Result<T, String>,
    ) -> Result<T, ControlError> {
        let mut state = self.0.lock();
        let names = match assignee {
            Assignee::Device(name) => {
                require_device(&state, name)?;
                vec![name.to_owned()]
            }
            Assignee::All => state
                .directory
                .iter()
                .map(|(name, _)| name.clone())
                .collect(),
        };
        let assigned = |state: &State, name: &str| state.packages.assigned(name, kind).cloned();
        let before: Vec<_> = names.iter().map(|name| assigned(&state, name)).collect();
        let result = change(&mut state.packages)?;
        let changed = names
            .into_iter()
            .zip(before)
            .filter(|(name, before)| assigned(&state, name) != *before);
        let changed: Vec<String> = changed.map(|(name, _)| name).collect();
        update_package_attributes(&mut state, &changed, kind)?;
        Ok(result)
    }
}

fn update_package_attributes(
    state: &mut State,
    devices: &[String],
    kind: PackageKind,
) -> Result<(), ControlError> {
    for device in devices {
        state
            .update_package_attributes(device, kind)
            .map_err(out_of_space)?;
    }
    Ok(())
}
