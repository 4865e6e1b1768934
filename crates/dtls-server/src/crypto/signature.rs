//! Signature schemes (RFC 5246 §7.4.1.4.1, RFC 8422 §5.1.3, RFC 8446 §4.2.3) and who makes the server's signatures.

use std::fmt;

/// A signature scheme that this server supports: a SignatureAndHashAlgorithm of RFC 5246, by its number in the registry.
///
/// In TLS 1.2 an ECDSA scheme names its hash only, and goes with every curve. SHA-1 and MD5 are left out (RFC 9155).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureScheme {
    /// ECDSA over SHA-256.
    EcdsaSha256,
    /// ECDSA over SHA-384.
    EcdsaSha384,
    /// ECDSA over SHA-512.
    EcdsaSha512,
    /// Ed25519, over the message itself.
    Ed25519,
    /// RSASSA-PSS with SHA-256, by an ordinary RSA key.
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384.
    RsaPssSha384,
    /// RSASSA-PSS with SHA-512.
    RsaPssSha512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RsaPkcs1Sha512,
}

impl SignatureScheme {
    /// All of them, in the order of a CertificateRequest.
    pub const ALL: [SignatureScheme; 10] = [
        SignatureScheme::EcdsaSha256,
        SignatureScheme::EcdsaSha384,
        SignatureScheme::EcdsaSha512,
        SignatureScheme::Ed25519,
        SignatureScheme::RsaPssSha256,
        SignatureScheme::RsaPssSha384,
        SignatureScheme::RsaPssSha512,
        SignatureScheme::RsaPkcs1Sha256,
        SignatureScheme::RsaPkcs1Sha384,
        SignatureScheme::RsaPkcs1Sha512,
    ];

    /// The number in the registry of TLS signature schemes.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            SignatureScheme::EcdsaSha256 => 0x0403,
            SignatureScheme::EcdsaSha384 => 0x0503,
            SignatureScheme::EcdsaSha512 => 0x0603,
            SignatureScheme::Ed25519 => 0x0807,
            SignatureScheme::RsaPssSha256 => 0x0804,
            SignatureScheme::RsaPssSha384 => 0x0805,
            SignatureScheme::RsaPssSha512 => 0x0806,
            SignatureScheme::RsaPkcs1Sha256 => 0x0401,
            SignatureScheme::RsaPkcs1Sha384 => 0x0501,
            SignatureScheme::RsaPkcs1Sha512 => 0x0601,
        }
    }

    /// The scheme with this number.
    #[must_use]
    pub fn from_number(number: u16) -> Option<SignatureScheme> {
        Self::ALL
            .into_iter()
            .find(|scheme| scheme.number() == number)
    }
}

/// Signs with the private key of a server's certificate.
///
/// The call may not wait for long: the handshake's user is blocked meanwhile.
pub trait Signer: fmt::Debug + Send + Sync {
    /// The schemes that the key can sign with, the preferred one first.
    fn schemes(&self) -> &[SignatureScheme];

    /// Signs `message`, which is not hashed yet, with one of [`schemes`](Signer::schemes).
    ///
    /// # Errors
    /// The key doesn't sign, or not with this scheme.
    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SigningFailed>;
}

/// The private key did not sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the private key could not sign")]
pub struct SigningFailed;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_numbers_are_unique() {
        for scheme in SignatureScheme::ALL {
            assert_eq!(SignatureScheme::from_number(scheme.number()), Some(scheme));
        }
        // ECDSA and RSA with SHA-1.
        assert_eq!(SignatureScheme::from_number(0x0203), None);
        assert_eq!(SignatureScheme::from_number(0x0201), None);
    }
}
