//! What we show devices, and which certificates of theirs are let in.
//!
//! The engine panics on a key it can't use and believes every certificate it is shown, so all that
//! can be known about keys and certificates is decided here: [`ServerCredentials`] when the
//! configuration is read, [`ClientPolicy::judge`] when a client shows its certificate.

mod clients;
mod pem;
mod period;
mod server;

pub use clients::{AnchorsError, ClientPolicy, Refusal, Validity};
pub use pem::{PemError, certificates};
pub use period::{Moment, Period};
pub use server::{Certificate, CredentialsError, PrivateKey, ServerCredentials};

#[cfg(test)]
mod tests;
