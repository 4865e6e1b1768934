//! Attributes as the platform sets them: what is shared is told to those who poll for it now.

use super::State;
use crate::directory::{OutOfSpace, Scope};
use crate::downlink::Change;
use crate::json::Element;
use crate::packages::PackageKind;

impl State {
    /// Sets attributes of a device. All or, if there is no room, none.
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

    /// Removes attributes of a device. Keys it does not have are told as well.
    pub(crate) fn remove_attributes(&mut self, device: &str, scope: Scope, keys: &[String]) {
        self.directory.remove_attributes(device, scope, keys);
        if scope == Scope::Shared && !keys.is_empty() {
            let change = Change::Deleted(keys.to_vec());
            self.long_polls
                .apply(|downlink| downlink.attributes_changed(device, change));
        }
    }

    /// A device is served another package than before, or none any more: its shared attributes say so, in two changes.
    pub(crate) fn update_package_attributes(
        &mut self,
        device: &str,
        kind: PackageKind,
    ) -> Result<(), OutOfSpace> {
        let announcement = self.packages.attribute_changes(device, kind);
        self.remove_attributes(device, Scope::Shared, &announcement.deleted);
        let values = announcement.updated.into_iter();
        let values = values.map(|(key, value)| (key, Element::from(value)));
        self.set_attributes(device, Scope::Shared, values.collect())
    }

    /// A device was created: it is told of the packages that all have.
    pub(crate) fn set_package_attributes(&mut self, device: &str) -> Result<(), OutOfSpace> {
        for kind in PackageKind::ALL {
            if self.packages.assigned(device, kind).is_some() {
                self.update_package_attributes(device, kind)?;
            }
        }
        Ok(())
    }
}
