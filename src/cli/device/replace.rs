//! A file replaced whole or not at all, by one process at a time.

use crate::shown::Shown;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a lock is waited for. An edit takes milliseconds, and of a hundred at once each has its turn by then.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is tried.
const PAUSE: Duration = Duration::from_millis(20);

/// As many links as Linux follows.
const MOST_LINKS: usize = 40;

/// A file that no other `device` command changes until this is dropped.
pub(super) struct Held {
    /// The file itself, whatever links lead to it.
    target: PathBuf,
    /// Its directory, which carries the lock: the file is another one after each replacement.
    directory: File,
}

impl Held {
    /// Waits until nobody else changes the file, which need not be there; its directory must. `waiting` is called if
    /// there is someone to wait for. Whoever holds the lock for longer than `patience` hangs, or is no `device` command.
    pub(super) fn new(
        path: &Path,
        patience: Duration,
        waiting: impl FnOnce(),
    ) -> Result<Held, String> {
        let target = follow(path).map_err(|error| format!("{}: {error}", Shown::path(path)))?;
        let parent = parent(&target);
        let failed = |error: io::Error| format!("{} can't be locked: {error}", Shown::path(parent));
        let directory = File::open(parent).map_err(failed)?;
        let mut waiting = Some(waiting);
        let mut waited = Duration::ZERO;
        loop {
            match directory.try_lock() {
                Ok(()) => return Ok(Held { target, directory }),
                Err(TryLockError::WouldBlock) if waited >= patience => {
                    return Err(format!(
                        "{} has been locked by another process for {} s, and nothing was changed: see which one \
                         (lslocks), end it, and try again",
                        Shown::path(parent),
                        patience.as_secs()
                    ));
                }
                Err(TryLockError::WouldBlock) => {
                    if let Some(waiting) = waiting.take() {
                        waiting();
                    }
                    std::thread::sleep(PAUSE);
                    waited = waited.saturating_add(PAUSE);
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// Puts `after` in the place of `before`, which is what was read from it (`None`: it was not there). After a
    /// crash at any moment one of the two is there. Gives back a warning if its owner could not be kept.
    pub(super) fn replace(
        &self,
        before: Option<&[u8]>,
        after: &[u8],
    ) -> Result<Option<String>, String> {
        let told = |error: io::Error| {
            let kind = error.kind();
            let hint =
                if [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem].contains(&kind) {
                    "; run this as who may write its directory"
                } else if kind == ErrorKind::ResourceBusy {
                    "; it is mounted as a single file: mount its directory, or change it outside"
                } else {
                    ""
                };
            format!(
                "{} was not changed: {error}{hint}",
                Shown::path(&self.target)
            )
        };
        let new = Temporary(parent(&self.target).join(self.temporary_name()));
        let warning = self.write(&new.0, after).map_err(told)?;
        // An editor knows nothing of our lock.
        let now = match fs::read(&self.target) {
            Ok(bytes) => Some(zeroize::Zeroizing::new(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(told(error)),
        };
        if now.as_ref().map(|bytes| bytes.as_slice()) != before {
            return Err(format!(
                "{} was changed by someone else this moment, and is left so; try again",
                Shown::path(&self.target)
            ));
        }
        fs::rename(&new.0, &self.target).map_err(told)?;
        std::mem::forget(new);
        self.directory.sync_all().map_err(|error| {
            format!(
                "{} is changed, but may not be after a power cut: {error}",
                Shown::path(&self.target)
            )
        })?;
        Ok(warning)
    }

    /// The same each time: what a crash leaves behind is taken away by the next command.
    fn temporary_name(&self) -> std::ffi::OsString {
        let mut name = std::ffi::OsString::from(".");
        name.push(self.target.file_name().unwrap_or_default());
        name.push(".new");
        name
    }

    /// Writes a file with the mode and owner of the one it is to replace, down to the disk.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<Option<String>> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        let mut warning = None;
        match fs::metadata(&self.target) {
            Ok(old) => {
                let (mode, new) = (old.mode() & 0o7777, file.metadata()?);
                let same = (old.uid(), old.gid()) == (new.uid(), new.gid());
                let mode = if same || fchown(&file, Some(old.uid()), Some(old.gid())).is_ok() {
                    mode
                } else {
                    warning = Some(format!(
                        "{} belongs to you now, not to user {} and group {} as before: only root may give files \
                         away. Can the gateway still read it?",
                        Shown::path(&self.target),
                        old.uid(),
                        old.gid()
                    ));
                    // Unless the group stays, what it might read is not for the one that comes in its place.
                    let group =
                        old.gid() == new.gid() || fchown(&file, None, Some(old.gid())).is_ok();
                    if group { mode } else { mode & !0o070 }
                };
                file.set_permissions(Permissions::from_mode(mode))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(warning)
    }
}

/// Gone when dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The directory of a file.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Where links lead in the end, also if nothing is there.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = parent(&path).join(next),
            // Not a link, or nothing there.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many links"))
}

#[cfg(test)]
mod tests;
