//! The gateway's own certificate and key, checked so that the engine can't stumble over them.

use super::pem::{self, PemError};
use super::period::{Ends, Period, What, shown};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
};
use rustls_pki_types::pem::SectionKind;
use std::fmt;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

/// id-ecPublicKey (RFC 5480 §2.1.1), and the two curves the engine knows (§2.1.1.1).
const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";

/// The gateway's certificate (DER) and its private key (PKCS#8 DER). They belong together, and the engine takes them.
#[derive(Clone)]
pub struct ServerCredentials {
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// The private key, PKCS#8 DER whatever it was given as, wiped when dropped.
    pub private_key: Zeroizing<Vec<u8>>,
}

impl ServerCredentials {
    /// Reads both from PEM. The certificate comes first in what is found wrong; to hear of both
    /// at once, use [`Certificate::from_pem`], [`PrivateKey::from_pem`] and [`ServerCredentials::pair`].
    pub fn from_pem(certificate: &[u8], private_key: &[u8]) -> Result<Self, CredentialsError> {
        Self::pair(
            Certificate::from_pem(certificate)?,
            PrivateKey::from_pem(private_key)?,
        )
    }

    /// Puts a certificate and its key together, or says that the key belongs to another certificate.
    pub fn pair(certificate: Certificate, key: PrivateKey) -> Result<Self, CredentialsError> {
        if certificate.public_key != key.public_key {
            return Err(CredentialsError::NotItsKey);
        }
        Ok(ServerCredentials {
            certificate: certificate.der,
            private_key: key.pkcs8,
        })
    }

    /// From when to when the certificate is valid. `None` if it is no X.509, which [`ServerCredentials::pair`]
    /// lets nothing be.
    pub fn period(&self) -> Option<Period> {
        let (_, parsed) = X509Certificate::from_der(&self.certificate).ok()?;
        Some(Period::of(parsed.validity()))
    }

    /// When the certificate ends.
    pub fn ends(&self) -> Option<Ends> {
        let (_, parsed) = X509Certificate::from_der(&self.certificate).ok()?;
        Some(Ends {
            what: What::Server,
            name: shown(parsed.subject()),
            at: Period::of(parsed.validity()).not_after,
        })
    }
}

impl fmt::Debug for ServerCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerCredentials(hidden)")
    }
}

/// A certificate the engine can show: one, with a P-256 or P-384 key.
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

    /// From when to when it is valid. Not checked here: an ended one still opens, and some devices have no clock.
    pub fn period(&self) -> Period {
        self.period
    }
}

/// The name of a public key algorithm, for a message.
fn kind(oid: &str) -> &'static str {
    match oid {
        EC_PUBLIC_KEY => "an EC key on another curve",
        "1.2.840.113549.1.1.1" | "1.2.840.113549.1.1.10" => "an RSA key",
        "1.3.101.112" => "an Ed25519 key",
        "1.3.101.113" => "an Ed448 key",
        _ => "a key of an unknown kind",
    }
}

/// A private key the engine can use.
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
            // The engine reads SEC1 in a way of its own. Made into PKCS#8 here, and read back as the
            // engine will read it, there is nothing left that it could refuse.
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
        // SEC1 is for EC keys alone and, unlike PKCS#8, may well name no curve.
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

/// What a PKCS#8 key is that is no usable EC key, told by the object identifier in its head.
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

/// Why a certificate or key can't be what the gateway shows devices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The file is not the PEM that is needed.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// More than the one certificate the engine can send.
    #[error(
        "it holds {0} certificates; the DTLS engine sends one and can't send a chain yet: leave only the gateway's own, \
         and give devices its issuer as trust anchor"
    )]
    Chain(usize),
    /// Not X.509.
    #[error("the certificate is malformed")]
    MalformedCertificate,
    /// The certificate's key is not one the engine can use.
    #[error("the certificate has {0}; the DTLS engine takes ECDSA with P-256 or P-384 only")]
    CertificateKeyType(&'static str),
    /// The private key is not one the engine can use.
    #[error("it is {0}; the DTLS engine takes ECDSA with P-256 or P-384 only")]
    KeyType(&'static str),
    /// They don't belong together.
    #[error("the private key does not belong to the certificate")]
    NotItsKey,
}
