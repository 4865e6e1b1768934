//! Fingerprints of certificates.

use aws_lc_rs::digest::{Algorithm, SHA3_256, SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::str::FromStr;

/// Both fingerprints of one certificate: SHA-256 of its DER, and ThingsBoard's credentials id.
///
/// `Display` writes both, each in the form that the registry accepts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CertificateId {
    /// SHA-256 over the DER.
    pub sha256: [u8; 32],
    /// SHA3-256 over the base64 text of the DER: ThingsBoard's `credentialsId` for X.509 devices.
    pub sha3: [u8; 32],
}

impl CertificateId {
    /// Computes both fingerprints of a certificate (DER).
    pub fn of(der: &[u8]) -> Self {
        // ThingsBoard hashes the PEM text without header, footer and line breaks
        // (EncryptionUtil.getSha3Hash(certTrimNewLines(..))), which is the base64 of the DER.
        CertificateId {
            sha256: hash(&SHA256, der),
            sha3: hash(&SHA3_256, STANDARD.encode(der).as_bytes()),
        }
    }
}

/// The digest of `bytes`. Both algorithms used here have 32 bytes.
fn hash(algorithm: &'static Algorithm, bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest(algorithm, bytes).as_ref()) {
        *to = *from;
    }
    out
}

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({})",
            Fingerprint::Sha256(self.sha256),
            Fingerprint::Sha3(self.sha3)
        )
    }
}

impl fmt::Debug for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One fingerprint of a certificate, as an operator writes it into the registry.
///
/// Text in: `AB:CD:…` or plain hex (64 digits, any case), with or without what `openssl x509
/// -fingerprint -sha256` prints before it; `sha3:` and 64 hex digits for ThingsBoard's id.
/// Text out: `AB:CD:…`, or `sha3:` and lower-case hex; both can be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fingerprint {
    /// SHA-256 over the DER.
    Sha256([u8; 32]),
    /// ThingsBoard's credentials id.
    Sha3([u8; 32]),
}

/// Why a text is not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFingerprint {
    /// The text is empty, or a prefix alone.
    #[error("the fingerprint is empty")]
    Empty,
    /// It has 20 bytes: what openssl prints without `-sha256`.
    #[error(
        "this is a SHA-1 fingerprint, SHA-256 is needed: openssl x509 -noout -fingerprint -sha256"
    )]
    Sha1,
    /// Colons, but not one between every two bytes.
    #[error("with colons, there are two hex digits between any two of them: AB:CD:…")]
    Colons,
    /// It contains a character that is not a hex digit.
    #[error("{0:?} is not a hex digit")]
    NotHex(char),
    /// It does not have 32 bytes.
    #[error("a fingerprint has 64 hex digits (32 bytes), this has {0}")]
    Length(usize),
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Some(digits) = after(text, &["sha3:", "sha3-256:"]) {
            return Ok(Fingerprint::Sha3(bytes(digits)?));
        }
        if after(text, &["sha1 fingerprint="]).is_some() {
            return Err(InvalidFingerprint::Sha1);
        }
        let digits = after(text, &["sha256 fingerprint=", "sha256:"]).unwrap_or(text);
        Ok(Fingerprint::Sha256(bytes(digits)?))
    }
}

/// The rest of `text` after the first of these prefixes (in lower case) that it starts with, in any case.
fn after<'a>(text: &'a str, prefixes: &[&str]) -> Option<&'a str> {
    prefixes.iter().find_map(|prefix| {
        let (head, rest) = text.split_at_checked(prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then_some(rest)
    })
}

/// Reads 32 bytes of hex: with a colon between every two bytes, or with none at all.
fn bytes(text: &str) -> Result<[u8; 32], InvalidFingerprint> {
    let text = text.trim();
    let colons = text.contains(':');
    if colons && text.split(':').any(|pair| pair.chars().count() != 2) {
        return Err(InvalidFingerprint::Colons);
    }
    let mut out = [0u8; 32];
    let mut digits = 0usize;
    for character in text
        .chars()
        .filter(|character| !(colons && *character == ':'))
    {
        let digit = character
            .to_digit(16)
            .ok_or(InvalidFingerprint::NotHex(character))?;
        if let Some(byte) = out.get_mut(digits / 2) {
            *byte = (*byte << 4) | u8::try_from(digit).unwrap_or_default();
        }
        digits += 1;
    }
    match digits {
        0 => Err(InvalidFingerprint::Empty),
        40 => Err(InvalidFingerprint::Sha1),
        64 => Ok(out),
        other => Err(InvalidFingerprint::Length(other)),
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fingerprint::Sha256(bytes) => {
                for (index, byte) in bytes.iter().enumerate() {
                    let colon = if index == 0 { "" } else { ":" };
                    write!(f, "{colon}{byte:02X}")?;
                }
                Ok(())
            }
            Fingerprint::Sha3(bytes) => {
                f.write_str("sha3:")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_certificates_id_is_sha256_of_its_der_and_sha3_of_its_base64() {
        let id = CertificateId::of(b"abc");
        // SHA-256("abc") from FIPS 180-2 appendix B.1; `printf YWJj | openssl dgst -sha3-256` for the other.
        assert_eq!(Fingerprint::Sha256(id.sha256), HEX.parse().unwrap());
        assert_eq!(
            Fingerprint::Sha3(id.sha3).to_string(),
            "sha3:3055f302af06d7310848bf908977d5f6b97189a1c00490cea6def11fb7f3b159"
        );
    }

    #[test]
    fn all_usual_forms_of_a_fingerprint_are_equal() {
        let plain: Fingerprint = HEX.parse().unwrap();
        let openssl = plain.to_string();
        assert!(openssl.starts_with("BA:78:16:BF:") && openssl.len() == 95);
        for form in [
            openssl.clone(),
            openssl.to_lowercase(),
            HEX.to_uppercase(),
            format!("SHA256 Fingerprint={openssl}"),
            format!("sha256 Fingerprint={openssl}\n"),
            format!("  sha256:{HEX} "),
        ] {
            assert_eq!(form.parse(), Ok(plain), "{form}");
        }
    }

    #[test]
    fn thingsboards_id_differs_from_sha256_and_parses_again() {
        let id: Fingerprint = format!("sha3:{HEX}").parse().unwrap();
        assert!(matches!(id, Fingerprint::Sha3(_)));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn invalid_fingerprints_are_rejected_with_the_reason() {
        let colons = format!("{}:", &HEX[..62]);
        let cases: [(&str, InvalidFingerprint); 9] = [
            ("", InvalidFingerprint::Empty),
            ("sha3:", InvalidFingerprint::Empty),
            ("AB:CD", InvalidFingerprint::Length(4)),
            (&HEX[..40], InvalidFingerprint::Sha1),
            ("SHA1 Fingerprint=AB:CD", InvalidFingerprint::Sha1),
            ("AB:C:D", InvalidFingerprint::Colons),
            (&colons, InvalidFingerprint::Colons),
            ("meter-17", InvalidFingerprint::NotHex('m')),
            ("ÄÄÄÄÄ", InvalidFingerprint::NotHex('Ä')),
        ];
        for (text, reason) in cases {
            assert_eq!(text.parse::<Fingerprint>(), Err(reason), "{text:?}");
        }
        assert!("a".repeat(1 << 20).parse::<Fingerprint>().is_err());
    }
}
