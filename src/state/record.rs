//! What is stored beside sessions: what belongs to a device, or to all.

use aws_lc_rs::digest::{SHA256, digest};
use state_store::Kind;

/// What all sessions share. The key says what.
pub(crate) const SHARED: Kind = Kind::SHARED;
/// The seed of what an endpoint remembers of requests ([`coap::Bodies`]).
pub(crate) const BODIES_SEED: &[u8] = b"bodies";

/// The key of what belongs to a device: the first bytes of its name's SHA-256, as a name may be longer than a key.
pub(crate) type DeviceKey = [u8; 16];

/// See [`DeviceKey`].
pub(crate) fn device_key(name: &str) -> DeviceKey {
    let digest = digest(&SHA256, name.as_bytes());
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_has_a_key_of_its_own() {
        assert_ne!(device_key("meter-1"), device_key("meter-2"));
        assert_eq!(device_key("meter-1"), device_key("meter-1"));
    }
}
