//! A certificate of `clients.trust_anchors`, as the issuer of certificates and of revocation lists.

use super::period::{Period, display_name};
use webpki::ALL_VERIFICATION_ALGS;
use x509_parser::asn1_rs::{Any, BitString, FromDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// An authority's name, key and period.
#[derive(Clone)]
pub(super) struct Issuer {
    /// Its subject: DER without the outer tag and length, as in webpki.
    pub(super) name: Vec<u8>,
    /// Its SubjectPublicKeyInfo, DER.
    pub(super) key: Vec<u8>,
    /// Its subject for messages.
    pub(super) display_name: String,
    pub(super) period: Period,
    signs_lists: bool,
    /// Why no signature with its key counts.
    useless_key: Option<String>,
}

/// The result of verifying a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signature {
    /// Made with the issuer's key.
    Valid,
    /// Not made with it.
    Invalid,
    /// Of an algorithm that is not supported.
    UnsupportedAlgorithm,
}

impl Issuer {
    pub(super) fn from_certificate(certificate: &X509Certificate<'_>) -> Self {
        // RFC 5280 §4.2.1.3: without key usage all uses are allowed.
        let signs_lists = certificate
            .key_usage()
            .is_ok_and(|usage| usage.is_none_or(|usage| usage.value.crl_sign()));
        Issuer {
            name: contents(certificate.subject().as_raw()).to_vec(),
            key: certificate.public_key().raw.to_vec(),
            display_name: display_name(certificate.subject()),
            period: Period::of(certificate.validity()),
            signs_lists,
            useless_key: useless_key(certificate.public_key()),
        }
    }

    /// Why no signature with its key counts, in a few words; `None`: they do.
    pub(super) fn useless_key(&self) -> Option<&str> {
        self.useless_key.as_deref()
    }

    /// Whether it has this name and key, both DER without the outer tag and length.
    pub(super) fn matches(&self, name: &[u8], key: &[u8]) -> bool {
        self.name == name && contents(&self.key) == key
    }

    /// Whether its key usage allows it to sign revocation lists.
    pub(super) fn signs_lists(&self) -> bool {
        self.signs_lists
    }

    /// Verifies its signature of `message`. `algorithm`: an AlgorithmIdentifier, DER without the outer tag and length.
    pub(super) fn verify(&self, message: &[u8], algorithm: &[u8], signature: &[u8]) -> Signature {
        let Some((key_algorithm, key)) = key_parts(&self.key) else {
            return Signature::UnsupportedAlgorithm;
        };
        // One identifier may stand for several algorithms: ECDSA with SHA-256 is one for each curve.
        let algorithm = ALL_VERIFICATION_ALGS.iter().find(|known| {
            known.signature_alg_id().as_ref() == algorithm
                && known.public_key_alg_id().as_ref() == key_algorithm
        });
        match algorithm.map(|known| known.verify_signature(&key, message, signature)) {
            Some(Ok(())) => Signature::Valid,
            Some(Err(_)) => Signature::Invalid,
            None => Signature::UnsupportedAlgorithm,
        }
    }
}

/// What is wrong with the type or size of an authority's key.
fn useless_key(key: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    if let Ok(PublicKey::RSA(rsa)) = key.parsed() {
        let bits = rsa.key_size();
        return match bits {
            2048..=8192 => None,
            _ => Some(format!("an RSA key of {bits} bits")),
        };
    }
    let (algorithm, _) = key_parts(key.raw)?;
    let is_known = ALL_VERIFICATION_ALGS
        .iter()
        .any(|known| known.public_key_alg_id().as_ref() == algorithm);
    (!is_known).then(|| "a key of a kind that is not supported".to_owned())
}

/// What was signed of a certificate (DER), by which algorithm, and the signature, as [`Issuer::verify`] takes them.
pub(super) fn signed_parts(certificate: &[u8]) -> Option<(&[u8], &[u8], Vec<u8>)> {
    let content = contents(certificate);
    let (rest, _) = Any::from_der(content).ok()?;
    let signed = content.get(..content.len().checked_sub(rest.len())?)?;
    let (rest, algorithm) = Any::from_der(rest).ok()?;
    let (_, signature) = BitString::from_der(rest).ok()?;
    Some((signed, algorithm.data, signature.as_ref().to_vec()))
}

/// The algorithm and the key of a SubjectPublicKeyInfo.
fn key_parts(key: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let (rest, algorithm) = Any::from_der(contents(key)).ok()?;
    let (_, key) = BitString::from_der(rest).ok()?;
    Some((algorithm.data, key.as_ref().to_vec()))
}

/// The contents of DER within its outermost tag and length. It was parsed before.
pub(super) fn contents(der: &[u8]) -> &[u8] {
    Any::from_der(der).map_or(&[], |(_, any)| any.data)
}
