//! The directory of a store: its files, the lock, and what was set aside.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The database.
pub(crate) const DATABASE: &str = "state.sqlite3";
/// The file that is locked.
const LOCK: &str = "lock";
/// What belongs to it, besides itself: the write-ahead log, and the count of commits.
pub(crate) const BESIDE: [&str; 2] = ["-wal", "-commits"];
/// How many databases are set aside at most: what sets one aside at each start does not fill the disk.
const MAX_SET_ASIDE: u32 = 16;

/// How often a lock is tried, and how long after the last time.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// A directory that no other process uses as long as this exists.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// The lock ends when the file is closed, be it by a kill.
    _lock: File,
}

/// Why a directory can't be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    InUse,
    Io(io::Error),
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Unusable {
        Unusable::Io(error)
    }
}

impl Directory {
    /// Whether another process has locked a directory. Nothing is created. The lock is had for a moment.
    pub(crate) fn is_locked(path: &Path) -> io::Result<bool> {
        check_kind(&path.join(LOCK))?;
        let lock = match File::open(path.join(LOCK)) {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Creates it, for its owner alone, unless it is there, and locks it. What is in it becomes its owner's alone.
    pub(crate) fn lock(path: &Path) -> Result<Directory, Unusable> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let files = ["", "-wal", "-commits"].map(|end| path.join(format!("{DATABASE}{end}")));
        check_kind(&path.join(LOCK))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(path.join(LOCK))?;
        lock_file(&lock)?;
        for file in &files {
            check_kind(file)?;
            make_private(file);
        }
        Ok(Directory {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    pub(crate) fn commits(&self) -> PathBuf {
        self.path.join(format!("{DATABASE}-commits"))
    }

    /// Whether there is a database, or something of one.
    pub(crate) fn has_database(&self) -> io::Result<bool> {
        for end in ["", "-wal"] {
            match fs::metadata(self.path.join(format!("{DATABASE}{end}"))) {
                Ok(metadata) if metadata.len() > 0 => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Whether the database itself is missing, or empty. SQLite would delete its log then.
    pub(crate) fn has_log_alone(&self) -> bool {
        let length = fs::metadata(self.database()).map(|metadata| metadata.len());
        length.unwrap_or(0) == 0
    }

    /// An empty database that its owner alone may read. SQLite gives its log the same permissions.
    pub(crate) fn create_database(&self) -> io::Result<()> {
        for end in BESIDE {
            remove(&self.path.join(format!("{DATABASE}{end}")))?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.open(self.database())?.sync_all()?;
        sync(&self.path)
    }

    /// Renames the database and what belongs to it, and returns its new path.
    pub(crate) fn set_aside(&self) -> io::Result<PathBuf> {
        let aside = |number: u32| format!("{DATABASE}.set-aside-{number}");
        let mut numbers = 1..=MAX_SET_ASIDE;
        let is_free = |number: &u32| {
            let path = self.path.join(aside(*number));
            !path.exists() && !with_end(&path, "-wal").exists()
        };
        let Some(number) = numbers.find(is_free) else {
            let text = format!(
                "{MAX_SET_ASIDE} databases were set aside in {}; remove those that are not needed",
                self.path.display()
            );
            return Err(io::Error::other(text));
        };
        let new = self.path.join(aside(number));
        // The database first: a start that is killed in between leaves a log alone, which is set aside as well. A database alone
        // would look like one that is in order, and be older.
        for end in [""].into_iter().chain(BESIDE) {
            match fs::rename(with_end(&self.database(), end), with_end(&new, end)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        sync(&self.path)?;
        Ok(new)
    }
}

/// Tries for a moment: who [looks](Directory::is_locked) has it as long.
fn lock_file(lock: &File) -> Result<(), Unusable> {
    for _ in 0..LOCK_TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    Err(Unusable::InUse)
}

/// Files have fixed names. A link in place of one would have another file written to, and a pipe would be waited for.
pub(crate) fn check_kind(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => {
            let text = format!("{} is not a regular file", path.display());
            Err(io::Error::other(text))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes others' permissions for a file away, such as those of a copy. Where it can't, rows are encrypted all the same.
fn make_private(path: &Path) {
    let Ok(mut permissions) = fs::metadata(path).map(|metadata| metadata.permissions()) else {
        return;
    };
    if permissions.mode() & 0o077 != 0 {
        permissions.set_mode(permissions.mode() & 0o700);
        let _ = fs::set_permissions(path, permissions);
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(end);
    PathBuf::from(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The directory that a file is in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Puts what was created or renamed in a directory on disk.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests;
