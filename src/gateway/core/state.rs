//! What of the sessions is stored, so that they outlive the process: what has changed, and when it is pushed to the store.

mod records;
mod rows;

use super::Core;
use crate::dtls::SessionId;
use crate::gateway::report::StateReport;
use crate::gateway::sessions::Peer;
use crate::relay::Times;
use crate::state::clock::Clock;
use crate::state::kept::Kept;
use crate::state::pending::CROWDED;
use crate::state::report::Restored;
use state_store::Store;
use std::collections::HashSet;
use std::time::Instant;

impl Core {
    /// Something has changed that is stored of a session, on disk or where other gateways find it.
    pub(super) fn session_changed(&mut self, now: Instant, session: SessionId) {
        self.row_changed(session);
        self.add_member(now, session);
        self.member_changed(session);
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
    pub(super) fn row_deleted(&mut self, peer: &Peer) {
        if let (Some(state), Some(kept)) = (&mut self.state, &peer.kept) {
            state.pending.add_deletion(kept.key);
        }
    }

    /// Whether a session outlives the process.
    pub(super) fn is_stored(&self, session: SessionId) -> bool {
        let peer = self.sessions.get(session);
        peer.is_some_and(|peer| peer.kept.is_some()) || self.is_member(session)
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
            return Some(StateReport {
                store,
                restored,
                too_large: 0,
            });
        }
        let state = self.state.as_ref()?;
        Some(StateReport {
            store: state.store.report(),
            restored: state.restored,
            too_large: state.too_large,
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
        let (used, more) = (self.sessions.dtls.used(), self.relays.changed() > 0);
        let mut pending = self.state.as_mut().map(|state| &mut state.pending);
        // Most turns have nothing to push.
        if !(pending.as_mut()).is_some_and(|pending| pending.is_due(now, used, more)) {
            return;
        }
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
