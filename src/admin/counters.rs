//! What the admin server counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of the admin server.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Requests, answered or not.
    pub requests: u64,
    /// Idle connections closed for newer ones.
    pub evicted: u64,
    /// Connections closed at once because all others are busy.
    pub refused: u64,
}

#[derive(Debug, Default)]
pub(super) struct AtomicCounters {
    pub(super) requests: AtomicU64,
    pub(super) evicted: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl AtomicCounters {
    pub(super) fn get(&self) -> Counters {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            requests: read(&self.requests),
            evicted: read(&self.evicted),
            refused: read(&self.refused),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
