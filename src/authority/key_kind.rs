//! The kinds of keys that certificates are made for.

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    Error, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512,
    PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize,
};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// The type and size of a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyKind {
    /// EC on P-256.
    #[default]
    P256,
    /// EC on P-384.
    P384,
    /// EC on P-521.
    P521,
    /// RSA of 2048 bits.
    Rsa2048,
    /// RSA of 3072 bits.
    Rsa3072,
    /// Ed25519 (RFC 8410).
    Ed25519,
}

/// It is none of the names in [`KeyKind::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("one of p256, p384, p521, rsa2048, rsa3072 and ed25519 is needed")]
pub struct UnknownKeyKind;

impl KeyKind {
    pub(crate) const ALL: [KeyKind; 6] = [
        KeyKind::P256,
        KeyKind::P384,
        KeyKind::P521,
        KeyKind::Rsa2048,
        KeyKind::Rsa3072,
        KeyKind::Ed25519,
    ];

    /// Whether `server.certificate` can have it.
    pub(super) fn is_elliptic(self) -> bool {
        matches!(self, KeyKind::P256 | KeyKind::P384 | KeyKind::P521)
    }

    /// Generates a key.
    pub(super) fn generate(self) -> Result<KeyPair, Error> {
        match self {
            KeyKind::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            KeyKind::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            KeyKind::P521 => KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512),
            KeyKind::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            KeyKind::Rsa3072 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
            KeyKind::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
        }
    }
}

/// A private key as PEM, PKCS#8.
pub(super) fn private_key_pem(key: &KeyPair) -> Zeroizing<String> {
    if !key.is_compatible(&PKCS_ED25519) {
        return Zeroizing::new(key.serialize_pem());
    }
    // rcgen writes version 2, which has the public key as well (RFC 5958) and which OpenSSL 3.0 does not read.
    let version1 = Ed25519KeyPair::from_pkcs8(key.serialized_der())
        .ok()
        .and_then(|pair| pair.to_pkcs8v1().ok());
    match version1 {
        Some(der) => Zeroizing::new(format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            *Zeroizing::new(STANDARD.encode(der.as_ref()))
        )),
        None => Zeroizing::new(key.serialize_pem()),
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyKind::P256 => "p256",
            KeyKind::P384 => "p384",
            KeyKind::P521 => "p521",
            KeyKind::Rsa2048 => "rsa2048",
            KeyKind::Rsa3072 => "rsa3072",
            KeyKind::Ed25519 => "ed25519",
        })
    }
}

impl FromStr for KeyKind {
    type Err = UnknownKeyKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        let named = all.find(|kind| kind.to_string().eq_ignore_ascii_case(text));
        named.ok_or(UnknownKeyKind)
    }
}
