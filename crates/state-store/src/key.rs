//! The key of the store: 32 bytes, as 64 hexadecimal digits in a file or in the environment.

use crate::directory::{self, check_kind};
use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of the key.
const LENGTH: usize = 32;
/// Bytes of a file that are read: the digits, a line break, and one more that is too many.
const MAX_FILE: u64 = 2 * 32 + 3;

/// The key that all others are derived from. Overwritten when dropped.
#[derive(Clone)]
pub struct StoreKey([u8; LENGTH]);

/// Where a key came from, besides the key.
#[derive(Debug)]
pub struct KeyFile {
    /// The key in it.
    pub key: StoreKey,
    /// It was made now.
    pub is_new: bool,
    /// Everyone on this machine may read it.
    pub is_open_to_all: bool,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is not 64 hexadecimal digits.
    #[error("not a key: it must be 64 hexadecimal digits, as `openssl rand -hex 32` makes them")]
    Malformed,
    /// The file can't be read.
    #[error("can't read {path}: {source}", path = .path.display())]
    Read {
        /// The key file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no file, and it can't be made.
    #[error("can't create {path}: {source}", path = .path.display())]
    Create {
        /// The key file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system has no random numbers.
    #[error("the system has no random numbers")]
    Random,
}

impl StoreKey {
    /// Reads the digits, and white space around them.
    ///
    /// # Errors
    /// There are not 64 of them, or something else.
    pub fn from_hex(text: &str) -> Result<StoreKey, KeyError> {
        let digits = text.trim_ascii();
        let mut key = StoreKey([0; LENGTH]);
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        if pairs.len() != LENGTH || !rest.is_empty() {
            return Err(KeyError::Malformed);
        }
        for (byte, [high, low]) in key.0.iter_mut().zip(pairs) {
            let digit = |digit: u8| {
                char::from(digit)
                    .to_digit(16)
                    .and_then(|n| u8::try_from(n).ok())
            };
            let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                return Err(KeyError::Malformed);
            };
            *byte = high << 4 | low;
        }
        Ok(key)
    }

    /// Reads a key file, or makes one that only its owner may read.
    ///
    /// # Errors
    /// It is there and has no key, or it can't be read or made.
    pub fn load_or_create(path: &Path) -> Result<KeyFile, KeyError> {
        match read(path) {
            Ok((text, is_open_to_all)) => Ok(KeyFile {
                key: StoreKey::from_hex(&text)?,
                is_new: false,
                is_open_to_all,
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => create(path),
            Err(source) => Err(KeyError::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    fn to_hex(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(2 * LENGTH + 1));
        for byte in self.0 {
            for digit in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(u32::from(digit), 16));
            }
        }
        text.push('\n');
        text
    }
}

fn read(path: &Path) -> io::Result<(Zeroizing<String>, bool)> {
    let file = File::open(path)?;
    let is_open_to_all = file.metadata()?.permissions().mode() & 0o004 != 0;
    let mut text = Zeroizing::new(String::with_capacity(128));
    file.take(MAX_FILE).read_to_string(&mut text)?;
    Ok((text, is_open_to_all))
}

/// Makes a key, unless another process does so at the same time: then its key is the one.
fn create(path: &Path) -> Result<KeyFile, KeyError> {
    let failed = |source| KeyError::Create {
        path: path.to_owned(),
        source,
    };
    let mut key = StoreKey([0; LENGTH]);
    aws_lc_rs::rand::fill(&mut key.0).map_err(|_| KeyError::Random)?;
    let is_new = write(path, key.to_hex().as_bytes()).map_err(failed)?;
    if !is_new {
        let (text, _) = read(path).map_err(failed)?;
        key = StoreKey::from_hex(&text)?;
    }
    Ok(KeyFile {
        key,
        is_new,
        is_open_to_all: false,
    })
}

/// Writes the file under another name, syncs it and renames it, so that it is never there in part. False: it was there.
fn write(path: &Path, text: &[u8]) -> io::Result<bool> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    check_kind(&new)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&new)?;
    // It may have been there, with others.
    file.set_permissions(Permissions::from_mode(0o600))?;
    // Of two processes one waits here, until the other has renamed it. A start that was killed has no lock any more.
    file.lock()?;
    if path.try_exists()? {
        // A third process writes to it only where there is no key.
        let _ = fs::remove_file(&new);
        return Ok(false);
    }
    file.set_len(0)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    directory::sync(directory::parent(path))?;
    Ok(true)
}

impl Drop for StoreKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey(…)")
    }
}

#[cfg(test)]
mod tests;
