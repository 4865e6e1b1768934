//! The private key of the gateway's certificate.

use super::{CredentialsError, KeyType};
use crate::credentials::pem;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, KeyPair,
};
use rustls_pki_types::pem::SectionKind;
use std::fmt;
use zeroize::Zeroizing;

/// A private key that the gateway can sign with.
pub(crate) struct PrivateKey {
    pub(super) pkcs8: Zeroizing<Vec<u8>>,
    /// As in the certificate: an uncompressed point, or an RSAPublicKey.
    pub(super) public_key: Vec<u8>,
}

impl PrivateKey {
    /// Reads the only private key of a PEM file: PKCS#8, SEC 1 or PKCS#1.
    pub(crate) fn from_pem(pem: &[u8], wanted: KeyType) -> Result<Self, CredentialsError> {
        let (section, der) = pem::private_key(pem)?;
        let key = match wanted {
            KeyType::Ecdsa if section == SectionKind::RsaPrivateKey => None,
            KeyType::Ecdsa => ec(&der),
            KeyType::Rsa if section == SectionKind::EcPrivateKey => None,
            KeyType::Rsa => rsa(&der),
        };
        key.ok_or(CredentialsError::KeyType {
            found: kind(section, &der, wanted),
            wanted,
        })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(hidden)")
    }
}

fn ec(der: &[u8]) -> Option<PrivateKey> {
    [
        &ECDSA_P256_SHA256_ASN1_SIGNING,
        &ECDSA_P384_SHA384_ASN1_SIGNING,
        &ECDSA_P521_SHA512_ASN1_SIGNING,
    ]
    .into_iter()
    .find_map(|algorithm| {
        let pair = EcdsaKeyPair::from_private_key_der(algorithm, der).ok()?;
        // The engine of DTLS 1.3 parses SEC 1 in its own way. Converted to PKCS#8, and parsed as it will be parsed, the key
        // can't be refused later.
        let pkcs8 = pair.to_pkcs8v1().ok()?;
        EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).ok()?;
        Some(PrivateKey {
            pkcs8: Zeroizing::new(pkcs8.as_ref().to_vec()),
            public_key: pair.public_key().as_ref().to_vec(),
        })
    })
}

fn rsa(der: &[u8]) -> Option<PrivateKey> {
    let pair = rsa::KeyPair::from_pkcs8(der)
        .or_else(|_| rsa::KeyPair::from_der(der))
        .ok()?;
    let pkcs8: Pkcs8V1Der<'static> = pair.as_der().ok()?;
    Some(PrivateKey {
        pkcs8: Zeroizing::new(pkcs8.as_ref().to_vec()),
        public_key: pair.public_key().as_ref().to_vec(),
    })
}

const DAMAGED_EC: &str = "a damaged EC key, or one on another curve";
const DAMAGED_RSA: &str = "a damaged RSA key, or one of another size";

/// What a key that can't be used is, by its kind of PEM or the object identifier at the beginning of its PKCS#8.
fn kind(section: SectionKind, der: &[u8], wanted: KeyType) -> &'static str {
    let head = der.get(..der.len().min(32)).unwrap_or_default();
    let has = |oid: &[u8]| head.windows(oid.len()).any(|window| window == oid);
    let is_rsa = section == SectionKind::RsaPrivateKey
        || has(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01]);
    // SEC 1 is for EC keys only and, unlike PKCS#8, may omit the curve.
    let is_ec =
        section == SectionKind::EcPrivateKey || has(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]);
    match (wanted, is_rsa, is_ec) {
        (KeyType::Ecdsa, true, _) => "an RSA key",
        (KeyType::Rsa, true, _) => DAMAGED_RSA,
        (KeyType::Ecdsa, _, true) => DAMAGED_EC,
        (KeyType::Rsa, _, true) => "an EC key",
        _ if has(&[0x06, 0x03, 0x2b, 0x65, 0x70]) => "an Ed25519 key",
        _ => "a damaged key, or one of another kind",
    }
}
