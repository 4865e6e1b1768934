//! What is kept of a client whose certificates were accepted: enough to judge it again, without its certificates.

use super::authority_path::AuthorityPath;
use super::period::Period;
use super::revocation::Serial;
use crate::device::CertificateId;
use std::fmt;
use std::sync::Arc;

/// A client whose certificates a [`ClientPolicy`](super::ClientPolicy) has accepted.
#[derive(Debug, Clone)]
pub struct KnownClient {
    /// The fingerprints of its certificate.
    pub id: CertificateId,
    /// The validity period of its certificate.
    pub period: Period,
    /// `None`: there were no trust anchors.
    pub verified: Option<Box<Verified>>,
}

/// How a client's certificate was verified.
#[derive(Clone)]
pub struct Verified {
    pub(super) path: Arc<AuthorityPath>,
    /// Its serial number, if that has at most 20 octets. Its issuer is the first of the path.
    pub(super) serial: Option<Serial>,
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session keeps all of it but the fingerprints.
    #[test]
    fn what_is_kept_is_small() {
        let in_session = size_of::<Period>() + size_of::<Option<Box<Verified>>>();
        assert!(in_session <= 24, "{in_session}");
        let boxed = size_of::<Verified>();
        assert!(boxed <= 32, "{boxed}");
    }
}
