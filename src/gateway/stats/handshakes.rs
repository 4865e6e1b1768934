//! Handshakes and sessions by how they ended, under label values that dashboards rely on.

use crate::credentials::CertificateError;
use crate::dtls::{EndReason, HandshakeFailure};
use crate::metrics::Tally;

/// How a handshake ended. Only peers whose address was verified by a cookie count.
pub(crate) const OUTCOMES: [&str; 17] = [
    COMPLETED,
    "no_certificate",
    "no_common_cipher_suite",
    "certificate_expired",
    "certificate_not_yet_valid",
    "unknown_issuer",
    "issuer_not_valid",
    "certificate_old_version",
    "certificate_is_authority",
    "certificate_wrong_usage",
    "certificate_malformed",
    "certificate_chain",
    "certificate_revoked",
    "issuer_revoked",
    "sessions_full",
    "timed_out",
    "failed",
];
/// Why a session ended.
pub(crate) const REASONS: [&str; 7] = [
    "closed_by_device",
    "idle",
    "replaced",
    "closed",
    "numbers_not_reserved",
    "served_elsewhere",
    "failed",
];

const COMPLETED: &str = "completed";

/// Counts of ended handshakes and sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshakes {
    /// By [`OUTCOMES`].
    pub outcomes: Tally<{ OUTCOMES.len() }>,
    /// By [`REASONS`].
    pub ends: Tally<{ REASONS.len() }>,
}

impl Default for Handshakes {
    fn default() -> Handshakes {
        Handshakes {
            outcomes: Tally::of(OUTCOMES),
            ends: Tally::of(REASONS),
        }
    }
}

impl Handshakes {
    pub fn completed(&mut self) {
        self.outcomes.add(COMPLETED);
    }

    pub fn failed(&mut self, failure: &HandshakeFailure) {
        self.outcomes.add(outcome(failure));
    }

    pub fn ended(&mut self, reason: &EndReason) {
        self.ends.add(match reason {
            EndReason::CloseNotify => "closed_by_device",
            EndReason::Idle => "idle",
            EndReason::Replaced => "replaced",
            EndReason::Closed(_) => "closed",
            EndReason::NotReserved => "numbers_not_reserved",
            EndReason::ServedElsewhere => "served_elsewhere",
            EndReason::Failed(_) => "failed",
        });
    }
}

/// Without a wildcard: a new kind of failure needs a name here, and in [`OUTCOMES`].
fn outcome(failure: &HandshakeFailure) -> &'static str {
    match failure {
        HandshakeFailure::CertificateRefused { refusal, .. } => match refusal {
            CertificateError::Expired { .. } => "certificate_expired",
            CertificateError::NotYetValid { .. } => "certificate_not_yet_valid",
            CertificateError::UnknownIssuer => "unknown_issuer",
            CertificateError::IssuerNotValid => "issuer_not_valid",
            CertificateError::OldVersion => "certificate_old_version",
            CertificateError::IsAuthority => "certificate_is_authority",
            CertificateError::WrongUsage | CertificateError::NotForSigning => {
                "certificate_wrong_usage"
            }
            CertificateError::Malformed => "certificate_malformed",
            CertificateError::Chain(_) | CertificateError::NoPolicy => "certificate_chain",
            CertificateError::Revoked => "certificate_revoked",
            CertificateError::IssuerRevoked => "issuer_revoked",
        },
        HandshakeFailure::NoCommonCipherSuite { .. } => "no_common_cipher_suite",
        HandshakeFailure::NoCertificate => "no_certificate",
        HandshakeFailure::SessionsFull => "sessions_full",
        HandshakeFailure::TimedOut => "timed_out",
        HandshakeFailure::GivenUp(_)
        | HandshakeFailure::TooMuchBuffered
        | HandshakeFailure::Handshake(_)
        | HandshakeFailure::Engine(_) => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_counts_under_a_name_that_is_known() {
        let refusals = [
            CertificateError::UnknownIssuer,
            CertificateError::IssuerNotValid,
            CertificateError::OldVersion,
            CertificateError::IsAuthority,
            CertificateError::WrongUsage,
            CertificateError::NotForSigning,
            CertificateError::NoPolicy,
            CertificateError::Malformed,
            CertificateError::Chain("any".into()),
            CertificateError::Revoked,
            CertificateError::IssuerRevoked,
        ];
        let refused = refusals.map(|refusal| HandshakeFailure::CertificateRefused {
            certificate: [0; 32],
            refusal,
        });
        let others = [
            HandshakeFailure::NoCertificate,
            HandshakeFailure::SessionsFull,
            HandshakeFailure::TimedOut,
        ];
        let mut handshakes = Handshakes::default();
        for failure in refused.iter().chain(&others) {
            let before = handshakes.outcomes.get(outcome(failure));
            handshakes.failed(failure);
            assert_eq!(handshakes.outcomes.get(outcome(failure)), before + 1);
            assert_eq!(handshakes.outcomes.get("failed"), 0, "{failure:?}");
        }
        handshakes.failed(&HandshakeFailure::Engine("17".into()));
        assert_eq!(handshakes.outcomes.get("failed"), 1);
    }
}
