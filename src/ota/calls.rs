//! Calls to ThingsBoard about packages: few at a time, and those first that devices wait for.
//!
//! Chunks take half of the connections at most, so that the fleet's many small queries never wait for chunks, nor these for
//! them.

use super::chunk_cache::ChunkCache;
use super::ids::{CallId, ChunkKey, DownloaderId};
use super::settings::Settings;
use super::{Name, PackageEffect};
use crate::device::Device;
use crate::upstream::Operation;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Chunks in flight at once.
const MAX_CHUNKS: usize = Settings::CONNECTIONS / 2;
/// Chunks in flight at once, when the next is only prefetched.
const MAX_PREFETCHED: usize = Settings::CONNECTIONS / 4;

/// What a call is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallPurpose {
    /// Which package is assigned to a device.
    Assignment(DownloaderId),
    /// Whether a device may have a package, and whether it is still the cached one. With the check's number.
    Probe(DownloaderId, Name, u64),
    Chunk(ChunkKey),
}

/// A call that waits for a connection.
#[derive(Debug)]
struct QueuedCall {
    purpose: CallPurpose,
    device: Arc<Device>,
    operation: Operation,
}

/// Which queue a chunk waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// A device waits for it.
    Requested,
    /// A device will probably request it.
    Prefetch,
}

/// All calls, queued or in flight.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    queries: VecDeque<QueuedCall>,
    requested: VecDeque<QueuedCall>,
    prefetch: VecDeque<QueuedCall>,
    in_flight: HashMap<CallId, CallPurpose>,
    chunks_in_flight: usize,
    last_id: u64,
}

impl Calls {
    /// Queues a small query.
    pub(crate) fn query(
        &mut self,
        purpose: CallPurpose,
        device: Arc<Device>,
        operation: Operation,
    ) {
        self.queries.push_back(QueuedCall {
            purpose,
            device,
            operation,
        });
    }

    /// Queues the fetch of a chunk.
    pub(crate) fn fetch(
        &mut self,
        key: ChunkKey,
        device: Arc<Device>,
        operation: Operation,
        priority: Priority,
    ) {
        let queue = match priority {
            Priority::Requested => &mut self.requested,
            Priority::Prefetch => &mut self.prefetch,
        };
        queue.push_back(QueuedCall {
            purpose: CallPurpose::Chunk(key),
            device,
            operation,
        });
    }

    /// A device waits now for a chunk that was to be prefetched.
    pub(crate) fn prioritise(&mut self, key: ChunkKey) {
        let purpose = CallPurpose::Chunk(key);
        if let Some(at) = self
            .prefetch
            .iter()
            .position(|call| call.purpose == purpose)
        {
            self.requested.extend(self.prefetch.remove(at));
        }
    }

    /// Removes a chunk from its queue. Returns false if it is in flight.
    pub(crate) fn cancel(&mut self, key: ChunkKey) -> bool {
        let before = self.requested.len() + self.prefetch.len();
        for queue in [&mut self.requested, &mut self.prefetch] {
            queue.retain(|call| call.purpose != CallPurpose::Chunk(key));
        }
        self.requested.len() + self.prefetch.len() < before
    }

    /// The next call that can begin: there is a connection for it and, if it is a chunk, room in the cache. With the number of
    /// chunks that were evicted for it.
    pub(crate) fn begin(&mut self, cache: &mut ChunkCache) -> Option<(PackageEffect, usize)> {
        if self.in_flight.len() >= Settings::CONNECTIONS {
            return None;
        }
        let mut evicted = None;
        let chunk = if self.chunks_in_flight >= MAX_CHUNKS {
            None
        } else if !self.requested.is_empty() {
            evicted = cache.reserve();
            evicted.and_then(|_| self.requested.pop_front())
        } else if self.chunks_in_flight < MAX_PREFETCHED && !self.prefetch.is_empty() {
            evicted = cache.reserve();
            evicted.and_then(|_| self.prefetch.pop_front())
        } else {
            None
        };
        self.chunks_in_flight += usize::from(chunk.is_some());
        let queued = chunk.or_else(|| self.queries.pop_front())?;
        self.last_id += 1;
        let call = CallId(self.last_id);
        self.in_flight.insert(call, queued.purpose);
        let effect = PackageEffect::Call {
            call,
            device: queued.device,
            operation: queued.operation,
        };
        Some((effect, evicted.unwrap_or_default()))
    }

    /// A call has ended. `None` if it is unknown.
    pub(crate) fn end(&mut self, call: CallId) -> Option<CallPurpose> {
        let purpose = self.in_flight.remove(&call)?;
        if matches!(purpose, CallPurpose::Chunk(_)) {
            self.chunks_in_flight = self.chunks_in_flight.saturating_sub(1);
        }
        Some(purpose)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        self.queries.len() + self.requested.len() + self.prefetch.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::AccessToken;
    use crate::ota::ids::EditionId;
    use crate::upstream::Package;

    #[test]
    fn a_cancelled_chunk_is_not_begun_and_a_requested_one_comes_before_prefetched_ones() {
        let mut calls = Calls::default();
        let mut cache = ChunkCache::new(4096, 1024);
        let keys = [1, 2, 3].map(|number| ChunkKey {
            edition: EditionId(1),
            number,
        });
        for key in keys {
            let device = Device {
                name: "meter-1".into(),
                token: AccessToken::new("token").unwrap(),
            };
            let operation = Operation::ReadAssignment(Package::Firmware);
            calls.fetch(key, Arc::new(device), operation, Priority::Prefetch);
        }
        calls.prioritise(keys[2]);
        assert!(calls.cancel(keys[0]) && !calls.cancel(keys[0]));
        let mut begun = Vec::new();
        while let Some((PackageEffect::Call { call, .. }, _)) = calls.begin(&mut cache) {
            begun.extend(calls.end(call));
        }
        assert_eq!(
            begun,
            [CallPurpose::Chunk(keys[2]), CallPurpose::Chunk(keys[1])]
        );
    }
}
