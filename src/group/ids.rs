//! Connection IDs that all gateways of the group recognise.

use crate::dtls::MakeConnectionId;
use dtls_server::crypto::random::Random;
use replicas::{ConnectionIds, Node, SessionKey};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// No gateway has this number: which one makes the connection ID has none yet, as it could not reach the store.
const NO_NODE: u8 = u8::MAX;

/// Makes connection IDs with the number that this gateway has at that time.
#[derive(Debug, Clone)]
pub(crate) struct GroupIds {
    ids: ConnectionIds,
    node: Arc<AtomicU8>,
}

impl GroupIds {
    pub(super) fn new(ids: ConnectionIds) -> GroupIds {
        GroupIds {
            ids,
            node: Arc::new(AtomicU8::new(NO_NODE)),
        }
    }

    /// This gateway's number from now on.
    pub(crate) fn set_node(&self, node: Option<Node>) {
        let node = node.map_or(NO_NODE, |Node(node)| node);
        self.node.store(node, Ordering::Relaxed);
    }

    /// The session of this connection ID, if a gateway of the group made it.
    pub(crate) fn check(&self, connection_id: &[u8]) -> Option<SessionKey> {
        self.ids.check(connection_id)
    }

    /// A name of this form out of five random bytes.
    pub(crate) fn make_of(&self, random: [u8; 5]) -> SessionKey {
        let node = Node(self.node.load(Ordering::Relaxed));
        self.ids.make(node, random)
    }
}

impl MakeConnectionId for GroupIds {
    fn make(&self, random: &mut dyn Random) -> Option<[u8; 8]> {
        let mut bytes = [0; 5];
        random.fill(&mut bytes).ok()?;
        let SessionKey(id) = self.make_of(bytes);
        Some(id)
    }
}
