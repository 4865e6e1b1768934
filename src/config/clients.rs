//! `[clients]`: which client certificates are accepted.

use super::key::{Section, key};
use super::kind::{Boolean, Choice, FilePath, FilePaths, OrEmpty};
use super::reader::Reader;
use crate::credentials::{ClientPolicy, ExpiryKind, Moment, RevocationError, Validity};
use crate::shown::Shown;
use rustls_pki_types::UnixTime;
use std::path::PathBuf;

/// A file of public authorities has a few hundred kilobytes.
const LARGEST: u64 = 1024 * 1024;

/// A list has some 35 bytes for each revoked certificate, and a third more as PEM.
const LARGEST_LIST: u64 = 64 * 1024 * 1024;

const TRUST_ANCHORS: &str = "clients.trust_anchors";
const REVOCATION_LISTS: &str = "clients.revocation_lists";

/// `[clients]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clients {
    pub(super) trust_anchors: Option<PathBuf>,
    pub(super) revocation_lists: Vec<PathBuf>,
    pub(super) validity: Validity,
    /// Whether an unregistered certificate may POST `api/v1/provision`.
    pub(super) provision: bool,
}

impl Default for Clients {
    fn default() -> Clients {
        Clients {
            trust_anchors: None,
            revocation_lists: Vec::new(),
            validity: Validity::Check,
            provision: false,
        }
    }
}

pub(super) fn section() -> Section<Clients> {
    Section {
        name: "clients",
        doc: "which client certificates are accepted",
        keys: vec![
            key(
                TRUST_ANCHORS,
                OrEmpty(FilePath("certs/ca.pem")),
                |clients: &mut Clients| &mut clients.trust_anchors,
                "the certificate must also chain to these: roots and intermediates, PEM. Left out (or `\"\"`): any \
                 issuer is accepted, and the registry alone decides",
            )
            .set_in_file("\"certs/ca.pem\""),
            key(
                REVOCATION_LISTS,
                FilePaths,
                |clients: &mut Clients| &mut clients.revocation_lists,
                "files of CRLs, PEM or DER, by authorities in trust_anchors: a revoked certificate is refused with \
                 alert 44. An issuer without a list revokes nothing; a list past its nextUpdate stays in force, with \
                 a warning",
            ),
            key(
                "clients.validity",
                Choice(&[("check", Validity::Check), ("ignore", Validity::Ignore)]),
                |clients: &mut Clients| &mut clients.validity,
                "or `\"ignore\"`: certificates outside their dates are accepted, too",
            ),
            key(
                "clients.provision",
                Boolean,
                |clients: &mut Clients| &mut clients.provision,
                "whether an unregistered certificate may POST api/v1/provision",
            ),
        ],
    }
}

/// Reads the trust anchors and the revocation lists.
pub(super) fn read(reader: &mut Reader, clients: &Clients, now: UnixTime) -> Option<ClientPolicy> {
    let mut policy = trust_anchors(reader, clients);
    let lists = &clients.revocation_lists;
    revocation_lists(reader, lists, policy.as_mut(), now);
    warn_of_ended_anchors(reader, policy.as_ref(), now);
    for (name, key) in policy.iter().flat_map(ClientPolicy::useless_authorities) {
        let message = format!(
            "the authority {name:?} has {key}: what it signs does not count (RSA from 2048 to 8192 bits, P-256, P-384, P-521 \
             and Ed25519 do)"
        );
        reader.warn(TRUST_ANCHORS, message);
    }
    policy
}

fn trust_anchors(reader: &mut Reader, clients: &Clients) -> Option<ClientPolicy> {
    if reader.is_wrong(TRUST_ANCHORS) {
        return None;
    }
    let (mut pem, mut shown) = (None, String::new());
    if let Some(path) = &clients.trust_anchors {
        let expected = "a PEM file of authorities, or leave the key out";
        pem = Some(reader.contents(TRUST_ANCHORS, path, LARGEST, expected)?);
        shown = Shown::path(path).to_string();
    } else if reader.is_set(TRUST_ANCHORS) {
        reader.warn(
            TRUST_ANCHORS,
            "empty: certificates of any issuer are accepted, the registry alone decides",
        );
    }
    let pem = pem.as_ref().map(|contents| contents.bytes.as_slice());
    ClientPolicy::new(pem, clients.validity)
        .map_err(|error| reader.mistake(TRUST_ANCHORS, format!("{shown}: {error}"), ""))
        .ok()
}

/// Adds the lists to the policy. Without a policy, because the anchors are wrong, it only checks that the files can be
/// read.
fn revocation_lists(
    reader: &mut Reader,
    paths: &[PathBuf],
    mut policy: Option<&mut ClientPolicy>,
    now: UnixTime,
) {
    let key = REVOCATION_LISTS;
    let is_without_anchors = policy
        .as_ref()
        .is_some_and(|policy| !policy.verifies_chains());
    if !paths.is_empty() && is_without_anchors {
        let expected = "clients.trust_anchors with the lists' issuers, or no lists";
        return reader.mistake(key, RevocationError::NoAnchors.to_string(), expected);
    }
    for path in paths {
        let expected = "a file of revocation lists, PEM or DER";
        let Some(contents) = reader.contents(key, path, LARGEST_LIST, expected) else {
            continue;
        };
        let Some(policy) = policy.as_mut() else {
            continue;
        };
        let path = path.display();
        match policy.add_revocation_lists(&contents.bytes) {
            Ok(superseded) => {
                for issuer in superseded {
                    let message = format!(
                        "{path}: two lists of {issuer:?} follow each other; only the newer one is used"
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
    let dates = policy.iter().flat_map(|policy| policy.expiries());
    for list in dates.filter(|ends| ends.kind == ExpiryKind::RevocationList) {
        if Moment::from(now) > list.at {
            let message = format!(
                "the successor of the list of {:?} was due on {}; the old list stays in force, and certificates \
                 revoked since are accepted",
                list.name, list.at
            );
            reader.warn(key, message);
        }
    }
}

/// Warns of authorities that have ended. They don't keep the gateway from starting: there may be others, and one may
/// have ended last night.
fn warn_of_ended_anchors(reader: &mut Reader, policy: Option<&ClientPolicy>, now: UnixTime) {
    let policy = policy.filter(|policy| policy.checks_validity());
    let dates = policy.iter().flat_map(|policy| policy.expiries());
    for anchor in dates.filter(|ends| ends.kind == ExpiryKind::TrustAnchor) {
        if Moment::from(now) > anchor.at {
            let message = format!(
                "the authority {:?} ended on {}: devices whose certificates chain to it alone are refused",
                anchor.name, anchor.at
            );
            reader.warn(TRUST_ANCHORS, message);
        }
    }
}
