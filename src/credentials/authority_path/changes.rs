//! Which paths are to be stored, and which need not be stored any longer.

use super::{AuthorityPath, AuthorityPaths, PathName};
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

/// What has changed since it was taken.
#[derive(Debug, Default)]
pub(super) struct Changes {
    is_on: bool,
    /// New ones, and those with another certificate of a client.
    changed: BTreeSet<PathName>,
    /// Those that are gone.
    unused: BTreeSet<PathName>,
    /// Those that were read, until their clients have been: nobody else has them so far.
    restored: Vec<Arc<AuthorityPath>>,
}

impl Changes {
    /// A path is new, or has another certificate of a client.
    pub(super) fn changed(&mut self, name: &PathName) {
        if self.is_on {
            self.changed.insert(*name);
            self.unused.remove(name);
        }
    }

    /// No client has this path any more.
    pub(super) fn unused(&mut self, name: &PathName) {
        if self.is_on {
            self.changed.remove(name);
            self.unused.insert(*name);
        }
    }
}

/// A path to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedPath {
    /// The key to store it by: a digest.
    pub name: [u8; 32],
    /// All that it takes to go on with it. `None`: it is too large. Then its clients are not known after a restart.
    pub encoded: Option<Vec<u8>>,
}

impl AuthorityPaths {
    /// Lists changes from now on.
    pub fn list_changes(&mut self) {
        self.changes.is_on = true;
    }

    /// Takes the paths to store: each that is new, or has changed since it was taken last.
    pub fn take_changed(&mut self) -> Vec<ChangedPath> {
        let names = std::mem::take(&mut self.changes.changed);
        let changed = names.into_iter().filter_map(|name| {
            let encoded = self.find(&name)?.encode();
            Some(ChangedPath { name, encoded })
        });
        changed.collect()
    }

    /// Takes the names of the paths that no client has any more, nor a ticket: what is stored of them can be deleted. A path with
    /// one of these names that comes back is a new one. Those that were [inserted](Self::insert_encoded) and that no client has had
    /// since are among them, so this is not called before the clients have been [decoded](super::KnownClient::decode).
    pub fn take_unused(&mut self) -> Vec<[u8; 32]> {
        self.changes.restored.clear();
        self.remove_unused();
        let names = std::mem::take(&mut self.changes.unused);
        names.into_iter().collect()
    }

    /// Inserts a path that was stored, so that clients that name it can be decoded. Returns its name.
    ///
    /// `None`: it is malformed.
    pub fn insert_encoded(&mut self, encoded: &[u8]) -> Option<[u8; 32]> {
        let path = AuthorityPath::decode(encoded)?;
        let name = path.name;
        if self.find(&name).is_none() {
            let path = Arc::new(path);
            self.paths.insert(name, Arc::downgrade(&path));
            self.changes.unused.remove(&name);
            self.changes.restored.push(path);
        }
        Some(name)
    }

    /// Removes what no client has any more.
    pub(super) fn remove_unused(&mut self) {
        let Self { paths, changes, .. } = self;
        paths.retain(|name, path: &mut Weak<AuthorityPath>| {
            let is_used = path.strong_count() > 0;
            if !is_used {
                changes.unused(name);
            }
            is_used
        });
    }
}
