//! ThingsBoard's device actor: who is subscribed, and which commands are pending (`DeviceActorMessageProcessor`, with
//! the default strategy, BURST).

use super::{Command, CommandId, PollId, PollKind};
use crate::json::Element;
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};

/// The subscriptions of one kind. The actor has an entry for each poll and never hears that a session has ended; of
/// such entries only their number matters.
#[derive(Default)]
struct Subscribers {
    /// Subscribers whose session is still registered.
    live: BTreeSet<PollId>,
    /// Subscribers whose session is gone: what is sent there is lost.
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

/// A command that waits for a poll, for its reply, or for its end.
struct PendingCommand {
    command: CommandId,
    id: i32,
    oneway: bool,
    body: Bytes,
    /// There was an entry to send it to when it came (which says nothing of a device behind it).
    sent: bool,
}

/// What the actor says to the transport, and to the caller of a command.
pub(super) struct Outgoing {
    /// The sessions it goes to.
    pub(super) to: Vec<PollId>,
    pub(super) body: Bytes,
    /// A one-way command that is hereby done.
    pub(super) done: Option<CommandId>,
}

/// A command whose time has come.
pub(super) enum Expired {
    /// It was sent, and no reply came.
    Unanswered,
    /// There never was anyone to send it to.
    Unsent,
}

/// One device's actor, from its first message to ThingsBoard's next restart.
#[derive(Default)]
pub(super) struct Actor {
    attributes: Subscribers,
    rpc: Subscribers,
    /// Oldest first.
    pending: VecDeque<PendingCommand>,
    next_id: i32,
}

impl Actor {
    /// A poll's subscription has come. A pending command answers it at once: the oldest, whether or not it was
    /// delivered before. That takes the entry away again.
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
        let done = oldest.oneway.then_some(oldest.command);
        if done.is_some() {
            self.pending.pop_front();
        }
        Some(Outgoing {
            to: vec![poll],
            body,
            done,
        })
    }

    /// The transport no longer has this session. Nobody tells the actor: its entry stays.
    pub(super) fn session_closed(&mut self, poll: PollId, kind: PollKind) {
        match kind {
            PollKind::Attributes => self.attributes.session_closed(poll),
            PollKind::Rpc => self.rpc.session_closed(poll),
        }
    }

    /// Where a change of the shared attributes goes. Their entries stay.
    pub(super) fn attribute_subscribers(&self) -> Vec<PollId> {
        self.attributes.live.iter().copied().collect()
    }

    /// A new command goes to every entry and takes them all away. An entry is enough to count as sent: a one-way
    /// command is done then, though all entries may be stale.
    pub(super) fn command(&mut self, command: CommandId, call: &Command) -> Outgoing {
        let id = self.take_id();
        let method = Element::Text(call.method.clone());
        let body = format!(
            r#"{{"id":{id},"method":{method},"params":{}}}"#,
            call.params
        );
        let body = Bytes::from(body);
        let sent = !self.rpc.is_empty();
        let to = std::mem::take(&mut self.rpc).live.into_iter().collect();
        let done = (call.oneway && sent).then_some(command);
        if done.is_none() {
            self.pending.push_back(PendingCommand {
                command,
                id,
                oneway: call.oneway,
                body: body.clone(),
                sent,
            });
        }
        Outgoing { to, body, done }
    }

    /// The next id: each command takes one, also one that is over before it is sent.
    pub(super) fn take_id(&mut self) -> i32 {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        id
    }

    /// The command that a reply completes: pending, delivered or not. `None` for a stale id.
    pub(super) fn reply(&mut self, id: i32) -> Option<CommandId> {
        let at = self.pending.iter().position(|pending| pending.id == id)?;
        self.pending.remove(at).map(|pending| pending.command)
    }

    /// Takes a command away whose time has come, if it is still pending.
    pub(super) fn expire(&mut self, command: CommandId) -> Option<Expired> {
        let at = self
            .pending
            .iter()
            .position(|pending| pending.command == command)?;
        let pending = self.pending.remove(at)?;
        Some(if pending.sent {
            Expired::Unanswered
        } else {
            Expired::Unsent
        })
    }

    /// The credentials have changed: all entries are forgotten, pending commands stay, and no session is told.
    pub(super) fn token_changed(&mut self) {
        self.attributes = Subscribers::default();
        self.rpc = Subscribers::default();
    }

    /// Subscribers with a session and without, of one kind.
    pub(super) fn subscriber_counts(&self, kind: PollKind) -> (usize, u64) {
        let entries = match kind {
            PollKind::Attributes => &self.attributes,
            PollKind::Rpc => &self.rpc,
        };
        (entries.live.len(), entries.stale)
    }

    /// Commands pending.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }
}
