//! Parking: a device does not answer, so nothing is requested for it. A notification in flight may still be acknowledged.

use super::{DeviceRelay, KINDS};
use crate::downlink::Kind;
use crate::dtls::SessionId;
use crate::relay::RelayContext;
use crate::relay::liveness::{Observation, Observer};

impl DeviceRelay {
    /// A session does not answer a ping: its observations are parked until something is received from the
    /// device.
    pub(crate) fn unresponsive(&mut self, session: SessionId, context: &mut RelayContext<'_>) {
        for kind in KINDS {
            self.park(kind, session, context);
        }
    }

    /// The endpoint has given up the notification of an observation, which is parked. The other observation of the session
    /// is parked too, unless the session has received something since the notification was given to the endpoint; a
    /// notification in flight for it is still reported.
    pub(crate) fn delivery_failed(
        &mut self,
        observation: Observation,
        context: &mut RelayContext<'_>,
    ) {
        let session = observation.session;
        let own = KINDS.map(|kind| self.has(kind, observation));
        let since = match own {
            [true, _] => self.attributes.delivery_failed(),
            [_, true] => self.commands.delivery_failed(context),
            [false, false] => None,
        };
        let last_received = (context.last_received)(session);
        let is_alive = since.is_some_and(|since| last_received.is_some_and(|last| last > since));
        for (kind, own) in KINDS.into_iter().zip(own) {
            if own || !is_alive {
                self.park(kind, session, context);
            }
        }
    }

    fn park(&mut self, kind: Kind, session: SessionId, context: &mut RelayContext<'_>) {
        let observer = self.observer_of(kind, session);
        if observer.is_some_and(Observer::park) {
            context.counters.parked += 1;
            self.export_changed();
            match kind {
                Kind::Attributes => self.attributes.pause(),
                Kind::Commands => self.commands.pause(),
            }
        }
    }

    /// Whether the observation is of this kind, or the replaced one that a notification is still in flight for.
    fn has(&self, kind: Kind, observation: Observation) -> bool {
        match kind {
            Kind::Attributes => self.observation(kind) == Some(observation),
            Kind::Commands => self.commands.has(observation),
        }
    }
}
