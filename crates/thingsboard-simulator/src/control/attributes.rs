//! Reading and changing attributes.

use super::{Control, ControlError, as_value, out_of_space, require_device};
use crate::device_api::attributes_element;
use crate::directory::Scope;
use crate::json::{self, Element};
use serde_json::Value;

impl Control {
    /// Sets a shared attribute of a device, and sends the change to its open polls.
    ///
    /// # Errors
    /// An unknown device, a null, or no more room.
    pub fn set_shared_attribute(
        &self,
        device: &str,
        key: &str,
        value: &Value,
    ) -> Result<(), ControlError> {
        self.set_attribute(device, Scope::Shared, key, value)
    }

    /// Sets a client attribute of a device, as if the device had posted it.
    ///
    /// # Errors
    /// An unknown device, a null, or no more room.
    pub fn set_client_attribute(
        &self,
        device: &str,
        key: &str,
        value: &Value,
    ) -> Result<(), ControlError> {
        self.set_attribute(device, Scope::Client, key, value)
    }

    fn set_attribute(
        &self,
        device: &str,
        scope: Scope,
        key: &str,
        value: &Value,
    ) -> Result<(), ControlError> {
        if value.is_null() {
            let reason = format!("attribute {key:?} is null: remove it instead");
            return Err(ControlError(reason));
        }
        let value = json::read(&value.to_string()).map_err(|error| ControlError(error.0))?;
        self.set_attributes(
            device,
            scope,
            &Element::Object(vec![(key.to_owned(), value)]),
        )
    }

    pub(crate) fn set_attributes(
        &self,
        device: &str,
        scope: Scope,
        values: &Element,
    ) -> Result<(), ControlError> {
        let values = json::key_values(values)
            .map_err(|_| ControlError("the values are no JSON object".to_owned()))?;
        let mut state = self.0.lock();
        require_device(&state, device)?;
        state
            .set_attributes(device, scope, values)
            .map_err(out_of_space)
    }

    /// Removes attributes of a device, and sends the change of shared ones to its open polls. Keys that it does not
    /// have are no error, and are sent as well.
    ///
    /// # Errors
    /// An unknown device.
    pub fn remove_attributes(
        &self,
        device: &str,
        scope: Scope,
        keys: &[String],
    ) -> Result<(), ControlError> {
        let mut state = self.0.lock();
        require_device(&state, device)?;
        state.remove_attributes(device, scope, keys);
        Ok(())
    }

    /// The attributes of one scope, as one JSON object; `None` for an unknown device.
    #[must_use]
    pub fn attributes(&self, device: &str, scope: Scope) -> Option<Value> {
        let state = self.0.lock();
        let attributes = state.directory.get(device)?.attributes(scope);
        Some(as_value(&attributes_element(attributes)))
    }
}
