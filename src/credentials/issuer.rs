//! An authority of `clients.trust_anchors`, as the issuer of certificates and of revocation lists.

use super::period::{Period, shown};
use webpki::ALL_VERIFICATION_ALGS;
use x509_parser::asn1_rs::{Any, BitString, FromDer};
use x509_parser::certificate::X509Certificate;

/// One certificate of the file.
#[derive(Clone)]
pub(super) struct Issuer {
    /// Its subject, DER without the outer tag and length: webpki gives names so.
    pub(super) name: Vec<u8>,
    /// Its SubjectPublicKeyInfo, DER.
    pub(super) key: Vec<u8>,
    /// Its subject for people.
    pub(super) shown: String,
    /// Its first and last moment.
    pub(super) period: Period,
    signs_lists: bool,
}

/// What a signature is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signature {
    /// Made with the issuer's key.
    Right,
    /// Not made with it.
    Wrong,
    /// Made in a way that can't be checked here.
    UnknownAlgorithm,
}

impl Issuer {
    pub(super) fn of(certificate: &X509Certificate<'_>) -> Self {
        // RFC 5280 §4.2.1.3: a certificate without key usage is for any use.
        let signs_lists = certificate
            .key_usage()
            .is_ok_and(|usage| usage.is_none_or(|usage| usage.value.crl_sign()));
        Issuer {
            name: contents(certificate.subject().as_raw()).to_vec(),
            key: certificate.public_key().raw.to_vec(),
            shown: shown(certificate.subject()),
            period: Period::of(certificate.validity()),
            signs_lists,
        }
    }

    /// Whether it has this name and key, both DER without the outer tag and length.
    pub(super) fn is(&self, name: &[u8], key: &[u8]) -> bool {
        self.name == name && contents(&self.key) == key
    }

    /// Whether its certificate allows it to sign revocation lists.
    pub(super) fn signs_lists(&self) -> bool {
        self.signs_lists
    }

    /// Whether it has signed `message`. `algorithm`: an AlgorithmIdentifier, DER without the outer tag and length.
    pub(super) fn has_signed(
        &self,
        message: &[u8],
        algorithm: &[u8],
        signature: &[u8],
    ) -> Signature {
        let Some((key_algorithm, key)) = key_parts(&self.key) else {
            return Signature::UnknownAlgorithm;
        };
        // One name of an algorithm may stand for several: ECDSA with SHA-256 is one for each curve.
        let fitting = ALL_VERIFICATION_ALGS.iter().find(|known| {
            known.signature_alg_id().as_ref() == algorithm
                && known.public_key_alg_id().as_ref() == key_algorithm
        });
        match fitting.map(|known| known.verify_signature(&key, message, signature)) {
            Some(Ok(())) => Signature::Right,
            Some(Err(_)) => Signature::Wrong,
            None => Signature::UnknownAlgorithm,
        }
    }
}

/// Algorithm and key of a SubjectPublicKeyInfo.
fn key_parts(key: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let (rest, algorithm) = Any::from_der(contents(key)).ok()?;
    let (_, key) = BitString::from_der(rest).ok()?;
    Some((algorithm.data, key.as_ref().to_vec()))
}

/// What stands within the outermost tag and length of DER that was parsed before.
pub(super) fn contents(der: &[u8]) -> &[u8] {
    Any::from_der(der).map_or(&[], |(_, any)| any.data)
}
