//! `[server]`: the gateway's certificates and keys.

use super::certificates::{warn_of_dates, warn_of_open_key};
use super::file::Contents;
use super::key::{Section, key};
use super::kind::{FilePath, OrEmpty};
use super::reader::Reader;
use crate::credentials::{
    CertificateChain, KeyType, PrivateKey, ServerCredentials, ServerIdentity,
};
use crate::dtls::Versions;
use crate::shown::Shown;
use rustls_pki_types::UnixTime;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Certificates and keys have a few kilobytes.
const LARGEST: u64 = 1024 * 1024;

const CERTIFICATE: &str = "server.certificate";
const PRIVATE_KEY: &str = "server.private_key";
pub(super) const RSA_CERTIFICATE: &str = "server.rsa_certificate";
const RSA_PRIVATE_KEY: &str = "server.rsa_private_key";
const HOW_TO_MAKE: &str =
    "a PEM file; `coaps-gateway certs --out certs --host NAME` makes certificate and key";
/// Those who look at the dates of the gateway's certificates.
const PEERS: &str = "devices that check dates";

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerFiles {
    pub(super) certificate: PathBuf,
    pub(super) private_key: PathBuf,
    pub(super) rsa_certificate: Option<PathBuf>,
    pub(super) rsa_private_key: Option<PathBuf>,
}

impl Default for ServerFiles {
    fn default() -> ServerFiles {
        ServerFiles {
            certificate: PathBuf::from("certs/server.pem"),
            private_key: PathBuf::from("certs/server.key"),
            rsa_certificate: None,
            rsa_private_key: None,
        }
    }
}

pub(super) fn section() -> Section<ServerFiles> {
    Section {
        name: "server",
        doc: "the gateway's own certificates",
        keys: vec![
            key(
                CERTIFICATE,
                FilePath("certs/server.pem"),
                |files: &mut ServerFiles| &mut files.certificate,
                "its certificate with a key on P-256, P-384 or P-521 (DTLS 1.3: the first two), then any intermediates, each \
                 behind the one that it has issued, PEM. DTLS 1.3 sends the first certificate alone",
            ),
            key(
                PRIVATE_KEY,
                FilePath("certs/server.key"),
                |files: &mut ServerFiles| &mut files.private_key,
                "its key: PKCS#8 or SEC1 PEM, not encrypted",
            ),
            key(
                RSA_CERTIFICATE,
                OrEmpty(FilePath("certs/server-rsa.pem")),
                |files: &mut ServerFiles| &mut files.rsa_certificate,
                "a second certificate, with an RSA key of 2048 bits or more, and its intermediates: for clients of DTLS 1.2 \
                 that offer no suite with ECDSA",
            )
            .example("\"certs/server-rsa.pem\""),
            key(
                RSA_PRIVATE_KEY,
                OrEmpty(FilePath("certs/server-rsa.key")),
                |files: &mut ServerFiles| &mut files.rsa_private_key,
                "its key: PKCS#8 or PKCS#1 PEM, not encrypted",
            )
            .example("\"certs/server-rsa.key\""),
        ],
    }
}

impl ServerFiles {
    /// Whether there is an identity with an RSA key.
    pub(super) fn has_rsa(&self) -> bool {
        self.rsa_certificate.is_some() && self.rsa_private_key.is_some()
    }
}

/// Reads all files, also if something is wrong with one of them.
pub(super) fn read(
    reader: &mut Reader,
    files: &ServerFiles,
    versions: Versions,
    now: UnixTime,
) -> Option<ServerCredentials> {
    let ecdsa = Identity {
        key_type: KeyType::Ecdsa,
        certificate: (CERTIFICATE, &files.certificate),
        private_key: (PRIVATE_KEY, &files.private_key),
    };
    let ecdsa = ecdsa.read(reader, versions, now);
    let rsa = match (&files.rsa_certificate, &files.rsa_private_key) {
        (None, None) => Some(None),
        (Some(certificate), Some(private_key)) => {
            let rsa = Identity {
                key_type: KeyType::Rsa,
                certificate: (RSA_CERTIFICATE, certificate),
                private_key: (RSA_PRIVATE_KEY, private_key),
            };
            rsa.read(reader, versions, now).map(Some)
        }
        (Some(_), None) => one_alone(reader, RSA_CERTIFICATE, RSA_PRIVATE_KEY),
        (None, Some(_)) => one_alone(reader, RSA_PRIVATE_KEY, RSA_CERTIFICATE),
    };
    Some(ServerCredentials {
        ecdsa: ecdsa?,
        rsa: rsa?,
    })
}

fn one_alone<T>(reader: &mut Reader, set: &str, missing: &str) -> Option<T> {
    // If its value is wrong, that was reported.
    if !reader.is_wrong(missing) {
        let found = format!("{missing} is not set");
        reader.mistake(set, found, "both of them, or none");
    }
    None
}

/// The keys and files of one identity.
struct Identity<'a> {
    key_type: KeyType,
    certificate: (&'static str, &'a Path),
    private_key: (&'static str, &'a Path),
}

impl Identity<'_> {
    fn read(
        &self,
        reader: &mut Reader,
        versions: Versions,
        now: UnixTime,
    ) -> Option<ServerIdentity> {
        let (key, path) = self.certificate;
        let chain = part(reader, key, path, |contents| {
            CertificateChain::from_pem(&contents.bytes, self.key_type)
        });
        if let Some((path, chain)) = &chain {
            self.check_chain(reader, path, chain, versions, now);
        }
        let (key, path) = self.private_key;
        let mut open_to_all = false;
        let private_key = part(reader, key, path, |contents| {
            open_to_all = contents.open_to_all;
            PrivateKey::from_pem(&contents.bytes, self.key_type)
        });
        if let (Some((path, _)), true) = (&private_key, open_to_all) {
            warn_of_open_key(reader, key, path);
        }
        let ((chain_path, chain), (_, private_key)) = (chain?, private_key?);
        let identity = ServerIdentity::pair(chain, private_key).map_err(|error| {
            let expected = format!("the key that {chain_path} was made for");
            reader.mistake(key, error.to_string(), expected);
        });
        identity.ok()
    }

    fn check_chain(
        &self,
        reader: &mut Reader,
        path: &str,
        chain: &CertificateChain,
        versions: Versions,
        now: UnixTime,
    ) {
        let (key, _) = self.certificate;
        let periods = chain.periods();
        for (period, number) in periods.iter().zip(1..) {
            let which = match periods.len() {
                1 => path.to_owned(),
                _ => format!("certificate {number} in {path}"),
            };
            warn_of_dates(reader, key, &which, *period, now, PEERS);
        }
        if chain.ends_with_root() {
            let number = periods.len();
            let message = format!(
                "certificate {number} in {path} is a root, which devices that trust it have: leave it out, and each \
                 handshake has fewer bytes"
            );
            reader.warn(key, message);
        }
        if versions == Versions::Only12 {
            return;
        }
        if chain.is_p521() {
            let found = format!("{path}: the DTLS 1.3 engine can't sign with a key on P-521");
            let expected = "a key on P-256 or P-384, or dtls.versions = [\"1.2\"]";
            reader.mistake(key, found, expected);
        } else if self.key_type == KeyType::Ecdsa && periods.len() > 1 {
            let message = "the DTLS 1.3 engine sends the first certificate alone: devices that speak 1.3 must have the \
                intermediates, or dtls.versions be [\"1.2\"]";
            reader.warn(key, message);
        }
    }
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
