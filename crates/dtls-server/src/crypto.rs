//! Cryptography: aws-lc-rs for everything but AES-CCM, which it does not offer.
//!
//! | Part | Owns |
//! |---|---|
//! | [`aead`] | keys and ciphers of records, their nonces |
//! | [`certificate_key`] | the public key in a certificate, and the signatures that it verifies |
//! | [`key_exchange`] | ephemeral Diffie-Hellman |
//! | [`key_schedule`] | the master secret and what is derived from it |
//! | [`prf`] | the pseudorandom function of TLS 1.2 |
//! | [`random`] | where randomness comes from |
//! | [`signature`] | signature schemes, and the trait of what makes the server's signatures |
//! | [`signing_key`] | private keys that sign with aws-lc |
//! | [`transcript`] | the hash over a handshake's messages |

pub mod aead;
pub mod certificate_key;
pub mod key_exchange;
pub mod key_schedule;
pub mod prf;
pub mod random;
pub mod signature;
pub mod signing_key;
pub mod transcript;

/// The cryptographic library failed at what can't fail with the arguments that it is given, short of a lack of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library failed")]
pub struct Failed;
