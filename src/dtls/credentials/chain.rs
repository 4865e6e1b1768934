//! From a leaf to a trust anchor.

use super::issuer::Issuer;
use super::pem::{self, PemError};
use super::period::{Ends, Moment, What};
use super::refusal::{Refusal, refusal};
use super::revocation::RevocationLists;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

/// Certificates in an anchors file. More would make every handshake slow.
const MOST_ANCHORS: usize = 1000;

/// Where chains end, and what may lie between.
#[derive(Clone)]
pub(super) struct Chain {
    pub(super) anchors: Vec<TrustAnchor<'static>>,
    pub(super) intermediates: Vec<CertificateDer<'static>>,
    /// All of them.
    pub(super) issuers: Vec<Issuer>,
    /// What they have revoked.
    pub(super) revoked: RevocationLists,
}

impl Chain {
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, AnchorsError> {
        let mut certificates = pem::certificates(pem)?;
        certificates.sort_by(|one, other| one.as_ref().cmp(other.as_ref()));
        certificates.dedup();
        if certificates.len() > MOST_ANCHORS {
            return Err(AnchorsError::TooMany(certificates.len()));
        }
        let mut parsed = Vec::new();
        for der in &certificates {
            let (_, certificate) =
                X509Certificate::from_der(der).map_err(|_| AnchorsError::Malformed)?;
            // Anything in this file may issue certificates, so what its own issuer did not mean to do so stays out.
            if certificate.version() == X509Version::V3 && !certificate.is_ca() {
                return Err(AnchorsError::NotAuthority(
                    certificate.subject().to_string(),
                ));
            }
            parsed.push(certificate);
        }
        let mut chain = Chain {
            anchors: Vec::new(),
            intermediates: Vec::new(),
            issuers: Vec::new(),
            revoked: RevocationLists::default(),
        };
        for (der, certificate) in certificates.iter().zip(&parsed) {
            let issuer = certificate.issuer().as_raw();
            let self_issued = certificate.subject().as_raw() == issuer;
            chain.issuers.push(Issuer::of(certificate));
            if !self_issued
                && parsed
                    .iter()
                    .any(|other| other.subject().as_raw() == issuer)
            {
                chain.intermediates.push(der.clone());
            } else {
                let anchor = anchor_from_trusted_cert(der).map_err(|_| AnchorsError::Malformed)?;
                chain.anchors.push(anchor.to_owned());
            }
        }
        // Two authorities that issued each other, and neither of them a root.
        if chain.anchors.is_empty() {
            Err(AnchorsError::NoRoot)
        } else {
            Ok(chain)
        }
    }

    /// When each of its certificates ends.
    pub(super) fn ends(&self) -> impl Iterator<Item = Ends> {
        self.issuers.iter().map(|issuer| Ends {
            what: What::TrustAnchor,
            name: issuer.shown.clone(),
            at: issuer.not_after,
        })
    }

    pub(super) fn verify(&self, leaf: &[u8], at: Moment) -> Result<(), Refusal> {
        let leaf = CertificateDer::from(leaf);
        let end_entity = EndEntityCert::try_from(&leaf).map_err(refusal)?;
        end_entity
            .verify_for_usage(
                ALL_VERIFICATION_ALGS,
                &self.anchors,
                &self.intermediates,
                at.unix(),
                KeyUsage::client_auth(),
                // webpki is not given the lists: it would verify their signatures again, for each leaf.
                None,
                Some(&|path| self.revoked.judge_authorities(path)),
            )
            .map_err(refusal)?;
        if self.revoked.has(end_entity.issuer(), end_entity.serial()) {
            return Err(Refusal::Revoked);
        }
        Ok(())
    }
}

/// Why a file can't be one of trust anchors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorsError {
    /// The file is not the PEM that is needed.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// One of them is not X.509.
    #[error("one of its certificates is malformed")]
    Malformed,
    /// One of them may not issue certificates.
    #[error(
        "{0:?} is not an authority's certificate (CA:TRUE); devices' own certificates belong into the registry"
    )]
    NotAuthority(String),
    /// Every certificate was issued by another one of the file.
    #[error("its certificates issued each other and none is a root")]
    NoRoot,
    /// Too many.
    #[error("it holds {0} certificates, 1000 at most are sensible")]
    TooMany(usize),
}
