//! The sessions of this process that are in the store, or will be.

use super::held::Held;
use crate::dtls::SessionId;
use replicas::{SaveId, SessionKey};
use std::collections::{HashMap, VecDeque};

/// One of them.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) key: SessionKey,
    /// What waits for a row of it.
    held: Option<Box<Held>>,
    /// Whether it is in the list of rows that are due.
    is_due: bool,
    /// Whether a row of it is in the store.
    is_saved: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Members {
    by_key: HashMap<SessionKey, SessionId>,
    members: HashMap<SessionId, Member>,
    due: VecDeque<SessionId>,
    saved: usize,
}

impl Members {
    pub(crate) fn insert(&mut self, session: SessionId, key: SessionKey, is_saved: bool) {
        let member = Member {
            key,
            held: None,
            is_due: false,
            is_saved,
        };
        self.by_key.insert(key, session);
        self.members.insert(session, member);
        self.saved = self.saved.saturating_add(usize::from(is_saved));
    }

    pub(crate) fn remove(&mut self, session: SessionId) -> Option<Member> {
        let member = self.members.remove(&session)?;
        if self.by_key.get(&member.key) == Some(&session) {
            self.by_key.remove(&member.key);
        }
        self.saved = self.saved.saturating_sub(usize::from(member.is_saved));
        Some(member)
    }

    pub(crate) fn session(&self, key: SessionKey) -> Option<SessionId> {
        self.by_key.get(&key).copied()
    }

    pub(crate) fn get(&self, session: SessionId) -> Option<&Member> {
        self.members.get(&session)
    }

    /// What this session sends waits from now on, until a row is in the store that has what happened until then.
    pub(crate) fn hold(&mut self, session: SessionId) {
        if let Some(member) = self.members.get_mut(&session) {
            member.held.get_or_insert_default().switch_on();
        }
        self.is_due(session);
    }

    /// What waits for a row of this session, if anything does.
    pub(crate) fn held_mut(&mut self, session: SessionId) -> Option<&mut Held> {
        let held = self.members.get_mut(&session)?.held.as_deref_mut();
        held.filter(|held| held.is_on())
    }

    /// This row of the session is in the store, or can't be written: what may leave now.
    pub(crate) fn row_ended(&mut self, session: SessionId, save: SaveId) -> Vec<Vec<u8>> {
        let Some(member) = self.members.get_mut(&session) else {
            return Vec::new();
        };
        let Some(held) = &mut member.held else {
            return Vec::new();
        };
        let released = held.saved(save);
        let needs_row = held.needs_row();
        if !held.is_on() {
            member.held = None;
        }
        if needs_row {
            self.is_due(session);
        }
        released
    }

    /// What waits for a row of this session leaves without one.
    pub(crate) fn release(&mut self, session: SessionId) -> Vec<Vec<u8>> {
        let held = self.members.get_mut(&session);
        let held = held.and_then(|member| member.held.take());
        held.map_or_else(Vec::new, |held| held.into_messages())
    }

    /// The session's row is to be written.
    pub(crate) fn is_due(&mut self, session: SessionId) {
        if let Some(member) = self.members.get_mut(&session)
            && !member.is_due
        {
            member.is_due = true;
            self.due.push_back(session);
        }
    }

    /// The next session whose row is to be written.
    pub(crate) fn pop_due(&mut self) -> Option<SessionId> {
        while let Some(session) = self.due.pop_front() {
            if let Some(member) = self.members.get_mut(&session) {
                member.is_due = false;
                return Some(session);
            }
        }
        None
    }

    pub(crate) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// A row of the session is in the store.
    pub(crate) fn saved(&mut self, session: SessionId) {
        if let Some(member) = self.members.get_mut(&session)
            && !member.is_saved
        {
            member.is_saved = true;
            self.saved = self.saved.saturating_add(1);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// How many have a row in the store.
    pub(crate) fn count_saved(&self) -> usize {
        self.saved
    }

    pub(crate) fn sessions(&self) -> Vec<SessionId> {
        self.members.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_leaves_with_its_row_or_without_one_and_the_counts_follow() {
        let (session, key) = (SessionId(1), SessionKey([1; 8]));
        let mut members = Members::default();
        members.insert(session, key, false);
        assert!(members.held_mut(session).is_none());
        members.hold(session);
        assert!(members.held_mut(session).unwrap().push(vec![1]));
        assert_eq!(members.pop_due(), Some(session));
        assert_eq!(members.release(session), [vec![1]]);
        assert!(members.held_mut(session).is_none());

        members.hold(session);
        members.held_mut(session).unwrap().push(vec![2]);
        members.held_mut(session).unwrap().saving(SaveId(1));
        members.held_mut(session).unwrap().push(vec![3]);
        members.pop_due();
        members.saved(session);
        assert_eq!(members.row_ended(session, SaveId(1)), [vec![2]]);
        // The next row is due for what came later.
        assert_eq!(members.pop_due(), Some(session));
        assert_eq!((members.len(), members.count_saved()), (1, 1));
        assert!(members.remove(session).is_some());
        assert_eq!((members.len(), members.count_saved()), (0, 0));
        assert_eq!(members.session(key), None);
    }
}
