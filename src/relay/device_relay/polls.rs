//! The long polls of one device, of both kinds: how many there are, and what they wait for.

use super::{DeviceRelay, KINDS};
use crate::downlink::Kind;
use crate::downlink::Mode;
use crate::downlink::polling::poller::Poller;
use crate::relay::RelayContext;
use crate::relay::Settings;
use std::time::Instant;

impl DeviceRelay {
    fn poller(&self, kind: Kind) -> &Poller {
        match kind {
            Kind::Attributes => self.attributes.poller(),
            Kind::Commands => self.commands.poller(),
        }
    }

    /// How many long polls it counts for against `relay.max_polls`: one for each observation, parked or not, and for each
    /// poll that outlives its observation.
    pub(crate) fn polls(&self, settings: &Settings) -> usize {
        let counts = |kind: &Kind| {
            let mode = match kind {
                Kind::Attributes => settings.attributes,
                Kind::Commands => settings.rpc,
            };
            mode == Mode::LongPoll && self.has_poll(*kind)
        };
        KINDS.iter().filter(|kind| counts(kind)).count()
    }

    /// Whether there is an observation of this kind, or a poll that the next one would begin with.
    pub(crate) fn has_poll(&self, kind: Kind) -> bool {
        self.poller(kind).open() > 0 || self.observation(kind).is_some()
    }

    /// The numbers of the polls for commands that are open.
    pub(crate) fn open_command_polls(&self) -> impl Iterator<Item = u64> + '_ {
        self.commands.poller().open_polls()
    }

    /// Closes the polls for attributes if there is no observation: the gateway stops, and no device will register for them.
    /// Nothing is lost, as with a poll for commands.
    pub(crate) fn abort_unused_attribute_polls(&mut self, context: &mut RelayContext<'_>) {
        if self.observation(Kind::Attributes).is_none() {
            self.attributes.abort_polls(context);
        }
    }

    /// When its polls may begin at full rate again. Until then the relay is kept, since a new one would begin at full rate.
    pub(crate) fn poll_rate_full_at(&self) -> Option<Instant> {
        let pollers = KINDS.map(|kind| self.poller(kind));
        pollers
            .into_iter()
            .filter_map(|poller| poller.rate_full_at())
            .max()
    }

    /// Whether a poll or a read backs off because ThingsBoard did not answer.
    pub(crate) fn awaits_recovery(&self) -> bool {
        self.attributes.awaits_recovery() || self.commands.poller().awaits_recovery()
    }

    /// ThingsBoard answers again: any back-off for that reason ends.
    pub(crate) fn retry_now(&mut self, now: Instant) {
        self.attributes.retry_now(now);
        self.commands.retry_now();
    }
}
