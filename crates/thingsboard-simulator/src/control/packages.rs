//! Firmware and software packages: what there is, who has it assigned, and how much of it was served.

use super::{Control, ControlError, out_of_space, require_device};
use crate::packages::{Assignee, Package, PackageId, PackageKind, Packages, Served};
use crate::state::State;

impl Control {
    /// Defines a package, or replaces the one of that name. Devices that have it assigned are told in their shared
    /// attributes, as if someone had deleted it and had uploaded and assigned another.
    ///
    /// # Errors
    /// No title or version, no bytes or more than 16 MiB, or too many packages.
    pub fn add_package(&self, id: &PackageId, package: Package) -> Result<(), ControlError> {
        // Made and hashed before others have to wait for the lock.
        let stored = package.into_stored(id)?;
        let mut state = self.0.lock();
        state.packages.insert(id.clone(), stored)?;
        let has_it = |name: &&String| state.packages.assigned(name, id.kind) == Some(id);
        let names = state.directory.iter().map(|(name, _)| name);
        let names: Vec<String> = names.filter(has_it).cloned().collect();
        update_package_attributes(&mut state, &names, id.kind)
    }

    /// Deletes a package; false if there was none of that name.
    ///
    /// # Errors
    /// It is assigned (as in ThingsBoard).
    pub fn remove_package(&self, id: &PackageId) -> Result<bool, ControlError> {
        Ok(self.0.lock().packages.remove(id)?)
    }

    /// Assigns a package. Each device that is served another one by this is told in its shared attributes: a delete of
    /// those that are stale (`fw_url`, `fw_tag`), then an update of the others (`fw_title`, `fw_version`, `fw_size`, …),
    /// of which a poll that is open now gets the first alone.
    ///
    /// # Errors
    /// No such package or device, or no room for the attributes: then it is assigned, but not all are told.
    pub fn assign_package(&self, to: Assignee<'_>, id: &PackageId) -> Result<(), ControlError> {
        self.reassign(to, id.kind, |packages| packages.assign(to, id))
    }

    /// Takes an assignment away; false if there was none. A device is then served the package that all have, or none.
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

    /// What a device is served, its own package or that of all; or what all are served that have none of their own.
    ///
    /// # Errors
    /// No such device.
    pub fn assigned_package(
        &self,
        whom: Assignee<'_>,
        kind: PackageKind,
    ) -> Result<Option<PackageId>, ControlError> {
        let state = self.0.lock();
        let assigned = match whom {
            Assignee::Device(name) => {
                require_device(&state, name)?;
                state.packages.assigned(name, kind)
            }
            Assignee::All => state.packages.assigned_to_all(kind),
        };
        Ok(assigned.cloned())
    }

    /// What was given out of a package since it was defined; `None` for an unknown one.
    #[must_use]
    pub fn served(&self, id: &PackageId) -> Option<Served> {
        self.0.lock().packages.served(id)
    }

    /// Changes who has what, and tells those who are served another package than before.
    fn reassign<T>(
        &self,
        whom: Assignee<'_>,
        kind: PackageKind,
        change: impl FnOnce(&mut Packages) -> Result<T, String>,
    ) -> Result<T, ControlError> {
        let mut state = self.0.lock();
        let names = match whom {
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
        let changed = change(&mut state.packages)?;
        let is_told = |(name, before): (String, Option<PackageId>)| {
            (assigned(&state, &name) != before).then_some(name)
        };
        let told: Vec<String> = names.into_iter().zip(before).filter_map(is_told).collect();
        update_package_attributes(&mut state, &told, kind)?;
        Ok(changed)
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
