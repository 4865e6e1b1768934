//! Which client certificates are let in.

use super::pem::{self, PemError};
use super::period::{Moment, Period};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::fmt;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

/// The largest certificate looked at. Device certificates have 300 to 2000 bytes.
const LARGEST: usize = 16 * 1024;

/// Certificates in an anchors file. More would make every handshake slow.
const MOST_ANCHORS: usize = 1000;

/// Whether a client certificate's validity period counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// It does.
    Check,
    /// It does not: devices whose certificates outlive their clocks.
    Ignore,
}

/// Which client certificates are let in: the trust anchors, and whether validity counts.
#[derive(Clone)]
pub struct ClientPolicy {
    /// `None`: any issuer will do, the registry alone decides.
    chain: Option<Chain>,
    validity: Validity,
}

/// Where chains end, and what may lie between.
#[derive(Clone)]
struct Chain {
    anchors: Vec<TrustAnchor<'static>>,
    intermediates: Vec<CertificateDer<'static>>,
    /// The names of all of them, DER.
    names: Vec<Vec<u8>>,
}

impl ClientPolicy {
    /// Makes a policy from a PEM file of trust anchors, if chains count.
    ///
    /// The file holds roots and intermediates, because the engine hands over the client's leaf only. A
    /// certificate whose issuer is not another certificate of the file is an anchor; the others are
    /// intermediates, good for nothing unless they chain to an anchor themselves.
    pub fn new(anchors: Option<&[u8]>, validity: Validity) -> Result<Self, AnchorsError> {
        Ok(ClientPolicy {
            chain: anchors.map(Chain::from_pem).transpose()?,
            validity,
        })
    }

    /// Judges the leaf a client has shown. Possession of its key is not proven at this point.
    ///
    /// The work is bounded: by the size of a certificate, and by webpki's own limits on a path search.
    pub fn judge(&self, leaf: &[u8], now: UnixTime) -> Result<(), Refusal> {
        if leaf.len() > LARGEST {
            return Err(Refusal::Malformed);
        }
        let (rest, parsed) = X509Certificate::from_der(leaf).map_err(|_| Refusal::Malformed)?;
        if !rest.is_empty() {
            return Err(Refusal::Malformed);
        }
        let (period, now) = (Period::of(parsed.validity()), Moment::from(now));
        if self.validity == Validity::Check {
            // RFC 5280 §4.1.2.5: both ends are included.
            if now > period.not_after {
                return Err(Refusal::Expired {
                    not_after: period.not_after,
                    now,
                });
            }
            if now < period.not_before {
                return Err(Refusal::NotYetValid {
                    not_before: period.not_before,
                    now,
                });
            }
        }
        let Some(chain) = &self.chain else {
            return Ok(());
        };
        // First of all a stranger is a stranger, whatever else is odd about its certificate.
        let issuer = parsed.issuer().as_raw();
        if !chain.names.iter().any(|name| name == issuer) {
            return Err(Refusal::UnknownIssuer);
        }
        if parsed.version() != X509Version::V3 {
            return Err(Refusal::OldVersion);
        }
        let is_ca = parsed.basic_constraints().map_err(|_| Refusal::Malformed)?;
        if is_ca.is_some_and(|constraints| constraints.value.ca) {
            return Err(Refusal::IsAuthority);
        }
        match self.validity {
            Validity::Check => chain.verify(leaf, now),
            // The leaf's period does not count, so any moment within it will do. The intermediates were
            // valid at one of these if they ever were together with the leaf.
            Validity::Ignore => {
                let mut verdict = chain.verify(leaf, period.closest(now));
                for moment in [period.not_before, period.not_after] {
                    if verdict == Err(Refusal::IssuerNotValid) {
                        verdict = chain.verify(leaf, moment);
                    }
                }
                verdict
            }
        }
    }
}

impl ClientPolicy {
    /// Whether certificates must chain to a trust anchor: only then there is something to judge anew.
    pub fn judges_chains(&self) -> bool {
        self.chain.is_some()
    }

    /// Judges the leaf of a live session by what was read anew. That it has ended meanwhile ends no session.
    pub fn rejudge(&self, leaf: &[u8], now: UnixTime) -> Result<(), Refusal> {
        let policy = ClientPolicy {
            chain: self.chain.clone(),
            validity: Validity::Ignore,
        };
        policy.judge(leaf, now)
    }
}

impl fmt::Debug for ClientPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientPolicy")
            .field(
                "anchors",
                &self.chain.as_ref().map(|chain| chain.anchors.len()),
            )
            .field(
                "intermediates",
                &self.chain.as_ref().map(|chain| chain.intermediates.len()),
            )
            .field("validity", &self.validity)
            .finish()
    }
}

impl Chain {
    fn from_pem(pem: &[u8]) -> Result<Self, AnchorsError> {
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
            names: Vec::new(),
        };
        for (der, certificate) in certificates.iter().zip(&parsed) {
            let issuer = certificate.issuer().as_raw();
            let self_issued = certificate.subject().as_raw() == issuer;
            chain.names.push(certificate.subject().as_raw().to_vec());
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

    fn verify(&self, leaf: &[u8], at: Moment) -> Result<(), Refusal> {
        let leaf = CertificateDer::from(leaf);
        let end_entity = EndEntityCert::try_from(&leaf).map_err(refusal)?;
        end_entity
            .verify_for_usage(
                ALL_VERIFICATION_ALGS,
                &self.anchors,
                &self.intermediates,
                at.unix(),
                KeyUsage::client_auth(),
                None,
                None,
            )
            .map(drop)
            .map_err(refusal)
    }
}

/// What webpki found, in our words.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is open; what is not named is refused all the same"
)]
fn refusal(error: Error) -> Refusal {
    match error {
        // A signature that does not verify means that the issuer only has the name of one of ours.
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => Refusal::UnknownIssuer,
        // The leaf's own dates were looked at before, so these are an intermediate's.
        Error::CertExpired { .. } | Error::CertNotValidYet { .. } => Refusal::IssuerNotValid,
        Error::UnsupportedCertVersion => Refusal::OldVersion,
        Error::CaUsedAsEndEntity => Refusal::IsAuthority,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => Refusal::WrongUsage,
        Error::BadDer | Error::BadDerTime | Error::TrailingData(_) => Refusal::Malformed,
        // The enum is open and long; what is left concerns constraints, algorithms and limits.
        other => Refusal::Chain(format!("{other:?}").chars().take(200).collect()),
    }
}

/// Why a client certificate is refused. None of it repeats text of the certificate, which is not proven yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has ended.
    #[error(
        "the certificate ended on {not_after} (it is {now} here); clients.validity = \"ignore\" would let it in"
    )]
    Expired {
        /// Its last moment.
        not_after: Moment,
        /// Our clock.
        now: Moment,
    },
    /// It has not begun.
    #[error(
        "the certificate begins on {not_before} (it is {now} here: is the clock right?); \
         clients.validity = \"ignore\" would let it in"
    )]
    NotYetValid {
        /// Its first moment.
        not_before: Moment,
        /// Our clock.
        now: Moment,
    },
    /// It doesn't chain to an anchor.
    #[error("the certificate was not issued by any authority in clients.trust_anchors")]
    UnknownIssuer,
    /// An intermediate is out of its period.
    #[error(
        "an intermediate authority in clients.trust_anchors has ended or not begun; renew it there"
    )]
    IssuerNotValid,
    /// X.509 version 1 or 2, which can't say what it may be used for.
    #[error(
        "the certificate is X.509 version 1; where clients.trust_anchors is set it must be version 3"
    )]
    OldVersion,
    /// A CA's certificate where a device's should be.
    #[error(
        "the certificate is an authority's (CA:TRUE); where clients.trust_anchors is set a device needs one without"
    )]
    IsAuthority,
    /// Its extended key usage leaves out clients.
    #[error("the certificate's extended key usage does not include clientAuth")]
    WrongUsage,
    /// Not X.509, or too large.
    #[error("the certificate is malformed")]
    Malformed,
    /// Anything else on the path to an anchor.
    #[error("the certificate's chain does not verify: {0}")]
    Chain(String),
}

impl Refusal {
    /// The TLS alert (RFC 5246 §7.2.2) that tells the client so: 45 certificate_expired (which covers
    /// "not currently valid"), 48 unknown_ca, 42 bad_certificate.
    pub fn alert(&self) -> u8 {
        match self {
            Refusal::Expired { .. } | Refusal::NotYetValid { .. } => 45,
            Refusal::UnknownIssuer => 48,
            Refusal::IssuerNotValid
            | Refusal::OldVersion
            | Refusal::IsAuthority
            | Refusal::WrongUsage
            | Refusal::Malformed
            | Refusal::Chain(_) => 42,
        }
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
