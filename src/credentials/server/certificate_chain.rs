//! The gateway's certificate and its issuers, as they are sent to clients.

use super::{CredentialsError, KeyType};
use crate::credentials::issuer::{Issuer, Signature, signed_parts};
use crate::credentials::pem;
use crate::credentials::period::{Period, display_name};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// id-ecPublicKey (RFC 5480 §2.1.1), and the curves (§2.1.1.1).
const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const P521: &str = "1.3.132.0.35";
/// rsaEncryption (RFC 8017 §A.1).
const RSA: &str = "1.2.840.113549.1.1.1";

/// The most certificates, and the most bytes of all of them, as in the DTLS server.
const MOST: usize = 16;
const MOST_BYTES: usize = 16 * 1024;

/// Certificates in the order in which they are sent: the gateway's own first, then each one's issuer.
#[derive(Debug, Clone)]
pub(crate) struct CertificateChain {
    pub(super) certificates: Vec<Vec<u8>>,
    /// Of the first: the contents of its SubjectPublicKeyInfo's BIT STRING.
    pub(super) public_key: Vec<u8>,
    periods: Vec<Period>,
    ends_with_root: bool,
    is_p521: bool,
}

impl CertificateChain {
    /// Reads all certificates of a PEM file.
    pub(crate) fn from_pem(pem: &[u8], wanted: KeyType) -> Result<Self, CredentialsError> {
        let all = pem::certificates(pem)?;
        let bytes = all
            .iter()
            .fold(0, |sum: usize, der| sum.saturating_add(der.len()));
        if all.len() > MOST || bytes > MOST_BYTES {
            return Err(CredentialsError::TooLong {
                certificates: all.len(),
                bytes,
            });
        }
        let mut parsed = Vec::new();
        for (der, number) in all.iter().zip(1..) {
            match X509Certificate::from_der(der) {
                Ok(([], certificate)) => parsed.push(certificate),
                Ok(_) | Err(_) => {
                    return Err(CredentialsError::MalformedCertificate(number, all.len()));
                }
            }
        }
        check_order(&parsed)?;
        let Some(own) = parsed.first() else {
            return Err(pem::PemError::Absent("CERTIFICATE").into());
        };
        let curve = check_key(own.public_key(), wanted)?;
        let is_self_issued = |certificate: &X509Certificate<'_>| {
            certificate.subject().as_raw() == certificate.issuer().as_raw()
        };
        Ok(CertificateChain {
            public_key: own.public_key().subject_public_key.data.to_vec(),
            periods: parsed
                .iter()
                .map(|certificate| Period::of(certificate.validity()))
                .collect(),
            ends_with_root: parsed.len() > 1 && parsed.last().is_some_and(is_self_issued),
            is_p521: curve == P521,
            certificates: all.into_iter().map(|der| der.to_vec()).collect(),
        })
    }

    /// The validity period of each certificate, in order. Not checked here: some devices have no clock and accept expired
    /// ones.
    pub(crate) fn periods(&self) -> &[Period] {
        &self.periods
    }

    /// Whether the last of several is a root, which is sent for nothing: a client trusts only one that it has.
    pub(crate) fn ends_with_root(&self) -> bool {
        self.ends_with_root
    }

    /// Whether the key is on P-521.
    pub(crate) fn is_p521(&self) -> bool {
        self.is_p521
    }
}

/// Checks that each certificate but the first has issued the one before it (RFC 5246 §7.4.2).
fn check_order(chain: &[X509Certificate<'_>]) -> Result<(), CredentialsError> {
    for (index, certificate) in chain.iter().enumerate() {
        let mut earlier = chain.iter().take(index);
        if let Some(same) = earlier.position(|other| other.as_raw() == certificate.as_raw()) {
            return Err(CredentialsError::Doubled(same + 1, index + 1));
        }
    }
    for ((issued, issuer), number) in chain.iter().zip(chain.iter().skip(1)).zip(2..) {
        if !has_name_of_issuer(issuer, issued) {
            return Err(misplaced(chain, issued, issuer, number));
        }
        let may_sign = issuer
            .key_usage()
            .is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()));
        if !issuer.is_ca() || !may_sign {
            return Err(CredentialsError::NotAuthority(number));
        }
        if !has_signed(issuer, issued) {
            return Err(CredentialsError::OtherKey {
                issued: number - 1,
                number,
            });
        }
    }
    Ok(())
}

/// Whether the subject of the one is the issuer of the other.
fn has_name_of_issuer(issuer: &X509Certificate<'_>, issued: &X509Certificate<'_>) -> bool {
    issuer.subject().as_raw() == issued.issuer().as_raw()
}

/// Why `found`, at this position from 1, can't follow `issued`.
fn misplaced(
    chain: &[X509Certificate<'_>],
    issued: &X509Certificate<'_>,
    found: &X509Certificate<'_>,
    number: usize,
) -> CredentialsError {
    let mut others = chain.iter();
    let issuer = others
        .position(|other| other.as_raw() != issued.as_raw() && has_name_of_issuer(other, issued));
    if let Some(issuer) = issuer {
        return CredentialsError::OutOfOrder {
            issued: number - 1,
            issuer: issuer + 1,
        };
    }
    if has_name_of_issuer(issued, found) {
        return CredentialsError::OutOfOrder {
            issued: number,
            issuer: number - 1,
        };
    }
    CredentialsError::NotItsIssuer {
        issued: number - 1,
        number,
        wanted: display_name(issued.issuer()),
        found: display_name(found.subject()),
    }
}

/// Whether the issuer's key has signed the certificate. Signatures of algorithms that the gateway does not know are for the
/// client to judge.
fn has_signed(issuer: &X509Certificate<'_>, issued: &X509Certificate<'_>) -> bool {
    let Some((signed, algorithm, signature)) = signed_parts(issued.as_raw()) else {
        return false;
    };
    let issuer = Issuer::from_certificate(issuer);
    issuer.verify(signed, algorithm, &signature) != Signature::Invalid
}

/// Checks the type and size of the gateway's own key. Returns the curve's object identifier; empty with RSA.
fn check_key(key: &SubjectPublicKeyInfo<'_>, wanted: KeyType) -> Result<String, CredentialsError> {
    let algorithm = key.algorithm.algorithm.to_id_string();
    let parameters = key.algorithm.parameters.as_ref();
    let curve = parameters
        .and_then(|any| any.as_oid().ok())
        .map(|oid| oid.to_id_string())
        .unwrap_or_default();
    let bits = match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => rsa.key_size(),
        Ok(_) | Err(_) => 0,
    };
    match (wanted, algorithm.as_str(), curve.as_str()) {
        (KeyType::Ecdsa, EC_PUBLIC_KEY, P256 | P384 | P521) => Ok(curve),
        (KeyType::Rsa, RSA, _) if (2048..=8192).contains(&bits) => Ok(String::new()),
        (_, RSA, _) if bits > 0 => Err(CredentialsError::CertificateKeyType {
            found: format!("an RSA key of {bits} bits"),
            wanted,
        }),
        (_, oid, curve) => Err(CredentialsError::CertificateKeyType {
            found: kind(oid, curve).to_owned(),
            wanted,
        }),
    }
}

/// The name of a public key algorithm for a message.
fn kind(oid: &str, curve: &str) -> &'static str {
    match (oid, curve) {
        (EC_PUBLIC_KEY, P256 | P384 | P521) => "an EC key",
        (EC_PUBLIC_KEY, _) => "an EC key on another curve",
        (RSA, _) => "a damaged RSA key",
        ("1.2.840.113549.1.1.10", _) => "an RSA key for RSASSA-PSS alone",
        ("1.3.101.112", _) => "an Ed25519 key",
        ("1.3.101.113", _) => "an Ed448 key",
        (_, _) => "a key of an unknown kind",
    }
}
