//! Parses PEM files, with error messages for the usual mistakes.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{Error, PemObject, SectionKind};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::Zeroize;

/// What is wrong with a PEM file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// There is no section of the expected kind.
    #[error("there is no {0} in it (nothing that begins with -----BEGIN {0}-----)")]
    Absent(&'static str),
    /// It is binary ASN.1.
    #[error("it is DER, not PEM; convert it: openssl {0} -inform DER -in FILE -out FILE.pem")]
    Der(&'static str),
    /// It is a certificate instead of a key.
    #[error("it holds a certificate, not a private key")]
    CertificateForKey,
    /// It is a key instead of a certificate.
    #[error("it holds a private key, not a certificate")]
    KeyForCertificate,
    /// The key is encrypted.
    #[error(
        "the private key is encrypted; the gateway has no password for it: openssl pkey -in FILE -out FILE.plain"
    )]
    Encrypted,
    /// It has more than one key.
    #[error("it holds {0} private keys, one is needed")]
    SeveralKeys(usize),
    /// The PEM is truncated or malformed.
    #[error("the PEM is damaged: {0}")]
    Damaged(&'static str),
}

/// All certificates of a PEM file, in order, as DER; at least one. Other sections are ignored.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let mut found = Vec::new();
    let mut keys = 0usize;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, mut der) = section.map_err(damaged)?;
        if kind == SectionKind::Certificate {
            found.push(CertificateDer::from(der));
        } else {
            keys += usize::from(is_key(kind));
            der.zeroize();
        }
    }
    match (found.is_empty(), keys > 0 || is_encrypted(pem)) {
        (false, _) => Ok(found),
        (true, true) => Err(PemError::KeyForCertificate),
        (true, false) => Err(absent(pem, "CERTIFICATE", "x509")),
    }
}

/// A device's own certificate among those of a file: the only one, or the first one if authorities follow.
pub(crate) fn own_certificate<D: AsRef<[u8]>>(all: &[D]) -> Result<&[u8], &'static str> {
    let is_authority = |der: &[u8]| match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate.is_ca()),
        Ok(_) | Err(_) if all.len() == 1 => Err("the certificate is malformed"),
        Ok(_) | Err(_) => Err("a certificate in it is malformed"),
    };
    let (own, others) = all.split_first().ok_or("there is no certificate in it")?;
    let own_is_authority = is_authority(own.as_ref())?;
    for other in others {
        if own_is_authority || !is_authority(other.as_ref())? {
            return Err(
                "of several certificates in it the device's own must be the first, and the others authorities'",
            );
        }
    }
    Ok(own.as_ref())
}

/// All revocation lists of a PEM file, in order, as DER. Other sections are ignored.
pub(super) fn revocation_lists(pem: &[u8]) -> impl Iterator<Item = Result<Vec<u8>, PemError>> {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(pem).filter_map(|section| match section {
        Ok((SectionKind::Crl, der)) => Some(Ok(der)),
        Ok((_, mut der)) => {
            der.zeroize();
            None
        }
        Err(error) => Some(Err(damaged(error))),
    })
}

/// The only private key of a PEM file, with its kind. Other sections are ignored.
pub(crate) fn private_key(
    pem: &[u8],
) -> Result<(SectionKind, zeroize::Zeroizing<Vec<u8>>), PemError> {
    // Checked first: otherwise the old form (Proc-Type) would be reported as invalid base64, the new one as absent.
    if is_encrypted(pem) {
        return Err(PemError::Encrypted);
    }
    let mut found = Vec::new();
    let mut certificates = false;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, der) = section.map_err(damaged)?;
        let der = zeroize::Zeroizing::new(der);
        certificates |= kind == SectionKind::Certificate;
        if is_key(kind) {
            found.push((kind, der));
        }
    }
    match (found.len(), found.pop()) {
        (1, Some(key)) => Ok(key),
        (0, _) if certificates => Err(PemError::CertificateForKey),
        (0, _) => Err(absent(pem, "PRIVATE KEY", "pkey")),
        (several, _) => Err(PemError::SeveralKeys(several)),
    }
}

fn is_key(kind: SectionKind) -> bool {
    [
        SectionKind::PrivateKey,
        SectionKind::EcPrivateKey,
        SectionKind::RsaPrivateKey,
    ]
    .contains(&kind)
}

fn is_encrypted(pem: &[u8]) -> bool {
    [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----",
        "Proc-Type: 4,ENCRYPTED",
    ]
    .iter()
    .any(|mark| {
        pem.windows(mark.len())
            .any(|window| window == mark.as_bytes())
    })
}

fn absent(pem: &[u8], wanted: &'static str, command: &'static str) -> PemError {
    // 0x30: the SEQUENCE that every certificate and key in DER begins with.
    match pem.first() {
        Some(0x30) => PemError::Der(command),
        _ => PemError::Absent(wanted),
    }
}

/// Describes the error without repeating any of the text: it may be a key.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is non-exhaustive, and other errors can't occur with a slice"
)]
fn damaged(error: Error) -> PemError {
    PemError::Damaged(match error {
        Error::MissingSectionEnd { .. } => "an -----END …----- line is missing",
        Error::IllegalSectionStart { .. } => "a -----BEGIN …----- line is not complete",
        Error::Base64Decode(_) => "what stands between BEGIN and END is not base64",
        Error::SectionTooLarge => "a section is too large",
        _ => "it can't be read",
    })
}
