//! What a downlink wants done, and what it is given for it.

use super::polling::pacing::Pacing;
use super::{Acknowledgement, Counters, Kind};
use std::time::Duration;

/// What a downlink wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Open a long poll of this length, and report its end under its number.
    OpenPoll(Kind, u64, Duration),
    /// Close a poll; its end is not reported.
    AbortPoll(Kind, u64),
    /// Log that ThingsBoard ends polls earlier than requested.
    PollCutShort {
        requested: Duration,
        lasted: Duration,
    },
    /// Subscribe under the token that the device has now, again on each new connection, until `Unsubscribe`. Each time
    /// ThingsBoard grants it, that is reported under the number.
    Subscribe(Kind, u64),
    /// End the subscription. What ThingsBoard has sent before is still reported.
    Unsubscribe(Kind),
    /// Acknowledge a message to ThingsBoard, unless its connection is closed.
    Acknowledge(Acknowledgement),
}

/// Where effects go, in their order.
pub(crate) trait Effects {
    fn push_effect(&mut self, effect: Effect);
}

/// What a downlink is given with each event.
pub(crate) struct Context<'a> {
    /// Shared by the polls of all devices.
    pub pacing: &'a mut Pacing,
    /// Uniform within 0..1.
    pub random: &'a mut dyn FnMut() -> f64,
    /// Shared by all devices.
    pub counters: &'a mut Counters,
    pub effects: &'a mut dyn Effects,
}
