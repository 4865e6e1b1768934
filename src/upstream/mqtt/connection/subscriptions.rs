//! Subscriptions of one connection: wanted, requested, granted, working.
//!
//! ThingsBoard grants a subscription before it works: a change right after the SUBACK may be lost. So one counts as working
//! a little later, and the relay reads all attributes then. Above a device's rate limit ThingsBoard grants a subscription
//! that never works, and nothing shows it; reading all attributes now and then is what helps.

use std::time::{Duration, Instant};

/// From the SUBACK until the subscription counts as working. On a live server 20 ms were enough, most times.
const SETTLING: Duration = Duration::from_millis(100);
/// How long a SUBACK or UNSUBACK may take.
const ANSWER: Duration = Duration::from_secs(10);

/// What can be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds {
    /// Changes of shared attributes.
    pub(crate) attributes: bool,
    /// Commands: RPC from the server.
    pub(crate) commands: bool,
}

impl Kinds {
    pub(crate) fn is_empty(self) -> bool {
        self == Kinds::default()
    }

    pub(crate) fn union(self, other: Kinds) -> Kinds {
        Kinds {
            attributes: self.attributes || other.attributes,
            commands: self.commands || other.commands,
        }
    }

    pub(crate) fn without(self, other: Kinds) -> Kinds {
        Kinds {
            attributes: self.attributes && !other.attributes,
            commands: self.commands && !other.commands,
        }
    }
}

/// What to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Subscribe(Kinds),
    Unsubscribe(Kinds),
}

#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    wanted: Kinds,
    /// Those that a SUBSCRIBE was sent for, and no UNSUBSCRIBE since.
    requested: Kinds,
    /// The packet that has no answer yet. One at a time.
    pending: Option<(u16, Change, Instant)>,
    /// Granted, and not counted as working yet.
    settling: Option<(Kinds, Instant)>,
}

impl Subscriptions {
    pub(super) fn set_wanted(&mut self, kinds: Kinds) {
        self.wanted = kinds;
    }

    pub(super) fn wanted(&self) -> Kinds {
        self.wanted
    }

    /// Whether a SUBSCRIBE or UNSUBSCRIBE has no answer yet.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// What is to be sent now.
    pub(super) fn next_change(&self) -> Option<Change> {
        if self.pending.is_some() || self.settling.is_some() {
            return None;
        }
        let missing = self.wanted.without(self.requested);
        let surplus = self.requested.without(self.wanted);
        if !missing.is_empty() {
            Some(Change::Subscribe(missing))
        } else if !surplus.is_empty() {
            Some(Change::Unsubscribe(surplus))
        } else {
            None
        }
    }

    /// The change was sent in this packet.
    pub(super) fn sent(&mut self, now: Instant, packet: u16, change: Change) {
        match change {
            Change::Subscribe(kinds) => self.requested = self.requested.union(kinds),
            Change::Unsubscribe(kinds) => self.requested = self.requested.without(kinds),
        }
        self.pending = Some((packet, change, now + ANSWER));
    }

    /// A SUBACK or UNSUBACK has come for this packet.
    pub(super) fn answered(&mut self, now: Instant, packet: u16) {
        let Some((_, change, _)) = self.pending.take_if(|(pending, ..)| *pending == packet) else {
            return;
        };
        if let Change::Subscribe(kinds) = change {
            self.settling = Some((kinds, now + SETTLING));
        }
    }

    /// The subscriptions that count as working from now on.
    pub(super) fn pop_settled(&mut self, now: Instant) -> Option<Kinds> {
        let (kinds, _) = self.settling.take_if(|(_, at)| *at <= now)?;
        let wanted = kinds.without(kinds.without(self.wanted));
        (!wanted.is_empty()).then_some(wanted)
    }

    /// Whether an answer is overdue.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.pending.is_some_and(|(_, _, deadline)| deadline <= now)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let pending = self.pending.map(|(_, _, deadline)| deadline);
        let settling = self.settling.map(|(_, at)| at);
        pending.into_iter().chain(settling).min()
    }
}
