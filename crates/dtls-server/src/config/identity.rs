//! What a server proves to be.

use crate::alert::AlertDescription;
use crate::crypto::certificate_key::{CertificateKey, KeyKind};
use crate::crypto::key_exchange::NamedGroup;
use crate::crypto::signature::{SignatureScheme, Signer};
use crate::message::certificate::{MAX_CERTIFICATES, write_chain};
use crate::suite::Authentication;
use std::sync::Arc;

/// The most bytes of a Certificate message. Clients have room for less.
const MAX_CHAIN: usize = 16 * 1024;
/// What is signed to see whether a key and a certificate belong together.
const PROBE: &[u8] = b"Does this key belong to this certificate?";

/// A chain of certificates, and what signs with the key of the first one.
#[derive(Debug, Clone)]
pub struct Identity {
    message: Vec<u8>,
    signer: Arc<dyn Signer>,
    key: KeyKind,
}

/// An identity that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The chain is empty.
    #[error("there is no certificate")]
    NoCertificate,
    /// The chain is longer than clients can take.
    #[error("the chain has more than {MAX_CERTIFICATES} certificates or {MAX_CHAIN} bytes")]
    TooLong,
    /// The server's own certificate can't be read.
    #[error("certificate {0} of the chain is malformed")]
    Malformed(usize),
    /// The key of the server's own certificate is of another kind.
    #[error("the certificate's key is neither EC (P-256, P-384, P-521) nor RSA from 2048 bits")]
    Unsupported,
    /// The key signs by no scheme, or its signatures do not verify.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

impl Identity {
    /// Takes certificates in DER, the server's own first, then those of its issuers in order.
    ///
    /// # Errors
    /// The identity would be of no use: see [`IdentityError`].
    pub fn new<C: AsRef<[u8]>>(
        chain: &[C],
        signer: Arc<dyn Signer>,
    ) -> Result<Identity, IdentityError> {
        let own = chain.first().ok_or(IdentityError::NoCertificate)?;
        let mut message = Vec::new();
        let certificates = chain.iter().map(AsRef::as_ref);
        let written = write_chain(&mut message, certificates);
        if written.is_err() || message.len() > MAX_CHAIN || chain.len() > MAX_CERTIFICATES {
            return Err(IdentityError::TooLong);
        }
        for (certificate, number) in chain.iter().zip(1..) {
            // An issuer's key may be of any kind: it is for the client to verify with.
            let key = CertificateKey::from_certificate(certificate.as_ref());
            if key == Err(AlertDescription::BAD_CERTIFICATE) {
                return Err(IdentityError::Malformed(number));
            }
        }
        let key = CertificateKey::from_certificate(own.as_ref())
            .map_err(|_| IdentityError::Unsupported)?;
        let fits = |&scheme: &SignatureScheme| {
            let signature = signer.sign(scheme, PROBE);
            signature.is_ok_and(|signature| key.verify(scheme, PROBE, &signature).is_ok())
        };
        let schemes = signer.schemes();
        if schemes.is_empty() || !schemes.iter().all(fits) {
            return Err(IdentityError::Mismatch);
        }
        let key = key.kind();
        Ok(Identity {
            message,
            signer,
            key,
        })
    }

    /// The type of key, by which cipher suites choose an identity. Ed25519 goes with those of ECDSA (RFC 8422 §5.10).
    #[must_use]
    pub const fn authentication(&self) -> Authentication {
        match self.key {
            KeyKind::Rsa(_) => Authentication::Rsa,
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 | KeyKind::Ed25519 => {
                Authentication::Ecdsa
            }
        }
    }

    /// The curve of the key, which a client must have among its groups to verify with it (RFC 8422 §5.1). `None`: it has no
    /// such curve.
    #[must_use]
    pub const fn curve(&self) -> Option<NamedGroup> {
        match self.key {
            KeyKind::P256 => Some(NamedGroup::Secp256r1),
            KeyKind::P384 => Some(NamedGroup::Secp384r1),
            KeyKind::P521 => Some(NamedGroup::Secp521r1),
            KeyKind::Rsa(_) | KeyKind::Ed25519 => None,
        }
    }

    /// What signs.
    #[must_use]
    pub fn signer(&self) -> &dyn Signer {
        &*self.signer
    }

    /// The body of the Certificate message.
    #[must_use]
    pub fn certificate_message(&self) -> &[u8] {
        &self.message
    }
}
