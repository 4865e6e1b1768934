//! `fingerprint`: prints the fingerprints of certificates.

use super::{Failed, Outcome, print_error};
use crate::credentials::certificates;
use crate::device::{CertificateId, Fingerprint};
use crate::shown::Shown;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A bundle of all public authorities has a quarter of this.
const LARGEST: u64 = 1024 * 1024;

pub(super) fn fingerprint(files: &[PathBuf], out: &mut impl Write) -> Outcome {
    let mut failed = false;
    for path in files {
        match read(path) {
            Ok(all) => {
                for der in all {
                    failed |= !describe(path, &der, out)?;
                }
            }
            Err(reason) => {
                print_error(&format!("{}: {reason}", Shown::path(path)));
                failed = true;
            }
        }
    }
    if failed { Err(Failed(None)) } else { Ok(()) }
}

/// Reads all certificates in a file, as DER.
pub(super) fn read(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
        return Err("the file is larger than 1 MiB, this can't be a certificate".to_owned());
    }
    if X509Certificate::from_der(&bytes).is_ok_and(|(rest, _)| rest.is_empty()) {
        return Ok(vec![bytes]);
    }
    let all = certificates(&bytes).map_err(|error| error.to_string())?;
    Ok(all.iter().map(|der| der.to_vec()).collect())
}

/// Prints one certificate; false if it is none.
fn describe(path: &Path, der: &[u8], out: &mut impl Write) -> std::io::Result<bool> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        print_error(&format!(
            "{}: a certificate in it is malformed",
            Shown::path(path)
        ));
        return Ok(false);
    };
    let id = CertificateId::of(der);
    // The issuer may allow any names; control characters in them could manipulate a terminal.
    let subject = certificate.subject().to_string();
    writeln!(out, "{}", Shown::path(path))?;
    writeln!(
        out,
        "  subject      {}",
        if subject.is_empty() {
            Shown::public("(empty)")
        } else {
            Shown::public(&subject)
        }
    )?;
    writeln!(out, "  SHA-256      {}", Fingerprint::Sha256(id.sha256))?;
    writeln!(out, "  ThingsBoard  {}", Fingerprint::Sha3(id.sha3))?;
    Ok(true)
}
