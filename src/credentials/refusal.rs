//! Why a client certificate is refused, in words and as an alert.

use super::period::Moment;
use webpki::Error;

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
    /// An authority is out of its period.
    #[error(
        "an authority in clients.trust_anchors, root or intermediate, has ended or not begun; renew it there"
    )]
    IssuerNotValid,
    /// Its issuer has revoked it.
    #[error("the certificate is revoked, says its issuer's list in clients.revocation_lists")]
    Revoked,
    /// An intermediate is revoked.
    #[error(
        "an intermediate authority in clients.trust_anchors is revoked, says a list in clients.revocation_lists"
    )]
    IssuerRevoked,
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
    /// Its key usage leaves out signing, which a client does to prove that it has the key.
    #[error("the certificate's key usage does not include digitalSignature")]
    NotForSigning,
    /// A certificate of its path demands a policy that the path does not have.
    #[error(
        "an authority requires a certificate policy (requireExplicitPolicy), and not all certificates of the path have it"
    )]
    NoPolicy,
    /// Not X.509, or too large.
    #[error("the certificate is malformed")]
    Malformed,
    /// Anything else on the path to an anchor.
    #[error("the certificate's chain does not verify: {0}")]
    Chain(String),
}

impl Refusal {
    /// The TLS alert (RFC 5246 §7.2.2) that tells the client so: 45 certificate_expired (which covers
    /// "not currently valid"), 48 unknown_ca, 44 certificate_revoked, 42 bad_certificate.
    pub fn alert(&self) -> u8 {
        match self {
            Refusal::Expired { .. } | Refusal::NotYetValid { .. } => 45,
            Refusal::UnknownIssuer => 48,
            Refusal::Revoked | Refusal::IssuerRevoked => 44,
            Refusal::IssuerNotValid
            | Refusal::OldVersion
            | Refusal::IsAuthority
            | Refusal::WrongUsage
            | Refusal::NotForSigning
            | Refusal::NoPolicy
            | Refusal::Malformed
            | Refusal::Chain(_) => 42,
        }
    }
}

/// What webpki found, in our words.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is open; what is not named is refused all the same"
)]
pub(super) fn refusal(error: Error) -> Refusal {
    match error {
        // A signature that does not verify means that the issuer only has the name of one of ours.
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => Refusal::UnknownIssuer,
        // The leaf's own dates were looked at before, so these are an intermediate's.
        Error::CertExpired { .. } | Error::CertNotValidYet { .. } => Refusal::IssuerNotValid,
        // Said of the authorities on a path alone; the leaf is looked up by itself.
        Error::CertRevoked => Refusal::IssuerRevoked,
        Error::UnsupportedCertVersion => Refusal::OldVersion,
        Error::CaUsedAsEndEntity => Refusal::IsAuthority,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => Refusal::WrongUsage,
        Error::BadDer | Error::BadDerTime | Error::TrailingData(_) => Refusal::Malformed,
        // The enum is open and long; what is left concerns constraints, algorithms and limits.
        other => Refusal::Chain(format!("{other:?}").chars().take(200).collect()),
    }
}
