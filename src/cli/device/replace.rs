//! Replaces a file as a whole or not at all, by one process at a time.

use crate::shown::Shown;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait for the lock. An edit takes milliseconds, so a hundred concurrent ones complete within that.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// The time between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// The number of links that Linux follows.
const MAX_LINKS: usize = 40;

/// A lock on a file: no other `device` command changes it until this is dropped.
pub(super) struct LockedFile {
    /// The file itself, behind all symbolic links.
    target: PathBuf,
    /// Its directory, which is what is locked, because each edit replaces the file.
    directory: File,
}

impl LockedFile {
    /// Waits for the lock. The file may be missing; its directory must exist. `on_wait` is called if another process
    /// has the lock. One that keeps it for longer than `timeout` hangs, or is no `device` command: that is an error.
    pub(super) fn new(
        path: &Path,
        timeout: Duration,
        on_wait: impl FnOnce(),
    ) -> Result<LockedFile, String> {
        let target = follow(path).map_err(|error| format!("{}: {error}", Shown::path(path)))?;
        let parent = parent(&target);
        let failed = |error: io::Error| format!("{} can't be locked: {error}", Shown::path(parent));
        let directory = File::open(parent).map_err(failed)?;
        let mut on_wait = Some(on_wait);
        let mut waited = Duration::ZERO;
        loop {
            match directory.try_lock() {
                Ok(()) => return Ok(LockedFile { target, directory }),
                Err(TryLockError::WouldBlock) if waited >= timeout => {
                    return Err(format!(
                        "{} has been locked by another process for {} s, and nothing was changed: see which one \
                         (lslocks), end it, and try again",
                        Shown::path(parent),
                        timeout.as_secs()
                    ));
                }
                Err(TryLockError::WouldBlock) => {
                    if let Some(on_wait) = on_wait.take() {
                        on_wait();
                    }
                    std::thread::sleep(PAUSE);
                    waited = waited.saturating_add(PAUSE);
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// Replaces `before`, which was read from the file (`None`: it was missing), by `after`. After a crash at any
    /// moment the file has one of the two. Returns a warning if its owner could not be kept.
    pub(super) fn replace(
        &self,
        before: Option<&[u8]>,
        after: &[u8],
    ) -> Result<Option<String>, String> {
        let failed = |error: io::Error| {
            let kind = error.kind();
            let hint =
                if [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem].contains(&kind) {
                    "; run this as a user who may write its directory"
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
        let warning = self.write(&new.0, after).map_err(failed)?;
        // Editors don't take the lock.
        let now = match fs::read(&self.target) {
            Ok(bytes) => Some(zeroize::Zeroizing::new(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        if now.as_ref().map(|bytes| bytes.as_slice()) != before {
            return Err(format!(
                "{} was changed by another program meanwhile, and was not overwritten; try again",
                Shown::path(&self.target)
            ));
        }
        fs::rename(&new.0, &self.target).map_err(failed)?;
        std::mem::forget(new);
        self.directory.sync_all().map_err(|error| {
            format!(
                "{} is changed, but may not be after a power cut: {error}",
                Shown::path(&self.target)
            )
        })?;
        Ok(warning)
    }

    /// Always the same, so that the next command removes a file that a crash has left.
    fn temporary_name(&self) -> std::ffi::OsString {
        let mut name = std::ffi::OsString::from(".");
        name.push(self.target.file_name().unwrap_or_default());
        name.push(".new");
        name
    }

    /// Writes and syncs a file with the mode and owner of the one that it will replace.
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
                    // If the group changes, it gets none of the old group's permissions.
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

/// Removes the file when it is dropped.
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

/// Follows symbolic links to their end, which need not exist.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = parent(&path).join(next),
            // No link, or no file.
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
