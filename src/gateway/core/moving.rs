//! Devices whose address changes under their session, as a NAT does that forgets a port.

use super::Core;
use crate::dtls::{Path, SessionId};
use std::time::Instant;

impl Core {
    /// A session's peer has another address. Observations and open requests go on there.
    pub(super) fn moved(&mut self, session: SessionId, path: Path) {
        if let Some(peer) = self.sessions.get(session) {
            self.journal.moved(peer, path);
        }
        self.sessions.moved(session, path);
        self.member_moved(session, path);
    }

    /// If something waits until it is proven that a session's peer receives at its new address, sends a ping there, unless
    /// one is outstanding. The answer proves it.
    pub(super) fn prove_path(&mut self, now: Instant, session: SessionId) {
        if !self.sessions.dtls.awaits_confirmation(session) {
            return;
        }
        let peer = self.sessions.get(session);
        if peer.is_some_and(|peer| peer.endpoint.can_prove_path(now)) {
            self.with_endpoint(now, session, |endpoint, context, outputs| {
                endpoint.prove_path(now, context, outputs);
            });
        }
    }

    /// Whether the address of a session's peer is not proven.
    #[cfg(test)]
    pub(crate) fn is_path_unproven(&self, session: SessionId) -> bool {
        self.sessions.dtls.is_path_unproven(session)
    }

    /// The addresses of all sessions' peers.
    #[cfg(test)]
    pub(crate) fn peer_addresses(&self) -> Vec<std::net::SocketAddr> {
        let ids = self.sessions.ids().into_iter();
        ids.filter_map(|id| Some(self.sessions.get(id)?.remote()))
            .collect()
    }
}

#[cfg(test)]
mod tests;
