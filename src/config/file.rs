//! Files read whole, within a bound.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A file's bytes, wiped when dropped, and whether everyone on this machine may read them.
pub(super) struct Contents {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) open_to_all: bool,
}

/// Identity, size and times of a file. If they change, its contents may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of the file that a path leads to, through all symbolic links; `None` if there is none.
    pub fn of(path: &Path) -> Option<Stamp> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// A file that was read, or looked for, and its stamp just before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedFile {
    /// As the configuration has it.
    pub path: PathBuf,
    /// `None`: it was not there.
    pub stamp: Option<Stamp>,
}

/// Why a file can't be read.
pub(super) enum Unreadable {
    Missing,
    /// Any other reason, in words.
    Other(String),
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unreadable::Missing => f.write_str("there is no such file"),
            Unreadable::Other(reason) => f.write_str(reason),
        }
    }
}

/// Reads a regular file of at most `most` bytes, and adds it to the watched files.
pub(super) fn read(
    path: &Path,
    most: u64,
    watched: &mut Vec<WatchedFile>,
) -> Result<Contents, Unreadable> {
    // Taken before the file is opened: if it is replaced in between, the next check finds another stamp.
    watched.push(WatchedFile {
        path: path.to_owned(),
        stamp: Stamp::of(path),
    });
    let failed = |error: std::io::Error| {
        if error.kind() == ErrorKind::NotFound {
            Unreadable::Missing
        } else {
            Unreadable::Other(error.to_string())
        }
    };
    // WatchedFile at before it is opened: opening a pipe waits for a writer that may never come.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Unreadable::Other(
            "this is a directory or a device, not a file".into(),
        ));
    }
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let too_large = || {
        Unreadable::Other(format!(
            "the file is larger than {}",
            bytesize::ByteSize(most)
        ))
    };
    if metadata.len() > most {
        return Err(too_large());
    }
    // At its full size from the start: a vector that grows leaves copies of secrets behind.
    let capacity = usize::try_from(metadata.len())
        .unwrap_or_default()
        .saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > most) {
        return Err(too_large());
    }
    Ok(Contents {
        bytes,
        open_to_all: open_to_all(&metadata),
    })
}

/// Whether a file is there and everyone on this machine may read it.
pub(super) fn is_open_to_all(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| open_to_all(&metadata))
}

fn open_to_all(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o004 != 0
}
