//! The editions there are, found by owner, name and what the attributes say.
//!
//! What was fetched is its owner's: of the device whose token was used, or of the group the operator put it in. Once
//! the whole was hashed to the SHA-2 checksum that the attributes name it is *proven*, and anyone's whose attributes
//! name the same. An owner that has one of its own keeps to that one.

use super::Name;
use super::assignment::Identity;
use super::edition::{Edition, EditionId, Owner};
use std::collections::{BTreeMap, HashMap};

/// Proven packages and packages of groups; a fleet has a few.
const MOST_SHARED: usize = 128;
/// Packages of single devices. An empty one takes half a kilobyte.
const MOST_OWN: usize = 4096;
/// Chunks that all of them together recognise once the cache has let go of them, at some 80 bytes.
const MOST_RECOGNISED: usize = 65_536;

/// All editions.
#[derive(Debug)]
pub struct Editions {
    chunk: u64,
    editions: HashMap<EditionId, Entry>,
    owned: HashMap<(Owner, Name, Identity), EditionId>,
    proven: HashMap<(Name, Identity), EditionId>,
    /// Of single devices, by their last use or an earlier one.
    own_ages: BTreeMap<u64, EditionId>,
    /// The same of all others.
    shared_ages: BTreeMap<u64, EditionId>,
    recognised: usize,
    last_id: u64,
    last_use: u64,
}

#[derive(Debug)]
struct Entry {
    edition: Edition,
    used: u64,
    /// Where it stands in the order of ages. Using one is frequent and only stamps it; who looks for the oldest puts
    /// those right that it meets.
    listed: u64,
    /// What it counts for in `recognised`.
    recognised: usize,
}

impl Editions {
    /// None yet. `chunk`: in bytes.
    pub fn new(chunk: u64) -> Editions {
        Editions {
            chunk,
            editions: HashMap::new(),
            owned: HashMap::new(),
            proven: HashMap::new(),
            own_ages: BTreeMap::new(),
            shared_ages: BTreeMap::new(),
            recognised: 0,
            last_id: 0,
            last_use: 0,
        }
    }

    /// One of them, which counts as used by that.
    pub fn get_mut(&mut self, id: EditionId) -> Option<&mut Edition> {
        let entry = self.editions.get_mut(&id)?;
        self.last_use += 1;
        entry.used = self.last_use;
        Some(&mut entry.edition)
    }

    /// One of them, as if nobody had looked.
    pub fn get(&self, id: EditionId) -> Option<&Edition> {
        self.editions.get(&id).map(|entry| &entry.edition)
    }

    /// The edition that this owner may have: its own if it has one, else the proven one.
    pub fn find(&self, owner: &Owner, name: &Name, identity: &Identity) -> Option<EditionId> {
        self.owned(owner, name, identity)
            .or_else(|| self.proven(name, identity))
    }

    /// The owner's own.
    pub fn owned(&self, owner: &Owner, name: &Name, identity: &Identity) -> Option<EditionId> {
        let wanted = (owner.clone(), name.clone(), identity.clone());
        self.owned.get(&wanted).copied()
    }

    /// The proven one.
    pub fn proven(&self, name: &Name, identity: &Identity) -> Option<EditionId> {
        let wanted = (name.clone(), identity.clone());
        self.proven.get(&wanted).copied()
    }

    /// A new one, in place of the owner's of the same name and identity, which the caller has ended.
    pub fn add(&mut self, owner: Owner, name: Name, identity: Identity, salt: u64) -> EditionId {
        self.last_id += 1;
        self.last_use += 1;
        let id = EditionId(self.last_id);
        let key = (owner.clone(), name.clone(), identity.clone());
        self.owned.insert(key, id);
        let entry = Entry {
            edition: Edition::new(owner, name, identity, self.chunk, salt),
            used: self.last_use,
            listed: self.last_use,
            recognised: 0,
        };
        self.ages_of(&entry.edition).insert(entry.listed, id);
        self.editions.insert(id, entry);
        id
    }

    /// One that has to go, as there are too many: those of single devices before others, and of either kind the one
    /// that was not used for longest. `keep` stays.
    pub fn surplus(&mut self, keep: EditionId) -> Option<EditionId> {
        let too_many = self.recognised > MOST_RECOGNISED;
        let own = self.own_ages.len() > MOST_OWN || (too_many && !self.own_ages.is_empty());
        if !own && !too_many && self.shared_ages.len() <= MOST_SHARED {
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

    /// Counts what an edition recognises, after a chunk was taken.
    pub fn recount(&mut self, id: EditionId) {
        if let Some(entry) = self.editions.get_mut(&id) {
            let now = entry.edition.recognised();
            self.recognised = (self.recognised + now).saturating_sub(entry.recognised);
            entry.recognised = now;
        }
    }

    /// One is proven: from now on it is for everyone. False if there is such a one already.
    pub fn share(&mut self, id: EditionId) -> bool {
        let Some(entry) = self.editions.get_mut(&id) else {
            return false;
        };
        let (name, identity) = (entry.edition.name.clone(), entry.edition.identity.clone());
        let key = (name, identity);
        if self.proven.contains_key(&key) {
            return false;
        }
        let listed = entry.listed;
        let was_own = entry.edition.is_of_one_reader();
        if let Some(owner) = entry.edition.share() {
            self.owned.remove(&(owner, key.0.clone(), key.1.clone()));
        }
        if was_own {
            self.own_ages.remove(&listed);
            self.shared_ages.insert(listed, id);
        }
        self.proven.insert(key, id);
        true
    }

    /// Takes one away.
    pub fn remove(&mut self, id: EditionId) -> Option<Edition> {
        let entry = self.editions.remove(&id)?;
        self.recognised = self.recognised.saturating_sub(entry.recognised);
        self.ages_of(&entry.edition).remove(&entry.listed);
        let edition = entry.edition;
        let (name, identity) = (edition.name.clone(), edition.identity.clone());
        match edition.owner().cloned() {
            Some(owner) => remove_if(&mut self.owned, &(owner, name, identity), id),
            None => remove_if(&mut self.proven, &(name, identity), id),
        }
        Some(edition)
    }

    fn ages_of(&mut self, edition: &Edition) -> &mut BTreeMap<u64, EditionId> {
        match edition.is_of_one_reader() {
            true => &mut self.own_ages,
            false => &mut self.shared_ages,
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
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
