//! Certificates and keys.

use dtls_server::crypto::signature::{SignatureScheme, Signer, SigningFailed};
use dtls_server::crypto::signing_key::SigningKey;
use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256,
};
use std::sync::Arc;

/// The kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// EC P-256.
    P256,
    /// EC P-384.
    P384,
    /// EC P-521.
    P521,
    /// RSA with 2048 bits.
    Rsa2048,
    /// Ed25519, with which only clients sign.
    Ed25519,
}

/// An Ed25519 key. The engine has none of its own.
#[derive(Debug)]
struct Ed25519Key(KeyPair);

impl Signer for Ed25519Key {
    fn schemes(&self) -> &[SignatureScheme] {
        &[SignatureScheme::Ed25519]
    }

    fn sign(&self, _: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        rcgen::SigningKey::sign(&self.0, message).map_err(|_| SigningFailed)
    }
}

/// A chain of certificates in DER, and the key of the first one.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The chain.
    pub chain: Vec<Vec<u8>>,
    /// The key.
    pub signer: Arc<dyn Signer>,
}

impl Credentials {
    /// A self-signed certificate with a new key.
    #[must_use]
    pub fn generate(key_type: KeyType) -> Credentials {
        let algorithm = match key_type {
            KeyType::P256 => &PKCS_ECDSA_P256_SHA256,
            KeyType::P384 => &PKCS_ECDSA_P384_SHA384,
            KeyType::P521 => &PKCS_ECDSA_P521_SHA512,
            KeyType::Rsa2048 => &PKCS_RSA_SHA256,
            KeyType::Ed25519 => &PKCS_ED25519,
        };
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()])
            .and_then(|params| params.self_signed(&key))
            .unwrap();
        Credentials {
            chain: vec![certificate.der().to_vec()],
            signer: match key_type {
                KeyType::Ed25519 => Arc::new(Ed25519Key(key)),
                KeyType::P256 | KeyType::P384 | KeyType::P521 | KeyType::Rsa2048 => {
                    Arc::new(SigningKey::from_der(key.serialized_der()).unwrap())
                }
            },
        }
    }
}
