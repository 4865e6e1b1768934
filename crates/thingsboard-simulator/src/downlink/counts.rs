//! Counts of polls and subscriptions.

use serde::Serialize;

/// The polls and subscriptions of one device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionCounts {
    /// `GET attributes/updates`.
    pub attributes: PollCounts,
    /// `GET rpc`.
    pub rpc: PollCounts,
    /// Commands that wait for a poll or for their reply.
    pub pending_commands: usize,
}

/// The polls of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PollCounts {
    /// Subscriptions whose session is registered, whether or not its client is still connected.
    pub live: usize,
    /// Subscriptions whose session was dropped. ThingsBoard keeps those for attributes until it restarts, and those for
    /// RPC until the next command.
    pub stale: u64,
    /// All polls that were opened.
    pub opened: u64,
    /// Polls that are waiting now.
    pub open: usize,
    /// The most polls that were waiting at once.
    pub most_open: usize,
}

impl PollCounts {
    pub(super) fn opened(&mut self) {
        self.opened += 1;
        self.open += 1;
        self.most_open = self.most_open.max(self.open);
    }

    pub(super) fn ended(&mut self) {
        self.open = self.open.saturating_sub(1);
    }
}

impl SubscriptionCounts {
    pub(super) fn of(&mut self, kind: super::PollKind) -> &mut PollCounts {
        match kind {
            super::PollKind::Attributes => &mut self.attributes,
            super::PollKind::Rpc => &mut self.rpc,
        }
    }
}
