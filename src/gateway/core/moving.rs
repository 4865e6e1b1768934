//! Devices whose address changes under their session, as a NAT does that forgets a port.

use super::Core;
use crate::dtls::{Path, SessionId};

impl Core {
    /// A session's peer has another address. Observations and open requests go on there.
    #[expect(dead_code, reason = "no session has a connection ID yet")]
    pub(super) fn moved(&mut self, session: SessionId, path: Path) {
        if let Some(peer) = self.sessions.get(session) {
            self.journal.moved(peer, path);
        }
        self.sessions.moved(session, path);
    }

    /// A session's peer receives what is sent to its new address.
    pub(super) fn path_confirmed(&mut self, session: SessionId) {
        // No session has a connection ID yet, so none has another address.
        let _ = session;
    }
}
