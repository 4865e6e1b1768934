//! Sessions with observations whose node has died: their devices may sleep for hours, and must be followed meanwhile.

use super::{InFlight, Replica, WRITE_EVERY, WRITES_AT_ONCE};
use crate::id::Name;
use crate::store::{Call, Reply};
use std::time::Instant;

impl Replica {
    /// Looks for orphans if there are any and this node may take them over.
    pub(super) fn look_for_orphans(&mut self, now: Instant) {
        if self.next_orphans.is_none_or(|at| at > now) {
            return;
        }
        self.next_orphans = None;
        if !self.lease.may_take_over(now) {
            return;
        }
        if let Some(owner) = self.lease.owner() {
            let most = WRITES_AT_ONCE;
            self.call(now, Call::Orphans { owner, most }, InFlight::Orphans);
        }
    }

    /// The store has named some. Other nodes may have got the same ones: the first who claims a session has it.
    pub(super) fn orphans_found(&mut self, now: Instant, reply: Reply) {
        let Reply::Orphans { keys } = reply else {
            return;
        };
        if !keys.is_empty() {
            self.next_orphans = now.checked_add(WRITE_EVERY);
        }
        for key in keys {
            self.claim(now, Name::Session(key));
        }
    }
}
