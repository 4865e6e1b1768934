//! Rows of sessions, and what is beside them, on their way to the store.

use super::Core;
use crate::dtls::SessionId;
use crate::state::State;
use crate::state::kept::Kept;
use crate::state::pending::{PathChange, ROWS_PER_TURN};
use crate::state::session::{self, Session};
use state_store::{PutError, Store};
use std::time::Instant;

impl Core {
    /// Deletes and writes rows, and what belongs to them. An error: the queue is full.
    pub(super) fn push_rows(&mut self, now: Instant, state: &mut State) -> Result<(), PutError> {
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
                        state.too_large = state.too_large.saturating_add(1)
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
    pub(super) fn push_windows(&mut self, now: Instant, state: &mut State) {
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
        let Some(mut kept) = self.take_kept(session) else {
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
        if is_outdated && !kept.is_due {
            kept.is_due = true;
            state.pending.add_row(session);
        }
        self.return_kept(session, kept, &state.store);
    }

    pub(in crate::gateway::core) fn take_kept(&mut self, session: SessionId) -> Option<Box<Kept>> {
        self.sessions.get_mut(session)?.kept.take()
    }

    /// Also sets which record numbers the session may use, as far as its rows are on disk by now.
    pub(in crate::gateway::core) fn return_kept(
        &mut self,
        session: SessionId,
        mut kept: Box<Kept>,
        store: &Store,
    ) {
        let end = kept.send_end(store);
        self.sessions.dtls.set_send_end(session, end);
        if let Some(peer) = self.sessions.get_mut(session) {
            peer.kept = Some(kept);
        }
    }

    /// Pushes a session's row.
    pub(super) fn push_row(
        &mut self,
        now: Instant,
        session: SessionId,
        store: &Store,
        is_final: bool,
    ) -> Result<(), PutError> {
        let Some(mut kept) = self.take_kept(session) else {
            return Ok(());
        };
        kept.is_due = false;
        let pushed = self.push_row_of(now, session, &mut kept, store, is_final);
        self.return_kept(session, kept, store);
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
        let extent = match is_final {
            true => coap::Extent::Final,
            false => coap::Extent::Running,
        };
        let row = row
            .row(now, &clock, extent)
            .map_err(|_| PutError::TooLarge)?;
        store.put_session(kept.key.into(), &mut kept.numbers, send_number, row)?;
        kept.pushed(&path, send_number);
        Ok(())
    }
}
