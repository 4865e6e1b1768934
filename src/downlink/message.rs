//! What ThingsBoard sends of its own accord. It is parsed in the task of the poll: see [`parsing`](crate::calls::parsing).

use crate::downlink::Command;
use crate::downlink::attribute_json::{Unreadable, Update};

/// What ThingsBoard sends, parsed outside of the I/O loop.
#[derive(Debug)]
pub enum Message {
    Attributes(Result<Update, Unreadable>),
    /// `None` if the body is no command.
    Command(Option<Command>),
}

impl Message {
    pub(crate) fn attributes(self) -> Result<Update, Unreadable> {
        match self {
            Message::Attributes(update) => update,
            Message::Command(_) => Err(Unreadable::Malformed),
        }
    }

    pub(crate) fn command(self) -> Option<Command> {
        match self {
            Message::Command(command) => command,
            Message::Attributes(_) => None,
        }
    }
}
