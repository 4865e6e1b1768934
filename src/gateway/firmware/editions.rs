//! The editions there are, found by name and checksum.

use super::Name;
use super::assignment::Identity;
use super::edition::{Edition, EditionId};
use std::collections::HashMap;

/// A fleet has a few packages; more than this are not kept in mind at once.
const MOST: usize = 128;

/// All editions.
#[derive(Debug)]
pub struct Editions {
    chunk: u64,
    editions: HashMap<EditionId, (Edition, u64)>,
    by_identity: HashMap<(Name, Identity), EditionId>,
    last_id: u64,
    last_use: u64,
}

impl Editions {
    /// None yet. `chunk`: in bytes.
    pub fn new(chunk: u64) -> Editions {
        Editions {
            chunk,
            editions: HashMap::new(),
            by_identity: HashMap::new(),
            last_id: 0,
            last_use: 0,
        }
    }

    /// One of them, which counts as used by that.
    pub fn get_mut(&mut self, id: EditionId) -> Option<&mut Edition> {
        let (edition, used) = self.editions.get_mut(&id)?;
        self.last_use += 1;
        *used = self.last_use;
        Some(edition)
    }

    /// One of them, as if nobody had looked.
    pub fn get(&self, id: EditionId) -> Option<&Edition> {
        self.editions.get(&id).map(|(edition, _)| edition)
    }

    /// The edition of this name and identity, if there is one.
    pub fn find(&self, name: &Name, identity: &Identity) -> Option<EditionId> {
        let wanted = (name.clone(), identity.clone());
        self.by_identity.get(&wanted).copied()
    }

    /// A new one, in place of one of the same name and identity. The caller ends that one, and the one that is
    /// given back if there are too many.
    pub fn add(
        &mut self,
        name: Name,
        identity: Identity,
        salt: u64,
    ) -> (EditionId, Option<EditionId>) {
        let full = self.editions.len() >= MOST;
        let oldest = || self.editions.iter().min_by_key(|(_, (_, used))| *used);
        let displaced = full.then(oldest).flatten().map(|(id, _)| *id);
        self.last_id += 1;
        self.last_use += 1;
        let id = EditionId(self.last_id);
        self.by_identity
            .insert((name.clone(), identity.clone()), id);
        let edition = Edition::new(name, identity, self.chunk, salt);
        self.editions.insert(id, (edition, self.last_use));
        (id, displaced)
    }

    /// Takes one away.
    pub fn remove(&mut self, id: EditionId) -> Option<Edition> {
        let (edition, _) = self.editions.remove(&id)?;
        let wanted = (edition.name.clone(), edition.identity.clone());
        if self.by_identity.get(&wanted) == Some(&id) {
            self.by_identity.remove(&wanted);
        }
        Some(edition)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.editions.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Package;

    #[test]
    fn the_one_that_was_not_used_for_longest_gives_way() {
        let mut editions = Editions::new(1024);
        let name = |number: usize| Name {
            package: Package::Firmware,
            title: "meter".into(),
            version: number.to_string().into(),
        };
        let ids: Vec<_> = (0..MOST)
            .map(|number| editions.add(name(number), Identity::default(), 0))
            .collect();
        assert!(ids.iter().all(|(_, displaced)| displaced.is_none()));
        editions.get_mut(ids[0].0).unwrap();
        let (_, displaced) = editions.add(name(MOST), Identity::default(), 0);
        assert_eq!(displaced, Some(ids[1].0));
        editions.remove(ids[1].0).unwrap();
        assert_eq!(editions.count(), MOST);
        assert_eq!(editions.find(&name(1), &Identity::default()), None);
        assert_eq!(
            editions.find(&name(0), &Identity::default()),
            Some(ids[0].0)
        );
    }
}
