//! Why something is not on disk.

use rusqlite::ffi::ErrorCode;
use std::io;

/// The disk, or the file system, does not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// There is no space left.
    #[error("no space is left on the disk")]
    Full,
    /// It does not answer.
    #[error("the disk does not answer")]
    Hangs,
    /// Something else, in words.
    #[error("{0}")]
    Failed(String),
}

impl From<io::Error> for DiskError {
    fn from(error: io::Error) -> DiskError {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        if matches!(error.kind(), StorageFull | QuotaExceeded) {
            return DiskError::Full;
        }
        DiskError::Failed(error.to_string())
    }
}

impl From<rusqlite::Error> for DiskError {
    fn from(error: rusqlite::Error) -> DiskError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => DiskError::Full,
            _ => DiskError::Failed(format!("SQLite: {error}")),
        }
    }
}
