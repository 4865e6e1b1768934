//! Registered devices: which certificate belongs to which device, and its access token.

mod access_token;
mod fingerprint;
mod limits;
mod registry;

pub use access_token::AccessToken;
pub use fingerprint::{CertificateId, Fingerprint};
pub(crate) use limits::Limits;
pub(crate) use registry::Difference;
pub use registry::{Device, Registry};
