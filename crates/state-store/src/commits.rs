//! A count of commits beside the database, so that a loss of commits is noticed.
//!
//! SQLite takes a damaged end of its log for one that was not written in full, and goes on with what is before it. That is
//! right after a power failure, when the end was not synced. After damage to what was synced it is an older state, with which
//! send numbers would be used twice. So each commit has a number in the database, and this file has the last one. It is
//! written after the commit, and not synced: after a power failure it may have a lower number than the database, which is
//! right, but never a higher one.
//!
//! It also notices a database that was put back from a copy, as long as this file was not.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The file.
#[derive(Debug)]
pub(crate) struct Commits(File);

impl Commits {
    pub(crate) fn open(path: &Path) -> io::Result<Commits> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.open(path).map(Commits)
    }

    /// Writes the number of a commit that is on disk. If that fails, less is noticed.
    pub(crate) fn write(&self, number: u64) {
        let both = [number.to_be_bytes(), (!number).to_be_bytes()].concat();
        let _ = self.0.write_all_at(&both, 0);
    }
}

/// The number of the last commit, as far as it is known: after a power failure the file may be empty or have zeros.
pub(crate) fn read(path: &Path) -> io::Result<u64> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(17).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let (numbers, rest) = bytes.as_chunks::<8>();
    Ok(match (numbers, rest) {
        ([number, check], []) if number.iter().zip(check).all(|(a, b)| *a == !*b) => {
            u64::from_be_bytes(*number)
        }
        _ => 0,
    })
}

#[cfg(test)]
mod tests;
