//! Sets and removes attributes, and sends changes of shared ones to open polls.

use super::State;
use crate::directory::{OutOfSpace, Scope};
use crate::downlink::Change;
use crate::json::Element;
use crate::packages::PackageKind;

impl State {
    /// Sets attributes of a device: all, or none if there is no room.
    pub(crate) fn set_attributes(
        &mut self,
        device: &str,
        scope: Scope,
        values: Vec<(String, Element)>,
    ) -> Result<(), OutOfSpace> {
        let change = match scope {
            Scope::Shared if !values.is_empty() => {
                let values = Element::Object(values.clone());
                Some(Change::Updated(values.to_string()))
            }
            Scope::Shared | Scope::Client => None,
        };
        self.directory.set_attributes(device, scope, values)?;
        if let Some(change) = change {
            self.long_polls
                .apply(|downlink| downlink.attributes_changed(device, change));
        }
        Ok(())
    }

    /// Removes attributes of a device. Polls get the keys that it does not have as well.
    pub(crate) fn remove_attributes(&mut self, device: &str, scope: Scope, keys: &[String]) {
        self.directory.remove_attributes(device, scope, keys);
        if scope == Scope::Shared && !keys.is_empty() {
            let change = Change::Deleted(keys.to_vec());
            self.long_polls
                .apply(|downlink| downlink.attributes_changed(device, change));
        }
    }

    /// Updates a device's shared attributes for the package that it has now, in two changes: a delete, then an update.
    pub(crate) fn update_package_attributes(
        &mut self,
        device: &str,
        kind: PackageKind,
    ) -> Result<(), OutOfSpace> {
        let changes = self.packages.attribute_changes(device, kind);
        self.remove_attributes(device, Scope::Shared, &changes.deleted);
        let values = changes.updated.into_iter();
        let values = values.map(|(key, value)| (key, Element::from(value)));
        self.set_attributes(device, Scope::Shared, values.collect())
    }

    /// Sets a new device's shared attributes for the packages that are assigned to all devices.
    pub(crate) fn set_package_attributes(&mut self, device: &str) -> Result<(), OutOfSpace> {
        for kind in PackageKind::ALL {
            if self.packages.assigned(device, kind).is_some() {
                self.update_package_attributes(device, kind)?;
            }
        }
        Ok(())
    }
}
