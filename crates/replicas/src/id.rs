//! What nodes, sessions and addresses are called.

use std::fmt;
use std::net::SocketAddr;

/// How many nodes there may be at once. Fewer than a byte has, as each renewal of a lease reads the leases of all.
pub const MAX_NODES: u8 = 64;

/// The number of a node: the first byte of the connection IDs that it gives to its devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(pub u8);

/// Who owns a session: a node, and the fencing number that it got with its lease. Another process that gets the same node
/// number later has another fencing number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// The node.
    pub node: Node,
    /// The fencing number.
    pub fence: u64,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node.0, self.fence)
    }
}

/// Names a process: random bytes that it draws when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance(pub [u8; 16]);

/// A process that holds a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its node number and fencing number.
    pub owner: Owner,
    /// Which process it is.
    pub instance: Instance,
    /// Where it receives what other nodes send to it.
    pub address: SocketAddr,
}

/// Names a session in the store: its connection ID. One whose client wants no connection ID has a key of the same form, which
/// is on no wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub [u8; 8]);

impl SessionKey {
    /// The node that made it.
    #[must_use]
    pub const fn node(self) -> Node {
        let [node, ..] = self.0;
        Node(node)
    }
}

/// Names a peer's address in the store: a keyed hash of it, so that the store learns no addresses, and nobody finds two
/// that are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressKey(pub [u8; 8]);

/// Names a device in the store: a keyed hash of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceKey(pub [u8; 8]);

/// By what the session of a datagram is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// By the connection ID in the record (RFC 9146).
    Session(SessionKey),
    /// By the peer's address: a record without connection ID.
    Address(AddressKey),
}
