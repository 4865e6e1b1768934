//! Sessions of DTLS 1.2 that were used: what is stored of them is no longer what they are.
//!
//! A session counts as used when a record of it was protected, an authentic one was received, or its path was proven. It does not
//! when it has just been established or imported: an event reports that. Nothing is listed until somebody wants the list.

use super::connection::Connection;
use super::path::SessionId;
use super::sessions::Sessions;
use std::collections::VecDeque;

/// So many ended sessions are not worth a search.
const FEW: usize = 64;

/// The sessions that were used since they were last taken, each once, in the order of their first use since.
#[derive(Debug, Default)]
pub(super) struct UsedSessions {
    is_on: bool,
    queue: VecDeque<SessionId>,
    /// How many in the queue have ended.
    ended: usize,
}

impl UsedSessions {
    /// Lists sessions from now on.
    pub(super) fn switch_on(&mut self) {
        self.is_on = true;
    }

    /// A session was used.
    pub(super) fn push(&mut self, id: SessionId, connection: &mut Connection) {
        if self.is_on && !connection.is_used {
            connection.is_used = true;
            self.queue.push_back(id);
        }
    }

    /// This session has ended, and is not among the others any more.
    pub(super) fn ended<T>(&mut self, connection: &Connection, others: &Sessions<T>) {
        if !connection.is_used {
            return;
        }
        self.ended += 1;
        // So that the queue is as long as there are sessions, however many come and go until it is taken.
        if self.ended > self.queue.len() / 2 + FEW {
            self.queue.retain(|id| others.get(*id).is_some());
            self.ended = 0;
        }
    }

    /// Takes the first ones.
    pub(super) fn take<T>(&mut self, most: usize, sessions: &mut Sessions<T>) -> Vec<SessionId> {
        let mut taken = Vec::with_capacity(most.min(self.queue.len()));
        while taken.len() < most
            && let Some(id) = self.queue.pop_front()
        {
            match sessions.get_mut(id) {
                Some(connection) => {
                    connection.is_used = false;
                    taken.push(id);
                }
                None => self.ended = self.ended.saturating_sub(1),
            }
        }
        taken
    }

    /// How many there are, some that have ended included.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}
