//! The gateway's certificates and keys, checked to be usable.

mod certificate_chain;
mod private_key;

pub(crate) use certificate_chain::CertificateChain;
pub(crate) use private_key::PrivateKey;

use super::pem::PemError;
use super::period::{Expiry, ExpiryKind, Period};
use std::fmt;
use zeroize::Zeroizing;

/// The type of an identity's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    Ecdsa,
    Rsa,
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyType::Ecdsa => "an EC key on P-256, P-384 or P-521",
            KeyType::Rsa => "an RSA key of 2048 to 8192 bits",
        })
    }
}

/// What the gateway proves to be: an identity with an EC key, and perhaps another with an RSA key for clients that verify
/// only those.
#[derive(Clone)]
pub struct ServerCredentials {
    /// With a key on P-256, P-384 or P-521.
    pub ecdsa: ServerIdentity,
    /// With an RSA key of 2048 to 8192 bits.
    pub rsa: Option<ServerIdentity>,
}

/// A certificate, its issuers, and its private key.
#[derive(Clone)]
pub struct ServerIdentity {
    /// Certificates in DER: the gateway's own first, then each one's issuer. Not empty.
    pub chain: Vec<Vec<u8>>,
    /// The private key, converted to PKCS#8 DER. Zeroed when dropped.
    pub private_key: Zeroizing<Vec<u8>>,
}

impl ServerIdentity {
    /// Combines a chain and the key of its first certificate, if they belong together.
    pub(crate) fn pair(
        chain: CertificateChain,
        key: PrivateKey,
    ) -> Result<ServerIdentity, CredentialsError> {
        if chain.public_key != key.public_key {
            return Err(CredentialsError::NotItsKey);
        }
        Ok(ServerIdentity {
            chain: chain.certificates,
            private_key: key.pkcs8,
        })
    }

    /// The gateway's own certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        self.chain.first().map_or(&[], Vec::as_slice)
    }

    /// When each certificate of the chain expires.
    fn expiries(&self) -> impl Iterator<Item = Expiry> {
        let chain = self.chain.iter();
        chain.filter_map(|der| Expiry::of_certificate(ExpiryKind::Server, der))
    }
}

impl ServerCredentials {
    /// Reads an identity with an EC key from PEM.
    pub fn from_pem(certificates: &[u8], private_key: &[u8]) -> Result<Self, CredentialsError> {
        let chain = CertificateChain::from_pem(certificates, KeyType::Ecdsa)?;
        let key = PrivateKey::from_pem(private_key, KeyType::Ecdsa)?;
        Ok(ServerCredentials {
            ecdsa: ServerIdentity::pair(chain, key)?,
            rsa: None,
        })
    }

    /// One certificate (DER) with an EC key (PKCS#8, DER), without a chain. Not checked.
    pub fn of_certificate(certificate: Vec<u8>, private_key: Zeroizing<Vec<u8>>) -> Self {
        ServerCredentials {
            ecdsa: ServerIdentity {
                chain: vec![certificate],
                private_key,
            },
            rsa: None,
        }
    }

    /// The certificate with an EC key, DER.
    pub fn certificate(&self) -> &[u8] {
        self.ecdsa.certificate()
    }

    /// That certificate's validity period. `None` if it is not X.509.
    pub fn period(&self) -> Option<Period> {
        Period::of_certificate(self.certificate())
    }

    /// When each certificate expires, those of both chains.
    pub fn expiries(&self) -> impl Iterator<Item = Expiry> {
        let rsa = self.rsa.iter().flat_map(ServerIdentity::expiries);
        self.ecdsa.expiries().chain(rsa)
    }
}

impl fmt::Debug for ServerCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerCredentials(hidden)")
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerIdentity(hidden)")
    }
}

/// Why a certificate or key can't be used by the gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The file is not PEM of the expected kind.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The certificate at this position, from 1, is not X.509.
    #[error("{}is malformed", nth(.0, .1))]
    MalformedCertificate(usize, usize),
    /// There are more certificates, or bytes of them, than clients take.
    #[error("{certificates} certificates with {bytes} bytes are too many: 16 with 16 KiB at most")]
    TooLong { certificates: usize, bytes: usize },
    /// A certificate is there twice.
    #[error("certificate {1} is the same as certificate {0}; leave one out")]
    Doubled(usize, usize),
    /// The issuer of a certificate is at another position than the next one.
    #[error(
        "certificate {issued} was issued by certificate {issuer}: the gateway's own must come first, then each one's issuer"
    )]
    OutOfOrder { issued: usize, issuer: usize },
    /// A certificate has nothing to do with the one before it.
    #[error(
        "certificate {issued} was issued by {wanted:?}, not by certificate {number}, which is {found:?}: put that issuer \
         there, or leave certificate {number} out"
    )]
    NotItsIssuer {
        issued: usize,
        number: usize,
        /// The name of the issuer that the certificate before it has.
        wanted: String,
        found: String,
    },
    /// A certificate has the name of the issuer of the one before it, but another key.
    #[error(
        "certificate {number} has the name of the issuer of certificate {issued}, but not the key that signed it: it may be \
         an older or newer one of the same authority"
    )]
    OtherKey { issued: usize, number: usize },
    /// A certificate behind the first is not an authority's.
    #[error(
        "certificate {0} may not issue others, so clients will refuse the chain: only authorities' (CA:TRUE, keyCertSign) \
         follow the gateway's own"
    )]
    NotAuthority(usize),
    /// The certificate's key is of the wrong type.
    #[error("the certificate has {found}; {wanted} is needed here{}", elsewhere(*.wanted))]
    CertificateKeyType { found: String, wanted: KeyType },
    /// The private key is of the wrong type.
    #[error("it is {found}; {wanted} is needed here{}", elsewhere(*.wanted))]
    KeyType {
        found: &'static str,
        wanted: KeyType,
    },
    /// The key does not belong to the certificate.
    #[error("the private key does not belong to the certificate")]
    NotItsKey,
}

fn nth(number: &usize, all: &usize) -> String {
    match all {
        1 => "the certificate ".to_owned(),
        _ => format!("certificate {number} in it "),
    }
}

/// Where a key of the other type belongs.
fn elsewhere(wanted: KeyType) -> &'static str {
    match wanted {
        KeyType::Ecdsa => " (an RSA key goes with server.rsa_certificate)",
        KeyType::Rsa => " (an EC key goes with server.certificate)",
    }
}

#[cfg(test)]
mod tests;
