//! The relays whose export has changed since it was last taken.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// Device names, each once, in the order in which their relays changed.
#[derive(Debug, Default)]
pub(super) struct ChangedRelays {
    /// Nothing is inserted otherwise: no one would take it.
    is_on: bool,
    order: VecDeque<Arc<str>>,
    members: HashSet<Arc<str>>,
}

impl ChangedRelays {
    pub(super) fn turn_on(&mut self) {
        self.is_on = true;
    }

    pub(super) fn insert(&mut self, device: &Arc<str>) {
        if self.is_on && self.members.insert(device.clone()) {
            self.order.push_back(device.clone());
        }
    }

    /// Removes the first.
    pub(super) fn pop(&mut self) -> Option<Arc<str>> {
        while let Some(device) = self.order.pop_front() {
            if self.members.remove(&device) {
                return Some(device);
            }
        }
        None
    }

    /// Removes a device. Its place in the order stays until it is first.
    pub(super) fn remove(&mut self, device: &str) {
        self.members.remove(device);
        if self.members.is_empty() {
            self.order.clear();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }
}
