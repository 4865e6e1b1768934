//! Push sessions: those of MQTT connections. The device actor knows of their end, so none of their subscriptions is ever
//! stale, and a command does not remove them.

use super::{Downlink, LimitReached, PollKind, Push, PushEnd, PushId, Timer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All push sessions.
#[derive(Default)]
pub(super) struct PushSessions {
    sessions: BTreeMap<PushId, PushSession>,
    by_device: BTreeMap<Arc<str>, PushId>,
    last: u64,
}

struct PushSession {
    device: Arc<str>,
    /// When the subscription of each kind reaches the actor, while it is on its way.
    pending: BTreeMap<PollKind, u64>,
}

impl Downlink {
    /// Opens a session, and ends the one that the device has.
    ///
    /// # Errors
    /// The limit on devices is reached.
    pub fn open_push(&mut self, device: &str) -> Result<PushId, LimitReached> {
        let name = self.device(device)?;
        if let Some(&older) = self.push_sessions.by_device.get(&name) {
            self.end_push(older, PushEnd::Displaced);
        }
        self.push_sessions.last += 1;
        let push = PushId(self.push_sessions.last);
        let session = PushSession {
            device: Arc::clone(&name),
            pending: BTreeMap::new(),
        };
        self.push_sessions.sessions.insert(push, session);
        self.push_sessions.by_device.insert(name, push);
        Ok(push)
    }

    /// Subscribes a session to messages of one kind. The subscription reaches the actor after a delay.
    pub fn subscribe_push(&mut self, push: PushId, kind: PollKind, now_ms: u64) {
        let Some(session) = self.push_sessions.sessions.get_mut(&push) else {
            return;
        };
        let at = now_ms.saturating_add(self.delays.push_subscription_ms);
        // A second SUBSCRIBE does not postpone the first one.
        let at = *session.pending.entry(kind).or_insert(at);
        self.timers.insert((at, Timer::SubscribePush(push, kind)));
        if at <= now_ms {
            self.finish_push_subscription(push, kind);
        }
    }

    /// Passes the subscription of a session to the actor.
    pub(super) fn finish_push_subscription(&mut self, push: PushId, kind: PollKind) {
        let Some(session) = self.push_sessions.sessions.get_mut(&push) else {
            return;
        };
        if let Some(at) = session.pending.remove(&kind) {
            self.timers.remove(&(at, Timer::SubscribePush(push, kind)));
        }
        let Some(device) = self.devices.get_mut(&session.device) else {
            return;
        };
        for sent in device.actor.subscribe_push(push, kind) {
            self.send(sent);
        }
    }

    /// Ends the subscription of a session to messages of one kind.
    pub fn unsubscribe_push(&mut self, push: PushId, kind: PollKind) {
        let Some(session) = self.push_sessions.sessions.get_mut(&push) else {
            return;
        };
        if let Some(at) = session.pending.remove(&kind) {
            self.timers.remove(&(at, Timer::SubscribePush(push, kind)));
        }
        if let Some(device) = self.devices.get_mut(&session.device) {
            device.actor.unsubscribe_push(push, kind);
        }
    }

    /// Removes a session whose connection has closed.
    pub fn close_push(&mut self, push: PushId) {
        for kind in [PollKind::Attributes, PollKind::Rpc] {
            self.unsubscribe_push(push, kind);
        }
        if let Some(session) = self.push_sessions.sessions.remove(&push)
            && self.push_sessions.by_device.get(&session.device) == Some(&push)
        {
            self.push_sessions.by_device.remove(&session.device);
        }
    }

    /// Ends the session of a device, if it has one. True if it had.
    pub fn end_device_push(&mut self, device: &str, end: PushEnd) -> bool {
        let push = self.push_sessions.by_device.get(device).copied();
        if let Some(push) = push {
            self.end_push(push, end);
        }
        push.is_some()
    }

    /// Ends all sessions.
    pub(super) fn end_all_push(&mut self, end: PushEnd) {
        let sessions: Vec<PushId> = self.push_sessions.sessions.keys().copied().collect();
        for push in sessions {
            self.end_push(push, end);
        }
    }

    fn end_push(&mut self, push: PushId, end: PushEnd) {
        self.close_push(push);
        self.pushes.push_back((push, Push::Closed(end)));
    }

    /// The session that a device has.
    pub fn push_session(&self, device: &str) -> Option<PushId> {
        self.push_sessions.by_device.get(device).copied()
    }

    /// When the subscription of a session reaches the actor, if it is on its way.
    pub fn push_due(&self, push: PushId, kind: PollKind) -> Option<u64> {
        let session = self.push_sessions.sessions.get(&push)?;
        session.pending.get(&kind).copied()
    }

    /// Whether the session of a device has a subscription for this kind that works.
    pub fn is_push_subscribed(&self, device: &str, kind: PollKind) -> bool {
        let push = self.push_session(device);
        let device = self.devices.get(device);
        push.zip(device)
            .is_some_and(|(push, device)| device.actor.is_push_subscribed(push, kind))
    }

    /// The next message to a push session.
    pub fn pop_push(&mut self) -> Option<(PushId, Push)> {
        self.pushes.pop_front()
    }
}
