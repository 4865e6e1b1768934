//! What a downlink reports, and what the relay makes of it.

use crate::upstream::Error;
use std::time::Instant;

/// A connection to ThingsBoard. A later one has a higher number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionId(pub u64);

impl ConnectionId {
    /// Stands for any connection of a former process: nothing on it can be acknowledged.
    pub(crate) const OF_FORMER_PROCESS: ConnectionId = ConnectionId(0);

    /// The lowest that a later connection can have.
    pub(super) fn next(self) -> ConnectionId {
        ConnectionId(self.0.saturating_add(1))
    }
}

/// Acknowledges one message to ThingsBoard. It is void once its connection is closed: packet identifiers begin again on
/// the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Acknowledgement {
    pub connection: ConnectionId,
    /// MQTT's packet identifier.
    pub packet: u16,
}

/// What happened to one downlink. `M` is the message at first, and then what the relay made of it.
#[derive(Debug)]
pub(crate) enum Event<M> {
    /// The poll of this number has ended.
    PollEnded(u64, Result<M, Error>),
    /// ThingsBoard has granted the subscription of this number.
    Subscribed(u64, ConnectionId),
    /// A connection is closed, and the subscription with it, or could not be opened; another will be.
    Interrupted(ConnectionId),
    /// A message of the subscription.
    Pushed(M, Acknowledgement),
    /// ThingsBoard refuses the device, and no connection will be opened.
    Refused(Error),
}

impl<M> Event<M> {
    /// What is to be acknowledged, once the device has it.
    pub(crate) fn acknowledgement(&self) -> Option<Acknowledgement> {
        match self {
            Event::Pushed(_, acknowledgement) => Some(*acknowledgement),
            Event::PollEnded(..)
            | Event::Subscribed(..)
            | Event::Interrupted(_)
            | Event::Refused(_) => None,
        }
    }

    /// Why ThingsBoard did not send a message.
    pub(crate) fn error(&self) -> Option<&Error> {
        match self {
            Event::PollEnded(_, Err(error)) | Event::Refused(error) => Some(error),
            Event::PollEnded(_, Ok(_))
            | Event::Subscribed(..)
            | Event::Interrupted(_)
            | Event::Pushed(..) => None,
        }
    }

    pub(crate) fn map<N>(self, change: impl FnOnce(M) -> N) -> Event<N> {
        match self {
            Event::PollEnded(number, result) => Event::PollEnded(number, result.map(change)),
            Event::Pushed(message, acknowledgement) => {
                Event::Pushed(change(message), acknowledgement)
            }
            Event::Subscribed(number, connection) => Event::Subscribed(number, connection),
            Event::Interrupted(connection) => Event::Interrupted(connection),
            Event::Refused(error) => Event::Refused(error),
        }
    }
}

/// What the relay made of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receipt {
    New,
    /// It changed nothing.
    Known(Repeat),
    Unreadable,
}

/// A message that is known: a copy, or a command that ThingsBoard sends again.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repeat {
    /// ThingsBoard has the reply to the command by now.
    pub is_replied_to: bool,
    /// The gateway replies to the command in the device's place.
    pub gateway_replies: bool,
    /// When the gateway does so, if the device has not replied by then.
    pub reply_at: Option<Instant>,
}

/// What an event means for the relay.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handled {
    pub reads: Reads,
    /// ThingsBoard may have restarted, and number its commands from 0 again.
    pub may_have_restarted: bool,
}

/// What an event means for the reads of all attributes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    #[default]
    Unchanged,
    /// Changes may have been lost beside a message: read at this time, or earlier.
    At(Instant),
    /// Changes may have been lost until now: a read that begins at this time or later shows them.
    NotBefore(Instant),
    /// Reads would fail as well: none until the next `NotBefore`.
    Suspended,
}
