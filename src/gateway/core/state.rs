//! What of the sessions is stored, so that they outlive the process.

use super::Core;
use crate::dtls::SessionId;
use crate::gateway::report::StateReport;
use crate::gateway::sessions::Peer;
use crate::relay::Times;
use crate::state::State;
use crate::state::clock::Clock;
use crate::state::kept::Kept;
use crate::state::pending::{CROWDED, PathChange, RECORDS_PER_TURN, ROWS_PER_TURN};
use crate::state::record::device_key;
use crate::state::report::Restored;
use crate::state::session::{self, Session};
use state_store::{Kind, PutError, Store};
use std::collections::HashSet;
use std::time::Instant;

impl Core {
    /// Something in a session's row has changed. A session that has none gets one, if it is a registered device's.
    pub(super) fn row_changed(&mut self, session: SessionId) {
        let Some(state) = &mut self.state else {
            return;
        };
        let Some(peer) = self.sessions.get(session) else {
            return;
        };
        let can_be_stored = || self.sessions.dtls.export(session).is_some();
        if peer.kept.is_none()
            && peer.device.is_some()
            && can_be_stored()
            && let Some(key) = state.keys.take()
        {
            self.sessions.keep(session, Kept::new(key));
        }
        let peer = self.sessions.get_mut(session);
        if let Some(kept) = peer.and_then(|peer| peer.kept.as_mut())
            && !kept.is_due
        {
            kept.is_due = true;
            state.pending.add_row(session);
        }
    }

    /// A session has ended: its row is deleted.
    pub(super) fn row_ended(&mut self, peer: &Peer) {
        if let (Some(state), Some(kept)) = (&mut self.state, &peer.kept) {
            state.pending.add_deletion(kept.key);
        }
    }

    /// Whether a session outlives the process.
    pub(super) fn is_stored(&self, session: SessionId) -> bool {
        let peer = self.sessions.get(session);
        peer.is_some_and(|peer| peer.kept.is_some())
    }

    /// Sessions are to be stored, and can't be.
    pub(crate) fn nothing_is_stored(&mut self) {
        self.is_state_failing = true;
    }

    /// What there is to say of what is stored. `None`: nothing is to be stored.
    pub(super) fn state_report(&self) -> Option<StateReport> {
        if self.is_state_failing {
            let store = state_store::Report {
                is_failing: true,
                ..state_store::Report::default()
            };
            let restored = Restored::default();
            return Some(StateReport { store, restored });
        }
        let state = self.state.as_ref()?;
        Some(StateReport {
            store: state.store.report(),
            restored: state.restored,
        })
    }

    /// The time, as relays store it.
    pub(super) fn relay_times(&self, now: Instant) -> Times {
        Times {
            now,
            unix: self.clock(now).unix(),
        }
    }

    /// The time, as sessions store it.
    pub(super) fn clock(&self, now: Instant) -> Clock {
        self.latest_time.clock(now, self.unix_time)
    }

    /// Sessions that outlive the process.
    pub(crate) fn stored_sessions(&self) -> usize {
        self.sessions.stored()
    }

    /// When something is to be pushed to the store.
    pub(super) fn state_timeout(&self) -> Option<Instant> {
        let state = self.state.as_ref()?;
        state.pending.next_timeout(self.relays.changed() > 0)
    }

    /// Pushes what is due, of which no more than a turn's share.
    pub(super) fn push_state(&mut self, now: Instant) {
        let Some(mut state) = self.state.take() else {
            return;
        };
        if state.pending.may_push(now) {
            let pushed = self.push_rows(now, &mut state);
            if pushed.is_err() || state.store.report().pending > CROWDED {
                state.pending.pause(now);
            }
        }
        self.push_windows(now, &mut state);
        self.state = Some(state);
    }

    /// Deletes and writes rows, and what belongs to them. An error: the queue is full.
    fn push_rows(&mut self, now: Instant, state: &mut State) -> Result<(), PutError> {
        // Before the rows that name them.
        self.push_paths(state)?;
        for _ in 0..ROWS_PER_TURN {
            let Some(key) = state.pending.pop_deletion() else {
                break;
            };
            if let Err(full) = state.store.delete_session(key.into()) {
                state.pending.add_deletion(key);
                return Err(full.into());
            }
            state.keys.release(key);
        }
        for _ in 0..ROWS_PER_TURN {
            let Some(session) = state.pending.pop_row() else {
                break;
            };
            if let Err(error) = self.push_row(now, session, &state.store, false) {
                match error {
                    PutError::Full(_) => {
                        self.row_is_due_again(session, state);
                        return Err(error);
                    }
                    // It stays in memory.
                    PutError::TooLarge | PutError::Key | PutError::NotStored => {
                        state.too_large = state.too_large.saturating_add(1);
                    }
                }
            }
        }
        self.push_records(now, state)
    }

    fn row_is_due_again(&mut self, session: SessionId, state: &mut State) {
        let peer = self.sessions.get_mut(session);
        if let Some(kept) = peer.and_then(|peer| peer.kept.as_mut()) {
            kept.is_due = true;
            state.pending.add_row(session);
        }
    }

    /// Pushes what changes with each record, of sessions that were used.
    fn push_windows(&mut self, now: Instant, state: &mut State) {
        let used = self.sessions.dtls.used();
        let due = state.pending.windows_due(now, used);
        if due > 0 {
            let unused = self.sessions.dtls.authority_paths().take_unused();
            state
                .pending
                .add_paths(unused.into_iter().map(PathChange::Unused));
        }
        for session in self.sessions.dtls.take_used(due) {
            self.push_window(now, session, state);
        }
    }

    fn push_window(&mut self, now: Instant, session: SessionId, state: &mut State) {
        let clock = self.clock(now);
        let Some(mut kept) = self
            .sessions
            .get_mut(session)
            .and_then(|peer| peer.kept.take())
        else {
            return;
        };
        let mut is_outdated = false;
        if let Some(exported) = self.sessions.dtls.export(session)
            && let Some(peer) = self.sessions.get(session)
        {
            let send_number = exported.association.send_number();
            is_outdated = kept.is_outdated(&exported.path, send_number);
            if !is_outdated {
                let window = session::window(exported.association, &clock, peer.last_received());
                // What the queue refuses, which it counts, is written when the session is used again.
                let _ = (state.store).put_window(kept.key.into(), &kept.numbers, &window);
            }
        }
        let end = kept.send_end(&state.store);
        self.sessions.dtls.set_send_end(session, end);
        if is_outdated && !kept.is_due {
            kept.is_due = true;
            state.pending.add_row(session);
        }
        if let Some(peer) = self.sessions.get_mut(session) {
            peer.kept = Some(kept);
        }
    }

    /// Pushes a session's row.
    fn push_row(
        &mut self,
        now: Instant,
        session: SessionId,
        store: &Store,
        is_final: bool,
    ) -> Result<(), PutError> {
        let Some(mut kept) = self
            .sessions
            .get_mut(session)
            .and_then(|peer| peer.kept.take())
        else {
            return Ok(());
        };
        kept.is_due = false;
        let pushed = self.push_row_of(now, session, &mut kept, store, is_final);
        let end = kept.send_end(store);
        self.sessions.dtls.set_send_end(session, end);
        if let Some(peer) = self.sessions.get_mut(session) {
            peer.kept = Some(kept);
        }
        pushed
    }

    fn push_row_of(
        &mut self,
        now: Instant,
        session: SessionId,
        kept: &mut Kept,
        store: &Store,
        is_final: bool,
    ) -> Result<(), PutError> {
        let clock = self.clock(now);
        let (Some(exported), Some(peer)) = (
            self.sessions.dtls.export(session),
            self.sessions.get(session),
        ) else {
            return Ok(());
        };
        let send_number = exported.association.send_number();
        let path = exported.path;
        let row = Session {
            path,
            association: exported.association,
            client: exported.known_client(peer.certificate),
            endpoint: &peer.endpoint,
            established: peer.since(),
            last_received: peer.last_received(),
        };
        let row = row
            .row(now, &clock, is_final)
            .map_err(|_| PutError::TooLarge)?;
        store.put_session(kept.key.into(), &mut kept.numbers, send_number, row)?;
        kept.pushed(&path, send_number);
        Ok(())
    }

    /// Writes the paths from clients' issuers to trust anchors that are new, and deletes those that no client has any more.
    fn push_paths(&mut self, state: &mut State) -> Result<(), PutError> {
        let changed = self.sessions.dtls.authority_paths().take_changed();
        state
            .pending
            .add_paths(changed.into_iter().map(PathChange::Changed));
        while let Some(change) = state.pending.pop_path() {
            let put = match &change {
                PathChange::Changed(path) => {
                    // Without it, what is too large is not restored.
                    let encoded = path.encoded.clone().unwrap_or_default();
                    (state.store).put_record(Kind::AUTHORITY_PATH, &path.name, encoded.into())
                }
                PathChange::Unused(name) => state.store.delete_record(Kind::AUTHORITY_PATH, name),
            };
            match put {
                Ok(()) => {}
                Err(PutError::Full(_)) => {
                    state.pending.return_path(change);
                    return put;
                }
                Err(_) => state.too_large = state.too_large.saturating_add(1),
            }
        }
        Ok(())
    }

    /// Writes and deletes records of relays that have changed.
    fn push_records(&mut self, now: Instant, state: &mut State) -> Result<(), PutError> {
        let times = self.relay_times(now);
        for _ in 0..RECORDS_PER_TURN {
            // One by one: what is refused ends the turn, and the others are still in the list.
            let Some(device) = self.relays.take_changed() else {
                break;
            };
            let sessions = &self.sessions;
            let key_of = |session| Some(sessions.get(session)?.kept.as_ref()?.key.into());
            let key = device_key(&device);
            let put = match self.relays.export(times, &device, &key_of) {
                Some(export) => state.store.put_record(Kind::RELAY, &key, export.into()),
                None => state.store.delete_record(Kind::RELAY, &key),
            };
            match put {
                Ok(()) => {}
                Err(PutError::Full(_)) => {
                    self.relays.set_changed(&device);
                    return put;
                }
                Err(_) => state.too_large = state.too_large.saturating_add(1),
            }
        }
        Ok(())
    }

    /// Pushes the last rows of sessions that were used since, or have requests to remember, and the last records. Nothing may
    /// be received or sent in stored sessions after it. Returns the store, which is to be stopped.
    pub(crate) fn finish_state(&mut self, now: Instant) -> Option<Store> {
        let mut state = self.state.take()?;
        while let Some(key) = state.pending.pop_deletion() {
            // A row that stays is judged, and deleted, at the next start.
            let _ = state.store.delete_session(key.into());
        }
        let used = self.sessions.dtls.used();
        let mut due: HashSet<SessionId> = self.sessions.dtls.take_used(used).into_iter().collect();
        due.extend(std::iter::from_fn(|| state.pending.pop_row()));
        for session in self.sessions.ids() {
            let peer = self.sessions.get(session);
            let remembers = peer.is_some_and(|peer| peer.endpoint.remembered() > 0);
            if remembers || due.contains(&session) {
                let pushed = self.push_row(now, session, &state.store, true);
                if pushed.is_err() {
                    // Without the requests that it remembers. If that fails as well, an older row is on disk.
                    let _ = self.push_row(now, session, &state.store, false);
                }
            }
        }
        // No more of them than the queue has room for.
        while self.relays.changed() > 0 && self.push_records(now, &mut state).is_ok() {}
        Some(state.store)
    }
}
