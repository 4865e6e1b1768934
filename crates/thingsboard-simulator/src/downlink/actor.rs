//! ThingsBoard's device actor: subscriptions and pending commands (`DeviceActorMessageProcessor`, with the default
//! strategy, BURST).

use super::{Command, CommandId, PollId, PollKind};
use crate::json::Element;
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};

/// The subscriptions of one kind. ThingsBoard's actor has one for each poll and is not notified of the end of its
/// session. Of stale ones only the number matters.
#[derive(Default)]
struct Subscribers {
    /// Their session is registered.
    live: BTreeSet<PollId>,
    /// Their session was dropped: messages to them are lost.
    stale: u64,
}

impl Subscribers {
    fn add(&mut self, poll: PollId, registered: bool) {
        if registered {
            self.live.insert(poll);
        } else {
            self.stale += 1;
        }
    }

    fn session_closed(&mut self, poll: PollId) {
        if self.live.remove(&poll) {
            self.stale += 1;
        }
    }

    fn is_empty(&self) -> bool {
        self.live.is_empty() && self.stale == 0
    }
}

/// A command that waits for a poll, for its reply, or for its expiry.
struct PendingCommand {
    id: CommandId,
    /// The id that the device gets.
    rpc_id: i32,
    oneway: bool,
    body: Bytes,
    /// Whether there was a subscription to send it to when it was received, live or stale.
    sent: bool,
}

/// A message of the actor to the transport, and to the caller of a command.
pub(super) struct Outgoing {
    /// The sessions that it is sent to.
    pub(super) to: Vec<PollId>,
    pub(super) body: Bytes,
    /// The one-way command that is complete by this.
    pub(super) done: Option<CommandId>,
}

/// How a pending command expired.
pub(super) enum Expired {
    /// It was sent, and no reply was received.
    NoReply,
    /// There was no subscription to send it to.
    NotSent,
}

/// The actor of one device. It exists from the device's first message to ThingsBoard's next restart.
#[derive(Default)]
pub(super) struct Actor {
    attributes: Subscribers,
    rpc: Subscribers,
    /// Oldest first.
    pending: VecDeque<PendingCommand>,
    next_rpc_id: i32,
}

impl Actor {
    /// Adds the subscription of a poll, or returns the oldest pending command for it, whether or not that was delivered
    /// before. In this case no subscription is kept.
    pub(super) fn subscribe(
        &mut self,
        poll: PollId,
        kind: PollKind,
        registered: bool,
    ) -> Option<Outgoing> {
        if kind == PollKind::Attributes {
            self.attributes.add(poll, registered);
            return None;
        }
        let Some(oldest) = self.pending.front() else {
            self.rpc.add(poll, registered);
            return None;
        };
        let body = oldest.body.clone();
        let done = oldest.oneway.then_some(oldest.id);
        if done.is_some() {
            self.pending.pop_front();
        }
        Some(Outgoing {
            to: vec![poll],
            body,
            done,
        })
    }

    /// Makes the subscription of a dropped session stale. (ThingsBoard's actor is not notified.)
    pub(super) fn session_closed(&mut self, poll: PollId, kind: PollKind) {
        match kind {
            PollKind::Attributes => self.attributes.session_closed(poll),
            PollKind::Rpc => self.rpc.session_closed(poll),
        }
    }

    /// The polls that get a change of the shared attributes. Their subscriptions stay.
    pub(super) fn attribute_subscribers(&self) -> Vec<PollId> {
        self.attributes.live.iter().copied().collect()
    }

    /// Sends a new command to all subscriptions, and removes them. With any of them, even if all are stale, it counts
    /// as sent, and a one-way command is complete.
    pub(super) fn command(&mut self, id: CommandId, command: &Command) -> Outgoing {
        let rpc_id = self.take_rpc_id();
        let method = Element::Text(command.method.clone());
        let params = &command.params;
        let body = format!(r#"{{"id":{rpc_id},"method":{method},"params":{params}}}"#);
        let body = Bytes::from(body);
        let sent = !self.rpc.is_empty();
        let to = std::mem::take(&mut self.rpc).live.into_iter().collect();
        let done = (command.oneway && sent).then_some(id);
        if done.is_none() {
            self.pending.push_back(PendingCommand {
                id,
                rpc_id,
                oneway: command.oneway,
                body: body.clone(),
                sent,
            });
        }
        Outgoing { to, body, done }
    }

    /// The next id. Each command takes one, also one that has expired before it is sent.
    pub(super) fn take_rpc_id(&mut self) -> i32 {
        let id = self.next_rpc_id;
        self.next_rpc_id = id.wrapping_add(1);
        id
    }

    /// Removes the pending command that a reply completes, delivered or not. `None` for an unknown id.
    pub(super) fn reply(&mut self, rpc_id: i32) -> Option<CommandId> {
        let at = self
            .pending
            .iter()
            .position(|pending| pending.rpc_id == rpc_id)?;
        self.pending.remove(at).map(|pending| pending.id)
    }

    /// Removes an expired command, if it is still pending.
    pub(super) fn expire(&mut self, id: CommandId) -> Option<Expired> {
        let at = self.pending.iter().position(|pending| pending.id == id)?;
        let pending = self.pending.remove(at)?;
        Some(if pending.sent {
            Expired::NoReply
        } else {
            Expired::NotSent
        })
    }

    /// Removes all subscriptions. Pending commands and sessions stay.
    pub(super) fn token_changed(&mut self) {
        self.attributes = Subscribers::default();
        self.rpc = Subscribers::default();
    }

    /// The number of live and of stale subscriptions.
    pub(super) fn subscriber_counts(&self, kind: PollKind) -> (usize, u64) {
        let entries = match kind {
            PollKind::Attributes => &self.attributes,
            PollKind::Rpc => &self.rpc,
        };
        (entries.live.len(), entries.stale)
    }

    /// The number of pending commands.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }
}
