//! The downlinks of one device, of both kinds: how many there are, and what they wait for.

use super::{DeviceRelay, KINDS};
use crate::downlink::{Downlink, Kind, Mode};
use crate::relay::table::Subscriptions;
use crate::relay::{RelayContext, Settings};
use std::time::Instant;

impl DeviceRelay {
    fn downlink(&self, kind: Kind) -> &Downlink {
        match kind {
            Kind::Attributes => self.attributes.downlink(),
            Kind::Commands => self.commands.downlink(),
        }
    }

    /// How many it counts for against `relay.max_polls`: one for each observation, parked or not, and for each downlink
    /// that outlives its observation.
    pub(crate) fn downlinks(&self, settings: &Settings) -> usize {
        let counts = |kind: &Kind| {
            let mode = match kind {
                Kind::Attributes => settings.attributes,
                Kind::Commands => settings.rpc,
            };
            mode == Mode::WhileLive && self.has_downlink(*kind)
        };
        KINDS.iter().filter(|kind| counts(kind)).count()
    }

    /// The subscriptions of which this holds.
    pub(super) fn subscriptions(&self, holds: impl Fn(&Downlink) -> bool) -> Subscriptions {
        Subscriptions {
            attributes: usize::from(holds(self.attributes.downlink())),
            commands: usize::from(holds(self.commands.downlink())),
        }
    }

    /// Whether there is an observation of this kind, or a downlink that the next one would begin with.
    pub(crate) fn has_downlink(&self, kind: Kind) -> bool {
        self.downlink(kind).is_open() || self.observation(kind).is_some()
    }

    /// The numbers of the polls for commands that are open.
    pub(crate) fn open_command_polls(&self) -> impl Iterator<Item = u64> + '_ {
        self.commands.downlink().open_polls()
    }

    /// Closes the downlink for attributes if there is no observation: the gateway stops, and no device will register for
    /// them. Nothing is lost, as with commands.
    pub(crate) fn abort_unused_attribute_downlink(&mut self, context: &mut RelayContext<'_>) {
        if self.observation(Kind::Attributes).is_none() {
            self.attributes.abort_downlink(context);
        }
    }

    /// Until when the relay is kept for its downlinks' sake.
    pub(crate) fn keep_until(&self) -> Option<Instant> {
        let downlinks = KINDS.map(|kind| self.downlink(kind));
        downlinks.into_iter().filter_map(Downlink::keep_until).max()
    }

    /// Whether a downlink or a read backs off because ThingsBoard did not answer.
    pub(crate) fn awaits_recovery(&self) -> bool {
        self.attributes.awaits_recovery() || self.commands.downlink().awaits_recovery()
    }

    /// ThingsBoard answers again: any back-off for that reason ends.
    pub(crate) fn retry_now(&mut self, now: Instant) {
        self.attributes.retry_now(now);
        self.commands.retry_now();
    }
}
