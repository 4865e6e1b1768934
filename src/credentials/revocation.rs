//! Certificate revocation lists (RFC 5280 §5).
//!
//! The signature of a list is verified once, when it is read. webpki could check lists itself, but it would verify the
//! signature of the whole list for each certificate, and would check only the first list of an issuer. Here a look-up is a
//! binary search among serial numbers, in all lists of the issuer.
//!
//! Certificates of an issuer without a list are accepted, and a list is used after its nextUpdate, because a gateway that is
//! offline must not lose its devices. A warning when the lists are read, and a metric (`ClientPolicy::expiries`), report it.

mod list;

pub(crate) use list::ListFault;
pub(super) use list::Serial;

use super::issuer::Issuer;
use super::pem::{self, PemError};
use super::period::{Expiry, ExpiryKind};
use list::{Age, RevocationList};
use std::collections::BTreeMap;
use webpki::{Error, VerifiedPath};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// Most lists in all: each may be searched for each certificate.
pub(super) const MAX_LISTS: usize = 1000;

/// Most revoked certificates in all lists: 80 MB of serial numbers.
const MAX_REVOKED: usize = 4_000_000;

/// All lists in use.
#[derive(Clone, Default)]
pub(super) struct RevocationLists {
    /// By the issuer's name (DER). RFC 5280 §4.1.2.2: name and serial number identify a certificate, so the list of an
    /// authority with a new key also covers what it issued with the old one.
    by_issuer: BTreeMap<Vec<u8>, Vec<RevocationList>>,
}

impl RevocationLists {
    /// Adds the lists of a file: PEM with any number of them, or one as DER. If one of them can't be used, none is added.
    ///
    /// Returns the issuers of lists that were superseded or that are older than one in use, as [`Age`] decides.
    pub(super) fn add(
        &mut self,
        file: &[u8],
        issuers: &[Issuer],
    ) -> Result<Vec<String>, RevocationError> {
        let (mut lists, mut revoked) = (Vec::new(), self.revoked());
        let mut read = |der: &[u8]| {
            let position = lists.len() + 1;
            if self.len() + position > MAX_LISTS {
                return Err(RevocationError::TooManyLists);
            }
            let list = RevocationList::read(der, issuers, MAX_REVOKED.saturating_sub(revoked))
                .map_err(|(issuer, fault)| match issuer {
                    _ if X509Certificate::from_der(der).is_ok() => RevocationError::Certificate,
                    Some(issuer) => RevocationError::Unusable { issuer, fault },
                    None => RevocationError::Malformed(position),
                })?;
            revoked += list.serials();
            lists.push(list);
            Ok(())
        };
        // 0x30: the SEQUENCE that every list in DER begins with.
        if file.first() == Some(&0x30) {
            read(file)?;
        } else {
            for der in pem::revocation_lists(file) {
                read(&der?)?;
            }
            if lists.is_empty() {
                return Err(PemError::Absent("X509 CRL").into());
            }
        }
        let superseded = lists.into_iter().filter_map(|list| self.insert(list));
        Ok(superseded.collect())
    }

    /// Inserts a list. Returns its issuer if this list or another one is superseded.
    fn insert(&mut self, list: RevocationList) -> Option<String> {
        let issuer = list.display_name.clone();
        let lists = self.by_issuer.entry(list.issuer.clone()).or_default();
        let ages: Vec<Age> = lists
            .iter()
            .map(|other| list.age_relative_to(other))
            .collect();
        if ages.contains(&Age::Same) {
            return None;
        }
        if ages.contains(&Age::Older) {
            return Some(issuer);
        }
        lists.retain(|other| list.age_relative_to(other) != Age::Newer);
        lists.push(list);
        ages.contains(&Age::Newer).then_some(issuer)
    }

    fn lists(&self) -> impl Iterator<Item = &RevocationList> {
        self.by_issuer.values().flatten()
    }

    pub(super) fn len(&self) -> usize {
        self.by_issuer.values().map(Vec::len).sum()
    }

    /// The number of revoked certificates.
    pub(super) fn revoked(&self) -> usize {
        self.lists().map(RevocationList::serials).sum()
    }

    /// The nextUpdate of each list.
    pub(super) fn expiries(&self) -> impl Iterator<Item = Expiry> {
        self.lists().map(|list| Expiry {
            kind: ExpiryKind::RevocationList,
            name: list.display_name.clone(),
            at: list.next_update,
        })
    }

    /// Whether a certificate is revoked. `issuer`: its name, DER without the outer tag and length. No list has a certificate
    /// whose number has more than 20 octets, for which `serial` is `None`.
    pub(super) fn is_revoked(&self, issuer: &[u8], serial: Option<Serial>) -> bool {
        let (Some(lists), Some(serial)) = (self.by_issuer.get(issuer), serial) else {
            return false;
        };
        lists.iter().any(|list| list.contains(serial))
    }

    /// Rejects a path if an authority between leaf and anchor is revoked; there may be another path. A revocation of the
    /// anchor itself has no effect (RFC 5280 §6.1: an anchor is trusted as it is).
    pub(super) fn check_authorities(&self, path: &VerifiedPath<'_>) -> Result<(), Error> {
        let revoked = path
            .intermediate_certificates()
            .any(|authority| self.is_revoked(authority.issuer(), Serial::of(authority.serial())));
        if revoked {
            Err(Error::CertRevoked)
        } else {
            Ok(())
        }
    }
}

/// Why a file of revocation lists can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// There are no trust anchors that could have signed a list.
    #[error(
        "clients.trust_anchors is not set, so no authority could have signed a list that counts"
    )]
    NoAnchors,
    /// It is neither DER nor PEM with lists.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// It is a certificate instead of a list.
    #[error("it is a certificate, not a revocation list")]
    Certificate,
    /// The list at this position, from 1, is malformed, and its issuer is unknown.
    #[error("list {0} in it is malformed")]
    Malformed(usize),
    /// A list of a known issuer can't be used.
    #[error("the list of {issuer:?} can't be used: {fault}")]
    Unusable {
        /// The issuer's name for messages.
        issuer: String,
        /// What is wrong with it.
        fault: ListFault,
    },
    /// There are more than 1000 lists.
    #[error("there are more than 1000 revocation lists")]
    TooManyLists,
}

#[cfg(test)]
mod tests;
