//! A device's shared attributes: their values in ThingsBoard, and which of them the device has not confirmed.
//!
//! Attributes are state, so changes may be merged: in the end the device must have each key's last value, or know that the
//! key is deleted. Every key that changes is *unconfirmed* until a notification with its last value is acknowledged. A
//! notification has as many of the unconfirmed keys as fit, oldest change first. So nothing is missed, whatever was lost,
//! superseded or repeated on the way.
//!
//! ```text
//! confirmed ──(a message or a read brings another value)──▶ unconfirmed ──(its notification is acknowledged)──▶ confirmed
//! ```
//!
//! After a restart the values are [`unread`]: of each key that the device has confirmed a hash of its value is known, so that
//! the first read shows which of them have changed meanwhile, and which were deleted.

mod export;
mod unread;

use crate::downlink::attribute_json::{MAX_KEYS, Update, Values, hash_of, is_same, object, quoted};
use crate::ota::AssignmentChange;
use bytes::Bytes;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use unread::Unread;

/// Bytes of keys and values kept for one device. ThingsBoard's answers have the same bound.
const MAX_BYTES: usize = 256 * 1024;

/// The shared attributes of one device.
#[derive(Debug, Default)]
pub(crate) struct SharedAttributes {
    values: Values,
    /// The number of each unconfirmed key's last change. A key that is not in `values` was deleted.
    unconfirmed: BTreeMap<Box<str>, u64>,
    /// Keys that the device may have, and whose values are unknown since a restart. None of them is in `values` or
    /// `unconfirmed`.
    unread: Unread,
    /// Changes so far, which is the last one's number.
    changes: u64,
    /// Another one after each change of what is exported.
    revision: u32,
    /// Keys that changed since the read in flight began: what it brings may be older.
    changed_since_read: Option<BTreeSet<Box<str>>>,
    /// What `values` cost, in bytes.
    values_cost: usize,
    /// What unconfirmed keys that were deleted cost, in bytes.
    deleted_cost: usize,
    /// Whether keys that assign packages have changed.
    assignment: AssignmentChange,
}

/// What a key and its value cost, in bytes: with the map entries around them, and as if the key were unconfirmed.
fn cost(key: &str, value: &RawValue) -> usize {
    unconfirmed_cost(key) + key.len() + value.get().len() + 96
}

/// What it costs that a key is unconfirmed, and has changed since a read began.
fn unconfirmed_cost(key: &str) -> usize {
    2 * (key.len() + 64)
}

/// What it costs to keep these, in bytes.
pub(crate) fn cost_of(values: &Values) -> usize {
    values.iter().map(|(key, value)| cost(key, value)).sum()
}

impl SharedAttributes {
    /// Another number after each change of what is exported.
    pub(crate) fn revision(&self) -> u32 {
        self.revision
    }

    fn export_changed(&mut self) {
        self.revision = self.revision.wrapping_add(1);
    }

    /// Forgets all of them: the observation has ended.
    pub(crate) fn clear(&mut self) {
        let revision = self.revision.wrapping_add(1);
        *self = SharedAttributes {
            revision,
            ..SharedAttributes::default()
        };
    }

    /// A response gives the device all of these values, and no notification is in flight.
    pub(crate) fn reset(&mut self, values: Values) {
        self.note_assignment(&values);
        self.replace(values);
        self.unconfirmed = BTreeMap::new();
        self.deleted_cost = 0;
    }

    /// A response gives the device all of these values, while a notification with older ones may be in flight: its keys
    /// have to be notified again after it.
    pub(crate) fn refresh(&mut self, values: Values) {
        self.note_assignment(&values);
        let in_flight = std::mem::take(&mut self.unconfirmed);
        self.replace(values);
        in_flight.into_keys().for_each(|key| self.changed(key));
        self.count_deleted();
    }

    fn replace(&mut self, values: Values) {
        self.values_cost = cost_of(&values);
        self.values = values;
        self.unread = Unread::default();
        self.export_changed();
    }

    /// Notes which of the keys that assign packages have other values now, or none.
    fn note_assignment(&mut self, values: &Values) {
        let differs = |a: &Values, b: &Values, key: &str| {
            a.get(key).map(|value| value.get()) != b.get(key).map(|value| value.get())
        };
        for key in values.keys().chain(self.values.keys()) {
            if differs(values, &self.values, key) {
                self.assignment.add(key);
            }
        }
    }

    /// Whether keys that assign packages have changed since the last call.
    pub(crate) fn take_assignment_change(&mut self) -> AssignmentChange {
        std::mem::take(&mut self.assignment)
    }

    /// What it all costs, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.values_cost + self.deleted_cost + self.unread.cost()
    }

    /// Their values in ThingsBoard, as the last message or read brought them.
    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    /// Whether there are none, as far as is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.unread.is_empty()
    }

    /// The number of the last change.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// The number of the oldest change that is unconfirmed.
    pub(crate) fn oldest_unconfirmed(&self) -> Option<u64> {
        self.unconfirmed.values().min().copied()
    }

    pub(crate) fn has_unconfirmed(&self) -> bool {
        !self.unconfirmed.is_empty()
    }

    /// A message brought this. Returns false, and changes nothing, if it exceeds the bounds of one device or `room` more bytes.
    pub(crate) fn update(&mut self, update: Update, room: usize) -> bool {
        match update {
            Update::Set(values) => {
                values.keys().for_each(|key| self.assignment.add(key));
                if json_bytes(&self.values) + json_bytes(&values) > MAX_BYTES
                    || self.values.len() + values.len() > 2 * MAX_KEYS
                    || self.unconfirmed.len() + self.unread.len() + values.len() > 2 * MAX_KEYS
                    || cost_of(&values) > room
                {
                    return false;
                }
                for (key, value) in values {
                    self.set(key, value);
                }
            }
            Update::Deleted(keys) => {
                keys.iter().for_each(|key| self.assignment.add(key));
                keys.into_iter().for_each(|key| self.delete(key));
            }
        }
        true
    }

    /// Whether a read that brings these can be taken: each key may become unconfirmed, beside those that are. Otherwise a
    /// device that acknowledges nothing would leave every key unconfirmed that a tenant has ever set.
    pub(crate) fn has_room_for(&self, read: &Values) -> bool {
        let deleted = self.unread.keys().filter(|key| !read.contains_key(*key));
        self.unconfirmed.len() + deleted.count() + read.len() <= 2 * MAX_KEYS
    }

    /// A read of all attributes begins.
    pub(crate) fn read_begins(&mut self) {
        self.changed_since_read = Some(BTreeSet::new());
    }

    /// A read brought all of them, as they were at some time since it began. Returns how many keys had changed without a
    /// poll bringing it.
    pub(crate) fn read_ended(&mut self, mut values: Values) -> usize {
        let newer = self.changed_since_read.take().unwrap_or_default();
        let before = self.changes;
        let known = self.values.keys().chain(self.unread.keys());
        let known: Vec<Box<str>> = known.cloned().collect();
        for key in known {
            if !values.contains_key(&key) && !newer.contains(&key) {
                self.delete(key);
            }
        }
        values.retain(|key, _| !newer.contains(key));
        for (key, value) in values {
            self.set(key, value);
        }
        usize::try_from(self.changes - before).unwrap_or(usize::MAX)
    }

    /// The read failed or was cancelled.
    pub(crate) fn read_failed(&mut self) {
        self.changed_since_read = None;
    }

    fn set(&mut self, key: Box<str>, value: Box<RawValue>) {
        if let Some(confirmed) = self.unread.remove(&key) {
            let is_confirmed = confirmed == Some(hash_of(&value));
            self.values_cost += cost(&key, &value);
            self.values.insert(key.clone(), value);
            if !is_confirmed {
                self.changed(key);
            } else if let Some(newer) = &mut self.changed_since_read {
                newer.insert(key);
            }
            return;
        }
        if self
            .values
            .get(&key)
            .is_none_or(|old| !is_same(old, &value))
        {
            self.values_cost += cost(&key, &value);
            if let Some(old) = self.values.insert(key.clone(), value) {
                self.values_cost = self.values_cost.saturating_sub(cost(&key, &old));
            } else if self.unconfirmed.contains_key(&key) {
                self.deleted_cost = self.deleted_cost.saturating_sub(unconfirmed_cost(&key));
            }
            self.changed(key);
        }
    }

    fn delete(&mut self, key: Box<str>) {
        if let Some(old) = self.values.remove(&key) {
            self.values_cost = self.values_cost.saturating_sub(cost(&key, &old));
        } else if self.unread.remove(&key).is_none() {
            return;
        }
        self.deleted_cost += unconfirmed_cost(&key);
        self.changed(key);
    }

    fn changed(&mut self, key: Box<str>) {
        self.changes += 1;
        self.assignment.add(&key);
        if let Some(newer) = &mut self.changed_since_read {
            newer.insert(key.clone());
        }
        self.unconfirmed.insert(key, self.changes);
        self.export_changed();
    }

    fn retain_unconfirmed(&mut self, keep: impl Fn(u64) -> bool) {
        let before = self.unconfirmed.len();
        self.unconfirmed.retain(|_, change| keep(*change));
        if self.unconfirmed.len() < before {
            self.export_changed();
        }
        self.count_deleted();
    }

    fn count_deleted(&mut self) {
        let deleted = self
            .unconfirmed
            .keys()
            .filter(|key| !self.values.contains_key(*key));
        self.deleted_cost = deleted.map(|key| unconfirmed_cost(key)).sum();
    }

    /// Every key becomes unconfirmed: the device may have received none of them.
    pub(crate) fn unconfirm_all(&mut self) {
        let keys: Vec<Box<str>> = self.values.keys().cloned().collect();
        for key in keys {
            self.changes += 1;
            self.unconfirmed.insert(key, self.changes);
        }
        self.unread.unconfirm_all();
        self.export_changed();
    }

    /// The next notification: changed keys flat and deleted keys under `deleted`, no more than fit `limit` bytes, with the
    /// number of the last change in it. `None` if everything is confirmed. `Err` if not even the oldest change fits, with its
    /// number.
    pub(crate) fn compose(&self, limit: usize) -> Option<Result<(u64, Bytes), u64>> {
        let mut oldest_first: Vec<(u64, &str)> = self
            .unconfirmed
            .iter()
            .map(|(key, change)| (*change, &**key))
            .collect();
        oldest_first.sort_unstable();
        let (first, _) = *oldest_first.first()?;
        let (mut set, mut deleted) = (Vec::new(), Vec::new());
        // The braces, and `"deleted":[]` with its comma once there is one.
        let mut length = 2;
        let mut last = None;
        for (change, key) in oldest_first {
            let value = self.values.get(key).map(|value| value.get());
            let quoted = quoted(key).len();
            length += match value {
                Some(value) => quoted + 2 + value.len(),
                None if deleted.is_empty() => quoted + 14,
                None => quoted + 1,
            };
            if length > limit {
                break;
            }
            match value {
                Some(value) => set.push((key, value)),
                None => deleted.push(key),
            }
            last = Some(change);
        }
        Some(match last {
            Some(last) => Ok((last, object(set.into_iter(), &deleted))),
            None => Err(first),
        })
    }

    /// The device has acknowledged a notification with all changes up to this one.
    pub(crate) fn confirm_up_to(&mut self, change: u64) {
        self.retain_unconfirmed(|newest| newest > change);
    }

    /// Gives up notifying this change, which is too large for a message.
    pub(crate) fn skip(&mut self, change: u64) {
        self.retain_unconfirmed(|newest| newest != change);
    }
}

fn json_bytes(values: &Values) -> usize {
    let each = values.iter();
    each.map(|(key, value)| key.len() + value.get().len()).sum()
}

#[cfg(test)]
mod tests;
