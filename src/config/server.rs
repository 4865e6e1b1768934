//! `[server]`: the gateway's certificate and key.

use super::certificates::{warn_of_dates, warn_of_open_key};
use super::file::Contents;
use super::key::{Section, key};
use super::kind::FilePath;
use super::reader::Reader;
use crate::credentials::{Certificate, PrivateKey, ServerCredentials};
use crate::shown::Shown;
use rustls_pki_types::UnixTime;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Certificates and keys have a few kilobytes.
const LARGEST: u64 = 1024 * 1024;

const CERTIFICATE: &str = "server.certificate";
const PRIVATE_KEY: &str = "server.private_key";
const HOW_TO_MAKE: &str =
    "a PEM file; `coaps-gateway certs --out certs --host NAME` makes certificate and key";

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerFiles {
    pub(super) certificate: PathBuf,
    pub(super) private_key: PathBuf,
}

impl Default for ServerFiles {
    fn default() -> ServerFiles {
        ServerFiles {
            certificate: PathBuf::from("certs/server.pem"),
            private_key: PathBuf::from("certs/server.key"),
        }
    }
}

pub(super) fn section() -> Section<ServerFiles> {
    Section {
        name: "server",
        doc: "the gateway's own certificate",
        keys: vec![
            key(
                CERTIFICATE,
                FilePath("certs/server.pem"),
                |files: &mut ServerFiles| &mut files.certificate,
                "one certificate, P-256 or P-384: the DTLS engine can't send a chain yet",
            ),
            key(
                PRIVATE_KEY,
                FilePath("certs/server.key"),
                |files: &mut ServerFiles| &mut files.private_key,
                "its key: PKCS#8 or SEC1 PEM, not encrypted",
            ),
        ],
    }
}

/// Reads both files, also if something is wrong with the first.
pub(super) fn read(
    reader: &mut Reader,
    files: &ServerFiles,
    now: UnixTime,
) -> Option<ServerCredentials> {
    let certificate = part(reader, CERTIFICATE, &files.certificate, |contents| {
        Certificate::from_pem(&contents.bytes)
    });
    if let Some((path, certificate)) = &certificate {
        let peers = "devices that check dates";
        warn_of_dates(reader, CERTIFICATE, path, certificate.period(), now, peers);
    }
    let mut open_to_all = false;
    let key = part(reader, PRIVATE_KEY, &files.private_key, |contents| {
        open_to_all = contents.open_to_all;
        PrivateKey::from_pem(&contents.bytes)
    });
    if let (Some((path, _)), true) = (&key, open_to_all) {
        warn_of_open_key(reader, PRIVATE_KEY, path);
    }
    let ((certificate_path, certificate), (_, key)) = (certificate?, key?);
    let pair = ServerCredentials::pair(certificate, key).map_err(|error| {
        let expected = format!("the key that {certificate_path} was made for");
        reader.mistake(PRIVATE_KEY, error.to_string(), expected);
    });
    pair.ok()
}

/// Reads and parses one file. Returns its path as well, as messages show it.
fn part<T, E: Display>(
    reader: &mut Reader,
    key: &str,
    path: &Path,
    parse: impl FnOnce(&Contents) -> Result<T, E>,
) -> Option<(String, T)> {
    if reader.is_wrong(key) {
        return None;
    }
    let contents = reader.contents(key, path, LARGEST, HOW_TO_MAKE)?;
    let path = Shown::path(path).to_string();
    match parse(&contents) {
        Ok(parsed) => Some((path, parsed)),
        Err(error) => {
            reader.mistake(key, format!("{path}: {error}"), "");
            None
        }
    }
}
