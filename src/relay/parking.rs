//! Parking: a device does not answer, so nothing is polled for it. What is still under way to it may yet be acknowledged.

use super::{Context, DeviceRelay, Kind};
use crate::dtls::SessionId;
use crate::relay::liveness::{Observation, Observer};

impl DeviceRelay {
    /// A session does not answer: nothing is asked for on its behalf until it is heard again.
    pub fn silent(&mut self, session: SessionId, context: &mut Context<'_>) {
        for kind in [Kind::Attributes, Kind::Commands] {
            self.park(kind, session, context);
        }
    }

    /// What was on its way to an observation was given up. What is on its way to the other is not: the endpoint will
    /// still say what becomes of it. If the session was heard meanwhile, the device is there, and the other goes on.
    pub fn undelivered(&mut self, observation: Observation, context: &mut Context<'_>) {
        let session = observation.session;
        let kinds = [Kind::Attributes, Kind::Commands];
        let own = kinds.map(|kind| self.has(kind, observation));
        let since = match own {
            [true, _] => self.attributes.undelivered(),
            [_, true] => self.commands.undelivered(context),
            [false, false] => None,
        };
        let heard = (context.heard)(session);
        let is_there = since.is_some_and(|since| heard.is_some_and(|heard| heard > since));
        for (kind, own) in kinds.into_iter().zip(own) {
            if own || !is_there {
                self.park(kind, session, context);
            }
        }
    }

    fn park(&mut self, kind: Kind, session: SessionId, context: &mut Context<'_>) {
        let observer = match kind {
            Kind::Attributes => self.attributes.observer_mut(),
            Kind::Commands => self.commands.observer_mut(),
        };
        let observer = observer.filter(|observer| observer.observation.session == session);
        if observer.is_some_and(Observer::park) {
            context.counters.parked += 1;
            match kind {
                Kind::Attributes => self.attributes.pause(),
                Kind::Commands => self.commands.pause(),
            }
        }
    }

    /// Whether this observation is of this kind, be it one that ends when what is under way for it has settled.
    fn has(&self, kind: Kind, observation: Observation) -> bool {
        match kind {
            Kind::Attributes => self.observation(kind) == Some(observation),
            Kind::Commands => self.commands.has(observation),
        }
    }
}
