//! Which session or handshake a datagram belongs to: by connection ID (RFC 9146) or by path.
//!
//! A record with a connection ID goes by that alone; every other record goes by the path on which it came. A path has at most
//! one established session and one handshake whose address is proven. Unproven handshakes (DTLS 1.3 only) are distinguished
//! by path and client random.

mod by_path;

use super::handshakes::HandshakeId;
use super::path::{Path, SessionId};
use super::sessions::Sessions;
use by_path::ByPath;
use dtls_server::crypto::random::Random;
use std::collections::HashMap;

/// The first byte of connection IDs, unless they are [made otherwise](Index::set_connection_ids): there it is the number of a gateway.
const NODE: u8 = 0;
/// Random connection IDs that are tried until one is free.
const ATTEMPTS: usize = 16;

/// Makes connection IDs in another form than this room's.
pub trait MakeConnectionId: Send {
    /// A connection ID. `None`: there are no random bytes.
    fn make(&self, random: &mut dyn Random) -> Option<[u8; 8]>;
}

/// A connection ID of ours, filled with zeros behind its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ConnectionId([u8; 8]);

impl ConnectionId {
    /// `None`: it is longer than any of ours, or empty.
    pub(super) fn new(bytes: &[u8]) -> Option<ConnectionId> {
        let mut id = [0; 8];
        id.get_mut(..bytes.len())?.copy_from_slice(bytes);
        (!bytes.is_empty()).then_some(ConnectionId(id))
    }
}

/// The handshakes of one path.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct HalfOpen {
    pub(super) proven: Option<HandshakeId>,
    /// The newest. Later fragments of a ClientHello go there, because they don't contain its random.
    pub(super) unproven: Option<HandshakeId>,
}

/// All paths and connection IDs.
pub(super) struct Index {
    /// Bytes of a connection ID; 0: there are none.
    length: usize,
    maker: Option<Box<dyn MakeConnectionId>>,
    established: ByPath,
    half_open: HashMap<Path, HalfOpen>,
    /// Unproven handshakes by path and client random.
    hellos: HashMap<(Path, [u8; 32]), HandshakeId>,
    connection_ids: HashMap<ConnectionId, SessionId>,
    /// Connection IDs of handshakes.
    reserved: HashMap<ConnectionId, HandshakeId>,
}

impl Index {
    pub(super) fn new(connection_id_length: u8) -> Index {
        Index {
            length: usize::from(connection_id_length),
            maker: None,
            established: ByPath::default(),
            half_open: HashMap::new(),
            hellos: HashMap::new(),
            connection_ids: HashMap::new(),
            reserved: HashMap::new(),
        }
    }

    /// Connection IDs are made by this from now on, if they have eight bytes: handshakes can't read those of another length than is
    /// configured.
    pub(super) fn set_connection_ids(&mut self, maker: Box<dyn MakeConnectionId>) {
        self.maker = (self.length == 8).then_some(maker);
    }

    /// Bytes of a connection ID; 0: there are none.
    pub(super) fn connection_id_length(&self) -> usize {
        self.length
    }

    /// A connection ID that no session or handshake has. Behind the node it is random, so that nobody can enumerate them.
    /// `Some` of nothing: connection IDs are off. `None`: none is free, or there are no random bytes.
    pub(super) fn new_connection_id(&self, random: &mut dyn Random) -> Option<Vec<u8>> {
        if self.length == 0 {
            return Some(Vec::new());
        }
        (0..ATTEMPTS).find_map(|_| {
            let bytes = match &self.maker {
                Some(maker) => maker.make(random)?.to_vec(),
                None => {
                    let mut bytes = vec![0; self.length];
                    let (node, rest) = bytes.split_first_mut()?;
                    *node = NODE;
                    random.fill(rest).ok()?;
                    bytes
                }
            };
            let id = ConnectionId::new(&bytes)?;
            let is_free =
                !self.connection_ids.contains_key(&id) && !self.reserved.contains_key(&id);
            is_free.then_some(bytes)
        })
    }

    /// The session with this connection ID.
    pub(super) fn session_with(&self, connection_id: &[u8]) -> Option<SessionId> {
        self.connection_ids
            .get(&ConnectionId::new(connection_id)?)
            .copied()
    }

    /// The handshake with this connection ID.
    pub(super) fn handshake_with(&self, connection_id: &[u8]) -> Option<HandshakeId> {
        self.reserved
            .get(&ConnectionId::new(connection_id)?)
            .copied()
    }

    /// The established session on this path.
    pub(super) fn established<T>(&self, path: Path, sessions: &Sessions<T>) -> Option<SessionId> {
        self.established.get(path, |id| sessions.path(id))
    }

    pub(super) fn half_open(&self, path: Path) -> HalfOpen {
        self.half_open.get(&path).copied().unwrap_or_default()
    }

    /// The unproven handshake that began with this random.
    pub(super) fn unproven(&self, path: Path, random: &[u8; 32]) -> Option<HandshakeId> {
        self.hellos.get(&(path, *random)).copied()
    }

    /// Adds an unproven handshake.
    pub(super) fn add_unproven(&mut self, path: Path, random: [u8; 32], id: HandshakeId) {
        self.half_open.entry(path).or_default().unproven = Some(id);
        self.hellos.insert((path, random), id);
    }

    /// Adds a handshake whose address is proven. Returns the one whose place it takes.
    pub(super) fn add_proven(
        &mut self,
        path: Path,
        connection_id: &[u8],
        id: HandshakeId,
    ) -> Option<HandshakeId> {
        if let Some(connection_id) = ConnectionId::new(connection_id) {
            self.reserved.insert(connection_id, id);
        }
        self.half_open.entry(path).or_default().proven.replace(id)
    }

    /// Removes a handshake.
    pub(super) fn remove_handshake(
        &mut self,
        path: Path,
        random: &[u8; 32],
        connection_id: &[u8],
        id: HandshakeId,
    ) {
        if self.hellos.get(&(path, *random)) == Some(&id) {
            self.hellos.remove(&(path, *random));
        }
        if let Some(connection_id) = ConnectionId::new(connection_id) {
            self.reserved.remove(&connection_id);
        }
        if let Some(half_open) = self.half_open.get_mut(&path) {
            half_open.proven = half_open.proven.filter(|there| *there != id);
            half_open.unproven = half_open.unproven.filter(|there| *there != id);
            if half_open.proven.is_none() && half_open.unproven.is_none() {
                self.half_open.remove(&path);
            }
        }
    }

    /// Adds an established session. On its path it takes the place of any other.
    pub(super) fn add_session<T>(
        &mut self,
        path: Path,
        connection_id: &[u8],
        id: SessionId,
        sessions: &Sessions<T>,
    ) {
        self.established.insert(path, id, |id| sessions.path(id));
        if let Some(connection_id) = ConnectionId::new(connection_id) {
            self.connection_ids.insert(connection_id, id);
        }
    }

    /// Changes the path of a session with a connection ID. `keeps`: a session that can be found by its path alone, if there is
    /// one on the new path.
    pub(super) fn move_session<T>(
        &mut self,
        from: Path,
        to: Path,
        id: SessionId,
        keeps: Option<SessionId>,
        sessions: &Sessions<T>,
    ) {
        self.established.remove(from, id);
        let id = keeps.unwrap_or(id);
        self.established.insert(to, id, |id| sessions.path(id));
    }

    /// Removes an established session.
    pub(super) fn remove_session(&mut self, path: Path, connection_id: &[u8], id: SessionId) {
        self.established.remove(path, id);
        if let Some(connection_id) = ConnectionId::new(connection_id) {
            self.connection_ids.remove(&connection_id);
        }
    }

    /// Paths and connection IDs, for tests of their bounds.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> [usize; 5] {
        [
            self.established.len(),
            self.half_open.len(),
            self.hellos.len(),
            self.connection_ids.len(),
            self.reserved.len(),
        ]
    }
}
