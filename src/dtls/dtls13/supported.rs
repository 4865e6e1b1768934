//! What the engine supports, by number: what a ClientHello is matched against before there is an engine.

use crate::dtls::Versions;

/// Protocol versions, cipher suites and key exchange groups that the engine accepts.
#[derive(Debug, Clone)]
pub(crate) struct Supported {
    /// Protocol versions offered to devices.
    pub versions: Versions,
    /// Cipher suites of DTLS 1.2; empty if that is not offered.
    pub dtls12: Vec<u16>,
    /// Cipher suites of DTLS 1.3; empty if that is not offered.
    pub dtls13: Vec<u16>,
    /// Key exchange groups (RFC 8446 §4.2.7).
    pub groups: Vec<u16>,
}
