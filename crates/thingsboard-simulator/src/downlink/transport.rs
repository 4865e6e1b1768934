//! The transport's part: delivers messages to sessions, times them out, and drops them.

use super::actor::Outgoing;
use super::{CommandOutcome, Downlink, PollEnd, PollId, Push, PushedCommand, Timer};
use bytes::Bytes;
use std::sync::Arc;

impl Downlink {
    /// Passes a poll's subscription to the actor.
    pub(super) fn subscribe(&mut self, poll: PollId) {
        let Some(session) = self.sessions.get_mut(poll) else {
            return;
        };
        session.subscribed = true;
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

    /// Ends a session by its timeout.
    pub(super) fn time_out_session(&mut self, poll: PollId) {
        self.end_request(poll, PollEnd::Elapsed);
        self.drop_session(poll);
    }

    /// Delivers a command of the actor. Over HTTP a persistent one counts as delivered at once.
    pub(super) fn send(&mut self, outgoing: Outgoing) {
        let Outgoing {
            to,
            push,
            command,
            done,
        } = outgoing;
        let (id, members) = (command.rpc_id, &command.members);
        let mut device = None;
        if !to.is_empty() {
            let body = Bytes::from(format!(r#"{{"id":{id},{members}}}"#));
            for poll in to {
                let session = self.sessions.get_mut(poll);
                device = session
                    .map(|session| Arc::clone(&session.device))
                    .or(device);
                self.deliver(poll, &body);
            }
        }
        if !push.is_empty() {
            let body = Bytes::from(format!("{{{members}}}"));
            for push in push {
                let command = PushedCommand {
                    id,
                    body: body.clone(),
                    expires_ms: command.expires_ms,
                };
                self.pushes.push_back((push, Push::Command(command)));
            }
        }
        if done {
            self.finish_command(command.id, CommandOutcome::Delivered);
        } else if let Some(device) = device {
            self.report_persistent(&device, id, command.id);
        }
    }

    /// Delivers a message to a session: responds with it if the request is still waiting, and drops the session.
    pub(super) fn deliver(&mut self, poll: PollId, body: &Bytes) {
        let session = self.sessions.get_mut(poll);
        if session.is_some_and(|session| session.registered) {
            self.end_request(poll, PollEnd::Message(body.clone()));
            self.drop_session(poll);
        }
    }

    /// Ends the request, if it is still waiting.
    pub(super) fn end_request(&mut self, poll: PollId, end: PollEnd) {
        if self.stop_waiting(poll) {
            self.poll_ends.push_back((poll, end));
        }
    }

    /// Marks the request as no longer waiting. True if it was waiting.
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

    /// Drops a session. Its subscription becomes stale.
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
        if session.subscribed {
            if let Some(device) = self.devices.get_mut(&session.device) {
                device.actor.session_closed(poll, session.kind);
            }
            self.sessions.remove(poll);
        }
    }

    /// Ends a request, and removes its session entirely.
    pub(super) fn remove_session(&mut self, poll: PollId, end: PollEnd) {
        self.end_request(poll, end);
        self.drop_session(poll);
        self.sessions.remove(poll);
    }
}
