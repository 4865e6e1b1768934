//! What the engine supports, by number: what a ClientHello is matched against before there is an engine.

/// Cipher suites and key exchange groups that the engine accepts.
#[derive(Debug, Clone)]
pub(crate) struct Supported {
    pub(crate) suites: Vec<u16>,
    /// RFC 8446 §4.2.7.
    pub(crate) groups: Vec<u16>,
}
