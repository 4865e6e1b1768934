//! Keys whose values are unknown since a restart, until a message or a read brings them.

use super::unconfirmed_cost;
use crate::downlink::attribute_json::ValueHash;
use std::collections::BTreeMap;

/// Keys that the device may have.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// Each with the hash of the value that the device has confirmed; `None` if it may have another, or none.
    keys: BTreeMap<Box<str>, Option<ValueHash>>,
    /// What they cost, in bytes: each may become an unconfirmed deletion.
    cost: usize,
}

impl Unread {
    /// Inserts a key. Returns false if it is there already.
    pub(super) fn insert(&mut self, key: Box<str>, confirmed: Option<ValueHash>) -> bool {
        let cost = unconfirmed_cost(&key);
        let is_new = self.keys.insert(key, confirmed).is_none();
        self.cost += if is_new { cost } else { 0 };
        is_new
    }

    /// Removes a key, whose value is known now.
    pub(super) fn remove(&mut self, key: &str) -> Option<Option<ValueHash>> {
        let confirmed = self.keys.remove(key)?;
        self.cost = self.cost.saturating_sub(unconfirmed_cost(key));
        Some(confirmed)
    }

    /// The device may have received none of the values.
    pub(super) fn unconfirm_all(&mut self) {
        for confirmed in self.keys.values_mut() {
            *confirmed = None;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Option<ValueHash>)> {
        let each = self.keys.iter();
        each.map(|(key, confirmed)| (&**key, *confirmed))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Box<str>> {
        self.keys.keys()
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What they cost, in bytes.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }
}
