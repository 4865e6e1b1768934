//! Which certificates their issuers have revoked (RFC 5280 §5).
//!
//! A list counts once its signature is verified, and that is done when it is read. webpki could ask lists itself,
//! but verifies the signature of a whole list anew for each certificate it judges, and asks only the first list
//! of an issuer. Here a question is a search among sorted serial numbers, in all lists of the issuer.
//!
//! What the lists don't settle is let be: certificates of an issuer without a list pass, and a list whose
//! successor is overdue counts on, because an edge that is cut off must not lose its fleet. Who reads the lists is
//! told so, and `ClientPolicy::dates` lets a metric tell it too.

mod list;

pub use list::ListFault;

use super::issuer::Issuer;
use super::pem::{self, PemError};
use super::period::{Ends, What};
use list::{Age, RevocationList, Serial};
use std::collections::BTreeMap;
use webpki::{Error, VerifiedPath};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// Lists in all: each may be asked for each certificate.
pub(super) const MOST_LISTS: usize = 1000;

/// Revoked certificates in all lists: 80 MB of serial numbers.
const MOST_REVOKED: usize = 4_000_000;

/// All lists that count.
#[derive(Clone, Default)]
pub(super) struct RevocationLists {
    /// By the issuer's name. RFC 5280 §4.1.2.2: name and serial number make one certificate, so an
    /// authority that has got a new key answers for what it issued with the old one.
    by_issuer: BTreeMap<Vec<u8>, Vec<RevocationList>>,
}

impl RevocationLists {
    /// Reads a file: PEM with any number of lists, or one list as DER. If one of them is of no use, none is added.
    ///
    /// Gives the issuers of which an older list is passed over. See [`Age`] for what is older.
    pub(super) fn add(
        &mut self,
        file: &[u8],
        issuers: &[Issuer],
    ) -> Result<Vec<String>, RevocationError> {
        let (mut lists, mut revoked) = (Vec::new(), self.revoked());
        let mut read = |der: &[u8]| {
            let position = lists.len() + 1;
            if self.len() + position > MOST_LISTS {
                return Err(RevocationError::TooManyLists);
            }
            let list = RevocationList::read(der, issuers, MOST_REVOKED.saturating_sub(revoked))
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
        let passed_over = lists.into_iter().filter_map(|list| self.take(list));
        Ok(passed_over.collect())
    }

    /// Takes a list in. Gives its issuer if one of two is passed over for being older.
    fn take(&mut self, list: RevocationList) -> Option<String> {
        let issuer = list.shown.clone();
        let lists = self.by_issuer.entry(list.issuer.clone()).or_default();
        let ages: Vec<Age> = lists.iter().map(|other| list.age_beside(other)).collect();
        if ages.contains(&Age::Same) {
            return None;
        }
        if ages.contains(&Age::Older) {
            return Some(issuer);
        }
        lists.retain(|other| list.age_beside(other) != Age::Newer);
        lists.push(list);
        ages.contains(&Age::Newer).then_some(issuer)
    }

    fn lists(&self) -> impl Iterator<Item = &RevocationList> {
        self.by_issuer.values().flatten()
    }

    pub(super) fn len(&self) -> usize {
        self.by_issuer.values().map(Vec::len).sum()
    }

    /// How many certificates are on the lists.
    pub(super) fn revoked(&self) -> usize {
        self.lists().map(RevocationList::serials).sum()
    }

    /// When the next list is due, for each.
    pub(super) fn ends(&self) -> impl Iterator<Item = Ends> {
        self.lists().map(|list| Ends {
            what: What::RevocationList,
            name: list.shown.clone(),
            at: list.next_update,
        })
    }

    /// Whether an issuer (its name, DER without the outer tag and length) has revoked a certificate.
    pub(super) fn has(&self, issuer: &[u8], serial: &[u8]) -> bool {
        let (Some(lists), Some(serial)) = (self.by_issuer.get(issuer), Serial::of(serial)) else {
            return false;
        };
        lists.iter().any(|list| list.has(serial))
    }

    /// Refuses a path if one of the authorities between leaf and anchor is revoked; there may be another path.
    /// What a root says of itself is nothing (RFC 5280 §6.1: an anchor is trusted as it is).
    pub(super) fn judge_authorities(&self, path: &VerifiedPath<'_>) -> Result<(), Error> {
        let revoked = path
            .intermediate_certificates()
            .any(|authority| self.has(authority.issuer(), authority.serial()));
        if revoked {
            Err(Error::CertRevoked)
        } else {
            Ok(())
        }
    }
}

/// Why a file can't be one of revocation lists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// There are no authorities to have signed one.
    #[error(
        "clients.trust_anchors is not set, so no authority could have signed a list that counts"
    )]
    NoAnchors,
    /// It is neither DER nor the PEM that is needed.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A certificate where a list should be.
    #[error("it is a certificate, not a revocation list")]
    Certificate,
    /// A list that does not even say whose it is; counted from 1.
    #[error("list {0} in it is malformed")]
    Malformed(usize),
    /// A list that says whose it is.
    #[error("the list of {issuer:?} can't be used: {fault}")]
    Unusable {
        /// The issuer's name for people.
        issuer: String,
        /// Why not.
        fault: ListFault,
    },
    /// Too many.
    #[error("there are more than 1000 revocation lists")]
    TooManyLists,
}

#[cfg(test)]
mod tests;
