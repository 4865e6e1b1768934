//! What takes the place of what was read at the start, while sessions and observations go on.

use super::Core;
use crate::gateway::handle::Change;
use std::time::Instant;

impl Core {
    /// Serves by something new from now on.
    pub fn change(&mut self, _now: Instant, change: Change) {
        match change {
            Change::Registry(registry) => self.registry = registry,
            Change::Server(settings) => self.demux.set_engine(settings),
            Change::Clients(policy) => self.demux.set_policy(policy),
        }
    }
}
