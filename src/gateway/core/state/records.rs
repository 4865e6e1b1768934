//! What belongs to a device, or to many, on its way to the store.

use super::Core;
use crate::state::State;
use crate::state::pending::{PathChange, RECORDS_PER_TURN};
use crate::state::record::device_key;
use state_store::{Kind, PutError};
use std::time::Instant;

impl Core {
    /// Writes the paths from clients' issuers to trust anchors that are new, and deletes those that no client has any more.
    pub(super) fn push_paths(&mut self, state: &mut State) -> Result<(), PutError> {
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
    pub(super) fn push_records(&mut self, now: Instant, state: &mut State) -> Result<(), PutError> {
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
}
