//! Another gateway's session is gone on with here, or one of here elsewhere.

use super::super::Core;
use crate::dtls::SessionId;
use crate::group::row::GroupRow;
use crate::state::report::NotRestored;
use crate::state::session::Stored;
use replicas::SessionKey;
use std::time::Instant;

impl Core {
    /// Goes on with a session that the store has given to this gateway, if its handshake would be accepted now.
    pub(super) fn take_over(&mut self, now: Instant, key: SessionKey, row: &[u8]) {
        match self.take_over_row(now, key, row) {
            Ok(session) => {
                self.end_unrelayed(now, std::iter::once(session));
                // Its endpoint must not come out of the same row once more: it would use Message IDs twice.
                self.member_changed(session);
            }
            Err(_) => {
                if let Some(group) = &mut self.group {
                    group.refused.not_taken_over = group.refused.not_taken_over.saturating_add(1);
                    group.replica.end(now, key);
                }
            }
        }
    }

    fn take_over_row(
        &mut self,
        now: Instant,
        key: SessionKey,
        row: &[u8],
    ) -> Result<SessionId, NotRestored> {
        let row = GroupRow::decode(row).ok_or(NotRestored::Unreadable)?;
        let group = self.group.as_ref().ok_or(NotRestored::Unreadable)?;
        let numbers = group.replica.numbers(key);
        let first_send_number = numbers.ok_or(NotRestored::Unreadable)?.next;
        if !row.authority_path.is_empty() {
            // If it can't be read, the client can't be either.
            let _ = (self.sessions.dtls.authority_paths()).insert_encoded(row.authority_path);
        }
        let stored = Stored {
            row: row.session,
            window: None,
            first_send_number,
        };
        let session = self.go_on(now, &stored, true)?;
        if let Some(group) = &mut self.group {
            group.members.insert(session, key, true);
        }
        self.set_send_numbers(session, key);
        if let Some(device) = self.device_of(session) {
            if let Some(group) = &mut self.group {
                let name = group.devices.name(&device.name);
                group.replica.set_device(key, name);
            }
            self.pause_unless_followed(now, session, &device);
            let sessions = &self.sessions;
            let session_of = |its: u64, id| {
                let peer = sessions.get(session)?;
                let has_it = peer.endpoint.relations().any(|(other, _)| other == id);
                (its.to_be_bytes() == key.0 && has_it).then_some(session)
            };
            if !row.relay.is_empty() {
                let times = self.relay_times(now);
                // Without it, its observations end below.
                let _ = (self.relays).restore(times, &device, row.relay, &session_of);
            }
        }
        self.settle(now);
        Ok(session)
    }

    /// The device has a newer session at another gateway, so those that it began here before this one end as well: they would have
    /// the device followed here.
    pub(super) fn give_up_superseded(&mut self, now: Instant, key: SessionKey) {
        let session = self
            .group
            .as_ref()
            .and_then(|group| group.members.session(key));
        let peer = session.and_then(|session| self.sessions.get(session));
        let Some((since, Some(device))) = peer.map(|peer| (peer.since(), peer.device.clone()))
        else {
            return self.give_up(now, key);
        };
        let older: Vec<SessionId> = (self.sessions.of_device(&device.name).iter())
            .copied()
            .filter(|other| {
                let other = self.sessions.get(*other);
                other.is_some_and(|other| other.since() <= since)
            })
            .collect();
        self.give_up(now, key);
        for other in older {
            let Some(group) = &mut self.group else {
                return;
            };
            if let Some(key) = group.members.get(other).map(|member| member.key) {
                group.replica.end(now, key);
                self.give_up(now, key);
            }
        }
    }

    /// Another gateway serves the session from now on: it is forgotten without a word to the device.
    pub(super) fn give_up(&mut self, now: Instant, key: SessionKey) {
        let Some(group) = &self.group else {
            return;
        };
        let Some(session) = group.members.session(key) else {
            return;
        };
        self.sessions.dtls.forget(session);
        self.settle(now);
    }
}
