//! Whether the devices of sessions are followed here: one node at a time has polls and subscriptions for a device.

use super::{Follow, Output, Replica};
use crate::id::{Owner, SessionKey};
use std::ops::Bound;
use std::time::{Duration, Instant};

/// How many sessions are looked at in one call.
const AT_ONCE: usize = 1024;
/// How often.
const FOLLOW_EVERY: Duration = Duration::from_millis(50);

impl Replica {
    /// The first row of a session is in the store. `former`: the node that has the former session of its device. It learns with
    /// its next renewal of its lease that it is superseded, or it has no lease then. `is_unsure`: it may have been there before, and
    /// then the reply that named that node was lost.
    pub(super) fn may_follow(
        &mut self,
        now: Instant,
        key: SessionKey,
        former: Option<Owner>,
        is_unsure: bool,
    ) {
        if let Some(former) = former {
            // It must not serve that session by promises.
            self.lease.took_over_from(former);
        }
        let waits = former.is_some() || is_unsure;
        let at = now.checked_add(self.settings.lease).filter(|_| waits);
        // A node that has a promise of this one may follow the device until that ends, without a lease.
        let at = at.max(self.lease.promised()).unwrap_or(now);
        if let Some(held) = self.sessions.get_mut(&key)
            && held.follow == Follow::No
        {
            held.follow = Follow::At(at);
            self.unfollowed.insert(key);
        }
    }

    /// The store has confirmed that this node owns the session. If the reply to its first row was lost, nothing says whether another
    /// node had a former session of the device: it has learned by the end of a lease that this is superseded.
    pub(super) fn confirmed(&mut self, now: Instant, key: SessionKey) {
        if let Some(held) = self.sessions.get_mut(&key)
            && held.follow == Follow::No
            && let Some(at) = now.checked_add(self.settings.lease)
        {
            held.follow = Follow::At(at);
            self.unfollowed.insert(key);
        }
        self.follow_if_due(now, key);
    }

    /// Follows the device of this session, if the time has come.
    pub(super) fn follow_if_due(&mut self, now: Instant, key: SessionKey) {
        let is_due = self.is_to_follow(now, key);
        if let Some(held) = self.sessions.get_mut(&key)
            && is_due
        {
            held.follow = Follow::Yes;
            self.unfollowed.remove(&key);
            self.outputs.push_back(Output::Follow { key });
        }
    }

    fn is_to_follow(&self, now: Instant, key: SessionKey) -> bool {
        let Some(held) = self.sessions.get(&key) else {
            return false;
        };
        let is_due = match held.follow {
            Follow::At(at) => at <= now,
            // While the store is away nothing says whether another node has a session of the device: better two than none.
            Follow::No => {
                self.lease.is_away() && held.stored.is_none_or(|stored| !stored.is_created)
            }
            Follow::Yes => false,
        };
        is_due && self.serves(now, key)
    }

    /// Says whether stored sessions are served, and follows devices for which the time has come, some at a time.
    pub(super) fn follow_due(&mut self, now: Instant) {
        let serves = self.lease.serves(now);
        if serves != self.is_serving {
            self.is_serving = serves;
            if serves {
                self.outputs.push_back(Output::Resumed);
            } else {
                self.suspend(now);
            }
        }
        if self.next_follow(now).is_none_or(|at| at > now) {
            return;
        }
        self.next_follow = now.checked_add(FOLLOW_EVERY).unwrap_or(now);
        let behind = self
            .unfollowed
            .range((Bound::Excluded(self.last_looked_at), Bound::Unbounded));
        let keys: Vec<SessionKey> = behind
            .chain(self.unfollowed.range(..=self.last_looked_at))
            .copied()
            .take(AT_ONCE)
            .collect();
        for key in keys {
            self.last_looked_at = key;
            self.follow_if_due(now, key);
        }
    }

    /// When it is looked at next whose devices are to be followed.
    pub(super) fn next_follow(&self, now: Instant) -> Option<Instant> {
        let may_follow = self.is_serving || self.lease.is_away();
        (may_follow && !self.unfollowed.is_empty()).then_some(self.next_follow.max(now))
    }

    /// No device is followed any more, until its session is served again.
    fn suspend(&mut self, now: Instant) {
        for (key, held) in &mut self.sessions {
            let is_created = held.stored.is_some_and(|stored| stored.is_created);
            held.follow = match held.follow {
                Follow::At(at) => Follow::At(at),
                Follow::Yes if is_created => Follow::At(now),
                Follow::Yes | Follow::No => Follow::No,
            };
            self.unfollowed.insert(*key);
        }
        self.outputs.push_back(Output::Suspended);
    }

    /// The lease had ended in the meantime: other nodes may have had sessions since. Each is confirmed in the store.
    pub(super) fn confirm_all(&mut self, now: Instant) {
        if self.is_serving {
            self.is_serving = false;
            self.suspend(now);
        }
        for (key, held) in &self.sessions {
            if held.stored.is_some() {
                self.dirty.insert(*key);
            }
        }
    }

    /// A newer session of the same device was established at another node.
    pub(super) fn superseded(&mut self, now: Instant, key: SessionKey) {
        let Some(held) = self.forget(key) else {
            return;
        };
        self.counters.superseded = self.counters.superseded.saturating_add(1);
        self.outputs.push_back(Output::Superseded { key });
        self.remove(now, key, held.stored);
    }
}
