//! What polls bring. It is read in the task of the poll: see [`reading`](crate::gateway::reading).

use super::command_queue::Command;
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
    pub(super) fn update(self) -> Result<Update, Unreadable> {
        match self {
            Brought::Update(update) => update,
            Brought::Command(_) => Err(Unreadable::Nonsense),
        }
    }

    pub(super) fn command(self) -> Option<Command> {
        match self {
            Brought::Command(command) => command,
            Brought::Update(_) => None,
        }
    }
}
