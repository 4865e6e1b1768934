//! Cryptography: aws-lc-rs for everything but AES-CCM, which it does not offer.
//!
//! | Part | Owns |
//! |---|---|
//! | [`key_exchange`] | ephemeral Diffie-Hellman |
//! | [`random`] | where randomness comes from |
//! | [`signature`] | signature schemes, the server's signatures and the client's |

pub mod key_exchange;
pub mod random;
pub mod signature;
