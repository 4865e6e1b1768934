//! The gateway's certificate and key, and the verification of client certificates (RFC 5280).
//!
//! The DTLS engine panics on keys it does not support and accepts every client certificate, so all checks are made here:
//! [`ServerCredentials`] when the configuration is read, [`ClientPolicy::verify`] when a client sends its certificate, and
//! [`ClientPolicy::verify_again`] when it resumes its session, and [`ClientPolicy::verify_authorities`] after trust anchors or
//! revocation lists have changed.

mod authority_path;
mod certificate_error;
mod chain;
mod clients;
mod issuer;
mod known_client;
mod pem;
mod period;
mod policies;
mod revocation;
mod sent;
mod server;

pub use authority_path::{AuthorityPaths, ChangedPath};
pub(crate) use certificate_error::CertificateError;
pub use clients::{ClientPolicy, Validity};
pub use known_client::{KnownClient, Verified};
pub(crate) use pem::{certificates, own_certificate, private_key};
pub(crate) use period::{Expiry, ExpiryKind, Moment, Period};
pub(crate) use revocation::RevocationError;
pub(crate) use server::{CertificateChain, KeyType, PrivateKey};
pub use server::{ServerCredentials, ServerIdentity};

#[cfg(test)]
mod tests;
