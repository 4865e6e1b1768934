//! The public key in a certificate, and the signatures that it verifies (RFC 5246 §7.4.8, RFC 8422 §5.8).

mod small_order;

use super::signature::SignatureScheme;
use crate::alert::AlertDescription;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, UnparsedPublicKey, VerificationAlgorithm,
};
use x509_parser::asn1_rs::Tag;
use x509_parser::certificate::X509CertificateParser;
use x509_parser::nom::Parser;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
    OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
};
use x509_parser::x509::SubjectPublicKeyInfo;

/// The kind of a key that this server can verify with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// An elliptic-curve key on P-256.
    P256,
    /// On P-384.
    P384,
    /// On P-521.
    P521,
    /// An RSA key with this many bits, from 2048 to 8192.
    Rsa(u32),
    /// An Ed25519 key.
    Ed25519,
}

/// The public key in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateKey {
    kind: KeyKind,
    bytes: Vec<u8>,
}

impl CertificateKey {
    /// Reads the key of a certificate in DER. Nothing else of the certificate is judged.
    ///
    /// # Errors
    /// The alert of RFC 5246 §7.2.2: `bad_certificate` where the certificate or its key is malformed, or anyone could sign with
    /// it, `unsupported_certificate` where the key is of another kind or size.
    pub fn from_certificate(der: &[u8]) -> Result<CertificateKey, AlertDescription> {
        // The contents of its extensions would take many times their size, and are not needed.
        let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
        let Ok((&[], certificate)) = parser.parse(der) else {
            return Err(AlertDescription::BAD_CERTIFICATE);
        };
        let info = certificate.public_key();
        let bytes = &*info.subject_public_key.data;
        let kind = kind(info, bytes)?;
        let key = CertificateKey {
            kind,
            bytes: bytes.to_vec(),
        };
        // Whether a point is on its curve is checked when the key is parsed, whatever the hash.
        let algorithm = key.algorithm(kind.any_scheme());
        if let Some(algorithm) = algorithm
            && let Err(_) = UnparsedPublicKey::new(algorithm, bytes).parse()
        {
            return Err(AlertDescription::BAD_CERTIFICATE);
        }
        Ok(key)
    }

    /// The key's kind and size.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Verifies a signature over `message`, which is not hashed yet.
    ///
    /// # Errors
    /// The alert that ends the handshake: `illegal_parameter` where the scheme doesn't go with the key, `decrypt_error` where
    /// the signature is wrong (RFC 5246 §7.2.2).
    pub fn verify(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), AlertDescription> {
        let algorithm = self
            .algorithm(scheme)
            .ok_or(AlertDescription::ILLEGAL_PARAMETER)?;
        UnparsedPublicKey::new(algorithm, &self.bytes)
            .verify(message, signature)
            .map_err(|_| AlertDescription::DECRYPT_ERROR)
    }

    fn algorithm(&self, scheme: SignatureScheme) -> Option<&'static dyn VerificationAlgorithm> {
        use SignatureScheme as Scheme;
        Some(match (self.kind, scheme) {
            (KeyKind::P256, Scheme::EcdsaSha256) => &ECDSA_P256_SHA256_ASN1,
            (KeyKind::P256, Scheme::EcdsaSha384) => &ECDSA_P256_SHA384_ASN1,
            (KeyKind::P256, Scheme::EcdsaSha512) => &ECDSA_P256_SHA512_ASN1,
            (KeyKind::P384, Scheme::EcdsaSha256) => &ECDSA_P384_SHA256_ASN1,
            (KeyKind::P384, Scheme::EcdsaSha384) => &ECDSA_P384_SHA384_ASN1,
            (KeyKind::P384, Scheme::EcdsaSha512) => &ECDSA_P384_SHA512_ASN1,
            (KeyKind::P521, Scheme::EcdsaSha256) => &ECDSA_P521_SHA256_ASN1,
            (KeyKind::P521, Scheme::EcdsaSha384) => &ECDSA_P521_SHA384_ASN1,
            (KeyKind::P521, Scheme::EcdsaSha512) => &ECDSA_P521_SHA512_ASN1,
            (KeyKind::Rsa(_), Scheme::RsaPssSha256) => &RSA_PSS_2048_8192_SHA256,
            (KeyKind::Rsa(_), Scheme::RsaPssSha384) => &RSA_PSS_2048_8192_SHA384,
            (KeyKind::Rsa(_), Scheme::RsaPssSha512) => &RSA_PSS_2048_8192_SHA512,
            (KeyKind::Rsa(_), Scheme::RsaPkcs1Sha256) => &RSA_PKCS1_2048_8192_SHA256,
            (KeyKind::Rsa(_), Scheme::RsaPkcs1Sha384) => &RSA_PKCS1_2048_8192_SHA384,
            (KeyKind::Rsa(_), Scheme::RsaPkcs1Sha512) => &RSA_PKCS1_2048_8192_SHA512,
            (KeyKind::Ed25519, Scheme::Ed25519) => &ED25519,
            (_, _) => return None,
        })
    }
}

impl KeyKind {
    /// A scheme that goes with it.
    const fn any_scheme(self) -> SignatureScheme {
        match self {
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => SignatureScheme::EcdsaSha256,
            KeyKind::Rsa(_) => SignatureScheme::RsaPkcs1Sha256,
            KeyKind::Ed25519 => SignatureScheme::Ed25519,
        }
    }
}

/// The first byte of an uncompressed point, the only form that TLS has (RFC 8422 §5.1.2).
const UNCOMPRESSED: u8 = 4;

fn kind(info: &SubjectPublicKeyInfo<'_>, bytes: &[u8]) -> Result<KeyKind, AlertDescription> {
    const MALFORMED: AlertDescription = AlertDescription::BAD_CERTIFICATE;
    const UNSUPPORTED: AlertDescription = AlertDescription::UNSUPPORTED_CERTIFICATE;
    let algorithm = &info.algorithm.algorithm;
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        // RFC 5480 §2.1.1: the curve is named. Explicit parameters are not.
        let parameters = info.algorithm.parameters.as_ref().ok_or(MALFORMED)?;
        if parameters.tag() != Tag::Oid {
            return Err(UNSUPPORTED);
        }
        let curve = parameters.as_oid().map_err(|_| MALFORMED)?;
        let kinds = [
            (OID_EC_P256, KeyKind::P256),
            (OID_NIST_EC_P384, KeyKind::P384),
            (OID_NIST_EC_P521, KeyKind::P521),
        ];
        let found = kinds.into_iter().find(|(oid, _)| *oid == curve);
        let (_, kind) = found.ok_or(UNSUPPORTED)?;
        match bytes {
            [UNCOMPRESSED, ..] => Ok(kind),
            _ => Err(MALFORMED),
        }
    } else if *algorithm == OID_PKCS1_RSAENCRYPTION {
        match RsaParameters::public_modulus_len(bytes) {
            Ok(bits) if (2048..=8192).contains(&bits) => Ok(KeyKind::Rsa(bits)),
            Ok(_) => Err(UNSUPPORTED),
            Err(_) => Err(MALFORMED),
        }
    } else if *algorithm == OID_SIG_ED25519 {
        match bytes.len() {
            32 if !small_order::is_small_order(bytes) => Ok(KeyKind::Ed25519),
            _ => Err(MALFORMED),
        }
    } else {
        Err(UNSUPPORTED)
    }
}

#[cfg(test)]
mod tests;
