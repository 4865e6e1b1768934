//! Requests of devices that can't be answered yet, and what they wait for.

use super::assignment::Content;
use super::ids::{ChunkKey, DownloaderId, EditionId, RequestId};
use super::{Name, ReadRequest};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Requests that wait, in all.
pub(crate) const MAX_PENDING: usize = 16_384;
/// Requests that wait for the same.
pub(crate) const MAX_FOR_ONE: usize = 4096;
/// How often a request may wait before it is refused: a package that changes all the time would keep it waiting for ever.
const MAX_WAITS: u8 = 20;

/// What a request waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Awaited {
    /// The assignment of a device.
    Assignment(DownloaderId),
    /// Whether a device may have a package.
    Check(DownloaderId, Name),
    Chunk(ChunkKey),
    /// Whether what another device fetches has the checksum that the attributes name.
    Verification(Arc<Content>),
}

/// A request, and how far it has come.
#[derive(Debug)]
pub(crate) struct PendingRequest {
    pub downloader: DownloaderId,
    pub wanted: ReadRequest,
    /// The first bytes of the block: a block may lie on the border of two chunks.
    pub gathered: Vec<u8>,
    /// The edition that `gathered` is from: no block has bytes of two editions.
    pub edition: Option<EditionId>,
    waits: u8,
}

impl PendingRequest {
    pub(crate) fn new(downloader: DownloaderId, wanted: ReadRequest) -> PendingRequest {
        PendingRequest {
            downloader,
            wanted,
            gathered: Vec::new(),
            edition: None,
            waits: 0,
        }
    }

    /// Counts a wait. Returns whether it is one too many.
    pub(crate) fn has_waited_too_often(&mut self) -> bool {
        self.waits = self.waits.saturating_add(1);
        self.waits > MAX_WAITS
    }
}

/// All requests that wait, and those that may go on.
#[derive(Debug, Default)]
pub(crate) struct PendingRequests {
    requests: HashMap<RequestId, PendingRequest>,
    queues: HashMap<Awaited, Vec<RequestId>>,
    woken: VecDeque<RequestId>,
}

impl PendingRequests {
    /// Removes a request that may go on.
    pub(crate) fn pop_woken(&mut self) -> Option<(RequestId, PendingRequest)> {
        while let Some(id) = self.woken.pop_front() {
            if let Some(request) = self.requests.remove(&id) {
                return Some((id, request));
            }
        }
        None
    }

    /// Adds a request. Returns false if too many wait, or too many for the same.
    pub(crate) fn wait(
        &mut self,
        id: RequestId,
        request: PendingRequest,
        awaited: Awaited,
    ) -> bool {
        if self.requests.len() >= MAX_PENDING {
            return false;
        }
        let queue = self.queues.entry(awaited).or_default();
        let room = queue.len() < MAX_FOR_ONE;
        if room {
            queue.push(id);
            self.requests.insert(id, request);
        }
        room
    }

    /// What these requests waited for has come, or will not: they may go on.
    pub(crate) fn wake(&mut self, awaited: &Awaited) {
        self.woken
            .extend(self.queues.remove(awaited).unwrap_or_default());
    }

    /// Removes the requests that wait for this, and returns them.
    pub(crate) fn remove_waiting(&mut self, awaited: &Awaited) -> Vec<RequestId> {
        let mut waited = self.queues.remove(awaited).unwrap_or_default();
        waited.retain(|id| self.requests.remove(id).is_some());
        waited
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.requests.len()
    }

    /// How many things are waited for.
    #[cfg(test)]
    pub(super) fn queues(&self) -> usize {
        self.queues.len()
    }
}
