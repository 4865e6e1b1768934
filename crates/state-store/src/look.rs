//! What an opening would find, without changing anything: for those who check a configuration.
//!
//! Another process may open the store meanwhile, and must not be kept from it. So the files are copied, and what is looked at is
//! the copy.

use crate::directory::{BESIDE, DATABASE, Directory, Unusable};
use crate::disk_error::DiskError;
use crate::key::StoreKey;
use crate::open::{Found, OpenError, Reason, find};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{env, process};

/// A larger database is not copied: where temporary files are in memory, a service may have no more.
const LARGEST: u64 = 256 * 1024 * 1024;

/// What is in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// No database.
    Nothing,
    /// Another process has it open.
    InUse,
    /// A database of this key that is in order.
    Usable {
        /// The sessions in it.
        sessions: u64,
        /// Bytes on disk.
        bytes: u64,
    },
    /// A database that an opening would set aside.
    Unusable(Reason),
    /// A database of 256 MiB or more, which was not looked at.
    TooLarge,
}

/// Looks at the store in a directory.
///
/// # Errors
/// A file can't be read, or there is no room for a copy in the directory of temporary files.
pub fn look(path: &Path, key: &StoreKey) -> Result<Look, OpenError> {
    let disk = |error: DiskError| OpenError::Disk {
        path: path.to_owned(),
        error,
    };
    let io = |error: io::Error| disk(error.into());
    if Directory::is_locked(path).map_err(io)? {
        return Ok(Look::InUse);
    }
    let copy = Temporary::new().map_err(io)?;
    let mut bytes = 0_u64;
    for end in [""].into_iter().chain(BESIDE) {
        let name = format!("{DATABASE}{end}");
        let left = LARGEST.saturating_sub(bytes);
        let copied = copy_file(&path.join(&name), &copy.0.join(&name), left).map_err(io)?;
        bytes = bytes.saturating_add(copied);
        if bytes >= LARGEST {
            return Ok(Look::TooLarge);
        }
    }
    // What was copied while another process wrote is good for nothing.
    if Directory::is_locked(path).map_err(io)? {
        return Ok(Look::InUse);
    }
    let directory = Directory::lock(&copy.0).map_err(|error| match error {
        // Its name is random.
        Unusable::InUse => OpenError::InUse(copy.0.clone()),
        Unusable::Io(error) => io(error),
    })?;
    Ok(match find(&directory, key).map_err(disk)? {
        Found::Nothing => Look::Nothing,
        Found::Unusable(reason) => Look::Unusable(reason),
        Found::Usable(_, contents) => Look::Usable {
            sessions: contents.sessions,
            bytes,
        },
    })
}

/// Whether there is a database, or something of one, with whatever key.
#[must_use]
pub fn has_database(path: &Path) -> bool {
    let length = |end| fs::metadata(path.join(format!("{DATABASE}{end}"))).map_or(0, |it| it.len());
    ["", "-wal"].into_iter().any(|end| length(end) > 0)
}

/// Copies at most `most` bytes, if the file is there. Returns how many.
fn copy_file(from: &Path, to: &Path, most: u64) -> io::Result<u64> {
    let from = match File::open(from) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    if !from.metadata()?.is_file() {
        return Err(io::Error::other("what should be a file is none"));
    }
    let mut options = OpenOptions::new();
    let mut to = options.write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut from.take(most), &mut to)
}

/// A directory that vanishes when it is dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> io::Result<Temporary> {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
        let name = format!(
            "coaps-gateway-{}-{:016x}",
            process::id(),
            u64::from_be_bytes(random)
        );
        let path = env::temp_dir().join(name);
        // Another user's directory of that name is an error.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Temporary(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests;
