//! Elliptic-curve Diffie-Hellman (RFC 8422 §5.10, §5.11).

use super::random::{Random, Unavailable};
use crate::alert::AlertDescription;
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use std::fmt;
use zeroize::Zeroizing;

/// A group that this server supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NamedGroup {
    /// P-256, which hardware of devices computes.
    Secp256r1,
    /// Curve25519.
    X25519,
    /// P-384.
    Secp384r1,
    /// P-521.
    Secp521r1,
}

/// The first byte of an uncompressed point (SEC 1 §2.3.3). Others are not used in TLS (RFC 8422 §5.1.2).
const UNCOMPRESSED: u8 = 4;

/// Random scalars that are tried before generation is given up. One of 2³² is too large for P-256, and fewer for the others.
const ATTEMPTS: usize = 8;

impl NamedGroup {
    /// All of them, in the server's order of preference.
    pub const ALL: [NamedGroup; 4] = [
        NamedGroup::Secp256r1,
        NamedGroup::X25519,
        NamedGroup::Secp384r1,
        NamedGroup::Secp521r1,
    ];

    /// The number in the registry of TLS supported groups.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            NamedGroup::Secp256r1 => 23,
            NamedGroup::Secp384r1 => 24,
            NamedGroup::Secp521r1 => 25,
            NamedGroup::X25519 => 29,
        }
    }

    /// The group with this number.
    #[must_use]
    pub fn from_number(number: u16) -> Option<NamedGroup> {
        Self::ALL.into_iter().find(|group| group.number() == number)
    }

    const fn algorithm(self) -> &'static agreement::Algorithm {
        match self {
            NamedGroup::Secp256r1 => &agreement::ECDH_P256,
            NamedGroup::X25519 => &agreement::X25519,
            NamedGroup::Secp384r1 => &agreement::ECDH_P384,
            NamedGroup::Secp521r1 => &agreement::ECDH_P521,
        }
    }

    /// Bytes of a private key.
    const fn scalar_length(self) -> usize {
        match self {
            NamedGroup::Secp256r1 | NamedGroup::X25519 => 32,
            NamedGroup::Secp384r1 => 48,
            NamedGroup::Secp521r1 => 66,
        }
    }

    /// Whether a public key has the one form that is allowed. Whether it is on the curve is checked when it is used.
    fn has_form(self, public_key: &[u8]) -> bool {
        match (self, public_key) {
            (NamedGroup::X25519, _) => public_key.len() == self.scalar_length(),
            (_, [UNCOMPRESSED, coordinates @ ..]) => coordinates.len() == 2 * self.scalar_length(),
            (_, _) => false,
        }
    }
}

/// An ephemeral key pair of the server, for one handshake.
pub struct KeyShare {
    group: NamedGroup,
    private_key: PrivateKey,
    public_key: agreement::PublicKey,
}

/// The shared secret, which is the premaster secret (RFC 8422 §5.10).
pub struct SharedSecret(Zeroizing<Vec<u8>>);

impl KeyShare {
    /// Makes a key pair as `random` has it: the system's by the library, others out of their bytes.
    ///
    /// # Errors
    /// There are no random bytes, or none of which a key can be made.
    pub fn generate(group: NamedGroup, random: &mut dyn Random) -> Result<KeyShare, Unavailable> {
        random.key_share(group)
    }

    /// Makes a key pair with the library's own generator of random bytes.
    pub(super) fn from_library(group: NamedGroup) -> Result<KeyShare, Unavailable> {
        let private_key = PrivateKey::generate(group.algorithm()).map_err(|_| Unavailable)?;
        KeyShare::new(group, private_key)
    }

    /// Makes a key pair out of the bytes with which `fill` fills a buffer.
    pub(super) fn from_random_bytes(
        group: NamedGroup,
        mut fill: impl FnMut(&mut [u8]) -> Result<(), Unavailable>,
    ) -> Result<KeyShare, Unavailable> {
        let mut scalar = Zeroizing::new(vec![0; group.scalar_length()]);
        for _ in 0..ATTEMPTS {
            fill(&mut scalar)?;
            // 521 bits, so that about every scalar is below the group's order.
            if let (NamedGroup::Secp521r1, Some(first)) = (group, scalar.first_mut()) {
                *first &= 1;
            }
            // Zero and what is not below the group's order are refused, and drawn again (FIPS 186-5 A.2.2).
            if let Ok(private_key) = PrivateKey::from_private_key(group.algorithm(), &scalar) {
                return KeyShare::new(group, private_key);
            }
        }
        Err(Unavailable)
    }

    fn new(group: NamedGroup, private_key: PrivateKey) -> Result<KeyShare, Unavailable> {
        let public_key = private_key.compute_public_key().map_err(|_| Unavailable)?;
        Ok(KeyShare {
            group,
            private_key,
            public_key,
        })
    }

    /// The group of both keys.
    #[must_use]
    pub const fn group(&self) -> NamedGroup {
        self.group
    }

    /// The public key as it is in a ServerKeyExchange.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        self.public_key.as_ref()
    }

    /// Computes the secret that is shared with the owner of another public key of the group.
    ///
    /// # Errors
    /// The key is not of the group's form, not on the curve, or yields no secret (X25519: all zeros, RFC 8422 §5.11). The
    /// handshake ends with this alert.
    pub fn agree(self, peer: &[u8]) -> Result<SharedSecret, AlertDescription> {
        const REFUSED: AlertDescription = AlertDescription::ILLEGAL_PARAMETER;
        if !self.group.has_form(peer) {
            return Err(REFUSED);
        }
        let peer = UnparsedPublicKey::new(self.group.algorithm(), peer);
        agreement::agree(&self.private_key, peer, REFUSED, |secret| {
            // A second lock on the door that aws-lc keeps shut.
            match secret.iter().all(|&byte| byte == 0) {
                true => Err(REFUSED),
                false => Ok(SharedSecret(Zeroizing::new(secret.to_vec()))),
            }
        })
    }
}

impl SharedSecret {
    /// A secret that a test chose.
    #[cfg(test)]
    pub(crate) fn from_bytes(bytes: &[u8]) -> SharedSecret {
        SharedSecret(Zeroizing::new(bytes.to_vec()))
    }

    /// The secret's bytes, with leading zeros.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KeyShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyShare({:?})", self.group)
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret")
    }
}

#[cfg(test)]
mod tests;
