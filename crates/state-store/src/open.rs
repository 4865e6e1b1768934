//! Opening a store.
//!
//! In this order: the directory is locked; the database is looked at without a write to it: application and version, tables,
//! SQLite's own check, the count of commits, the proof of the key, and each row, which is decrypted once. If all of it holds, a
//! new generation is put on disk, and rows can be restored. If not, the database is set aside and another one begun.

use crate::commits::{self, Commits};
use crate::database::{Contents, Database, Unreadable, Writing};
use crate::directory::{Directory, Unusable};
use crate::disk_error::DiskError;
use crate::key::StoreKey;
use crate::seal::{Generation, RowKey, Sealer};
use crate::send_numbers::{BLOCK, SendNumbers};
use crate::store::{Event, Settings, Store};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

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

/// A session as it was stored.
#[derive(Debug)]
pub struct StoredSession {
    /// The key of its row.
    pub key: u64,
    /// The numbers that it may send with.
    pub numbers: SendNumbers,
    /// The first of them.
    pub first_send_number: u64,
    /// Its row.
    pub row: Zeroizing<Vec<u8>>,
    /// What was written beside it since.
    pub window: Option<Zeroizing<Vec<u8>>>,
}

/// A store that was found in order, or is empty.
pub struct Opened {
    directory: Directory,
    database: Database,
    contents: Contents,
    generation: Generation,
    sealer: Sealer,
    set_aside: Option<SetAside>,
}

/// A store whose sessions were restored.
pub struct Restored {
    opened: Opened,
    /// Rows that are not wanted.
    deleted: Vec<u64>,
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
    let begun = match found {
        Some((database, contents)) => Opened::begin(directory, database, contents, key, set_aside),
        None => create(&directory, key).and_then(|(database, contents)| {
            Opened::begin(directory, database, contents, key, set_aside)
        }),
    };
    begun.map_err(disk)
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

impl Opened {
    /// Puts a new generation on disk.
    fn begin(
        directory: Directory,
        mut database: Database,
        mut contents: Contents,
        key: &StoreKey,
        set_aside: Option<SetAside>,
    ) -> Result<Opened, DiskError> {
        let failed = |what: &str| DiskError::Failed(what.to_owned());
        let number = contents.last_generation.checked_add(1);
        let number = number.ok_or_else(|| failed("it was opened too often"))?;
        let generation = Generation::new(number);
        let generation = generation.ok_or_else(|| failed("the system has no random numbers"))?;
        let row_key =
            RowKey::new(key, &generation).ok_or_else(|| failed("no key can be derived"))?;
        contents.commit = contents.commit.saturating_add(1);
        let proof = generation.proof(key);
        database.begin(
            &generation,
            proof.as_ref(),
            &contents.in_use,
            contents.commit,
        )?;
        Ok(Opened {
            directory,
            database,
            contents,
            generation,
            sealer: Sealer::new(row_key),
            set_aside,
        })
    }

    /// What was set aside.
    #[must_use]
    pub const fn set_aside(&self) -> Option<&SetAside> {
        self.set_aside.as_ref()
    }

    /// How many sessions are stored.
    #[must_use]
    pub const fn sessions(&self) -> u64 {
        self.contents.sessions
    }

    /// Passes each session on. Those for which `keep` returns false, and those that have no number left, are deleted.
    ///
    /// # Errors
    /// The disk fails. What was passed on must not be used then: the same may be restored again.
    pub fn restore(
        self,
        mut keep: impl FnMut(StoredSession) -> bool,
    ) -> Result<Restored, DiskError> {
        let mut deleted = Vec::new();
        let now = self.generation.number;
        let read = self.database.rows(&self.contents, |stored, window| {
            let key = stored.key;
            let session = stored.value.split_first_chunk().and_then(|(bound, row)| {
                let bound = u64::from_be_bytes(*bound);
                let (numbers, first) = SendNumbers::restored(BLOCK, bound, stored.generation, now)?;
                Some(StoredSession {
                    key,
                    numbers,
                    first_send_number: first,
                    row: Zeroizing::new(row.to_vec()),
                    window: window.map(|window| window.value),
                })
            });
            if !session.is_some_and(&mut keep) {
                deleted.push(key);
            }
        });
        match read {
            Ok(()) => Ok(Restored {
                opened: self,
                deleted,
            }),
            Err(Unreadable::Io(error)) => Err(error.into()),
            Err(unreadable) => Err(DiskError::Failed(format!("{unreadable:?}"))),
        }
    }
}

impl Restored {
    /// Starts the thread that puts changes on disk. It calls `on_event`, which must not block for long.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn start(
        self,
        settings: Settings,
        on_event: impl FnMut(Event) + Send + 'static,
    ) -> io::Result<Store> {
        let Opened {
            directory,
            database,
            contents,
            sealer,
            ..
        } = self.opened;
        let commits = Commits::open(&directory.commits())?;
        let disk = Writing::new(database, sealer, commits, contents.commit);
        let store = Store::start(disk, Some(directory), BLOCK, settings, on_event)?;
        for key in self.deleted {
            // What does not fit is judged, and deleted, at the next start.
            let _ = store.delete_session(key);
        }
        Ok(store)
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("sessions", &self.contents.sessions)
            .field("set_aside", &self.set_aside)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restored")
            .field("deleted", &self.deleted.len())
            .finish_non_exhaustive()
    }
}
