//! Rows of members: when they are written, and what waits for them.

use super::super::Core;
use crate::dtls::SessionId;
use crate::group::row::GroupRow;
use crate::state::session::Session;
use replicas::{SaveId, SessionKey};
use std::time::Instant;
use zeroize::Zeroizing;

/// Rows written in one turn of the loop.
const ROWS_PER_TURN: usize = 128;

impl Core {
    /// Something in a member's row has changed.
    pub(in crate::gateway::core) fn member_changed(&mut self, session: SessionId) {
        if let Some(group) = &mut self.group {
            group.members.is_due(session);
        }
    }

    /// A request of this session that ThingsBoard has got is about to be answered: the answer waits for the row.
    pub(in crate::gateway::core) fn hold_responses(&mut self, now: Instant, session: SessionId) {
        if let Some(group) = &mut self.group
            && let Some(member) = group.members.get(session)
            && group.replica.serves(now, member.key)
        {
            group.members.hold(session);
        }
    }

    /// Holds a message back, or drops it, if it must not leave now. Returns it otherwise.
    pub(in crate::gateway::core) fn hold_back(
        &mut self,
        now: Instant,
        session: SessionId,
        message: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let Some(group) = &mut self.group else {
            return Some(message);
        };
        let Some(member) = group.members.get(session) else {
            return Some(message);
        };
        if !group.replica.serves(now, member.key) {
            // Another gateway may serve it by now. The device sends again, or this gateway does.
            group.refused.not_served = group.refused.not_served.saturating_add(1);
            group.replica.confirm(now, member.key);
            return None;
        }
        let Some(held) = group.members.held_mut(session) else {
            return Some(message);
        };
        if !held.push(message) {
            group.refused.held = group.refused.held.saturating_add(1);
        }
        None
    }

    /// Whether anything may be sent in a session: another gateway may serve it by now.
    pub(in crate::gateway::core) fn may_send(&self, now: Instant, session: SessionId) -> bool {
        let Some(group) = &self.group else {
            return true;
        };
        let member = group.members.get(session);
        member.is_none_or(|member| group.replica.serves(now, member.key))
    }

    /// Writes rows that are due.
    pub(super) fn push_group_rows(&mut self, now: Instant) {
        self.push_used(now);
        self.push_relays();
        for _ in 0..ROWS_PER_TURN {
            let Some(group) = &mut self.group else {
                return;
            };
            let Some(session) = group.members.pop_due() else {
                return;
            };
            self.push_group_row(now, session);
        }
    }

    /// Once in the window, all sessions that were used since.
    fn push_used(&mut self, now: Instant) {
        let used = self.sessions.dtls.used();
        let Some(group) = &mut self.group else {
            return;
        };
        if used == 0 {
            // Those that were used have ended.
            group.window_at = None;
            return;
        }
        let at = *group.window_at.get_or_insert(now + group.window);
        if at <= now || group.is_stopping {
            group.window_at = None;
            for session in self.sessions.dtls.take_used(used) {
                group.members.is_due(session);
            }
        }
    }

    /// Rows of devices whose relay has changed.
    fn push_relays(&mut self) {
        let Some(group) = &mut self.group else {
            return;
        };
        for _ in 0..ROWS_PER_TURN {
            let Some(device) = self.relays.take_changed() else {
                break;
            };
            for session in self.sessions.of_device(&device) {
                group.members.is_due(*session);
            }
        }
    }

    fn push_group_row(&mut self, now: Instant, session: SessionId) {
        let Some(group) = &self.group else {
            return;
        };
        let Some(key) = group.members.get(session).map(|member| member.key) else {
            return;
        };
        let row = self.group_row(now, session);
        let observes =
            (self.sessions.get(session)).is_some_and(|peer| peer.endpoint.observations() > 0);
        let next =
            (self.sessions.dtls.export(session)).map(|exported| exported.association.send_number());
        let Some(group) = &mut self.group else {
            return;
        };
        let (Some(row), Some(next)) = (row, next) else {
            group.refused.too_large = group.refused.too_large.saturating_add(1);
            // No row will ever have what waits.
            let released = group.members.release(session);
            return self.send_released(now, session, released);
        };
        group.replica.set_observes(key, observes);
        group.replica.used(key, next);
        let save = group.replica.store(now, key, &row);
        if let Some(held) = group.members.held_mut(session) {
            held.saving(save);
        }
        self.set_send_numbers(session, key);
    }

    /// A row as it is now.
    fn group_row(&self, now: Instant, session: SessionId) -> Option<Zeroizing<Vec<u8>>> {
        let group = self.group.as_ref()?;
        let peer = self.sessions.get(session)?;
        let exported = self.sessions.dtls.export(session)?;
        let client = exported.known_client(peer.certificate);
        let authority_path = client.encoded_path().unwrap_or_default();
        let row = Session {
            path: exported.path,
            association: exported.association,
            client,
            endpoint: &peer.endpoint,
            established: peer.since(),
            last_received: peer.last_received(),
        };
        // With the requests that it remembers: another gateway must not forward them again.
        let extent = match group.is_stopping {
            true => coap::Extent::Final,
            false => coap::Extent::WithMessages,
        };
        let row = row.row(now, &self.clock(now), extent).ok()?;
        let key_of = |session| {
            let member = group.members.get(session)?;
            Some(u64::from_be_bytes(member.key.0))
        };
        let times = self.relay_times(now);
        let relay = (self.relays).export(times, peer.name(), &key_of);
        GroupRow {
            session: &row,
            authority_path: &authority_path,
            relay: relay.as_deref().unwrap_or_default(),
        }
        .encode()
    }

    /// Sets which record numbers a session may use, as far as the store has given them to it.
    pub(super) fn set_send_numbers(&mut self, session: SessionId, key: SessionKey) {
        if let Some(group) = &self.group
            && let Some(numbers) = group.replica.numbers(key)
        {
            (self.sessions.dtls).set_send_numbers(session, numbers.end, numbers.next_block);
        }
    }

    /// A row is in the store, or it can't be written now: the session is served all the same.
    pub(super) fn row_ended(
        &mut self,
        now: Instant,
        key: SessionKey,
        save: SaveId,
        is_saved: bool,
    ) {
        let Some(group) = &mut self.group else {
            return;
        };
        let Some(session) = group.members.session(key) else {
            return;
        };
        if is_saved {
            group.members.saved(session);
        } else if group.is_stopping {
            group.not_written = group.not_written.saturating_add(1);
        }
        let released = group.members.row_ended(session, save);
        self.set_send_numbers(session, key);
        self.send_released(now, session, released);
    }

    /// Sends what has waited for a row, unless another gateway may serve the session by now.
    fn send_released(&mut self, now: Instant, session: SessionId, messages: Vec<Vec<u8>>) {
        if !self.may_send(now, session) {
            if let Some(group) = &mut self.group {
                let dropped = u64::try_from(messages.len()).unwrap_or(u64::MAX);
                group.refused.not_served = group.refused.not_served.saturating_add(dropped);
            }
            return;
        }
        for message in messages {
            self.send_now(now, session, &message);
        }
    }
}
