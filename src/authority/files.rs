//! Where certificates and keys lie, and how they get there.

use super::Error;
use super::issue::Issued;
use crate::dtls::credentials::certificates;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The largest certificate or key file looked at.
const LARGEST: u64 = 64 * 1024;

/// The certificate's and the key's path.
pub(super) fn paths(directory: &Path, name: &str) -> (PathBuf, PathBuf) {
    (
        directory.join(format!("{name}.pem")),
        directory.join(format!("{name}.key")),
    )
}

/// The paths of a pair that is there, or `None` if neither is. One alone is an error: which of the two
/// is to go is not ours to say.
pub(super) fn pair(directory: &Path, name: &str) -> Result<Option<(PathBuf, PathBuf)>, Error> {
    let (certificate, key) = paths(directory, name);
    let is_there = |path: &Path| {
        // Not `exists`, which takes a link into nowhere for nothing and a forbidden directory too.
        match fs::symlink_metadata(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::File {
                path: path.to_owned(),
                error,
            }),
        }
    };
    match (is_there(&certificate)?, is_there(&key)?) {
        (true, true) => Ok(Some((certificate, key))),
        (false, false) => Ok(None),
        (true, false) => Err(Error::Half {
            present: certificate,
            missing: key,
        }),
        (false, true) => Err(Error::Half {
            present: key,
            missing: certificate,
        }),
    }
}

pub(super) fn create_directory(directory: &Path) -> Result<(), Error> {
    fs::create_dir_all(directory).map_err(|error| Error::File {
        path: directory.to_owned(),
        error,
    })
}

/// Writes both files of a pair, neither of which may be there.
pub(super) fn write_pair(directory: &Path, name: &str, issued: &Issued) -> Result<(), Error> {
    let (certificate, key) = paths(directory, name);
    write_new(&key, issued.private_key.as_bytes(), 0o600)?;
    write_new(&certificate, issued.certificate.as_bytes(), 0o644).inspect_err(|_| {
        // A key of this moment that no certificate names is of no use, and would be in the way next time.
        let _ = fs::remove_file(&key);
    })
}

/// Creates a file; one that is there is an error, also if it came this very moment.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let failed = |error| Error::File {
        path: path.to_owned(),
        error,
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|error| {
            let _ = fs::remove_file(path);
            failed(error)
        })
}

/// The first certificate in a PEM file, DER.
pub(super) fn read_certificate(path: &Path) -> Result<Vec<u8>, Error> {
    let text = read_text(path)?;
    let unusable = |reason: String| Error::Unusable {
        path: path.to_owned(),
        reason,
    };
    let all = certificates(text.as_bytes()).map_err(|error| unusable(error.to_string()))?;
    all.first()
        .map(|der| der.to_vec())
        .ok_or_else(|| unusable("there is no certificate in it".to_owned()))
}

pub(super) fn read_text(path: &Path) -> Result<Zeroizing<String>, Error> {
    let failed = |error| Error::File {
        path: path.to_owned(),
        error,
    };
    let mut text = Zeroizing::new(String::new());
    let file = fs::File::open(path).map_err(failed)?;
    file.take(LARGEST)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}
