//! Private keys that sign with aws-lc.

use super::Failed;
use super::signature::{SignatureScheme, Signer, SigningFailed};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA256_ASN1_SIGNING,
    ECDSA_P521_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
};
use std::fmt;

/// The private key of a server's certificate: P-256, P-384, P-521, or RSA from 2048 to 8192 bits.
pub struct SigningKey {
    schemes: Vec<SignatureScheme>,
    kind: Kind,
}

enum Kind {
    /// The key, once for each scheme, in the same order: aws-lc binds a key to a hash.
    Ecdsa(Vec<EcdsaKeyPair>),
    Rsa(rsa::KeyPair),
}

/// The private key can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a private key that can be used: P-256, P-384, P-521 or RSA with 2048 to 8192 bits, in PKCS#8, SEC 1 or PKCS#1"
)]
pub struct KeyRefused;

/// What each kind of elliptic-curve key signs with. With P-256 and P-384, aws-lc offers only the hash of the curve's size.
const ECDSA: [&[(SignatureScheme, &EcdsaSigningAlgorithm)]; 3] = [
    &[(
        SignatureScheme::EcdsaSha256,
        &ECDSA_P256_SHA256_ASN1_SIGNING,
    )],
    &[(
        SignatureScheme::EcdsaSha384,
        &ECDSA_P384_SHA384_ASN1_SIGNING,
    )],
    &[
        (
            SignatureScheme::EcdsaSha512,
            &ECDSA_P521_SHA512_ASN1_SIGNING,
        ),
        (
            SignatureScheme::EcdsaSha384,
            &ECDSA_P521_SHA384_ASN1_SIGNING,
        ),
        (
            SignatureScheme::EcdsaSha256,
            &ECDSA_P521_SHA256_ASN1_SIGNING,
        ),
    ],
];

/// What an RSA key signs with. PKCS#1 comes last: PSS is the better one where the client offers it.
const RSA: [SignatureScheme; 6] = [
    SignatureScheme::RsaPssSha256,
    SignatureScheme::RsaPssSha384,
    SignatureScheme::RsaPssSha512,
    SignatureScheme::RsaPkcs1Sha256,
    SignatureScheme::RsaPkcs1Sha384,
    SignatureScheme::RsaPkcs1Sha512,
];

impl SigningKey {
    /// Reads a private key in DER: PKCS#8, SEC 1 (RFC 5915) or PKCS#1.
    ///
    /// # Errors
    /// It is malformed, or of a kind that is not supported.
    pub fn from_der(der: &[u8]) -> Result<SigningKey, KeyRefused> {
        for schemes in ECDSA {
            let keys: Result<Vec<_>, _> = schemes
                .iter()
                .map(|(_, algorithm)| EcdsaKeyPair::from_private_key_der(algorithm, der))
                .collect();
            if let Ok(keys) = keys {
                return Ok(SigningKey {
                    schemes: schemes.iter().map(|&(scheme, _)| scheme).collect(),
                    kind: Kind::Ecdsa(keys),
                });
            }
        }
        let key = rsa::KeyPair::from_pkcs8(der)
            .or_else(|_| rsa::KeyPair::from_der(der))
            .map_err(|_| KeyRefused)?;
        Ok(SigningKey {
            schemes: RSA.to_vec(),
            kind: Kind::Rsa(key),
        })
    }

    fn try_sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, Failed> {
        // The library ignores it, and signs with its own.
        let random = SystemRandom::new();
        match &self.kind {
            Kind::Ecdsa(keys) => {
                let mut of_schemes = self.schemes.iter().zip(keys);
                let (_, key) = of_schemes
                    .find(|(supported, _)| **supported == scheme)
                    .ok_or(Failed)?;
                let signature = key.sign(&random, message).map_err(|_| Failed)?;
                Ok(signature.as_ref().to_vec())
            }
            Kind::Rsa(key) => {
                let encoding = rsa_encoding(scheme).ok_or(Failed)?;
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(encoding, &random, message, &mut signature)
                    .map_err(|_| Failed)?;
                Ok(signature)
            }
        }
    }
}

const fn rsa_encoding(scheme: SignatureScheme) -> Option<&'static dyn RsaEncoding> {
    match scheme {
        SignatureScheme::RsaPssSha256 => Some(&RSA_PSS_SHA256),
        SignatureScheme::RsaPssSha384 => Some(&RSA_PSS_SHA384),
        SignatureScheme::RsaPssSha512 => Some(&RSA_PSS_SHA512),
        SignatureScheme::RsaPkcs1Sha256 => Some(&RSA_PKCS1_SHA256),
        SignatureScheme::RsaPkcs1Sha384 => Some(&RSA_PKCS1_SHA384),
        SignatureScheme::RsaPkcs1Sha512 => Some(&RSA_PKCS1_SHA512),
        SignatureScheme::EcdsaSha256
        | SignatureScheme::EcdsaSha384
        | SignatureScheme::EcdsaSha512
        | SignatureScheme::Ed25519 => None,
    }
}

impl Signer for SigningKey {
    fn schemes(&self) -> &[SignatureScheme] {
        &self.schemes
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        self.try_sign(scheme, message).map_err(|_| SigningFailed)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("schemes", &self.schemes)
            .finish_non_exhaustive()
    }
}
