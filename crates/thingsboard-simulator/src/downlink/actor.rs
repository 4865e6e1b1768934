//! ThingsBoard's device actor: subscriptions and pending commands (`DeviceActorMessageProcessor`, with the default
//! strategy, BURST).

use super::{Command, CommandId, DeliveryReport, PollId, PollKind, PushId, RpcStatus};
use crate::json::Element;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// The subscriptions of one kind. ThingsBoard's actor has one for each poll and is not notified of the end of its
/// session. Of stale ones only the number matters.
#[derive(Default)]
struct Subscribers {
    /// Their session is registered.
    live: BTreeSet<PollId>,
    /// Their session was dropped: messages to them are lost.
    stale: u64,
    /// Push sessions: ThingsBoard's actor is notified of their end.
    push: BTreeSet<PushId>,
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
        self.live.is_empty() && self.stale == 0 && self.push.is_empty()
    }
}

/// A command as it is sent.
#[derive(Clone)]
pub(super) struct SentCommand {
    pub(super) id: CommandId,
    /// The id that the device gets.
    pub(super) rpc_id: i32,
    /// The members `"method":…,"params":…`.
    pub(super) members: Arc<str>,
    pub(super) expires_ms: u64,
}

/// A command that waits for a subscription, for its reply, or for its expiry.
struct PendingCommand {
    command: SentCommand,
    oneway: bool,
    /// `None` unless it is persistent.
    retries: Option<u32>,
    /// Whether there was a subscription to send it to when it was received, live or stale.
    sent: bool,
    /// How often its PUBACK did not arrive in time.
    timeouts: u32,
}

/// A command on its way to the transport, and to its caller.
pub(super) struct Outgoing {
    /// The polls that it is sent to.
    pub(super) to: Vec<PollId>,
    /// The push sessions that it is sent to.
    pub(super) push: Vec<PushId>,
    pub(super) command: SentCommand,
    /// Whether it is a one-way command that is complete by this.
    pub(super) done: bool,
}

/// What a delivery report changes.
pub(super) struct Reported {
    pub(super) command: CommandId,
    /// Whether the command is no longer pending.
    pub(super) removed: bool,
    pub(super) status: RpcStatus,
}

/// `ACTORS_RPC_MAX_RETRIES`: the most timeouts of a command's PUBACK before it fails.
const MAX_RETRIES: u32 = 5;

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
        let outgoing = Outgoing {
            to: vec![poll],
            push: Vec::new(),
            command: oldest.command.clone(),
            done: oldest.oneway && oldest.retries.is_none(),
        };
        if outgoing.done {
            self.pending.pop_front();
        }
        Some(outgoing)
    }

    /// Adds the subscription of a push session. With one for RPC it gets all pending commands, delivered before or not.
    pub(super) fn subscribe_push(&mut self, push: PushId, kind: PollKind) -> Vec<Outgoing> {
        if kind == PollKind::Attributes {
            self.attributes.push.insert(push);
            return Vec::new();
        }
        self.rpc.push.insert(push);
        let outgoing = |pending: &PendingCommand| Outgoing {
            to: Vec::new(),
            push: vec![push],
            command: pending.command.clone(),
            done: pending.oneway && pending.retries.is_none(),
        };
        let sent = self.pending.iter().map(outgoing).collect();
        self.pending
            .retain(|pending| !pending.oneway || pending.retries.is_some());
        sent
    }

    /// Removes the subscription of a push session.
    pub(super) fn unsubscribe_push(&mut self, push: PushId, kind: PollKind) {
        match kind {
            PollKind::Attributes => self.attributes.push.remove(&push),
            PollKind::Rpc => self.rpc.push.remove(&push),
        };
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

    /// Whether a push session has a subscription.
    pub(super) fn is_push_subscribed(&self, push: PushId, kind: PollKind) -> bool {
        match kind {
            PollKind::Attributes => self.attributes.push.contains(&push),
            PollKind::Rpc => self.rpc.push.contains(&push),
        }
    }

    /// The push sessions that get a change of the shared attributes.
    pub(super) fn attribute_push(&self) -> Vec<PushId> {
        self.attributes.push.iter().copied().collect()
    }

    /// Sends a new command to all subscriptions, and removes those of polls. With any of them, even if all are stale, it
    /// counts as sent, and a one-way command is complete unless it is persistent. `retries` is given for a persistent one.
    pub(super) fn command(
        &mut self,
        id: CommandId,
        command: &Command,
        retries: Option<u32>,
    ) -> Outgoing {
        let oneway = command.oneway;
        let method = Element::Text(command.method.clone());
        let params = &command.params;
        let command = SentCommand {
            id,
            rpc_id: self.take_rpc_id(),
            members: format!(r#""method":{method},"params":{params}"#).into(),
            expires_ms: command.expires_ms,
        };
        let sent = !self.rpc.is_empty();
        let push: Vec<PushId> = self.rpc.push.iter().copied().collect();
        self.rpc.stale = 0;
        let to = std::mem::take(&mut self.rpc.live).into_iter().collect();
        let done = oneway && sent && retries.is_none();
        if !done {
            self.pending.push_back(PendingCommand {
                command: command.clone(),
                oneway,
                retries,
                sent,
                timeouts: 0,
            });
        }
        Outgoing {
            to,
            push,
            command,
            done,
        }
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
            .position(|pending| pending.command.rpc_id == rpc_id)?;
        self.pending.remove(at).map(|pending| pending.command.id)
    }

    /// Applies a report of the MQTT transport. `None` for a command that is no longer pending.
    pub(super) fn report(&mut self, rpc_id: i32, report: DeliveryReport) -> Option<Reported> {
        let at = self
            .pending
            .iter()
            .position(|pending| pending.command.rpc_id == rpc_id)?;
        let pending = self.pending.get_mut(at)?;
        let command = pending.command.id;
        let (removed, status) = match report {
            DeliveryReport::Sent => (false, RpcStatus::Sent),
            DeliveryReport::Delivered => (pending.oneway, RpcStatus::Delivered),
            DeliveryReport::TimedOut => {
                if pending.timeouts >= pending.retries.unwrap_or(MAX_RETRIES).min(MAX_RETRIES) {
                    (true, RpcStatus::Failed)
                } else {
                    pending.timeouts += 1;
                    (false, RpcStatus::Timeout)
                }
            }
        };
        if removed {
            self.pending.remove(at);
        }
        Some(Reported {
            command,
            removed,
            status,
        })
    }

    /// The actor after a restart: it has only those persistent commands for which `is_queued` holds, with new ids.
    pub(super) fn restarted(self, is_queued: impl Fn(CommandId) -> bool) -> Actor {
        let mut actor = Actor::default();
        for mut pending in self.pending {
            if is_queued(pending.command.id) {
                pending.command.rpc_id = actor.take_rpc_id();
                pending.sent = false;
                pending.timeouts = 0;
                actor.pending.push_back(pending);
            }
        }
        actor
    }

    /// Removes an expired command, if it is still pending.
    pub(super) fn expire(&mut self, id: CommandId) -> Option<Expired> {
        let at = self
            .pending
            .iter()
            .position(|pending| pending.command.id == id)?;
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
