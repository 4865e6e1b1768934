//! What polls bring. It is read in the task of the poll: see [`reading`](crate::gateway::reading).

use crate::relay::command_queue::Command;
use crate::relay::shared_attributes::{Unreadable, Update};

/// What a poll has brought, as it was read outside of the loop.
#[derive(Debug)]
pub enum Brought {
    /// A change of attributes.
    Update(Result<Update, Unreadable>),
    /// A command; nothing if it is none.
    Command(Option<Command>),
}

impl Brought {
    pub(in crate::relay) fn update(self) -> Result<Update, Unreadable> {
        match self {
            Brought::Update(update) => update,
            Brought::Command(_) => Err(Unreadable::Nonsense),
        }
    }

    pub(in crate::relay) fn command(self) -> Option<Command> {
        match self {
            Brought::Command(command) => command,
            Brought::Update(_) => None,
        }
    }
}
