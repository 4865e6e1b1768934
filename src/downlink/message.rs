//! What a poll brought. It is parsed in the poll's own task: see [`parsing`](crate::calls::parsing).

use crate::downlink::Command;
use crate::downlink::attribute_json::{Unreadable, Update};

/// What a poll brought, parsed outside of the I/O loop.
#[derive(Debug)]
pub enum PollMessage {
    Attributes(Result<Update, Unreadable>),
    /// `None` if the body is no command.
    Command(Option<Command>),
}

impl PollMessage {
    pub(crate) fn attributes(self) -> Result<Update, Unreadable> {
        match self {
            PollMessage::Attributes(update) => update,
            PollMessage::Command(_) => Err(Unreadable::Malformed),
        }
    }

    pub(crate) fn command(self) -> Option<Command> {
        match self {
            PollMessage::Command(command) => command,
            PollMessage::Attributes(_) => None,
        }
    }
}
