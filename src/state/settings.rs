//! Where sessions are stored, under which key, and how often.

use crate::shown::Shown;
use state_store::{KeyError, KeyFile, StoreKey};
use std::fmt;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

/// A directory, its key, and how old a window may be.
#[derive(Clone)]
pub struct Settings {
    /// Where the database is. Created at the start, unless it exists.
    pub directory: PathBuf,
    /// The key of the database.
    pub key: KeySource,
    /// How often the receive windows of the sessions in use are written.
    pub window: Duration,
}

/// Where the key is.
#[derive(Clone)]
pub enum KeySource {
    /// A file, which is created at the first start.
    File(PathBuf),
    /// The environment had it.
    Given(StoreKey),
}

impl Settings {
    /// Reads the key's file, or creates it, and the directory before if it is in there.
    ///
    /// # Errors
    /// There is no key in it, or it can't be read or created.
    pub fn load_key(&self) -> Result<KeyFile, KeyError> {
        match &self.key {
            KeySource::File(path) => {
                if path.parent() == Some(&self.directory) {
                    // What fails is said of the file.
                    let mut builder = DirBuilder::new();
                    let _ = builder.recursive(true).mode(0o700).create(&self.directory);
                }
                StoreKey::load_or_create(path)
            }
            KeySource::Given(key) => Ok(KeyFile {
                key: key.clone(),
                is_new: false,
                is_open_to_all: false,
            }),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = Shown::path(&self.directory);
        f.debug_struct("Settings")
            .field("directory", &format_args!("{directory}"))
            .field("key", &self.key)
            .field("window", &self.window)
            .finish()
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A key may have been written in the place of its path.
            KeySource::File(path) => write!(f, "File({})", Shown::path(path)),
            KeySource::Given(_) => f.write_str("Given(…)"),
        }
    }
}

#[cfg(test)]
mod tests;
