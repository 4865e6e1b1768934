//! Editions: how they are added, contradicted and ended.

use super::PackageCache;
use crate::ota::Name;
use crate::ota::assignment::Identity;
use crate::ota::edition::Owner;
use crate::ota::ids::{DownloaderId, EditionId};
use crate::ota::pending_requests::Awaited;

impl PackageCache {
    /// Adds an edition. The least recently used ones are ended if there are too many.
    pub(super) fn add_edition(
        &mut self,
        owner: Owner,
        name: Name,
        identity: Identity,
        salt: u64,
    ) -> EditionId {
        let id = self.editions.add(owner, name, identity, salt);
        self.end_surplus(id);
        id
    }

    /// Ends editions while there are too many, but for `keep`.
    pub(super) fn end_surplus(&mut self, keep: EditionId) {
        while let Some(surplus) = self.editions.surplus(keep) {
            self.counters.editions_evicted += 1;
            self.end_edition(surplus);
        }
    }

    /// ThingsBoard has shown another content under the same name and identity, with the token of this device. The owner's
    /// edition ends, and its next one has another ETag. A verified edition stays for the others, and this device's owner has
    /// one of its own from now on: so no claim of a tenant takes verified bytes from others, or changes them.
    pub(super) fn contradicted(&mut self, id: EditionId, downloader: DownloaderId) {
        let Some(edition) = self.editions.get(id) else {
            return;
        };
        self.counters.contradictions += 1;
        let (name, identity) = (edition.name.clone(), edition.identity.clone());
        let owner = edition.owner().cloned();
        if owner.is_some() {
            self.end_edition(id);
        }
        let Some(owner) = owner.or_else(|| self.downloaders.owner(downloader)) else {
            return;
        };
        if self.editions.owned(&owner, &name, &identity).is_none() {
            let salt = self.random.u64(1..);
            self.add_edition(owner, name.clone(), identity, salt);
        }
        // The permission was for the edition that is contradicted.
        if let Some(permit) = self.downloaders.permit(downloader, &name) {
            permit.revoke();
        }
    }

    /// Removes an edition and its chunks, and cancels its fetches.
    pub(super) fn end_edition(&mut self, id: EditionId) {
        self.remove_candidate(id, None);
        self.editions.remove(id);
        self.cache.remove_edition(id);
        for key in self.fetches.of_edition(id) {
            let fetch = self.fetches.remove(key);
            let has_arrived = fetch.is_some_and(|fetch| fetch.arrived.is_some());
            // The room of one in flight is released when its call ends.
            if !self.calls.cancel(key) && has_arrived {
                self.cache.release();
            }
            self.pending.wake(&Awaited::Chunk(key));
        }
    }
}
