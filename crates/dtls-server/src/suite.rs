//! Cipher suites: ECDHE with AEADs (RFC 7251, 5289, 7905), all with forward secrecy and without CBC.

use std::fmt;

/// A cipher suite that this server supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CipherSuite {
    /// Mandatory for CoAP (RFC 7252 §9.1.3.3).
    EcdheEcdsaAes128Ccm8,
    /// What modems offer first.
    EcdheEcdsaAes128Gcm,
    /// RFC 7251 §2.
    EcdheEcdsaAes128Ccm,
    /// RFC 5289 §3.2.
    EcdheEcdsaAes256Gcm,
    /// RFC 7905.
    EcdheEcdsaChaCha20Poly1305,
    /// RFC 7251 §2.
    EcdheEcdsaAes256Ccm8,
    /// RFC 7251 §2.
    EcdheEcdsaAes256Ccm,
    /// With an RSA server certificate.
    EcdheRsaAes128Gcm,
    /// With an RSA server certificate.
    EcdheRsaAes256Gcm,
    /// With an RSA server certificate.
    EcdheRsaChaCha20Poly1305,
}

/// The key type of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Authentication {
    /// An elliptic-curve key.
    Ecdsa,
    /// An RSA key.
    Rsa,
}

/// The record protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aead {
    /// AES-128-GCM (RFC 5288).
    Aes128Gcm,
    /// AES-256-GCM.
    Aes256Gcm,
    /// AES-128-CCM with a tag of 16 bytes (RFC 6655).
    Aes128Ccm,
    /// AES-128-CCM with a tag of 8 bytes.
    Aes128Ccm8,
    /// AES-256-CCM with a tag of 16 bytes.
    Aes256Ccm,
    /// AES-256-CCM with a tag of 8 bytes.
    Aes256Ccm8,
    /// ChaCha20-Poly1305 (RFC 7905).
    ChaCha20Poly1305,
}

/// The hash of the PRF and of the transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrfHash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
}

impl CipherSuite {
    /// All of them, in the server's order of preference: AEADs of 128 bits first, since devices encrypt on small processors.
    pub const ALL: [CipherSuite; 10] = [
        CipherSuite::EcdheEcdsaAes128Ccm8,
        CipherSuite::EcdheEcdsaAes128Gcm,
        CipherSuite::EcdheEcdsaAes128Ccm,
        CipherSuite::EcdheEcdsaAes256Gcm,
        CipherSuite::EcdheEcdsaChaCha20Poly1305,
        CipherSuite::EcdheEcdsaAes256Ccm8,
        CipherSuite::EcdheEcdsaAes256Ccm,
        CipherSuite::EcdheRsaAes128Gcm,
        CipherSuite::EcdheRsaAes256Gcm,
        CipherSuite::EcdheRsaChaCha20Poly1305,
    ];

    /// The number in a ClientHello.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            CipherSuite::EcdheEcdsaAes128Ccm8 => 0xc0ae,
            CipherSuite::EcdheEcdsaAes128Gcm => 0xc02b,
            CipherSuite::EcdheEcdsaAes128Ccm => 0xc0ac,
            CipherSuite::EcdheEcdsaAes256Gcm => 0xc02c,
            CipherSuite::EcdheEcdsaChaCha20Poly1305 => 0xcca9,
            CipherSuite::EcdheEcdsaAes256Ccm8 => 0xc0af,
            CipherSuite::EcdheEcdsaAes256Ccm => 0xc0ad,
            CipherSuite::EcdheRsaAes128Gcm => 0xc02f,
            CipherSuite::EcdheRsaAes256Gcm => 0xc030,
            CipherSuite::EcdheRsaChaCha20Poly1305 => 0xcca8,
        }
    }

    /// The suite with this number.
    #[must_use]
    pub fn from_number(number: u16) -> Option<CipherSuite> {
        Self::ALL.into_iter().find(|suite| suite.number() == number)
    }

    /// The name in the registry of TLS cipher suites.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            CipherSuite::EcdheEcdsaAes128Ccm8 => "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
            CipherSuite::EcdheEcdsaAes128Gcm => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            CipherSuite::EcdheEcdsaAes128Ccm => "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
            CipherSuite::EcdheEcdsaAes256Gcm => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            CipherSuite::EcdheEcdsaChaCha20Poly1305 => {
                "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
            }
            CipherSuite::EcdheEcdsaAes256Ccm8 => "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8",
            CipherSuite::EcdheEcdsaAes256Ccm => "TLS_ECDHE_ECDSA_WITH_AES_256_CCM",
            CipherSuite::EcdheRsaAes128Gcm => "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            CipherSuite::EcdheRsaAes256Gcm => "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            CipherSuite::EcdheRsaChaCha20Poly1305 => "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        }
    }

    /// The key type that the server's certificate must have.
    #[must_use]
    pub const fn authentication(self) -> Authentication {
        match self {
            CipherSuite::EcdheRsaAes128Gcm
            | CipherSuite::EcdheRsaAes256Gcm
            | CipherSuite::EcdheRsaChaCha20Poly1305 => Authentication::Rsa,
            CipherSuite::EcdheEcdsaAes128Ccm8
            | CipherSuite::EcdheEcdsaAes128Gcm
            | CipherSuite::EcdheEcdsaAes128Ccm
            | CipherSuite::EcdheEcdsaAes256Gcm
            | CipherSuite::EcdheEcdsaChaCha20Poly1305
            | CipherSuite::EcdheEcdsaAes256Ccm8
            | CipherSuite::EcdheEcdsaAes256Ccm => Authentication::Ecdsa,
        }
    }

    /// The record protection.
    #[must_use]
    pub const fn aead(self) -> Aead {
        match self {
            CipherSuite::EcdheEcdsaAes128Ccm8 => Aead::Aes128Ccm8,
            CipherSuite::EcdheEcdsaAes128Ccm => Aead::Aes128Ccm,
            CipherSuite::EcdheEcdsaAes256Ccm8 => Aead::Aes256Ccm8,
            CipherSuite::EcdheEcdsaAes256Ccm => Aead::Aes256Ccm,
            CipherSuite::EcdheEcdsaAes128Gcm | CipherSuite::EcdheRsaAes128Gcm => Aead::Aes128Gcm,
            CipherSuite::EcdheEcdsaAes256Gcm | CipherSuite::EcdheRsaAes256Gcm => Aead::Aes256Gcm,
            CipherSuite::EcdheEcdsaChaCha20Poly1305 | CipherSuite::EcdheRsaChaCha20Poly1305 => {
                Aead::ChaCha20Poly1305
            }
        }
    }

    /// The hash of the PRF (RFC 5246 §5).
    #[must_use]
    pub const fn prf_hash(self) -> PrfHash {
        match self {
            CipherSuite::EcdheEcdsaAes256Gcm | CipherSuite::EcdheRsaAes256Gcm => PrfHash::Sha384,
            CipherSuite::EcdheEcdsaAes128Ccm8
            | CipherSuite::EcdheEcdsaAes128Gcm
            | CipherSuite::EcdheEcdsaAes128Ccm
            | CipherSuite::EcdheEcdsaChaCha20Poly1305
            | CipherSuite::EcdheEcdsaAes256Ccm8
            | CipherSuite::EcdheEcdsaAes256Ccm
            | CipherSuite::EcdheRsaAes128Gcm
            | CipherSuite::EcdheRsaChaCha20Poly1305 => PrfHash::Sha256,
        }
    }
}

impl fmt::Display for CipherSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Aead {
    /// Bytes of a key.
    #[must_use]
    pub const fn key_length(self) -> usize {
        match self {
            Aead::Aes128Gcm | Aead::Aes128Ccm | Aead::Aes128Ccm8 => 16,
            Aead::Aes256Gcm | Aead::Aes256Ccm | Aead::Aes256Ccm8 | Aead::ChaCha20Poly1305 => 32,
        }
    }

    /// Bytes of the implicit part of a nonce, from the key block.
    #[must_use]
    pub const fn iv_length(self) -> usize {
        match self {
            Aead::ChaCha20Poly1305 => 12,
            Aead::Aes128Gcm
            | Aead::Aes256Gcm
            | Aead::Aes128Ccm
            | Aead::Aes128Ccm8
            | Aead::Aes256Ccm
            | Aead::Aes256Ccm8 => 4,
        }
    }

    /// Bytes of the explicit part of a nonce, in front of each record's ciphertext.
    #[must_use]
    pub const fn explicit_nonce_length(self) -> usize {
        match self {
            Aead::ChaCha20Poly1305 => 0,
            Aead::Aes128Gcm
            | Aead::Aes256Gcm
            | Aead::Aes128Ccm
            | Aead::Aes128Ccm8
            | Aead::Aes256Ccm
            | Aead::Aes256Ccm8 => 8,
        }
    }

    /// Bytes of the tag behind the ciphertext.
    #[must_use]
    pub const fn tag_length(self) -> usize {
        match self {
            Aead::Aes128Ccm8 | Aead::Aes256Ccm8 => 8,
            Aead::Aes128Gcm
            | Aead::Aes256Gcm
            | Aead::Aes128Ccm
            | Aead::Aes256Ccm
            | Aead::ChaCha20Poly1305 => 16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique() {
        for suite in CipherSuite::ALL {
            assert_eq!(CipherSuite::from_number(suite.number()), Some(suite));
            let same = CipherSuite::ALL
                .iter()
                .filter(|other| other.name() == suite.name());
            assert_eq!(same.count(), 1);
        }
        // Static RSA and CBC.
        assert_eq!(CipherSuite::from_number(0x002f), None);
        assert_eq!(CipherSuite::from_number(0xc023), None);
    }
}
