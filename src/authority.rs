//! A small certificate authority for tests and trials: one CA, the gateway's certificate, devices' certificates.
//!
//! All keys are P-256, all certificates X.509 version 3. What is there already is kept: a key is never
//! overwritten, and another device can be added under the same CA any time later.

mod files;
mod issue;

use crate::device::CertificateId;
use crate::shown::Shown;
use issue::{Authority, Kind};
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// What is to be made.
#[derive(Debug, Clone)]
pub struct Order {
    /// The directory for all files; made if it is not there.
    pub directory: PathBuf,
    /// The name or IP address under which devices reach the gateway.
    pub host: String,
    /// Names of devices, which become file names and the certificates' common names.
    pub devices: Vec<String>,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Made {
    /// The device's name, or `ca` or `server`.
    pub name: String,
    /// The certificate's file (PEM).
    pub certificate: PathBuf,
    /// The key's file (PEM, PKCS#8).
    pub private_key: PathBuf,
    /// The names the certificate goes by.
    pub id: CertificateId,
    /// Whether both were there before, and were left as they are.
    pub kept: bool,
}

/// All that was made or kept.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The CA, `ca.pem`: what devices trust, and what `clients.trust_anchors` names.
    pub ca: Made,
    /// The gateway's own, `server.pem`.
    pub server: Made,
    /// The devices', in the order they were asked for.
    pub devices: Vec<Made>,
}

/// Why it can't be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not usable as a file name and common name.
    #[error(
        "{} can't be a device's name here: 1 to 64 letters, digits, '.', '_' and '-', beginning with a letter or \
         digit, and not \"ca\" or \"server\"", Shown::misplaced(.0)
    )]
    DeviceName(String),
    /// The same device twice.
    #[error("the device {0:?} is asked for twice")]
    Twice(String),
    /// Neither a DNS name nor an IP address.
    #[error("{} is neither a DNS name nor an IP address", Shown::misplaced(.0))]
    Host(String),
    /// Half of a pair is there.
    #[error(
        "{present} is there but {missing} is not; put it back, or remove {present} to have both made anew (a new CA knows \
         none of the old one's certificates)",
        present = Shown::path(present), missing = Shown::path(missing)
    )]
    Half {
        /// What is there.
        present: PathBuf,
        /// What is not.
        missing: PathBuf,
    },
    /// There is no CA to sign with.
    #[error(
        "there is no CA in {path} (ca.pem and ca.key); make one: coaps-gateway certs --out {path} --host NAME",
        path = Shown::path(.0)
    )]
    NoAuthority(PathBuf),
    /// The device has a certificate already.
    #[error("{path} is there already and is kept; register that one with --certificate {path}", path = Shown::path(.0))]
    Present(PathBuf),
    /// The CA in the directory can't issue certificates.
    #[error("{}: {reason}", Shown::path(path))]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file or directory can't be read or written.
    #[error("{}: {error}", Shown::path(path))]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The crypto library refused.
    #[error("a certificate could not be made: {0}")]
    Issue(#[from] rcgen::Error),
}

/// Makes what is asked for and not there yet. Nothing is written if any of it can't be made.
pub fn make(order: &Order, now: OffsetDateTime) -> Result<Delivery, Error> {
    issue::check_host(&order.host)?;
    for (index, name) in order.devices.iter().enumerate() {
        check_device(name)?;
        // File systems may take "A" and "a" for the same file.
        if order
            .devices
            .iter()
            .take(index)
            .any(|other| other.eq_ignore_ascii_case(name))
        {
            return Err(Error::Twice(name.clone()));
        }
    }
    let names = ["ca", "server"]
        .into_iter()
        .chain(order.devices.iter().map(String::as_str));
    for name in names.clone() {
        files::pair(&order.directory, name)?;
    }

    files::create_directory(&order.directory)?;
    let (authority, ca) = match files::pair(&order.directory, "ca")? {
        Some(kept) => (
            Authority::load(&kept.0, &kept.1, now)?,
            delivered(&order.directory, "ca", true)?,
        ),
        None => {
            let (authority, issued) = Authority::new(now)?;
            files::write_pair(&order.directory, "ca", &issued)?;
            (authority, delivered(&order.directory, "ca", false)?)
        }
    };
    let one = |name: &str, kind: Kind<'_>| {
        let kept = files::pair(&order.directory, name)?.is_some();
        if !kept {
            files::write_pair(&order.directory, name, &authority.issue(kind, now)?)?;
        }
        delivered(&order.directory, name, kept)
    };
    let server = one("server", Kind::Server(&order.host))?;
    let devices = order
        .devices
        .iter()
        .map(|name| one(name, Kind::Device(name)))
        .collect::<Result<_, _>>()?;
    Ok(Delivery {
        ca,
        server,
        devices,
    })
}

/// Makes one more device's certificate under the CA that is in the directory. What is there is not touched.
pub fn add_device(directory: &Path, name: &str, now: OffsetDateTime) -> Result<Made, Error> {
    check_device(name)?;
    let Some((certificate, key)) = files::pair(directory, "ca")? else {
        return Err(Error::NoAuthority(directory.to_owned()));
    };
    if let Some((certificate, _)) = files::pair(directory, name)? {
        return Err(Error::Present(certificate));
    }
    let authority = Authority::load(&certificate, &key, now)?;
    files::write_pair(directory, name, &authority.issue(Kind::Device(name), now)?)?;
    delivered(directory, name, false)
}

/// A pair as it stands on disk.
fn delivered(directory: &Path, name: &str, kept: bool) -> Result<Made, Error> {
    let (certificate, private_key) = files::paths(directory, name);
    let id = CertificateId::of(&files::read_certificate(&certificate)?);
    Ok(Made {
        name: name.to_owned(),
        certificate,
        private_key,
        id,
        kept,
    })
}

/// A device's name becomes a file name, so nothing that could lead out of the directory, hide or look like an option.
fn check_device(name: &str) -> Result<(), Error> {
    let fine = (1..=64).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        && !["ca", "server"]
            .iter()
            .any(|reserved| name.eq_ignore_ascii_case(reserved));
    if fine {
        Ok(())
    } else {
        Err(Error::DeviceName(name.to_owned()))
    }
}

#[cfg(test)]
mod tests;
