//! The transport: sessions get messages, run out of time, and are dropped.

use super::actor::Outgoing;
use super::{CommandOutcome, Downlink, PollEnd, PollId, Timer};
use bytes::Bytes;

impl Downlink {
    /// A subscription has come to the actor.
    pub(super) fn subscribe(&mut self, poll: PollId) {
        let Some(session) = self.sessions.get_mut(poll) else {
            return;
        };
        session.entered = true;
        let (kind, registered) = (session.kind, session.registered);
        let Some(device) = self.devices.get_mut(&session.device) else {
            return;
        };
        let sent = device.actor.subscribe(poll, kind, registered);
        if !registered {
            self.sessions.remove(poll);
        }
        if let Some(sent) = sent {
            self.send(sent);
        }
    }

    /// A session's timer has run out.
    pub(super) fn time_out_session(&mut self, poll: PollId) {
        self.end_request(poll, PollEnd::Elapsed);
        self.drop_session(poll);
    }

    /// The actor has something to say.
    pub(super) fn send(&mut self, Outgoing { to, body, done }: Outgoing) {
        for poll in to {
            self.deliver(poll, &body);
        }
        if let Some(command) = done {
            self.finish_command(command, CommandOutcome::Delivered);
        }
    }

    /// The transport gets a message for a session: it is answered with it, if anyone still waits, and dropped.
    pub(super) fn deliver(&mut self, poll: PollId, body: &Bytes) {
        let session = self.sessions.get_mut(poll);
        if session.is_some_and(|session| session.registered) {
            self.end_request(poll, PollEnd::Message(body.clone()));
            self.drop_session(poll);
        }
    }

    /// Answers the request, if it still waits.
    pub(super) fn end_request(&mut self, poll: PollId, ended: PollEnd) {
        if self.stop_waiting(poll) {
            self.ended.push_back((poll, ended));
        }
    }

    /// True if the request waited until now.
    pub(super) fn stop_waiting(&mut self, poll: PollId) -> bool {
        let Some(session) = self.sessions.get_mut(poll) else {
            return false;
        };
        let waited = std::mem::replace(&mut session.waiting, false);
        if waited && let Some(device) = self.devices.get_mut(&session.device) {
            device.counts.of(session.kind).ended();
        }
        waited
    }

    /// The transport forgets a session. The actor is not told.
    pub(super) fn drop_session(&mut self, poll: PollId) {
        let Some(session) = self.sessions.get_mut(poll) else {
            return;
        };
        session.registered = false;
        self.timers
            .remove(&(session.times_out_ms, Timer::SessionTimeout(poll)));
        if let Some(at) = session.container_timeout_ms {
            self.timers.remove(&(at, Timer::ContainerTimeout(poll)));
        }
        if session.entered {
            if let Some(device) = self.devices.get_mut(&session.device) {
                device.actor.session_closed(poll, session.kind);
            }
            self.sessions.remove(poll);
        }
    }

    /// Ends a request, and its session with all that is left of it.
    pub(super) fn remove_session(&mut self, poll: PollId, ended: PollEnd) {
        self.end_request(poll, ended);
        self.drop_session(poll);
        self.sessions.remove(poll);
    }
}
