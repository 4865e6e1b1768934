//! Chunks on their way from ThingsBoard: queued, requested, or waiting to be confirmed.

use super::Name;
use super::ids::{ChunkKey, DownloaderId, EditionId};
use bytes::Bytes;
use shares::Counts;
use std::collections::HashMap;

/// Chunks that are fetched at once, or wait for it.
const MAX_FETCHES: usize = 4096;
/// The same under one device's token: a download needs a few, however many sessions read at different places.
const MAX_OF_ONE: usize = 64;

/// A chunk on its way.
#[derive(Debug)]
pub(crate) struct Fetch {
    /// With whose token it is fetched.
    pub downloader: DownloaderId,
    pub name: Name,
    /// The chunk, once it has arrived: it is not confirmed yet.
    pub arrived: Option<Bytes>,
}

/// All chunks on their way, each once.
#[derive(Debug)]
pub(crate) struct Fetches {
    by_key: HashMap<ChunkKey, Fetch>,
    by_downloader: Counts<DownloaderId>,
}

impl Default for Fetches {
    fn default() -> Self {
        Fetches {
            by_key: HashMap::new(),
            by_downloader: Counts::new(MAX_FETCHES, MAX_OF_ONE),
        }
    }
}

impl Fetches {
    pub(crate) fn contains(&self, key: ChunkKey) -> bool {
        self.by_key.contains_key(&key)
    }

    pub(crate) fn get(&self, key: ChunkKey) -> Option<&Fetch> {
        self.by_key.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: ChunkKey) -> Option<&mut Fetch> {
        self.by_key.get_mut(&key)
    }

    /// Adds a chunk. Returns false if too many are on their way, or too many under this device's token.
    pub(crate) fn insert(&mut self, key: ChunkKey, downloader: DownloaderId, name: Name) -> bool {
        if self.by_downloader.take(downloader).is_err() {
            return false;
        }
        let fetch = Fetch {
            downloader,
            name,
            arrived: None,
        };
        self.by_key.insert(key, fetch);
        true
    }

    pub(crate) fn remove(&mut self, key: ChunkKey) -> Option<Fetch> {
        let fetch = self.by_key.remove(&key)?;
        self.by_downloader.release(&fetch.downloader);
        Some(fetch)
    }

    /// The chunks of an edition.
    pub(crate) fn of_edition(&self, edition: EditionId) -> Vec<ChunkKey> {
        let keys = self.by_key.keys();
        keys.filter(|key| key.edition == edition).copied().collect()
    }

    #[cfg(test)]
    pub(super) fn assert_empty(&self) {
        assert!(self.by_key.is_empty(), "{:?}", self.by_key);
        assert_eq!(self.by_downloader.count(), 0);
    }
}
