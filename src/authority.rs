//! A small certificate authority for tests and trials: one CA, the gateway's certificate, devices' certificates.
//!
//! Authorities have keys on P-256, all certificates are X.509 version 3. Existing files are never overwritten, and devices can
//! be added under the same CA later.

mod files;
mod issue;
mod key_kind;

pub(crate) use key_kind::KeyKind;

use crate::device::CertificateId;
use crate::shown::Shown;
use issue::{Authority, Kind, LoadError};
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// The name of the authority below the CA.
const INTERMEDIATE: &str = "intermediate";
/// The name of the gateway's certificate with an RSA key.
const RSA_SERVER: &str = "server-rsa";

/// Which certificates to make, and where.
#[derive(Debug, Clone, Default)]
pub struct MakeOptions {
    /// The directory for all files; created if it does not exist.
    pub directory: PathBuf,
    /// The name or IP address under which devices reach the gateway.
    pub host: String,
    /// Names of devices, which become file names and the certificates' common names.
    pub devices: Vec<String>,
    /// The keys of devices.
    pub device_key: KeyKind,
    /// The key of the gateway's certificate: on a curve.
    pub server_key: KeyKind,
    /// Whether the gateway gets a second certificate, with an RSA key.
    pub with_rsa_server: bool,
    /// Whether an authority below the CA issues all of them. Its certificate is in their files, behind theirs.
    pub with_intermediate: bool,
}

/// The files of a certificate and its key.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The device's name, or `ca`, `intermediate`, `server` or `server-rsa`.
    pub name: String,
    /// The certificate's file (PEM).
    pub certificate: PathBuf,
    /// The key's file (PEM, PKCS#8).
    pub private_key: PathBuf,
    /// The certificate's fingerprint and key identifier.
    pub id: CertificateId,
    /// Both files existed before and were not changed.
    pub existed: bool,
}

/// All files that were made, or existed before.
#[derive(Debug, Clone)]
pub struct AuthorityFiles {
    /// The CA, `ca.pem`: what devices trust, and the value of `clients.trust_anchors`.
    pub ca: CertificateFiles,
    /// The gateway's certificate, `server.pem`.
    pub server: CertificateFiles,
    /// The authority below the CA, if it is wanted.
    pub intermediate: Option<CertificateFiles>,
    /// The gateway's certificate with an RSA key, if it is wanted.
    pub rsa_server: Option<CertificateFiles>,
    /// The devices' certificates, in the order of [`MakeOptions::devices`].
    pub devices: Vec<CertificateFiles>,
}

/// Why a certificate can't be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not usable as a file name and common name.
    #[error(
        "{} can't be a device's name here: 1 to 64 letters, digits, '.', '_' and '-', beginning with a letter or \
         digit, and not \"ca\", \"intermediate\", \"server\" or \"server-rsa\"", Shown::misplaced(.0)
    )]
    DeviceName(String),
    /// The same device twice.
    #[error("the device {0:?} is listed twice")]
    Twice(String),
    /// The gateway's first certificate needs a key on a curve.
    #[error(
        "a gateway needs a certificate with a key on p256, p384 or p521, not {0}; one with RSA can be made beside it"
    )]
    ServerKey(KeyKind),
    /// The CA may not have an authority below it.
    #[error(
        "{path} allows no authority below it (pathlen:0): make a new CA in another directory", path = Shown::path(.0)
    )]
    NoneBelow(PathBuf),
    /// Neither a DNS name nor an IP address.
    #[error("{} is neither a DNS name nor an IP address", Shown::misplaced(.0))]
    Host(String),
    /// Only one file of a pair exists.
    #[error(
        "{present} exists but {missing} does not; restore it, or remove {present} to have both created again (a new CA does \
         not vouch for certificates of the old one)",
        present = Shown::path(present), missing = Shown::path(missing)
    )]
    Half {
        /// The file that exists.
        present: PathBuf,
        /// The file that does not.
        missing: PathBuf,
    },
    /// There is no CA in the directory to sign with.
    #[error(
        "there is no CA in {path} (ca.pem and ca.key); make one: coaps-gateway certs --out {path} --host NAME",
        path = Shown::path(.0)
    )]
    NoAuthority(PathBuf),
    /// The device has a certificate already.
    #[error("{path} exists already and is not replaced; register that one with --certificate {path}", path = Shown::path(.0))]
    Present(PathBuf),
    /// The CA in the directory can't issue certificates.
    #[error("{}: {reason}", Shown::path(path))]
    Unusable {
        /// The CA's certificate or key.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file or directory can't be read or written.
    #[error("{}: {error}", Shown::path(path))]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        error: std::io::Error,
    },
    /// The certificate library failed.
    #[error("a certificate could not be made: {0}")]
    Issue(#[from] rcgen::Error),
}

/// Makes the certificates that do not exist yet. All names and files are checked before anything is written.
pub fn make(options: &MakeOptions, now: OffsetDateTime) -> Result<AuthorityFiles, Error> {
    issue::check_host(&options.host)?;
    for (index, name) in options.devices.iter().enumerate() {
        check_device(name)?;
        // File systems may take "A" and "a" for the same file.
        if options
            .devices
            .iter()
            .take(index)
            .any(|other| other.eq_ignore_ascii_case(name))
        {
            return Err(Error::Twice(name.clone()));
        }
    }
    if !options.server_key.is_elliptic() {
        return Err(Error::ServerKey(options.server_key));
    }
    let names = ["ca", INTERMEDIATE, "server", RSA_SERVER]
        .into_iter()
        .chain(options.devices.iter().map(String::as_str));
    for name in names.clone() {
        files::pair(&options.directory, name)?;
    }

    files::create_directory(&options.directory)?;
    let (authority, ca) = match files::pair(&options.directory, "ca")? {
        Some((certificate, key)) => (
            load(&certificate, &key, now)?,
            describe(&options.directory, "ca", true)?,
        ),
        None => {
            let (authority, issued) = Authority::new(now, options.with_intermediate)?;
            files::write_pair(&options.directory, "ca", &issued)?;
            (authority, describe(&options.directory, "ca", false)?)
        }
    };
    let (authority, intermediate) = match options.with_intermediate {
        true => {
            let (below, files) = intermediate(&options.directory, &authority, now)?;
            (below, Some(files))
        }
        false => (authority, None),
    };
    let one = |name: &str, kind: Kind<'_>, key: KeyKind| {
        let existed = files::pair(&options.directory, name)?.is_some();
        if !existed {
            files::write_pair(&options.directory, name, &authority.issue(kind, key, now)?)?;
        }
        describe(&options.directory, name, existed)
    };
    let server = one("server", Kind::Server(&options.host), options.server_key)?;
    let rsa_server = options
        .with_rsa_server
        .then(|| one(RSA_SERVER, Kind::Server(&options.host), KeyKind::Rsa2048))
        .transpose()?;
    let devices = options
        .devices
        .iter()
        .map(|name| one(name, Kind::Device(name), options.device_key))
        .collect::<Result<_, _>>()?;
    Ok(AuthorityFiles {
        ca,
        server,
        intermediate,
        rsa_server,
        devices,
    })
}

/// Loads the authority below the CA, or makes it.
fn intermediate(
    directory: &Path,
    ca: &Authority,
    now: OffsetDateTime,
) -> Result<(Authority, CertificateFiles), Error> {
    let existed = files::pair(directory, INTERMEDIATE)?;
    let authority = match &existed {
        Some((certificate, key)) => {
            let chain = files::read_text(certificate)?;
            load(certificate, key, now)?.with_chain(&chain)
        }
        None => {
            let below = ca.authority_below(now)?;
            let (authority, issued) =
                below.ok_or_else(|| Error::NoneBelow(files::paths(directory, "ca").0))?;
            files::write_pair(directory, INTERMEDIATE, &issued)?;
            authority
        }
    };
    let files = describe(directory, INTERMEDIATE, existed.is_some())?;
    Ok((authority, files))
}

/// Makes one more device's certificate under the CA in the directory. Existing files are not changed.
pub(crate) fn add_device(
    directory: &Path,
    name: &str,
    key_kind: KeyKind,
    now: OffsetDateTime,
) -> Result<CertificateFiles, Error> {
    check_device(name)?;
    let Some((certificate, key)) = files::pair(directory, "ca")? else {
        return Err(Error::NoAuthority(directory.to_owned()));
    };
    if let Some((certificate, _)) = files::pair(directory, name)? {
        return Err(Error::Present(certificate));
    }
    let authority = load(&certificate, &key, now)?;
    let issued = authority.issue(Kind::Device(name), key_kind, now)?;
    files::write_pair(directory, name, &issued)?;
    describe(directory, name, false)
}

/// Loads the CA from its two files.
fn load(certificate: &Path, key: &Path, now: OffsetDateTime) -> Result<Authority, Error> {
    let unusable = |path: &Path, reason: &str| Error::Unusable {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let der = files::read_certificate(certificate)?;
    let pem = files::read_text(key)?;
    Authority::load(&der, &pem, now).map_err(|error| match error {
        LoadError::Certificate(reason) => unusable(certificate, reason),
        LoadError::Key(reason) => unusable(key, reason),
        LoadError::Issue(error) => error.into(),
    })
}

/// Describes a pair of files that exists.
fn describe(directory: &Path, name: &str, existed: bool) -> Result<CertificateFiles, Error> {
    let (certificate, private_key) = files::paths(directory, name);
    let id = CertificateId::of(&files::read_certificate(&certificate)?);
    Ok(CertificateFiles {
        name: name.to_owned(),
        certificate,
        private_key,
        id,
        existed,
    })
}

/// Checks a device's name. It becomes a file name, so it must not leave the directory, be hidden, or look like an option.
fn check_device(name: &str) -> Result<(), Error> {
    let is_valid = (1..=64).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        && !["ca", INTERMEDIATE, "server", RSA_SERVER]
            .iter()
            .any(|reserved| name.eq_ignore_ascii_case(reserved));
    if is_valid {
        Ok(())
    } else {
        Err(Error::DeviceName(name.to_owned()))
    }
}

#[cfg(test)]
mod tests;
