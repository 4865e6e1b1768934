//! Which certificate is which device.

mod access_token;
mod fingerprint;
mod limits;
mod registry;

pub use access_token::{AccessToken, InvalidToken};
pub use fingerprint::{CertificateId, Fingerprint, InvalidFingerprint};
pub use limits::Limits;
pub use registry::{Conflict, Device, Difference, Registry};
