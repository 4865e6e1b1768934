//! The certificate files a configuration names.

use super::file::Contents;
use super::reader::Reader;
use super::value;
use crate::dtls::credentials::{
    Certificate, Moment, PrivateKey, RevocationError, What, certificates,
};
use crate::dtls::{ClientPolicy, ServerCredentials, Validity};
use crate::shown::Shown;
use rustls_pki_types::UnixTime;
use std::path::Path;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates and keys have a few kilobytes, a file of public authorities a few hundred.
const LARGEST: u64 = 1024 * 1024;

/// A list has some 35 bytes for each revoked certificate, and a third more as PEM.
const LARGEST_LIST: u64 = 64 * 1024 * 1024;

/// Days before its end from which a certificate is worth a word.
const SOON: i64 = 30;

const HOW_TO_MAKE: &str = "make them with `coaps-gateway certs --out certs --host NAME`";

/// `[server]`: both files are looked at, whatever is wrong with the other.
pub(super) fn server(reader: &mut Reader, now: UnixTime) -> Option<ServerCredentials> {
    let certificate = part(
        reader,
        "server.certificate",
        "certs/server.pem",
        |contents| Certificate::from_pem(&contents.bytes),
    );
    if let Some((path, certificate)) = &certificate {
        let (period, now) = (certificate.period(), Moment::from(now));
        let days = now.days_until(period.not_after);
        let dates = if now > period.not_after {
            Some(format!(
                "ended on {}: devices that check dates will refuse it",
                period.not_after
            ))
        } else if now < period.not_before {
            Some(format!(
                "begins on {} only: devices that check dates will refuse it",
                period.not_before
            ))
        } else {
            (days < SOON).then(|| format!("ends on {}, in {days} days", period.not_after))
        };
        if let Some(dates) = dates {
            reader.warn("server.certificate", format!("{path} {dates}"));
        }
    }
    let mut open_to_all = false;
    let key = part(
        reader,
        "server.private_key",
        "certs/server.key",
        |contents| {
            open_to_all = contents.open_to_all;
            PrivateKey::from_pem(&contents.bytes)
        },
    );
    if let (Some((path, _)), true) = (&key, open_to_all) {
        reader.warn(
            "server.private_key",
            format!("everyone on this machine may read {path}: chmod 600 {path}"),
        );
    }
    let ((certificate_path, certificate), (_, key)) = (certificate?, key?);
    ServerCredentials::pair(certificate, key)
        .map_err(|error| {
            let right = format!("the key that {certificate_path} was made for");
            reader.mistake("server.private_key", error.to_string(), right);
        })
        .ok()
}

/// One file, read and parsed; its path comes along for messages.
fn part<T, E: std::fmt::Display>(
    reader: &mut Reader,
    key: &str,
    default: &str,
    parse: impl FnOnce(&Contents) -> Result<T, E>,
) -> Option<(String, T)> {
    let path = reader.path(key, default)?;
    let contents = contents(reader, key, &path, LARGEST, HOW_TO_MAKE)?;
    let path = Shown::path(&path).to_string();
    match parse(&contents) {
        Ok(parsed) => Some((path, parsed)),
        Err(error) => {
            reader.mistake(key, format!("{path}: {error}"), "");
            None
        }
    }
}

fn contents(
    reader: &mut Reader,
    key: &str,
    path: &Path,
    most: u64,
    right: &str,
) -> Option<Contents> {
    reader
        .file(path, most)
        .map_err(|reason| {
            reader.mistake(
                key,
                format!("{} can't be read: {reason}", Shown::path(path)),
                right,
            )
        })
        .ok()
}

/// `[clients]`: who is let in.
pub(super) fn clients(reader: &mut Reader, now: UnixTime) -> Option<ClientPolicy> {
    let mut policy = trust_anchors(reader);
    revocation_lists(reader, policy.as_mut(), now);
    ended_anchors(reader, policy.as_ref(), now);
    policy
}

/// An authority that has ended is no reason not to start: others may be there, and it may have ended last night.
fn ended_anchors(reader: &mut Reader, policy: Option<&ClientPolicy>, now: UnixTime) {
    let policy = policy.filter(|policy| policy.checks_dates());
    let dates = policy.iter().flat_map(|policy| policy.dates());
    for anchor in dates.filter(|ends| ends.what == What::TrustAnchor) {
        if Moment::from(now) > anchor.at {
            let message = format!(
                "the authority {:?} ended on {}: devices whose certificates chain to it alone are refused",
                anchor.name, anchor.at
            );
            reader.warn("clients.trust_anchors", message);
        }
    }
}

fn trust_anchors(reader: &mut Reader) -> Option<ClientPolicy> {
    let choices = [("check", Validity::Check), ("ignore", Validity::Ignore)];
    let validity = reader.read("clients.validity", Validity::Check, |v| {
        value::choice(v, &choices)
    });
    let key = "clients.trust_anchors";
    let anchors = match reader.optional_path(key) {
        Some(path) => Some((
            contents(
                reader,
                key,
                &path,
                LARGEST,
                "a PEM file of authorities, or leave the key out",
            )?,
            path,
        )),
        None => {
            if reader.is_set(key) {
                reader.warn(
                    key,
                    "empty: certificates of any issuer are let in, the registry alone decides",
                );
            }
            None
        }
    };
    let (pem, path) = anchors.map_or((None, String::new()), |(pem, path)| {
        (Some(pem), Shown::path(&path).to_string())
    });
    ClientPolicy::new(
        pem.as_ref().map(|contents| contents.bytes.as_slice()),
        validity,
    )
    .map_err(|error| reader.mistake(key, format!("{path}: {error}"), ""))
    .ok()
}

/// Adds the lists to the policy. Without one, the anchors being wrong, the files are at least known to be there.
fn revocation_lists(reader: &mut Reader, mut policy: Option<&mut ClientPolicy>, now: UnixTime) {
    let key = "clients.revocation_lists";
    let right = "a path, or a list like [\"certs/ca.crl\"]; in the environment with commas between";
    let paths = reader.read(key, Vec::new(), |v| value::list(v, right));
    if !paths.is_empty()
        && policy
            .as_ref()
            .is_some_and(|policy| !policy.judges_chains())
    {
        let right = "clients.trust_anchors with the lists' issuers, or no lists";
        return reader.mistake(key, RevocationError::NoAnchors.to_string(), right);
    }
    for path in paths {
        let right = "a file of revocation lists, PEM or DER";
        let Some(contents) = contents(reader, key, Path::new(&path), LARGEST_LIST, right) else {
            continue;
        };
        let Some(policy) = policy.as_mut() else {
            continue;
        };
        match policy.add_revocation_lists(&contents.bytes) {
            Ok(superseded) => {
                for issuer in superseded {
                    let message = format!(
                        "{path}: two lists of {issuer:?} follow each other; only the newer one counts"
                    );
                    reader.warn(key, message);
                }
            }
            Err(error) => {
                reader.mistake(key, format!("{path}: {error}"), "");
                // It would be the same for each file that is left.
                if error == RevocationError::TooManyLists {
                    break;
                }
            }
        }
    }
    let dates = policy.iter().flat_map(|policy| policy.dates());
    for list in dates.filter(|ends| ends.what == What::RevocationList) {
        if Moment::from(now) > list.at {
            let message = format!(
                "the successor of the list of {:?} was due on {}; the old list counts on, and what was revoked \
                 since is let in",
                list.name, list.at
            );
            reader.warn(key, message);
        }
    }
}

/// `upstream.ca`: kept as PEM for the HTTP client, but known to parse.
pub(super) fn upstream(reader: &mut Reader) -> Option<Vec<u8>> {
    let key = "upstream.ca";
    let path = reader.optional_path(key)?;
    let pem = contents(
        reader,
        key,
        &path,
        LARGEST,
        "a PEM file of the upstream's authorities, or leave the key out",
    )?;
    let wrong = match certificates(&pem.bytes) {
        Err(error) => error.to_string(),
        Ok(all)
            if all
                .iter()
                .any(|der| X509Certificate::from_der(der).is_err()) =>
        {
            "one of its certificates is malformed".to_owned()
        }
        Ok(_) => return Some(pem.bytes.to_vec()),
    };
    reader.mistake(key, format!("{}: {wrong}", Shown::path(&path)), "");
    None
}
