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
    }

    /// Something waits until it is proven that a session's peer receives at its new address. That it replies to a ping proves
    /// it, as far as its requests don't.
    pub(super) fn prove_path(&mut self, now: Instant, session: SessionId) {
        self.with_endpoint(now, session, |endpoint, context, outputs| {
            endpoint.ping(now, context, outputs);
        });
    }

    /// A session's peer receives what is sent to its new address.
    pub(super) fn path_confirmed(&mut self, session: SessionId) {
        self.sessions.dtls.confirm_path(session);
    }
}

#[cfg(test)]
mod tests;
