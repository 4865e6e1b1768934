//! All editions, found by owner, name and what the attributes name.
//!
//! An edition is its owner's: the device's whose token fetches it, or that of the group the operator put the device in. Once
//! the whole was hashed to the SHA-2 checksum that the attributes name it is *verified*, and every device's whose attributes
//! name the same. An owner that has one of its own keeps it.

use super::Name;
use super::assignment::Identity;
use super::edition::{Edition, Owner};
use super::ids::EditionId;
use std::collections::{BTreeMap, HashMap};

/// Verified editions, and those of groups; a fleet has a few.
const MAX_SHARED: usize = 128;
/// Editions of single devices. An empty one takes half a kilobyte.
const MAX_OWN: usize = 4096;
/// Hashes of chunks that all editions together keep, at some 80 bytes.
const MAX_HASHES: usize = 65_536;

#[derive(Debug)]
pub(crate) struct Editions {
    chunk: u64,
    editions: HashMap<EditionId, Entry>,
    owned: HashMap<(Owner, Name, Identity), EditionId>,
    verified: HashMap<(Name, Identity), EditionId>,
    /// Editions of single devices, by their last use or an earlier one.
    own_ages: BTreeMap<u64, EditionId>,
    /// The same for all others.
    shared_ages: BTreeMap<u64, EditionId>,
    hashes: usize,
    last_id: u64,
    last_use: u64,
}

#[derive(Debug)]
struct Entry {
    edition: Edition,
    used: u64,
    /// Its key in the order of ages, which may be outdated: a use is frequent, and only sets `used`. The search for the oldest
    /// corrects those that it meets.
    listed: u64,
    /// What it counts for in [`Editions::hashes`].
    hashes: usize,
}

impl Editions {
    /// `chunk`: in bytes.
    pub(crate) fn new(chunk: u64) -> Editions {
        Editions {
            chunk,
            editions: HashMap::new(),
            owned: HashMap::new(),
            verified: HashMap::new(),
            own_ages: BTreeMap::new(),
            shared_ages: BTreeMap::new(),
            hashes: 0,
            last_id: 0,
            last_use: 0,
        }
    }

    /// An edition, which counts as a use.
    pub(crate) fn get_mut(&mut self, id: EditionId) -> Option<&mut Edition> {
        let entry = self.editions.get_mut(&id)?;
        self.last_use += 1;
        entry.used = self.last_use;
        Some(&mut entry.edition)
    }

    /// An edition, which does not count as a use.
    pub(crate) fn get(&self, id: EditionId) -> Option<&Edition> {
        self.editions.get(&id).map(|entry| &entry.edition)
    }

    /// The edition that this owner may have: its own if there is one, otherwise the verified one.
    pub(crate) fn find(
        &self,
        owner: &Owner,
        name: &Name,
        identity: &Identity,
    ) -> Option<EditionId> {
        self.owned(owner, name, identity)
            .or_else(|| self.verified(name, identity))
    }

    pub(crate) fn owned(
        &self,
        owner: &Owner,
        name: &Name,
        identity: &Identity,
    ) -> Option<EditionId> {
        let wanted = (owner.clone(), name.clone(), identity.clone());
        self.owned.get(&wanted).copied()
    }

    pub(crate) fn verified(&self, name: &Name, identity: &Identity) -> Option<EditionId> {
        let wanted = (name.clone(), identity.clone());
        self.verified.get(&wanted).copied()
    }

    /// Adds an edition, instead of the owner's of the same name and identity, which the caller has ended.
    pub(crate) fn add(
        &mut self,
        owner: Owner,
        name: Name,
        identity: Identity,
        salt: u64,
    ) -> EditionId {
        self.last_id += 1;
        self.last_use += 1;
        let id = EditionId(self.last_id);
        let key = (owner.clone(), name.clone(), identity.clone());
        self.owned.insert(key, id);
        let entry = Entry {
            edition: Edition::new(owner, name, identity, self.chunk, salt),
            used: self.last_use,
            listed: self.last_use,
            hashes: 0,
        };
        self.ages_of(&entry.edition).insert(entry.listed, id);
        self.editions.insert(id, entry);
        id
    }

    /// The edition to end next, if there are too many: the least recently used one, of single devices before others. Never
    /// `keep`.
    pub(crate) fn surplus(&mut self, keep: EditionId) -> Option<EditionId> {
        let too_many = self.hashes > MAX_HASHES;
        let own = self.own_ages.len() > MAX_OWN || (too_many && !self.own_ages.is_empty());
        if !own && !too_many && self.shared_ages.len() <= MAX_SHARED {
            return None;
        }
        let ages = match own {
            true => &mut self.own_ages,
            false => &mut self.shared_ages,
        };
        while let Some((listed, id)) = ages.pop_first() {
            let Some(entry) = self.editions.get_mut(&id) else {
                continue;
            };
            let is_current = entry.used == listed;
            entry.listed = entry.used;
            ages.insert(entry.listed, id);
            if is_current {
                return (id != keep).then_some(id);
            }
        }
        None
    }

    /// Counts an edition's hashes again, after a chunk was added.
    pub(crate) fn recount(&mut self, id: EditionId) {
        if let Some(entry) = self.editions.get_mut(&id) {
            let now = entry.edition.hashes();
            self.hashes = (self.hashes + now).saturating_sub(entry.hashes);
            entry.hashes = now;
        }
    }

    /// An edition is verified: shares it. Returns false if another of this content is verified already.
    pub(crate) fn share(&mut self, id: EditionId) -> bool {
        let Some(entry) = self.editions.get_mut(&id) else {
            return false;
        };
        let (name, identity) = (entry.edition.name.clone(), entry.edition.identity.clone());
        let key = (name, identity);
        if self.verified.contains_key(&key) {
            return false;
        }
        let listed = entry.listed;
        let was_own = entry.edition.is_of_one_device();
        if let Some(owner) = entry.edition.share() {
            self.owned.remove(&(owner, key.0.clone(), key.1.clone()));
        }
        if was_own {
            self.own_ages.remove(&listed);
            self.shared_ages.insert(listed, id);
        }
        self.verified.insert(key, id);
        true
    }

    pub(crate) fn remove(&mut self, id: EditionId) -> Option<Edition> {
        let entry = self.editions.remove(&id)?;
        self.hashes = self.hashes.saturating_sub(entry.hashes);
        self.ages_of(&entry.edition).remove(&entry.listed);
        let edition = entry.edition;
        let (name, identity) = (edition.name.clone(), edition.identity.clone());
        match edition.owner().cloned() {
            Some(owner) => remove_if(&mut self.owned, &(owner, name, identity), id),
            None => remove_if(&mut self.verified, &(name, identity), id),
        }
        Some(edition)
    }

    fn ages_of(&mut self, edition: &Edition) -> &mut BTreeMap<u64, EditionId> {
        match edition.is_of_one_device() {
            true => &mut self.own_ages,
            false => &mut self.shared_ages,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.editions.len()
    }
}

fn remove_if<K: Eq + std::hash::Hash>(map: &mut HashMap<K, EditionId>, key: &K, id: EditionId) {
    if map.get(key) == Some(&id) {
        map.remove(key);
    }
}

#[cfg(test)]
mod tests;
