//! Verifies the path from a leaf to a trust anchor.

use super::authority_path::{FoundIntermediate, FoundPath, Path};
use super::certificate_error::{CertificateError, from_webpki};
use super::issuer::Issuer;
use super::pem::{self, PemError};
use super::period::{Expiry, ExpiryKind, Moment};
use super::policies::{self, Patches, Policies};
use super::revocation::RevocationLists;
use super::sent::Sent;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor};
use std::cell::Cell;
use std::collections::HashMap;
use webpki::{
    ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage, VerifiedPath, anchor_from_trusted_cert,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

/// Most certificates of an anchors file. More would slow down every handshake.
const MAX_ANCHORS: usize = 1000;

/// Trust anchors, intermediates and revocation lists.
#[derive(Clone)]
pub(super) struct Chain {
    pub(super) anchors: Vec<TrustAnchor<'static>>,
    pub(super) intermediates: Vec<CertificateDer<'static>>,
    /// The policy extensions of each intermediate, by its DER in `intermediates`.
    policies: HashMap<Vec<u8>, Policies>,
    /// Intermediates that were patched for webpki.
    patched: Patches,
    /// Anchors and intermediates.
    pub(super) issuers: Vec<Issuer>,
    pub(super) revoked: RevocationLists,
}

impl Chain {
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, AnchorsError> {
        let mut certificates = pem::certificates(pem)?;
        certificates.sort_by(|one, other| one.as_ref().cmp(other.as_ref()));
        certificates.dedup();
        if certificates.len() > MAX_ANCHORS {
            return Err(AnchorsError::TooMany(certificates.len()));
        }
        let mut parsed = Vec::new();
        for der in &certificates {
            let (_, certificate) =
                X509Certificate::from_der(der).map_err(|_| AnchorsError::Malformed)?;
            // Every certificate of this file may issue others, so it must be meant for that by its own issuer.
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
            patched: Patches::default(),
            issuers: Vec::new(),
            revoked: RevocationLists::default(),
        };
        for (der, certificate) in certificates.iter().zip(&parsed) {
            let issuer = certificate.issuer().as_raw();
            let self_issued = certificate.subject().as_raw() == issuer;
            chain.issuers.push(Issuer::from_certificate(certificate));
            if !self_issued
                && parsed
                    .iter()
                    .any(|other| other.subject().as_raw() == issuer)
            {
                let patched = chain.patched.patch(der, certificate);
                let der_for_webpki = patched.unwrap_or_else(|| der.to_vec());
                let policies = Policies::parse(certificate).map_err(|_| AnchorsError::Malformed)?;
                chain.policies.insert(der_for_webpki.clone(), policies);
                chain.intermediates.push(der_for_webpki.into());
            } else {
                let anchor = anchor_from_trusted_cert(der).map_err(|_| AnchorsError::Malformed)?;
                chain.anchors.push(anchor.to_owned());
            }
        }
        // Without one, authorities have issued each other.
        if chain.anchors.is_empty() {
            Err(AnchorsError::NoRoot)
        } else {
            Ok(chain)
        }
    }

    /// When each of its certificates expires.
    pub(super) fn expiries(&self) -> impl Iterator<Item = Expiry> {
        self.issuers.iter().map(|issuer| Expiry {
            kind: ExpiryKind::TrustAnchor,
            name: issuer.display_name.clone(),
            at: issuer.period.not_after,
        })
    }

    /// Chooses the intermediates of a client that may be of use. Those that have to be patched are added to `patches`.
    pub(super) fn choose<'a>(&self, sent: &[&'a [u8]], patches: &mut Patches) -> Sent<'a> {
        let known = |der: &[u8]| self.intermediates.iter().any(|one| one.as_ref() == der);
        Sent::choose(sent, known, patches)
    }

    /// Finds a path from a leaf to an anchor, which is valid at a point in time. `parsed` is the parsed `leaf`, `patches`
    /// those of `sent`. Whether the leaf itself is revoked is not checked.
    pub(super) fn find_path(
        &self,
        leaf: &[u8],
        parsed: &X509Certificate<'_>,
        sent: &Sent<'_>,
        mut patches: Patches,
        at: Moment,
    ) -> Result<FoundPath, CertificateError> {
        let leaf_policies = Policies::parse(parsed).map_err(|_| CertificateError::Malformed)?;
        let patched = patches.patch(leaf, parsed);
        if !(patches.is_empty() && self.patched.is_empty()) {
            patches.extend(&self.patched);
        }
        let all: Vec<CertificateDer<'_>>;
        let intermediates = match sent.is_empty() {
            true => self.intermediates.as_slice(),
            false => {
                let own = self.intermediates.iter().map(AsRef::as_ref);
                all = own
                    .chain(sent.for_webpki())
                    .map(CertificateDer::from)
                    .collect();
                &all
            }
        };
        let over_signed = match patches.is_empty() {
            true => Vec::new(),
            false => patches.algorithms(),
        };
        let algorithms: Vec<&dyn SignatureVerificationAlgorithm> = over_signed
            .iter()
            .map(|algorithm| {
                let algorithm: &dyn SignatureVerificationAlgorithm = algorithm;
                algorithm
            })
            .collect();
        let algorithms = match algorithms.as_slice() {
            [] => ALL_VERIFICATION_ALGS,
            over_signed => over_signed,
        };
        let leaf = CertificateDer::from(patched.as_deref().unwrap_or(leaf));
        let end_entity = EndEntityCert::try_from(&leaf).map_err(from_webpki)?;
        let lacks_policy = Cell::new(false);
        let check_path = |path: &VerifiedPath<'_>| {
            self.revoked.check_authorities(path)?;
            self.check_anchor(path.anchor(), at)?;
            let is_satisfied = self.satisfies_policies(path, sent, &leaf_policies);
            lacks_policy.set(!is_satisfied);
            is_satisfied.then_some(()).ok_or(Error::UnknownIssuer)
        };
        let verified = end_entity.verify_for_usage(
            algorithms,
            &self.anchors,
            intermediates,
            at.unix(),
            KeyUsage::client_auth(),
            // No revocation lists: webpki would verify their signatures again for each leaf.
            None,
            Some(&check_path),
        );
        if verified.is_err() && lacks_policy.get() {
            return Err(CertificateError::NoPolicy);
        }
        let path = verified.map_err(from_webpki)?;
        let of_path = path.intermediate_certificates().map(|one| {
            let der = one.der();
            let of_sent = sent.find(der.as_ref());
            FoundIntermediate {
                der: of_sent.map_or(der.as_ref(), |one| one.der).to_vec(),
                is_sent: of_sent.is_some(),
            }
        });
        Ok(FoundPath {
            intermediates: of_path.collect(),
            anchor: path.anchor().to_owned(),
        })
    }

    /// Whether a path that was found once still leads to an anchor, whatever the time: what was signed stays signed, but the
    /// file may no longer have its anchor or an intermediate, and an intermediate may be revoked.
    pub(super) fn has_path(&self, path: &Path) -> Result<(), CertificateError> {
        let is_in_file = |der: &[u8]| self.intermediates.iter().any(|own| own.as_ref() == der);
        let mut of_file = path.intermediates.iter().filter(|one| !one.is_sent);
        if !self.anchors.contains(&path.anchor) || !of_file.all(|one| is_in_file(&one.der)) {
            return Err(CertificateError::UnknownIssuer);
        }
        let mut intermediates = path.intermediates.iter();
        match intermediates.any(|one| self.revoked.is_revoked(&one.issuer, one.serial)) {
            true => Err(CertificateError::IssuerRevoked),
            false => Ok(()),
        }
    }

    /// Whether all certificates of a path are valid at a point in time.
    pub(super) fn is_valid_at(&self, path: &Path, at: Moment) -> bool {
        let mut intermediates = path.intermediates.iter();
        intermediates.all(|one| one.period.contains(at))
            && self.check_anchor(&path.anchor, at).is_ok()
    }

    /// Rejects a path whose anchor has expired or is not valid yet; there may be another path. A root is often renewed with
    /// the same name and key: then either certificate will do.
    fn check_anchor(&self, anchor: &TrustAnchor<'_>, at: Moment) -> Result<(), Error> {
        let mut periods = self
            .issuers
            .iter()
            .filter(|issuer| issuer.matches(&anchor.subject, &anchor.subject_public_key_info))
            .map(|issuer| issuer.period)
            .peekable();
        let Some(first) = periods.peek().copied() else {
            return Err(Error::UnknownIssuer);
        };
        if periods.any(|period| period.contains(at)) {
            return Ok(());
        }
        Err(Error::CertExpired {
            time: at.unix(),
            not_after: first.not_after.unix(),
        })
    }

    fn satisfies_policies(
        &self,
        path: &VerifiedPath<'_>,
        sent: &Sent<'_>,
        leaf: &Policies,
    ) -> bool {
        let below_anchor: Option<Vec<&Policies>> = path
            .intermediate_certificates()
            .map(|authority| {
                let der = authority.der();
                let of_sent = || sent.find(der.as_ref()).map(|one| &one.policies);
                self.policies.get(der.as_ref()).or_else(of_sent)
            })
            .collect();
        // webpki lists the path from the leaf to the anchor.
        below_anchor.is_some_and(|mut policies| {
            policies.reverse();
            policies.push(leaf);
            policies::are_satisfied(&policies)
        })
    }
}

/// Why a file of trust anchors can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorsError {
    /// The file is not PEM with certificates.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A certificate is not X.509.
    #[error("one of its certificates is malformed")]
    Malformed,
    /// A certificate is not a CA's.
    #[error(
        "{0:?} is not an authority's certificate (CA:TRUE); devices' own certificates belong into the registry"
    )]
    NotAuthority(String),
    /// The key usage of a certificate does not include keyCertSign.
    #[error("{0:?} may not sign certificates: its key usage has no keyCertSign")]
    MayNotSign(String),
    /// Every certificate was issued by another one of the file.
    #[error("its certificates issued each other and none is a root")]
    NoRoot,
    /// There are too many certificates.
    #[error("it holds {0} certificates, 1000 at most are sensible")]
    TooMany(usize),
}
