//! Between a device's relay and its endpoint: notifications one way, what became of them the other.

use super::Core;
use crate::dtls::SessionId;
use crate::mapping::representation::Representation;
use crate::relay::{DeviceRelay, Observation, ObservationEnd, RelayContext, RelayId};
use bytes::Bytes;
use coap::{Code, Notification, ObservationId, Output, Response};
use std::time::Instant;

impl Core {
    /// Updates the relay of a session's device, and makes one if there is none.
    pub(super) fn with_relay_of(
        &mut self,
        now: Instant,
        session: SessionId,
        event: impl FnOnce(&mut DeviceRelay, &mut RelayContext<'_>),
    ) {
        if let Some(device) = self.device_of(session) {
            let id = self.relays.find_or_add(&device);
            self.with_relay(now, id, event);
        }
    }

    /// Updates the relay of a session's device, if there is one.
    pub(super) fn with_relay_if_any(
        &mut self,
        now: Instant,
        session: SessionId,
        event: impl FnOnce(&mut DeviceRelay, &mut RelayContext<'_>),
    ) {
        let device = self
            .sessions
            .get(session)
            .and_then(|peer| peer.device.as_ref());
        if let Some(id) = device.and_then(|device| self.relays.find(&device.name)) {
            self.with_relay(now, id, event);
        }
    }

    /// Updates a relay by an event.
    pub(super) fn with_relay(
        &mut self,
        now: Instant,
        id: RelayId,
        event: impl FnOnce(&mut DeviceRelay, &mut RelayContext<'_>),
    ) {
        let sessions = &self.sessions;
        let last_received = |session| sessions.get(session).map(|peer| peer.last_received());
        self.relays.update(now, id, &last_received, event);
    }

    /// An authentic record was received: a relay that waits for a sign of life goes on.
    pub(super) fn wake_relay(&mut self, now: Instant, session: SessionId) {
        let device = self
            .sessions
            .get(session)
            .and_then(|peer| peer.device.as_ref());
        let relay = device.and_then(|device| self.relays.find(&device.name));
        if let Some(id) = relay
            && self
                .relays
                .get(id)
                .is_some_and(|relay| relay.awaits_sign_of_life(session))
        {
            // A ping would delay the notifications that the relay has now.
            self.with_endpoint(now, session, |endpoint, context, outputs| {
                endpoint.cancel_ping(now, context, outputs);
            });
            self.with_relay(now, id, |relay, context| {
                relay.received(now, session, context)
            });
        }
    }

    /// Passes an endpoint's event about an observation to the relay.
    pub(super) fn on_endpoint_event(&mut self, now: Instant, session: SessionId, event: Output) {
        let of = |id: ObservationId| Observation { session, id };
        if let Output::Undelivered(_) | Output::PingUnanswered = event
            && let Some(peer) = self.sessions.get(session)
        {
            self.journal.parked(now, peer);
        }
        if let Output::Delivered(..) = event {
            self.sessions.served(now, session);
        }
        self.with_relay_if_any(now, session, |relay, context| match event {
            Output::Delivered(id, number) => relay.delivered(now, of(id), number, context),
            Output::TooLarge(id, number) => relay.too_large(now, of(id), number, context),
            Output::Undelivered(id) => relay.delivery_failed(of(id), context),
            Output::PingUnanswered => relay.unresponsive(session, context),
            Output::Cancelled(id) => relay.cancelled(of(id), context),
            Output::RegistrationRepeated(id) => relay.registration_repeated(now, of(id)),
            Output::Send(_)
            | Output::Request(..)
            | Output::ProvePath(_)
            | Output::PathConfirmed => {}
        });
    }

    /// Sends a notification to an observer.
    pub(super) fn notify(
        &mut self,
        now: Instant,
        observation: Observation,
        number: u64,
        payload: Bytes,
    ) {
        if self.leaves_to_next(observation.session) {
            return;
        }
        let max_age = u32::try_from(self.settings.relay.max_age.as_secs()).unwrap_or(u32::MAX);
        let response = Representation::Json.content(payload).with_max_age(max_age);
        if let Some(peer) = self.sessions.get(observation.session) {
            self.journal
                .notified(peer, observation.id, response.payload.len());
        }
        let notification = Notification { number, response };
        self.with_endpoint(now, observation.session, |endpoint, context, outputs| {
            endpoint.notify(now, observation.id, notification, context, outputs);
        });
    }

    /// Ends an observation by a last notification (RFC 7641 §4.2).
    pub(super) fn end_observation(
        &mut self,
        now: Instant,
        observation: Observation,
        end: ObservationEnd,
    ) {
        let response = match end {
            ObservationEnd::Replaced => Response::new(Code::DELETED),
            ObservationEnd::Unauthorized => Response::error(
                Code::UNAUTHORIZED,
                "ThingsBoard does not know the access token registered for this device",
            ),
            ObservationEnd::Unregistered => Response::error(
                Code::UNAUTHORIZED,
                "the certificate is no longer registered at the gateway",
            ),
            ObservationEnd::NotRestored => Response::error(
                Code::SERVICE_UNAVAILABLE,
                "the gateway has restarted and has lost this observation: register again",
            )
            .with_max_age(0),
            ObservationEnd::Forbidden => {
                Response::error(Code::FORBIDDEN, "ThingsBoard says the device was deleted")
            }
        };
        if let Some(peer) = self.sessions.get(observation.session) {
            self.journal.observation_ended(peer, observation.id, end);
        }
        self.with_endpoint(now, observation.session, |endpoint, context, outputs| {
            endpoint.end_observation(now, observation.id, Some(response), context, outputs);
        });
    }
}
