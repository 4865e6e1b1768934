//! The secret that all nodes of a group share, and the keys that are derived from it.

use crate::id::{AddressKey, DeviceKey, Instance, Node, SessionKey};
use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use zeroize::Zeroizing;

/// The secret of a group. What nodes send to one another, the rows in the store, connection IDs and the names of
/// addresses all depend on it; each use has a key of its own.
#[derive(Clone)]
pub struct GroupSecret(Zeroizing<[u8; 32]>);

impl fmt::Debug for GroupSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupSecret(…)")
    }
}

impl GroupSecret {
    /// 32 random bytes, the same for each node.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> GroupSecret {
        GroupSecret(Zeroizing::new(bytes))
    }

    fn derive(&self, salt: &[u8], purpose: &[u8]) -> Option<LessSafeKey> {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(self.0.as_slice());
        let purpose = [purpose];
        let derived = secret.expand(&purpose, &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(derived)))
    }

    /// The key of the rows that one process writes. `None`: the cryptographic library fails.
    pub(crate) fn row_key(&self, writer: Instance) -> Option<LessSafeKey> {
        self.derive(&writer.0, b"coaps-gateway replica rows")
    }

    /// The key of what one process sends to another.
    pub(crate) fn hop_key(&self, from: Instance, to: Instance) -> Option<LessSafeKey> {
        let pair = [from.0, to.0].concat();
        self.derive(&pair, b"coaps-gateway replica hop")
    }

    fn mac_key(&self, purpose: &[u8]) -> hmac::Key {
        // The secret itself is a key of HKDF-SHA-256, so this is not it.
        let secret = Zeroizing::new([purpose, self.0.as_slice()].concat());
        hmac::Key::new(hmac::HMAC_SHA256, &secret)
    }

    /// Makes and checks connection IDs.
    #[must_use]
    pub fn connection_ids(&self) -> ConnectionIds {
        ConnectionIds(self.mac_key(b"coaps-gateway replica connection ids"))
    }

    /// Names devices.
    #[must_use]
    pub fn devices(&self) -> Devices {
        Devices(self.mac_key(b"coaps-gateway replica devices"))
    }

    /// What all nodes of the group draw alike.
    #[must_use]
    pub fn seed(&self) -> u64 {
        let tag = hmac::sign(&self.mac_key(b"coaps-gateway replica seed"), b"");
        (tag.as_ref().first_chunk()).map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// Names addresses.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        Addresses(self.mac_key(b"coaps-gateway replica addresses"))
    }
}

/// Connection IDs that any node of the group recognises as one of the group: node (1) ‖ random (5) ‖ tag (2).
///
/// So a datagram with an invented connection ID is dropped without a call of the store, all but one of 65,536. Who has seen an
/// authentic one can repeat it; the answer to the first such call is remembered.
#[derive(Clone)]
pub struct ConnectionIds(hmac::Key);

impl fmt::Debug for ConnectionIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionIds(…)")
    }
}

impl ConnectionIds {
    /// A connection ID of this node.
    #[must_use]
    pub fn make(&self, node: Node, random: [u8; 5]) -> SessionKey {
        let [a, b, c, d, e] = random;
        let [x, y] = self.tag([node.0, a, b, c, d, e]);
        SessionKey([node.0, a, b, c, d, e, x, y])
    }

    /// The session with this connection ID, if a node of the group made it.
    #[must_use]
    pub fn check(&self, connection_id: &[u8]) -> Option<SessionKey> {
        let bytes: [u8; 8] = connection_id.try_into().ok()?;
        let [node, a, b, c, d, e, x, y] = bytes;
        (self.tag([node, a, b, c, d, e]) == [x, y]).then_some(SessionKey(bytes))
    }

    fn tag(&self, front: [u8; 6]) -> [u8; 2] {
        let tag = hmac::sign(&self.0, &front);
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }
}

/// Names devices: HMAC-SHA-256, shortened to eight bytes.
#[derive(Clone)]
pub struct Devices(hmac::Key);

impl fmt::Debug for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Devices(…)")
    }
}

impl Devices {
    /// The name of a device.
    #[must_use]
    pub fn name(&self, device: &str) -> DeviceKey {
        let name = hmac::sign(&self.0, device.as_bytes());
        DeviceKey(name.as_ref().first_chunk().copied().unwrap_or_default())
    }
}

/// Names addresses: HMAC-SHA-256, shortened to eight bytes.
#[derive(Clone)]
pub struct Addresses(hmac::Key);

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Addresses(…)")
    }
}

impl Addresses {
    /// The name of a peer's address. Our own is not part of it: each node has another one behind a balancer.
    #[must_use]
    pub fn name(&self, remote: SocketAddr) -> AddressKey {
        let mut bytes = Vec::with_capacity(18);
        match remote.ip().to_canonical() {
            IpAddr::V4(address) => bytes.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => bytes.extend_from_slice(&address.octets()),
        }
        bytes.extend_from_slice(&remote.port().to_be_bytes());
        let name = hmac::sign(&self.0, &bytes);
        AddressKey(name.as_ref().first_chunk().copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
