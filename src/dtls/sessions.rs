//! The established sessions, and what their user keeps with them.

use super::connection::Connection;
use super::path::{Path, SessionId};
use slotmap::{DefaultKey, Key, KeyData, SlotMap};

/// A session, and what its user has attached.
pub(super) struct Session<T> {
    /// `None`: it has ended, and its user has not yet detached what it had attached.
    connection: Option<Connection>,
    user: Option<T>,
}

/// All sessions.
pub(super) struct Sessions<T> {
    slots: SlotMap<DefaultKey, Session<T>>,
    /// Sessions that have not ended.
    live: usize,
}

impl<T> Default for Sessions<T> {
    fn default() -> Sessions<T> {
        Sessions {
            slots: SlotMap::new(),
            live: 0,
        }
    }
}

/// The generation of a slot that is in use is odd. So the first sessions are 1, 2, 3, …, and those in slots that are used again
/// have large numbers.
fn id(key: DefaultKey) -> SessionId {
    let data = key.data().as_ffi();
    SessionId(((data >> 33) << 32) | (data & u64::from(u32::MAX)))
}

fn key(id: SessionId) -> DefaultKey {
    let generation = ((id.0 >> 32) << 33) | (1 << 32);
    KeyData::from_ffi(generation | (id.0 & u64::from(u32::MAX))).into()
}

impl<T> Sessions<T> {
    /// Adds a session.
    pub(super) fn insert(&mut self, connection: Connection) -> SessionId {
        self.live += 1;
        id(self.slots.insert(Session {
            connection: Some(connection),
            user: None,
        }))
    }

    /// Sessions that have not ended.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Connection> {
        self.slots.get(key(id))?.connection.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Connection> {
        self.slots.get_mut(key(id))?.connection.as_mut()
    }

    /// The path of a session that has not ended.
    pub(super) fn path(&self, id: SessionId) -> Option<Path> {
        Some(self.get(id)?.path)
    }

    /// Ends a session. What its user has attached stays until it is detached.
    pub(super) fn end(&mut self, id: SessionId) -> Option<Connection> {
        let session = self.slots.get_mut(key(id))?;
        let connection = session.connection.take()?;
        self.live = self.live.saturating_sub(1);
        if session.user.is_none() {
            self.slots.remove(key(id));
        }
        Some(connection)
    }

    /// Attaches something to a session that has not ended.
    pub(super) fn attach(&mut self, id: SessionId, user: T) {
        if let Some(session) = self.slots.get_mut(key(id))
            && session.connection.is_some()
        {
            session.user = Some(user);
        }
    }

    /// What is attached to a session, whether it has ended or not.
    pub(super) fn user(&self, id: SessionId) -> Option<&T> {
        self.slots.get(key(id))?.user.as_ref()
    }

    pub(super) fn user_mut(&mut self, id: SessionId) -> Option<&mut T> {
        self.slots.get_mut(key(id))?.user.as_mut()
    }

    /// Takes what is attached to a session.
    pub(super) fn detach(&mut self, id: SessionId) -> Option<T> {
        let session = self.slots.get_mut(key(id))?;
        let user = session.user.take();
        if session.connection.is_none() {
            self.slots.remove(key(id));
        }
        user
    }

    /// What is attached, with its session.
    pub(super) fn users(&self) -> impl Iterator<Item = (SessionId, &T)> {
        let all = self.slots.iter();
        all.filter_map(|(key, session)| Some((id(key), session.user.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::connection::tests::connection;

    #[test]
    fn an_idle_session_is_small() {
        let size = size_of::<Session<()>>();
        assert!(size <= 350, "{size} bytes");
    }

    #[test]
    fn ids_are_unique_and_what_is_attached_outlives_the_session() {
        let mut sessions = Sessions::default();
        let first = sessions.insert(connection());
        let second = sessions.insert(connection());
        assert_eq!((first, second), (SessionId(1), SessionId(2)));
        sessions.attach(first, "user");
        assert!(sessions.end(first).is_some() && sessions.end(first).is_none());
        assert!(sessions.get(first).is_none());
        assert_eq!((sessions.len(), sessions.user(first)), (1, Some(&"user")));
        assert_eq!(sessions.detach(first), Some("user"));
        assert_eq!(sessions.detach(first), None);
        // Nothing is attached to a session that has ended.
        assert!(sessions.end(second).is_some());
        sessions.attach(second, "late");
        assert_eq!(sessions.user(second), None);
        let again: Vec<_> = (0..3).map(|_| sessions.insert(connection())).collect();
        assert!(
            !again.contains(&first) && !again.contains(&second),
            "{again:?}"
        );
        assert_eq!(
            again
                .iter()
                .filter(|id| sessions.get(**id).is_some())
                .count(),
            3
        );
    }
}
