//! The polls of one device, of both kinds: how many there are, and what they wait for.

use super::{Context, DeviceRelay, Kind};
use super::{Mode, Settings};
use std::time::Instant;

impl DeviceRelay {
    /// How many long polls count for it: those that it keeps, or would if its device were heard, and those that outlive
    /// their observation.
    pub fn polls(&self, settings: &Settings) -> usize {
        let kinds = [
            (Kind::Attributes, settings.attributes),
            (Kind::Commands, settings.rpc),
        ];
        let counts = |(kind, mode): &(Kind, Mode)| *mode == Mode::LongPoll && self.has_poll(*kind);
        kinds.iter().filter(|one| counts(one)).count()
    }

    /// Whether there is an observation of this kind, or a poll that the next one would begin with.
    pub fn has_poll(&self, kind: Kind) -> bool {
        let poller = match kind {
            Kind::Attributes => self.attributes.poller(),
            Kind::Commands => self.commands.poller(),
        };
        poller.open() > 0 || self.observation(kind).is_some()
    }

    /// The gateway stops, and nobody will register for these: nothing is lost with a poll for attributes.
    pub fn abort_attribute_polls(&mut self, context: &mut Context<'_>) {
        if self.observation(Kind::Attributes).is_none() {
            self.attributes.abort_polls(context);
        }
    }

    /// What is held for the device, in bytes.
    pub fn bytes(&self) -> usize {
        self.attributes.bytes() + self.commands.bytes()
    }

    /// When it is forgotten how many polls have begun. Until then the relay is kept: a new one would allow as many again.
    pub fn rested_at(&self) -> Option<Instant> {
        let pollers = [self.attributes.poller(), self.commands.poller()];
        pollers.into_iter().filter_map(|one| one.rested_at()).max()
    }

    /// Whether something waits to be tried again, for ThingsBoard did not answer.
    pub fn awaits_answers(&self) -> bool {
        self.attributes.awaits_answers() || self.commands.poller().awaits_answers()
    }

    /// ThingsBoard answers others: there is nothing to wait for.
    pub fn wake(&mut self, now: Instant) {
        self.attributes.wake(now);
        self.commands.wake();
    }
}
