//! Registrations (RFC 7641 §3.1): from a GET with Observe to an observation, or to an answer without one.

use super::Core;
use super::respond::Why;
use crate::calls::parsing::Registration;
use crate::downlink::Kind;
use crate::downlink::attribute_json;
use crate::dtls::SessionId;
use crate::mapping::representation::Representation;
use crate::mapping::response::{AnswerKind, RETRY_AFTER};
use crate::relay::Observation;
use crate::relay::shared_attributes::cost_of;
use crate::upstream::{self, Operation};
use coap::{Code, ExchangeId, Response};
use std::time::Instant;

impl Core {
    /// A device registers for one of the two kinds (RFC 7641 §3.1).
    pub(super) fn register(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
        kind: Kind,
    ) {
        let Some(device) = self.device_of(session) else {
            return;
        };
        if !self.relays.has_room(&device.name, kind) {
            return self.refuse_registration(now, session, exchange);
        }
        match kind {
            Kind::Attributes => {
                let operation = Operation::GetAttributes {
                    client_keys: None,
                    shared_keys: None,
                };
                let request = upstream::Request::Device { device, operation };
                self.start_call(now, session, exchange, AnswerKind::Registration, request);
            }
            Kind::Commands => {
                // What ThingsBoard's CoAP transport answers; RFC 7252 §5.9.1.3 demands an ETag.
                let valid = Response::new(Code::VALID);
                let accepted = self.accept_registration(now, session, exchange, kind, valid);
                if let Some(observation) = accepted {
                    self.with_relay_of(now, session, |relay, context| {
                        relay.commands_registered(now, observation, context);
                    });
                }
            }
        }
    }

    fn refuse_registration(&mut self, now: Instant, session: SessionId, exchange: ExchangeId) {
        self.relays.count_refusal();
        let full = Response::error(
            Code::SERVICE_UNAVAILABLE,
            "as many observations as relay.max_polls allows exist already",
        );
        self.fail_registration(now, session, exchange, full.with_max_age(RETRY_AFTER));
    }

    /// Answers a registration without accepting it. An observation under the same token ends: to the client, a response
    /// without Observe means that (RFC 7641 §4.1).
    pub(super) fn fail_registration(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
        response: Response,
    ) {
        self.end_without_notification(now, session, exchange);
        self.respond(now, session, exchange, response, Why::Handled);
    }

    /// Ends the observation that has this exchange's token, if there is one.
    pub(super) fn end_without_notification(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
    ) {
        let Some(observation) = self.observation_of(session, exchange) else {
            return;
        };
        self.with_endpoint(now, session, |endpoint, context, outputs| {
            endpoint.end_observation(now, observation.id, None, context, outputs);
        });
        self.with_relay_if_any(now, session, |relay, context| {
            relay.cancelled(observation, context);
        });
    }

    /// ThingsBoard has answered with the attributes of a device that registers for them.
    pub(super) fn attributes_read(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
        read: Registration,
    ) {
        // The registry has changed since the request: these attributes belong to another device.
        let peer = self.sessions.get(session);
        if peer.is_some_and(|peer| peer.is_of_former_device(exchange)) {
            let reassigned = Response::error(
                Code::SERVICE_UNAVAILABLE,
                "the certificate belongs to another device now",
            );
            return self.fail_registration(now, session, exchange, reassigned.with_max_age(0));
        }
        let Some(device) = self.device_of(session) else {
            return;
        };
        if !self.relays.has_room(&device.name, Kind::Attributes) {
            return self.refuse_registration(now, session, exchange);
        }
        let relay = self
            .relays
            .find(&device.name)
            .and_then(|id| self.relays.get(id));
        let Registration { values, state } = read;
        let (values, state) = match relay {
            Some(relay) if values.is_empty() => {
                let values = relay.registration_values(values);
                let state = Representation::Json.content(attribute_json::flat(&values));
                (values, state)
            }
            Some(_) | None => (values, state),
        };
        if !self.relays.has_bytes(&device.name, cost_of(&values)) {
            self.relays.count_no_room();
            let full = Response::error(
                Code::SERVICE_UNAVAILABLE,
                "as many bytes of attributes and commands as relay.bytes allows are held already",
            );
            let full = full.with_max_age(RETRY_AFTER);
            return self.fail_registration(now, session, exchange, full);
        }
        if let Some(observation) =
            self.accept_registration(now, session, exchange, Kind::Attributes, state)
        {
            self.with_relay_of(now, session, |relay, context| {
                relay.attributes_registered(now, observation, values, context);
            });
        }
    }

    /// Answers a registration, and has the endpoint keep the relation.
    fn accept_registration(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
        kind: Kind,
        response: Response,
    ) -> Option<Observation> {
        // An observation of the other kind under the same token ends: the client has reused the token.
        let before = self.observation_of(session, exchange);
        if before.is_some() && before != self.observation_of_kind(session, kind) {
            self.end_without_notification(now, session, exchange);
        }
        let max_age = u32::try_from(self.settings.relay.max_age.as_secs()).unwrap_or(u32::MAX);
        let response = response.with_max_age(max_age);
        let id = self.respond(now, session, exchange, response, Why::Registered);
        let Some(id) = id else {
            // The response does not fit, and the endpoint has dropped the relation.
            if let Some(before) = before {
                self.with_relay_if_any(now, session, |relay, context| {
                    relay.cancelled(before, context);
                });
            }
            return None;
        };
        let observation = Observation { session, id };
        let peer = self.sessions.get(session)?;
        self.journal.registered(peer, kind, observation.id);
        Some(observation)
    }

    /// Ends the observation of this kind under the request's token, if there is one. The request is then handled as a GET
    /// without Observe (RFC 7641 §4.1).
    pub(super) fn deregister(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
        kind: Kind,
    ) {
        let observation = self.observation_of(session, exchange);
        if observation.is_some() && observation == self.observation_of_kind(session, kind) {
            self.end_without_notification(now, session, exchange);
        }
    }

    /// The observation that has this exchange's token.
    fn observation_of(&self, session: SessionId, exchange: ExchangeId) -> Option<Observation> {
        let endpoint = &self.sessions.get(session)?.endpoint;
        let id = endpoint.observation_of(exchange)?;
        Some(Observation { session, id })
    }

    /// The observation of this kind of the session's device.
    fn observation_of_kind(&self, session: SessionId, kind: Kind) -> Option<Observation> {
        let device = self.device_of(session)?;
        let id = self.relays.find(&device.name)?;
        self.relays.get(id)?.observation(kind)
    }
}
