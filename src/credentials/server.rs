//! The gateway's certificate and key, checked to be usable by the engine.

use super::pem::{self, PemError};
use super::period::{Expiry, ExpiryKind, Period};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
};
use rustls_pki_types::pem::SectionKind;
use std::fmt;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

/// id-ecPublicKey (RFC 5480 §2.1.1), and the two curves that the engine supports (§2.1.1.1).
const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";

/// What the gateway proves to be: an identity with an EC key, and perhaps another with an RSA key for clients that verify
/// only those.
#[derive(Clone)]
pub struct ServerCredentials {
    /// With a key on P-256 or P-384.
    pub ecdsa: ServerIdentity,
    /// With an RSA key from 2048 bits.
    pub rsa: Option<ServerIdentity>,
}

/// A certificate, its issuers, and its private key.
#[derive(Clone)]
pub struct ServerIdentity {
    /// Certificates in DER: the gateway's own first, then each one's issuer. Not empty.
    pub chain: Vec<Vec<u8>>,
    /// The private key, converted to PKCS#8 DER. Zeroed when dropped.
    pub private_key: Zeroizing<Vec<u8>>,
}

impl ServerIdentity {
    /// The gateway's own certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        self.chain.first().map_or(&[], Vec::as_slice)
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerIdentity(hidden)")
    }
}

impl ServerCredentials {
    /// Reads both from PEM. Errors of the certificate are reported first; for the errors of both use [`Certificate::from_pem`], [`PrivateKey::from_pem`] and [`ServerCredentials::pair`].
    pub fn from_pem(certificate: &[u8], private_key: &[u8]) -> Result<Self, CredentialsError> {
        Self::pair(
            Certificate::from_pem(certificate)?,
            PrivateKey::from_pem(private_key)?,
        )
    }

    /// Combines a certificate and its key, if they belong together.
    pub fn pair(certificate: Certificate, key: PrivateKey) -> Result<Self, CredentialsError> {
        if certificate.public_key != key.public_key {
            return Err(CredentialsError::NotItsKey);
        }
        Ok(Self::of_certificate(certificate.der, key.pkcs8))
    }

    /// One certificate (DER) with an EC key (PKCS#8, DER), without a chain. Not checked.
    pub fn of_certificate(certificate: Vec<u8>, private_key: Zeroizing<Vec<u8>>) -> Self {
        ServerCredentials {
            ecdsa: ServerIdentity {
                chain: vec![certificate],
                private_key,
            },
            rsa: None,
        }
    }

    /// The certificate with an EC key, DER.
    pub fn certificate(&self) -> &[u8] {
        self.ecdsa.certificate()
    }

    /// The certificate's validity period. `None` if it is not X.509, which can't be after [`ServerCredentials::pair`].
    pub fn period(&self) -> Option<Period> {
        Period::of_certificate(self.certificate())
    }

    /// When the certificate expires.
    pub fn expiry(&self) -> Option<Expiry> {
        Expiry::of_certificate(ExpiryKind::Server, self.certificate())
    }
}

impl fmt::Debug for ServerCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerCredentials(hidden)")
    }
}

/// A certificate that the engine can use: with a P-256 or P-384 key, and without a chain.
#[derive(Debug, Clone)]
pub struct Certificate {
    der: Vec<u8>,
    public_key: Vec<u8>,
    period: Period,
}

impl Certificate {
    /// Reads the only certificate of a PEM file.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CredentialsError> {
        let mut all = pem::certificates(pem)?;
        match (all.len(), all.pop()) {
            (1, Some(certificate)) => Self::from_der(certificate.as_ref()),
            (several, _) => Err(CredentialsError::Chain(several)),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, CredentialsError> {
        let (rest, parsed) =
            X509Certificate::from_der(der).map_err(|_| CredentialsError::MalformedCertificate)?;
        if !rest.is_empty() {
            return Err(CredentialsError::MalformedCertificate);
        }
        let key = parsed.public_key();
        let algorithm = key.algorithm.algorithm.to_id_string();
        let curve = key
            .algorithm
            .parameters
            .as_ref()
            .and_then(|any| any.as_oid().ok());
        match (
            algorithm.as_str(),
            curve.map(|oid| oid.to_id_string()).as_deref(),
        ) {
            (EC_PUBLIC_KEY, Some(P256 | P384)) => Ok(Certificate {
                der: der.to_vec(),
                public_key: key.subject_public_key.data.to_vec(),
                period: Period::of(parsed.validity()),
            }),
            (oid, _) => Err(CredentialsError::CertificateKeyType(kind(oid))),
        }
    }

    /// The certificate, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its validity period. Not checked here: some devices have no clock and accept an expired one.
    pub fn period(&self) -> Period {
        self.period
    }
}

/// The name of a public key algorithm for a message.
fn kind(oid: &str) -> &'static str {
    match oid {
        EC_PUBLIC_KEY => "an EC key on another curve",
        "1.2.840.113549.1.1.1" | "1.2.840.113549.1.1.10" => "an RSA key",
        "1.3.101.112" => "an Ed25519 key",
        "1.3.101.113" => "an Ed448 key",
        _ => "a key of an unknown kind",
    }
}

/// A private key that the engine can use.
pub struct PrivateKey {
    pkcs8: Zeroizing<Vec<u8>>,
    public_key: Vec<u8>,
}

impl PrivateKey {
    /// Reads the only private key of a PEM file: PKCS#8 or SEC1, P-256 or P-384.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CredentialsError> {
        let (section, der) = pem::private_key(pem)?;
        if section == SectionKind::RsaPrivateKey {
            return Err(CredentialsError::KeyType("an RSA key"));
        }
        for algorithm in [
            &ECDSA_P256_SHA256_ASN1_SIGNING,
            &ECDSA_P384_SHA384_ASN1_SIGNING,
        ] {
            let Ok(pair) = EcdsaKeyPair::from_private_key_der(algorithm, &der) else {
                continue;
            };
            // The engine parses SEC1 in its own way. Converted to PKCS#8, and parsed as the engine will parse it, the key
            // can't be rejected later.
            let Ok(pkcs8) = pair.to_pkcs8v1() else {
                continue;
            };
            if EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).is_ok() {
                return Ok(PrivateKey {
                    pkcs8: Zeroizing::new(pkcs8.as_ref().to_vec()),
                    public_key: pair.public_key().as_ref().to_vec(),
                });
            }
        }
        // SEC1 is for EC keys only and, unlike PKCS#8, may omit the curve.
        let is_sec1 = section == SectionKind::EcPrivateKey;
        Err(CredentialsError::KeyType(if is_sec1 {
            DAMAGED_EC
        } else {
            key_kind(&der)
        }))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(hidden)")
    }
}

const DAMAGED_EC: &str = "a damaged EC key, or one on another curve";

/// The kind of a PKCS#8 key that is not a usable EC key, by the object identifier at its beginning.
fn key_kind(der: &[u8]) -> &'static str {
    let head = der.get(..der.len().min(32)).unwrap_or_default();
    let has = |oid: &[u8]| head.windows(oid.len()).any(|window| window == oid);
    if has(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01]) {
        "an RSA key"
    } else if has(&[0x06, 0x03, 0x2b, 0x65, 0x70]) {
        "an Ed25519 key"
    } else if has(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]) {
        DAMAGED_EC
    } else {
        "a damaged key, or one of another kind"
    }
}

/// Why a certificate or key can't be used by the gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The file is not PEM of the expected kind.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// There is more than one certificate; the engine can send only one.
    #[error(
        "it holds {0} certificates; the DTLS engine sends one and can't send a chain yet: leave only the gateway's own, \
         and give devices its issuer as trust anchor"
    )]
    Chain(usize),
    /// The certificate is not X.509.
    #[error("the certificate is malformed")]
    MalformedCertificate,
    /// The engine can't use the certificate's key.
    #[error("the certificate has {0}; the DTLS engine takes ECDSA with P-256 or P-384 only")]
    CertificateKeyType(&'static str),
    /// The engine can't use the private key.
    #[error("it is {0}; the DTLS engine takes ECDSA with P-256 or P-384 only")]
    KeyType(&'static str),
    /// The key does not belong to the certificate.
    #[error("the private key does not belong to the certificate")]
    NotItsKey,
}
