//! The start with a store: stored sessions go on, if a handshake would be accepted now.

use super::Core;
use crate::credentials::KnownClient;
use crate::dtls::{self, ImportError, SessionId};
use crate::gateway::sessions::Peer;
use crate::relay::RelayId;
use crate::state::clock::Clock;
use crate::state::keys::Keys;
use crate::state::kept::Kept;
use crate::state::record::Record;
use crate::state::report::{NotRestored, Restored};
use crate::state::session::Restorable;
use crate::state::State;
use state_store::{Event, Opened, RestoreError, StoredSession};
use std::collections::HashMap;
use std::time::{Duration, Instant};

impl Core {
    /// Goes on with what is stored, and stores from now on. The wall clock must be set. `window`: how old a stored receive
    /// window may be. `on_event` is called by another thread.
    ///
    /// # Errors
    /// The disk fails. Some sessions may be there all the same, which must not be used.
    pub(crate) fn restore(
        &mut self,
        now: Instant,
        opened: Opened,
        window: Duration,
        on_event: impl FnMut(Event) + Send + 'static,
    ) -> Result<(), RestoreError> {
        let clock = Clock::new(now, self.unix_time);
        let (mut restored, mut keys, mut relays) = (Restored::default(), HashMap::new(), Vec::new());
        todo!()
    }

    fn restore_session(
        &mut self,
        now: Instant,
        clock: &Clock,
        stored: StoredSession,
    ) -> Result<(u32, SessionId), NotRestored> {
        let decode = |client: &[u8]| self.sessions.dtls.decode_client(client);
        let stored = Restorable::read(clock, now, stored, decode).ok_or(NotRestored::Unreadable)?;
        let device = self.registry.find(&stored.client.id).cloned();
        let device = device.ok_or(NotRestored::NotRegistered)?;
        let judged = self.sessions.dtls.judge(&stored.client);
        judged.map_err(|_| NotRestored::NotAccepted)?;

        let left = self.settings.dtls.session_idle.checked_sub(stored.silent_for);
        let deadline = now + left.ok_or(NotRestored::Idle)?;
        let (path, certificate) = (stored.path, stored.client.id);
        let imported = self.sessions.dtls.import(
            now,
            path,
            stored.association,
            stored.client,
            deadline,
        );
        let session = imported.map_err(|error| match error {
            ImportError::Idle => NotRestored::Idle,
            ImportError::NotAllowed | ImportError::ConnectionIdLength => NotRestored::NotAllowed,
            ImportError::InUse | ImportError::Full => NotRestored::NoRoom,
        })?;
        while let Some(event) = self.sessions.dtls.poll_event() {
            // Its handshake was counted by another process.
            if !matches!(event, dtls::Event::Established { .. }) {
                self.handle_dtls_event(now, event);
            }
        }
        self.sessions.dtls.mark_registered(now, session);
        let (device, endpoint) = (Some(device), stored.endpoint);
        let mut peer = Peer::new(session, path, certificate, device, endpoint, "1.2", now);
        peer.set_times(stored.established, stored.last_received);
        let admission = self.sessions.admit(peer, self.review.registry_version());
        self.sessions.keep(session, Kept::restored(stored.key, stored.numbers));
        self.tap.send(|| self.established(session, path, "1.2"));
        self.make_room(admission);
        Ok((stored.key, session))
    }
}
