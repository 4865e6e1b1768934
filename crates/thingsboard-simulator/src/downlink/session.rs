//! The transport's sessions: one for each poll, which may outlive its HTTP request.

use super::{PollId, PollKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The session of a poll. It is kept until it is dropped *and* its subscription has reached the actor, in either order:
/// the subscription of a dropped session is stale from the beginning.
pub(super) struct Session {
    pub(super) device: Arc<str>,
    pub(super) kind: PollKind,
    /// Whether the HTTP request is still waiting.
    pub(super) waiting: bool,
    /// Whether it gets messages: until its first one, or its timeout.
    pub(super) registered: bool,
    /// Whether the actor has its subscription.
    pub(super) subscribed: bool,
    /// When it times out.
    pub(super) times_out_ms: u64,
    /// When the servlet container ends the request, if that is earlier.
    pub(super) container_timeout_ms: Option<u64>,
}

/// All sessions, by poll and by device.
#[derive(Default)]
pub(super) struct Sessions {
    by_poll: BTreeMap<PollId, Session>,
    by_device: BTreeMap<Arc<str>, BTreeSet<PollId>>,
}

impl Sessions {
    pub(super) fn insert(&mut self, poll: PollId, session: Session) {
        self.by_device
            .entry(Arc::clone(&session.device))
            .or_default()
            .insert(poll);
        self.by_poll.insert(poll, session);
    }

    pub(super) fn get_mut(&mut self, poll: PollId) -> Option<&mut Session> {
        self.by_poll.get_mut(&poll)
    }

    pub(super) fn remove(&mut self, poll: PollId) -> Option<Session> {
        let session = self.by_poll.remove(&poll)?;
        if let Some(polls) = self.by_device.get_mut(&session.device) {
            polls.remove(&poll);
            if polls.is_empty() {
                self.by_device.remove(&session.device);
            }
        }
        Some(session)
    }

    /// The polls of one device, oldest first.
    pub(super) fn of(&self, device: &str) -> Vec<PollId> {
        let polls = self.by_device.get(device).into_iter().flatten();
        polls.copied().collect()
    }

    /// How many sessions a device has.
    pub(super) fn count(&self, device: &str) -> usize {
        self.by_device.get(device).map_or(0, BTreeSet::len)
    }

    /// All polls, oldest first.
    pub(super) fn polls(&self) -> Vec<PollId> {
        self.by_poll.keys().copied().collect()
    }
}
