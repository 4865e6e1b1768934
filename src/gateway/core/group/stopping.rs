//! The last rows of an orderly stop, after which other gateways take over at once.

use super::super::Core;
use std::time::Instant;

impl Core {
    /// Writes the rows of all members that were used since. Nothing may be received or sent in them after it.
    pub(crate) fn begin_last_rows(&mut self, now: Instant) {
        let used = self.sessions.dtls.used();
        let Some(group) = &mut self.group else {
            return;
        };
        group.is_stopping = true;
        for session in self.sessions.dtls.take_used(used) {
            group.members.is_due(session);
        }
        self.continue_group(now);
    }

    /// How many of the last rows could not be written.
    pub(crate) fn rows_not_written(&self) -> usize {
        self.group.as_ref().map_or(0, |group| group.not_written)
    }

    /// Whether all rows are written, or can't be. `true` without a group.
    pub(crate) fn are_last_rows_written(&self) -> bool {
        self.group.as_ref().is_none_or(|group| {
            let [_, _, calls] = group.replica.sizes();
            !group.members.has_due() && calls == 0
        })
    }

    /// Gives the lease back: other gateways may take over from now on.
    pub(crate) fn release_members(&mut self, now: Instant) {
        if let Some(group) = &mut self.group {
            group.replica.stop(now);
            self.run_group_outputs(now);
        }
    }

    /// Sessions that other gateways can go on with.
    pub(crate) fn members(&self) -> usize {
        self.group.as_ref().map_or(0, |group| group.members.len())
    }
}
