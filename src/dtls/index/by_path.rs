//! Sessions by their path, which only the session itself has: an entry takes nine bytes where a map would take sixty.

use crate::dtls::path::{Path, SessionId};
use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};

/// One session of each path.
#[derive(Debug, Default)]
pub(super) struct ByPath {
    table: HashTable<SessionId>,
    /// Random, because peers choose their paths.
    state: RandomState,
}

impl ByPath {
    /// The session of this path. `path_of`: the path of each session that is in here.
    pub(super) fn get(
        &self,
        path: Path,
        path_of: impl Fn(SessionId) -> Option<Path>,
    ) -> Option<SessionId> {
        let is_there = |id: &SessionId| path_of(*id) == Some(path);
        let found = self.table.find(self.state.hash_one(path), is_there);
        found.copied()
    }

    /// Adds a session, whose path this is. It takes the place of any other.
    pub(super) fn insert(
        &mut self,
        path: Path,
        id: SessionId,
        path_of: impl Fn(SessionId) -> Option<Path>,
    ) {
        let (hash, state) = (self.state.hash_one(path), &self.state);
        let is_there = |id: &SessionId| path_of(*id) == Some(path);
        if let Some(there) = self.table.find_mut(hash, is_there) {
            *there = id;
        } else {
            // For all that are in here there is a path.
            let hash_of = |id: &SessionId| path_of(*id).map_or(0, |path| state.hash_one(path));
            self.table.insert_unique(hash, id, hash_of);
        }
    }

    /// Removes a session that was added with this path, if it is still the path's. It may have another path by now.
    pub(super) fn remove(&mut self, path: Path, id: SessionId) {
        let hash = self.state.hash_one(path);
        if let Ok(entry) = self.table.find_entry(hash, |there| *there == id) {
            entry.remove();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::net::SocketAddr;

    fn path(port: u16) -> Path {
        Path {
            remote: SocketAddr::from(([192, 0, 2, 1], port)),
            local: None,
            via: None,
        }
    }

    /// Against a `HashMap`, in random runs.
    #[test]
    fn it_is_a_map_from_paths() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut by_path, mut expected) = (ByPath::default(), HashMap::new());
        // Paths of sessions, those included that have lost their place.
        let mut paths: HashMap<SessionId, Path> = HashMap::new();
        for number in 0..20_000 {
            let to = path(random.u16(..500));
            let id = match random.u8(..3) {
                0 => {
                    let id = SessionId(number);
                    paths.insert(id, to);
                    id
                }
                kind => {
                    let Some((id, from)) = expected.iter().next().map(|(from, id)| (*id, *from))
                    else {
                        continue;
                    };
                    // It moves, or ends.
                    let moves = kind == 1;
                    let now = if moves {
                        paths.insert(id, to)
                    } else {
                        paths.remove(&id)
                    };
                    assert_eq!(now, Some(from));
                    by_path.remove(from, id);
                    expected.remove(&from);
                    if !moves {
                        continue;
                    }
                    id
                }
            };
            by_path.insert(to, id, |id| paths.get(&id).copied());
            expected.insert(to, id);
            let asked = path(random.u16(..500));
            let found = by_path.get(asked, |id| paths.get(&id).copied());
            assert_eq!(found, expected.get(&asked).copied());
            assert_eq!(by_path.len(), expected.len());
        }
    }
}
