//! From a leaf to a trust anchor.

use super::issuer::Issuer;
use super::pem::{self, PemError};
use super::period::{Ends, Moment, What};
use super::policies::{self, Originals, Policies};
use super::refusal::{Refusal, refusal};
use super::revocation::RevocationLists;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor};
use std::cell::Cell;
use std::collections::HashMap;
use webpki::{
    ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage, VerifiedPath, anchor_from_trusted_cert,
};
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
    /// What each intermediate says of policies, by its DER as it stands there.
    policies: HashMap<Vec<u8>, Policies>,
    /// What was signed, of intermediates that stand there otherwise.
    originals: Originals,
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
            // RFC 5280 §4.2.1.3: where key usage is given, only keyCertSign allows it.
            let usage = certificate.key_usage();
            let usage = usage.map_err(|_| AnchorsError::Malformed)?;
            if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
                return Err(AnchorsError::MayNotSign(certificate.subject().to_string()));
            }
            parsed.push(certificate);
        }
        let mut chain = Chain {
            anchors: Vec::new(),
            intermediates: Vec::new(),
            policies: HashMap::new(),
            originals: Originals::default(),
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
                let shown = chain.originals.show(der, certificate);
                let shown = shown.unwrap_or_else(|| der.to_vec());
                // One that makes no sense allows nothing to those below it, if policies are required there.
                let policies = Policies::of(certificate).map_err(|_| AnchorsError::Malformed)?;
                chain.policies.insert(shown.clone(), policies);
                chain.intermediates.push(shown.into());
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
            at: issuer.period.not_after,
        })
    }

    /// Verifies a leaf. `parsed` is the same.
    pub(super) fn verify(
        &self,
        leaf: &[u8],
        parsed: &X509Certificate<'_>,
        at: Moment,
    ) -> Result<(), Refusal> {
        let leaf_policies = Policies::of(parsed).map_err(|_| Refusal::Malformed)?;
        let mut originals = Originals::default();
        let shown = originals.show(leaf, parsed);
        if !(originals.is_empty() && self.originals.is_empty()) {
            originals.extend(&self.originals);
        }
        let over_originals = match originals.is_empty() {
            true => Vec::new(),
            false => originals.algorithms(),
        };
        let algorithms: Vec<&dyn SignatureVerificationAlgorithm> = over_originals
            .iter()
            .map(|algorithm| {
                let algorithm: &dyn SignatureVerificationAlgorithm = algorithm;
                algorithm
            })
            .collect();
        let algorithms = match algorithms.as_slice() {
            [] => ALL_VERIFICATION_ALGS,
            over_originals => over_originals,
        };
        let leaf = CertificateDer::from(shown.as_deref().unwrap_or(leaf));
        let end_entity = EndEntityCert::try_from(&leaf).map_err(refusal)?;
        let policies_refuse = Cell::new(false);
        let judge_path = |path: &VerifiedPath<'_>| {
            self.revoked.judge_authorities(path)?;
            self.judge_anchor(path.anchor(), at)?;
            let kept = self.keeps_policies(path, &leaf_policies);
            policies_refuse.set(!kept);
            kept.then_some(()).ok_or(Error::UnknownIssuer)
        };
        let verified = end_entity.verify_for_usage(
            algorithms,
            &self.anchors,
            &self.intermediates,
            at.unix(),
            KeyUsage::client_auth(),
            // webpki is not given the lists: it would verify their signatures again, for each leaf.
            None,
            Some(&judge_path),
        );
        if verified.is_err() && policies_refuse.get() {
            return Err(Refusal::NoPolicy);
        }
        verified.map_err(refusal)?;
        if self.revoked.has(end_entity.issuer(), end_entity.serial()) {
            return Err(Refusal::Revoked);
        }
        Ok(())
    }

    /// An anchor out of its period vouches for nothing; there may be another path. A root is often renewed with the
    /// same name and key: then either certificate will do.
    fn judge_anchor(&self, anchor: &TrustAnchor<'_>, at: Moment) -> Result<(), Error> {
        let mut periods = self
            .issuers
            .iter()
            .filter(|issuer| issuer.is(&anchor.subject, &anchor.subject_public_key_info))
            .map(|issuer| issuer.period)
            .peekable();
        let Some(first) = periods.peek().copied() else {
            return Err(Error::UnknownIssuer);
        };
        if periods.any(|period| period.not_before <= at && at <= period.not_after) {
            return Ok(());
        }
        Err(Error::CertExpired {
            time: at.unix(),
            not_after: first.not_after.unix(),
        })
    }

    fn keeps_policies(&self, path: &VerifiedPath<'_>, leaf: &Policies) -> bool {
        let below_anchor: Option<Vec<&Policies>> = path
            .intermediate_certificates()
            .map(|authority| self.policies.get(authority.der().as_ref()))
            .collect();
        // Webpki goes from the leaf to the anchor.
        below_anchor.is_some_and(|mut policies| {
            policies.reverse();
            policies.push(leaf);
            policies::are_kept(&policies)
        })
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
    /// The key usage of one of them leaves out that it issues certificates.
    #[error("{0:?} may not sign certificates: its key usage has no keyCertSign")]
    MayNotSign(String),
    /// Every certificate was issued by another one of the file.
    #[error("its certificates issued each other and none is a root")]
    NoRoot,
    /// Too many.
    #[error("it holds {0} certificates, 1000 at most are sensible")]
    TooMany(usize),
}
