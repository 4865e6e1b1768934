//! Cryptography: aws-lc-rs for everything but AES-CCM, which it does not offer.
//!
//! | Part | Owns |
//! |---|---|
//! | [`random`] | where randomness comes from |
//! | [`signature`] | signature schemes, the server's signatures and the client's |

pub mod random;
pub mod signature;
