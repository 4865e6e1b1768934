//! Opening a store.
//!
//! In this order: the directory is locked; the database is looked at without a write to it: application and version, tables,
//! SQLite's own check, the count of commits, the proof of the key, and each row, which is decrypted once. If all of it holds, a
//! new generation is put on disk, and records and rows can be restored. If not, the database is set aside and another one begun.

mod files;
mod restore;

use crate::commits;
use crate::database::{Contents, Database, Unreadable};
use crate::directory::{Directory, Unusable};
use crate::disk_error::DiskError;
use crate::key::StoreKey;
use files::Files;
pub use restore::{Opened, Restored, StoredSession};
#[cfg(any(test, feature = "simulation"))]
pub(crate) use restore::{Source, StoredRow};
use std::fmt;
use std::path::{Path, PathBuf};

/// Why a store is not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{path} is in use by another process", path = .0.display())]
    InUse(PathBuf),
    /// The disk or the file system fails, or permissions are missing.
    #[error("{path}: {error}", path = .path.display())]
    Disk {
        /// The directory.
        path: PathBuf,
        /// What fails.
        error: DiskError,
    },
}

/// Why a database was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A later version has written it, in this format.
    Newer(i64),
    /// It was written with another key.
    OtherKey,
    /// It is damaged.
    Damaged(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Newer(format) => write!(
                f,
                "a later version has written it (format {format}); to use it again, start that version and put it back"
            ),
            Reason::OtherKey => f.write_str(
                "it was written with another key; to use it again, put that key and the database back",
            ),
            Reason::Damaged(what) => write!(
                f,
                "it is damaged ({what}); its sessions are lost, and their devices have to shake hands again"
            ),
        }
    }
}

/// A database that was not usable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now.
    pub path: PathBuf,
    /// Why.
    pub reason: Reason,
}

/// Opens the store in a directory, or creates it.
///
/// # Errors
/// It is in use, or the disk fails. Nothing was changed then.
pub fn open(path: &Path, key: &StoreKey) -> Result<Opened, OpenError> {
    let disk = |error: DiskError| OpenError::Disk {
        path: path.to_owned(),
        error,
    };
    let directory = match Directory::lock(path) {
        Ok(directory) => directory,
        Err(Unusable::InUse) => return Err(OpenError::InUse(path.to_owned())),
        Err(Unusable::Io(error)) => return Err(disk(error.into())),
    };
    let (found, set_aside) = match find(&directory, key).map_err(disk)? {
        Found::Usable(database, contents) => (Some((database, contents)), None),
        Found::Nothing => (None, None),
        Found::Unusable(reason) => {
            let path = directory.set_aside().map_err(|error| disk(error.into()))?;
            (None, Some(SetAside { path, reason }))
        }
    };
    let found = found.map_or_else(|| create(&directory, key), Ok);
    let begun =
        found.and_then(|(database, contents)| Files::begin(directory, database, contents, key));
    let files = begun.map_err(disk)?;
    Ok(Opened::new(Box::new(files), set_aside))
}

pub(crate) enum Found {
    Usable(Database, Contents),
    Unusable(Reason),
    Nothing,
}

pub(crate) fn find(directory: &Directory, key: &StoreKey) -> Result<Found, DiskError> {
    if !directory.has_database()? {
        return Ok(Found::Nothing);
    }
    if directory.has_log_alone() {
        let what = "only its log is left".to_owned();
        return Ok(Found::Unusable(Reason::Damaged(what)));
    }
    let commits = commits::read(&directory.commits())?;
    let check = || {
        let database = Database::connect(&directory.database())?;
        if database.is_empty()? && commits == 0 {
            return Ok(None);
        }
        let contents = database.check(key, commits)?;
        Ok(Some((database, contents)))
    };
    match check() {
        Ok(Some((database, contents))) => Ok(Found::Usable(database, contents)),
        Ok(None) => Ok(Found::Nothing),
        Err(Unreadable::Newer(format)) => Ok(Found::Unusable(Reason::Newer(format))),
        Err(Unreadable::OtherKey) => Ok(Found::Unusable(Reason::OtherKey)),
        Err(Unreadable::Damaged(what)) => Ok(Found::Unusable(Reason::Damaged(what))),
        Err(Unreadable::Io(error)) => Err(error.into()),
    }
}

fn create(directory: &Directory, key: &StoreKey) -> Result<(Database, Contents), DiskError> {
    directory.create_database()?;
    let mut database = Database::connect(&directory.database())?;
    database.create()?;
    match database.check(key, 0) {
        Ok(contents) => Ok((database, contents)),
        Err(Unreadable::Io(error)) => Err(error.into()),
        Err(unreadable) => Err(DiskError::Failed(format!(
            "what was written is not read again: {unreadable:?}"
        ))),
    }
}
