//! What we show devices, and which certificates of theirs are let in.
//!
//! The engine panics on a key it can't use and believes every certificate it is shown, so all that
//! can be known about keys and certificates is decided here: [`ServerCredentials`] when the
//! configuration is read, [`ClientPolicy::judge`] when a client shows its certificate, and
//! [`ClientPolicy::rejudge`] when anchors or revocation lists have changed since.

mod chain;
mod clients;
mod issuer;
mod pem;
mod period;
mod policies;
mod refusal;
mod revocation;
mod server;

pub use chain::AnchorsError;
pub use clients::{ClientPolicy, Validity};
pub use pem::{PemError, certificates};
pub use period::{Ends, Moment, Period, What};
pub use refusal::Refusal;
pub use revocation::{ListFault, RevocationError};
pub use server::{Certificate, CredentialsError, PrivateKey, ServerCredentials};

#[cfg(test)]
mod tests;
