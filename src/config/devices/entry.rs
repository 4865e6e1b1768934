//! One `[[device]]` of the registry.

use crate::shown::{Shown, is_visible, may_show};
use std::fmt;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// One `[[device]]`.
pub(super) struct Entry<'t> {
    pub(super) table: &'t DeTable<'t>,
    pub(super) line: usize,
    pub(super) label: Label,
}

/// What messages call a device: by its name once that is known, by its number until then. The name is shared with the
/// registry: 100,000 copies, freed after reading, would leave as many holes in memory between the devices.
#[derive(Debug, Clone)]
pub(super) struct Label {
    pub(super) number: usize,
    pub(super) name: Option<Arc<str>>,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) if may_show(name) => write!(f, "device {}", Shown::value(name)),
            Some(_) | None => write!(f, "device {}", self.number),
        }
    }
}

impl<'t> Entry<'t> {
    /// A field's value, and the byte where the field begins.
    pub(super) fn get(&self, key: &str) -> Option<(&'t DeValue<'t>, usize)> {
        self.table
            .iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(name, value)| (value.get_ref(), name.span().start))
    }
}

/// Whether a device may have this name: 1 to 128 visible characters. Names are logged and listed, and none may hide a
/// part of itself there, or reorder what follows.
pub(crate) fn is_device_name(name: &str) -> bool {
    (1..=128).contains(&name.chars().count()) && name.chars().all(is_visible) && name.trim() == name
}
