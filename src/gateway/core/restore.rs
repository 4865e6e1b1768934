//! The start with a store: stored sessions go on, if a handshake would be accepted now.

use super::Core;
use crate::dtls::{self, ImportError, SessionId};
use crate::gateway::sessions::Peer;
use crate::relay::{Observation, ObservationEnd};
use crate::state::State;
use crate::state::kept::Kept;
use crate::state::keys::Keys;
use crate::state::record::{BODIES_SEED, DeviceKey, SHARED, device_key};
use crate::state::report::{NotRestored, Restored};
use crate::state::session::{Restorable, Stored};
use rustls_pki_types::UnixTime;
use state_store::{DiskError, Event, Kind, Opened, Store, StoredSession};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A store of which sessions were restored.
type Ready = state_store::Restored;

/// How many changes may wait for the disk: for each session a row, what is beside it, and its device's relay. So none is refused.
fn store_settings(sessions: usize) -> state_store::Settings {
    state_store::Settings::new(sessions.saturating_mul(3).saturating_add(1024))
}

impl Core {
    /// Goes on with what is stored, and stores from now on. The wall clock must be set. `window`: how often receive windows are
    /// stored. `on_event` is called by another thread.
    ///
    /// # Errors
    /// The disk fails. Nothing of this core must be used then.
    pub(crate) fn restore(
        &mut self,
        now: Instant,
        mut opened: Opened,
        window: Duration,
        on_event: impl FnMut(Event) + Send + 'static,
    ) -> Result<Restored, DiskError> {
        self.sessions.dtls.list_changes();
        self.relays.remember_changes();
        let seed = self.restore_shared(&mut opened)?;
        let (mut restored, mut keys) = (Restored::default(), HashMap::new());
        let mut ready = opened.restore(|stored| match self.restore_session(now, stored) {
            Ok((key, session)) => {
                keys.insert(key, session);
                true
            }
            Err(why) => {
                restored.count_not(why);
                false
            }
        })?;
        self.restore_relays(now, &mut ready, &keys)?;
        let store = ready.start(store_settings(self.settings.dtls.sessions), on_event)?;
        // The queue is empty.
        let _ = store.put_record(SHARED, BODIES_SEED, seed.to_be_bytes().to_vec().into());

        restored.sessions = u64::try_from(self.sessions.stored()).unwrap_or(u64::MAX);
        self.store_from_now_on(now, store, window, restored, &keys);
        self.end_unrelayed(now, keys.into_values());
        Ok(restored)
    }

    /// What all sessions share: paths of certificates, and the seed by which an endpoint knows a request again.
    fn restore_shared(&mut self, opened: &mut Opened) -> Result<u64, DiskError> {
        let paths = self.sessions.dtls.authority_paths();
        opened.restore_records(Kind::AUTHORITY_PATH, |_, path| {
            paths.insert_encoded(&path).is_some()
        })?;
        let mut seed = None;
        opened.restore_records(SHARED, |key, value| {
            let value = value.as_slice().try_into().map(u64::from_be_bytes);
            seed = seed.or(value.ok().filter(|_| key == BODIES_SEED));
            true
        })?;
        let seed = seed.unwrap_or_else(|| self.random.u64(..));
        self.bodies = coap::Bodies::new(self.settings.coap.body_bytes, seed);
        Ok(seed)
    }

    /// Relays of devices that are registered. `keys`: the sessions by the keys of their rows.
    fn restore_relays(
        &mut self,
        now: Instant,
        ready: &mut Ready,
        keys: &HashMap<u32, SessionId>,
    ) -> Result<(), DiskError> {
        let times = self.relay_times(now);
        let devices: HashMap<_, _> = (self.registry.devices())
            .map(|device| (device_key(&device.name), device))
            .collect();
        let (sessions, relays) = (&self.sessions, &mut self.relays);
        ready.restore_records(Kind::RELAY, |key, relay| {
            let Some(device) = key
                .try_into()
                .ok()
                .and_then(|key: DeviceKey| devices.get(&key))
            else {
                return false;
            };
            let session_of = |key: u64, id| {
                let session = *keys.get(&u32::try_from(key).ok()?)?;
                let peer = sessions.get(session)?;
                let mut relations = peer.endpoint.relations();
                let is_its = peer.name() == &*device.name && relations.any(|(its, _)| its == id);
                is_its.then_some(session)
            };
            relays.restore(times, device, &relay, &session_of).is_ok()
        })
    }

    /// Stores what changes from now on. All rows are written again: an endpoint that came out of a row must not come out of the
    /// same row once more, or it would use Message IDs twice.
    fn store_from_now_on(
        &mut self,
        now: Instant,
        store: Store,
        window: Duration,
        restored: Restored,
        keys: &HashMap<u32, SessionId>,
    ) {
        for session in keys.values() {
            // Before anything is sent: which record numbers it may use.
            if let Some(kept) = self.take_kept(*session) {
                self.return_kept(*session, kept, &store);
            }
        }
        let in_use = Keys::besides(keys.keys().copied().collect());
        self.state = Some(State::new(now, store, in_use, window, restored));
        for (key, session) in keys {
            self.row_changed(*session);
            if let (false, Some(state)) = (self.is_stored(*session), &mut self.state) {
                // It was displaced by another one since.
                state.pending.add_deletion(*key);
            }
        }
    }

    /// Ends observations of which the relay does not know: it was not stored yet, or its row is too large. The device registers
    /// again.
    pub(super) fn end_unrelayed(
        &mut self,
        now: Instant,
        sessions: impl Iterator<Item = SessionId>,
    ) {
        for session in sessions {
            let Some(peer) = self.sessions.get(session) else {
                continue;
            };
            let name = peer.name();
            let observations = peer.endpoint.relations();
            let unknown: Vec<_> = observations
                .map(|(id, _)| Observation { session, id })
                .filter(|observation| !self.relays.observes(name, *observation))
                .collect();
            for observation in unknown {
                self.end_observation(now, observation, ObservationEnd::NotRestored);
            }
        }
        self.settle(now);
    }

    /// Goes on with a stored session. Its key comes with it.
    fn restore_session(
        &mut self,
        now: Instant,
        stored: StoredSession,
    ) -> Result<(u32, SessionId), NotRestored> {
        let key = u32::try_from(stored.key).map_err(|_| NotRestored::Unreadable)?;
        let session = self.go_on(
            now,
            &Stored {
                row: &stored.row,
                window: stored.window.as_ref().map(|window| window.as_slice()),
                first_send_number: stored.first_send_number,
            },
            false,
        )?;
        self.sessions
            .keep(session, Kept::restored(key, stored.numbers));
        Ok((key, session))
    }

    /// Goes on with a session of which this is stored, if a handshake would be accepted now. `by_another`: another gateway had it, and
    /// our address in the row is its own.
    pub(super) fn go_on(
        &mut self,
        now: Instant,
        stored: &Stored<'_>,
        by_another: bool,
    ) -> Result<SessionId, NotRestored> {
        let clock = self.clock(now);
        let paths = self.sessions.dtls.authority_paths();
        let stored = Restorable::read(&clock, now, stored, paths);
        let mut stored = stored.ok_or(NotRestored::Unreadable)?;
        if by_another {
            stored.path.local = None;
        }
        let device = self.registry.find(&stored.client.id).cloned();
        let device = device.ok_or(NotRestored::NotRegistered)?;
        self.latest_time.learn(now, stored.received_at);
        // Of a clock that is not set this is better than nothing.
        let time = UnixTime::since_unix_epoch(Duration::from_secs(self.clock(now).unix()));
        let judged = (self.sessions.dtls).judge(&stored.client, time);
        judged.map_err(|_| NotRestored::NotAccepted)?;

        let left = self
            .settings
            .dtls
            .session_idle
            .checked_sub(stored.silent_for);
        let deadline = now + left.ok_or(NotRestored::Idle)?;
        let (path, certificate) = (stored.path, stored.client.id);
        let imported =
            self.sessions
                .dtls
                .import(now, path, stored.association, stored.client, deadline);
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
        self.tap.send(|| self.established(session, path, "1.2"));
        self.make_room(admission);
        Ok(session)
    }
}
