//! What of the sessions is stored, so that they outlive the process.

use super::Core;
use crate::dtls::SessionId;
use crate::gateway::sessions::Peer;
use crate::state::State;
use crate::state::clock::Clock;
use crate::state::kept::Kept;
use crate::state::pending::{CROWDED, ROWS_PER_TURN};
use crate::state::session::{self, Session};
use state_store::{PutError, Store};
use std::collections::HashSet;
use std::time::Instant;

impl Core {
    /// Stores sessions from now on.
    pub(super) fn attach_state(&mut self, state: State) {
        self.sessions.dtls.list_changes();
        self.relays.note_changed();
        self.state = Some(state);
    }

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

    /// When something is to be pushed to the store.
    pub(super) fn state_timeout(&self) -> Option<Instant> {
        let state = self.state.as_ref()?;
        state.pending.next_timeout(self.relays.has_changed())
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

    /// Deletes and writes rows. An error: the queue is full.
    fn push_rows(&mut self, now: Instant, state: &mut State) -> Result<(), PutError> {
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
                    PutError::TooLarge | PutError::NotStored => self.counters.rows_refused += 1,
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
        for session in self.sessions.dtls.take_used(due) {
            self.push_window(now, session, state);
        }
    }

    fn push_window(&mut self, now: Instant, session: SessionId, state: &mut State) {
        let clock = Clock::new(now, self.unix_time);
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
                let put = state
                    .store
                    .put_window(kept.key.into(), &kept.numbers, window.into());
                // What the queue refuses is written when the session is used again.
                self.counters.rows_refused += u64::from(put.is_err());
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
        let clock = Clock::new(now, self.unix_time);
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
                self.counters.rows_refused += u64::from(pushed.is_err());
            }
        }
        let _ = self.push_records(now, &mut state);
        Some(state.store)
    }
}
