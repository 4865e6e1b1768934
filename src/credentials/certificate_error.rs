//! Why a client certificate is rejected, and the TLS alert for it.

use super::period::Moment;
use webpki::Error;

/// Why a client certificate is rejected. No message repeats text of the certificate, which is not authenticated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error(
        "the certificate ended on {not_after} (it is {now} here); clients.validity = \"ignore\" would let it in"
    )]
    Expired {
        not_after: Moment,
        /// The time of our clock.
        now: Moment,
    },
    /// It is not valid yet.
    #[error(
        "the certificate begins on {not_before} (it is {now} here: is the clock right?); \
         clients.validity = \"ignore\" would let it in"
    )]
    NotYetValid {
        not_before: Moment,
        /// The time of our clock.
        now: Moment,
    },
    /// It does not chain to a trust anchor.
    #[error(
        "no chain leads from the certificate to an authority in clients.trust_anchors; an intermediate must be sent by the \
         client, or be in that file"
    )]
    UnknownIssuer,
    /// An authority of its chain has expired or is not valid yet.
    #[error(
        "an authority that has issued it, root or intermediate, has ended or not begun; renew that where it comes from: \
         clients.trust_anchors or the client"
    )]
    IssuerNotValid,
    /// Its issuer has revoked it.
    #[error("the certificate is revoked, says its issuer's list in clients.revocation_lists")]
    Revoked,
    /// An intermediate is revoked.
    #[error(
        "an intermediate authority that has issued it is revoked, says a list in clients.revocation_lists"
    )]
    IssuerRevoked,
    /// It is X.509 version 1 or 2, which have no extensions for its use.
    #[error(
        "the certificate is X.509 version 1; where clients.trust_anchors is set it must be version 3"
    )]
    OldVersion,
    /// It is a CA's certificate.
    #[error(
        "the certificate is an authority's (CA:TRUE); where clients.trust_anchors is set a device needs one without"
    )]
    IsAuthority,
    /// Its extended key usage does not include clientAuth.
    #[error("the certificate's extended key usage does not include clientAuth")]
    WrongUsage,
    /// Its key usage does not include digitalSignature, by which a client proves that it has the key.
    #[error("the certificate's key usage does not include digitalSignature")]
    NotForSigning,
    /// A certificate of its path requires a policy that the path does not have.
    #[error(
        "an authority requires a certificate policy (requireExplicitPolicy), and not all certificates of the path have it"
    )]
    NoPolicy,
    /// It is not X.509, or too large.
    #[error("the certificate is malformed")]
    Malformed,
    /// Another error of the path to a trust anchor.
    #[error("the certificate's chain does not verify: {0}")]
    Chain(String),
}

impl CertificateError {
    /// The authorities have changed since the client was verified, so that what is kept of it does not suffice.
    pub(super) fn authorities_changed() -> CertificateError {
        let message = "the trust anchors have changed, and a new handshake has to show whether they accept the certificate";
        CertificateError::Chain(message.to_owned())
    }

    /// The TLS alert to send (RFC 5246 §7.2.2): 45 certificate_expired (which covers
    /// "not currently valid"), 48 unknown_ca, 44 certificate_revoked, 42 bad_certificate.
    pub fn alert(&self) -> u8 {
        match self {
            CertificateError::Expired { .. } | CertificateError::NotYetValid { .. } => 45,
            CertificateError::UnknownIssuer => 48,
            CertificateError::Revoked | CertificateError::IssuerRevoked => 44,
            CertificateError::IssuerNotValid
            | CertificateError::OldVersion
            | CertificateError::IsAuthority
            | CertificateError::WrongUsage
            | CertificateError::NotForSigning
            | CertificateError::NoPolicy
            | CertificateError::Malformed
            | CertificateError::Chain(_) => 42,
        }
    }
}

/// Converts an error of webpki.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is non-exhaustive; every error is a rejection"
)]
pub(super) fn from_webpki(error: Error) -> CertificateError {
    match error {
        // If the signature does not verify, the issuer only has the name of a trust anchor.
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => {
            CertificateError::UnknownIssuer
        }
        // The leaf's own dates were checked before, so these are an intermediate's.
        Error::CertExpired { .. } | Error::CertNotValidYet { .. } => {
            CertificateError::IssuerNotValid
        }
        // Only checked for authorities of the path; the leaf is looked up separately.
        Error::CertRevoked => CertificateError::IssuerRevoked,
        Error::UnsupportedCertVersion => CertificateError::OldVersion,
        Error::CaUsedAsEndEntity => CertificateError::IsAuthority,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => {
            CertificateError::WrongUsage
        }
        Error::BadDer | Error::BadDerTime | Error::TrailingData(_) => CertificateError::Malformed,
        // The other errors concern constraints, algorithms and limits.
        other => CertificateError::Chain(format!("{other:?}").chars().take(200).collect()),
    }
}
