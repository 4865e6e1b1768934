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
}

/// The subscriptions that are wanted, each with a number of the owner's. With another number it is requested again, since
/// one that ThingsBoard has granted may be dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Numbers {
    pub(crate) attributes: Option<u64>,
    pub(crate) commands: Option<u64>,
}

impl Numbers {
    pub(crate) fn is_empty(self) -> bool {
        self == Numbers::default()
    }

    pub(crate) fn kinds(self) -> Kinds {
        Kinds {
            attributes: self.attributes.is_some(),
            commands: self.commands.is_some(),
        }
    }

    pub(crate) fn set(&mut self, kinds: Kinds, number: Option<u64>) {
        if kinds.attributes {
            self.attributes = number;
        }
        if kinds.commands {
            self.commands = number;
        }
    }

    /// Those that the other has under another number, or not at all.
    fn without(self, other: Numbers) -> Numbers {
        Numbers {
            attributes: self
                .attributes
                .filter(|_| self.attributes != other.attributes),
            commands: self.commands.filter(|_| self.commands != other.commands),
        }
    }
}

/// What to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Subscribe(Numbers),
    Unsubscribe(Kinds),
}

impl Change {
    fn filters(self) -> usize {
        let kinds = match self {
            Change::Subscribe(numbers) => numbers.kinds(),
            Change::Unsubscribe(kinds) => kinds,
        };
        usize::from(kinds.attributes) + usize::from(kinds.commands)
    }
}

#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    wanted: Numbers,
    /// Those that a SUBSCRIBE was sent for, and no UNSUBSCRIBE since.
    requested: Numbers,
    /// The packet that has no answer yet. One at a time.
    pending: Option<(u16, Change, Instant)>,
    /// Granted, and not counted as working yet.
    settling: Option<(Numbers, Instant)>,
}

impl Subscriptions {
    pub(super) fn set_wanted(&mut self, numbers: Numbers) {
        self.wanted = numbers;
    }

    pub(super) fn wanted(&self) -> Kinds {
        self.wanted.kinds()
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
        if !missing.is_empty() {
            return Some(Change::Subscribe(missing));
        }
        let (wanted, requested) = (self.wanted.kinds(), self.requested.kinds());
        let surplus = Kinds {
            attributes: requested.attributes && !wanted.attributes,
            commands: requested.commands && !wanted.commands,
        };
        (!surplus.is_empty()).then_some(Change::Unsubscribe(surplus))
    }

    /// The change was sent in this packet.
    pub(super) fn sent(&mut self, now: Instant, packet: u16, change: Change) {
        match change {
            Change::Subscribe(numbers) => {
                self.requested.attributes = numbers.attributes.or(self.requested.attributes);
                self.requested.commands = numbers.commands.or(self.requested.commands);
            }
            Change::Unsubscribe(kinds) => self.requested.set(kinds, None),
        }
        self.pending = Some((packet, change, now + ANSWER));
    }

    /// Whether a SUBACK for this packet that grants so many filters grants all of them.
    pub(super) fn is_granted(&self, packet: u16, granted: usize) -> bool {
        self.pending
            .is_none_or(|(pending, change, _)| pending != packet || change.filters() == granted)
    }

    /// A SUBACK or UNSUBACK has come for this packet.
    pub(super) fn answered(&mut self, now: Instant, packet: u16) {
        let Some((_, change, _)) = self.pending.take_if(|(pending, ..)| *pending == packet) else {
            return;
        };
        if let Change::Subscribe(numbers) = change {
            self.settling = Some((numbers, now + SETTLING));
        }
    }

    /// The subscriptions that count as working from now on, of those that are still wanted.
    pub(super) fn pop_settled(&mut self, now: Instant) -> Option<Numbers> {
        let (numbers, _) = self.settling.take_if(|(_, at)| *at <= now)?;
        let settled = numbers.without(numbers.without(self.wanted));
        (!settled.is_empty()).then_some(settled)
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
