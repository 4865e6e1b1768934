//! What a relay is given with each event.

use super::Settings;
use super::counters::Counters;
use super::effect::RelayEffect;
use crate::downlink::{self, Effects, Pacing};
use crate::dtls::SessionId;
use std::time::Instant;

/// What a relay is given with each event: what all relays share, and where its effects go.
pub(crate) struct RelayContext<'a> {
    /// `[relay]`
    pub settings: &'a Settings,
    /// The largest payload of a notification, in bytes.
    pub largest_payload: usize,
    /// How many more bytes may be held for the device.
    pub room: usize,
    /// Shared by all relays.
    pub pacing: &'a mut Pacing,
    /// Uniform within 0..1.
    pub random: &'a mut dyn FnMut() -> f64,
    /// When something authentic last came from a session; `None` if it has ended.
    pub last_received: &'a dyn Fn(SessionId) -> Option<Instant>,
    /// Shared by all relays.
    pub counters: &'a mut Counters,
    /// What is to be done, in this order.
    pub effects: &'a mut Vec<RelayEffect>,
}

impl RelayContext<'_> {
    /// What a downlink is given of it.
    pub(super) fn downlink(&mut self) -> downlink::Context<'_> {
        downlink::Context {
            pacing: self.pacing,
            random: self.random,
            counters: &mut self.counters.downlink,
            effects: self.effects,
        }
    }
}

impl Effects for Vec<RelayEffect> {
    fn push_effect(&mut self, effect: downlink::Effect) {
        self.push(RelayEffect::Downlink(effect));
    }
}
