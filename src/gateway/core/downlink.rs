//! Between endpoints, relays and upstream: registrations, notifications, polls.

use super::Core;
use crate::device::Device;
use crate::dtls::SessionId;
use crate::gateway::call::{Call, Errand, Ticket};
use crate::gateway::reading::{Reading, Registration};
use crate::mapping::translate::{Expect, RETRY_AFTER};
use crate::relay::shared_attributes;
use crate::relay::{Context, DeviceRelay, Effect, Kind, Last, Observation, RelayId};
use crate::upstream::{self, Error, Operation};
use bytes::Bytes;
use coap::{Code, ExchangeId, ObservationId, Output, Response};
use coap::{Notification, option::content_format::JSON};
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

/// Calls that relays have made, and what waits to become one.
#[derive(Debug, Default)]
pub(super) struct Errands {
    under_way: HashSet<(RelayId, Errand)>,
    /// Polls among them.
    polls: usize,
    /// Reads under way.
    reads: usize,
    /// Relays that wait to read, in order, and the number of each one's newest wish: no relay waits twice.
    reads_waiting: VecDeque<RelayId>,
    read_wanted: HashMap<RelayId, u64>,
    aborted: VecDeque<Ticket>,
    /// What endpoints tell of observations, until the relays hear it.
    pub(super) told: VecDeque<(SessionId, Output)>,
}

impl Errands {
    /// Calls under way.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Polls open, and the other calls under way.
    pub(super) fn open(&self) -> (usize, usize) {
        (self.polls, self.under_way.len().saturating_sub(self.polls))
    }

    /// Relays that wait to read.
    pub(super) fn reads_waiting(&self) -> usize {
        self.reads_waiting.len()
    }

    fn begin(&mut self, relay: RelayId, errand: Errand) {
        let is_new = self.under_way.insert((relay, errand));
        self.polls += usize::from(is_new && matches!(errand, Errand::Poll(..)));
    }

    /// Whether it was under way.
    fn end(&mut self, relay: RelayId, errand: Errand) -> bool {
        let was = self.under_way.remove(&(relay, errand));
        let polls = usize::from(was && matches!(errand, Errand::Poll(..)));
        self.polls = self.polls.saturating_sub(polls);
        was
    }

    /// Whether this call is under way.
    pub(super) fn is_under_way(&self, relay: RelayId, errand: Errand) -> bool {
        self.under_way.contains(&(relay, errand))
    }

    /// The answer to this call is not wanted any more.
    pub(super) fn abort(&mut self, ticket: Ticket) {
        self.aborted.push_back(ticket);
    }

    pub(super) fn poll_abort(&mut self) -> Option<Ticket> {
        self.aborted.pop_front()
    }
}

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
                self.ask(now, session, exchange, Expect::Registration, request);
            }
            Kind::Commands => {
                // ThingsBoard's own answer; RFC 7252 §5.9.1.3 would have an ETag in it.
                let valid = Response::new(Code::VALID);
                let stands = self.stand(now, session, exchange, kind, valid);
                if let Some(observation) = stands {
                    self.tell(now, session, |relay, context| {
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
            "as many observations as relay.max_polls allows stand already",
        );
        self.fail_registration(now, session, exchange, full.with_max_age(RETRY_AFTER));
    }

    /// A registration comes to nothing. What stood under its token is over (RFC 7641 §4.1): the client takes
    /// a response without Observe for just that.
    pub(super) fn fail_registration(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
        response: Response,
    ) {
        self.end_silently(now, session, exchange);
        self.respond(now, session, exchange, response);
    }

    /// Ends the observation that has this exchange's token, if there is one.
    fn end_silently(&mut self, now: Instant, session: SessionId, exchange: ExchangeId) {
        let Some(standing) = self.observation_of(session, exchange) else {
            return;
        };
        self.with_endpoint(now, session, |endpoint, context, outputs| {
            endpoint.end_observation(now, standing.id, None, context, outputs);
        });
        self.tell_if_any(now, session, |relay, context| {
            relay.cancelled(standing, context);
        });
    }

    /// ThingsBoard has told the attributes of a device that registers for them.
    pub(super) fn attributes_read(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
        read: Registration,
    ) {
        // The registry was read anew meanwhile. What was read is not this device's, if there is one.
        let peer = self.peers.get(session);
        if peer.is_some_and(|peer| peer.is_of_a_former_device(exchange)) {
            let moved = Response::error(
                Code::SERVICE_UNAVAILABLE,
                "the certificate is registered otherwise now",
            );
            return self.fail_registration(now, session, exchange, moved.with_max_age(0));
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
                let values = relay.believed(values);
                let state = Response::content(JSON, shared_attributes::flat(&values));
                (values, state)
            }
            Some(_) | None => (values, state),
        };
        if !self
            .relays
            .has_bytes(&device.name, shared_attributes::cost_of(&values))
        {
            self.relays.count_no_room();
            let full = Response::error(
                Code::SERVICE_UNAVAILABLE,
                "as many bytes of attributes and commands as relay.bytes allows are held already",
            );
            let full = full.with_max_age(RETRY_AFTER);
            return self.fail_registration(now, session, exchange, full);
        }
        if let Some(observation) = self.stand(now, session, exchange, Kind::Attributes, state) {
            self.tell(now, session, |relay, context| {
                relay.attributes_registered(now, observation, values, context);
            });
        }
    }

    /// Answers a registration and has the endpoint keep it.
    fn stand(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
        kind: Kind,
        response: Response,
    ) -> Option<Observation> {
        // A token that stands for the other kind does so no more: the client has taken it for this one.
        let before = self.observation_of(session, exchange);
        if before.is_some() && before != self.standing(session, kind) {
            self.end_silently(now, session, exchange);
        }
        let max_age = u32::try_from(self.settings.relay.max_age.as_secs()).unwrap_or(u32::MAX);
        let response = response.with_max_age(max_age);
        let peer = self.peers.get(session)?;
        self.journal.answered(peer, exchange, &response);
        let code = response.code;
        self.tallies.answers.answered(session, exchange, code);
        let id = self.with_endpoint(now, session, |endpoint, context, outputs| {
            endpoint.respond_registered(now, exchange, response, context, outputs)
        })?;
        let Some(id) = id else {
            // The response could not be sent as it is, and the endpoint has dropped the relation.
            if let Some(before) = before {
                self.tell_if_any(now, session, |relay, context| {
                    relay.cancelled(before, context);
                });
            }
            return None;
        };
        let observation = Observation { session, id };
        let peer = self.peers.get(session)?;
        self.journal.registered(peer, kind, observation.id);
        Some(observation)
    }

    /// A device ends the observation of this kind that has the request's token, if there is one. The request itself is
    /// then a GET without Observe (RFC 7641 §4.1).
    pub(super) fn deregister(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
        kind: Kind,
    ) {
        let standing = self.observation_of(session, exchange);
        if standing.is_some() && standing == self.standing(session, kind) {
            self.end_silently(now, session, exchange);
        }
    }

    /// The observation that has this exchange's token.
    fn observation_of(&self, session: SessionId, exchange: ExchangeId) -> Option<Observation> {
        let endpoint = &self.peers.get(session)?.endpoint;
        let id = endpoint.observation_of(exchange)?;
        Some(Observation { session, id })
    }

    /// The observation of this kind that the session's device has.
    fn standing(&self, session: SessionId, kind: Kind) -> Option<Observation> {
        let device = self.device_of(session)?;
        let id = self.relays.find(&device.name)?;
        self.relays.get(id)?.observation(kind)
    }

    /// Tells the relay of a session's device; one that registers gets a relay if it has none.
    fn tell(
        &mut self,
        now: Instant,
        session: SessionId,
        event: impl FnOnce(&mut DeviceRelay, &mut Context<'_>),
    ) {
        if let Some(device) = self.device_of(session) {
            let id = self.relays.find_or_add(&device);
            self.tell_relay(now, id, event);
        }
    }

    /// Tells the relay of a session's device, if it has one.
    pub(super) fn tell_if_any(
        &mut self,
        now: Instant,
        session: SessionId,
        event: impl FnOnce(&mut DeviceRelay, &mut Context<'_>),
    ) {
        let device = self
            .peers
            .get(session)
            .and_then(|peer| peer.device.as_ref());
        if let Some(id) = device.and_then(|device| self.relays.find(&device.name)) {
            self.tell_relay(now, id, event);
        }
    }

    pub(super) fn tell_relay(
        &mut self,
        now: Instant,
        id: RelayId,
        event: impl FnOnce(&mut DeviceRelay, &mut Context<'_>),
    ) {
        let peers = &self.peers;
        let heard = |session| peers.get(session).map(|peer| peer.last_heard());
        self.relays.tell(now, id, &heard, event);
    }

    /// Something authentic came from a session whose relay may wait for just that.
    pub(super) fn tell_heard(&mut self, now: Instant, session: SessionId) {
        let device = self
            .peers
            .get(session)
            .and_then(|peer| peer.device.as_ref());
        let relay = device.and_then(|device| self.relays.find(&device.name));
        if let Some(id) = relay
            && self
                .relays
                .get(id)
                .is_some_and(|relay| relay.awaits(session))
        {
            // A ping would only stand in front of what the relay has for the device now.
            self.with_endpoint(now, session, |endpoint, context, outputs| {
                endpoint.cancel_ping(now, context, outputs);
            });
            self.tell_relay(now, id, |relay, context| relay.heard(now, session, context));
        }
    }

    /// What an endpoint told of an observation.
    pub(super) fn hear_of_observation(&mut self, now: Instant, session: SessionId, told: Output) {
        let of = |id: ObservationId| Observation { session, id };
        if let Output::Undelivered(_) | Output::PingUnanswered = told
            && let Some(peer) = self.peers.get(session)
        {
            self.journal.parked(now, peer);
        }
        if let Output::Delivered(..) = told {
            self.peers.served(now, session);
        }
        self.tell_if_any(now, session, |relay, context| match told {
            Output::Delivered(id, number) => relay.delivered(now, of(id), number, context),
            Output::TooLarge(id, number) => relay.too_large(now, of(id), number, context),
            Output::Undelivered(id) => relay.undelivered(of(id), context),
            Output::PingUnanswered => relay.silent(session, context),
            Output::Cancelled(id) => relay.cancelled(of(id), context),
            Output::RegistrationRepeated(id) => relay.registration_repeated(now, of(id)),
            Output::Send(_) | Output::Request(..) => {}
        });
    }

    /// Does what a relay wants done.
    pub(super) fn do_errand(&mut self, now: Instant, relay: RelayId, effect: Effect) {
        match effect {
            // None is begun any more; the relay may think so.
            Effect::Poll(..) if self.draining.is_under_way() => {}
            Effect::Poll(kind, number, timeout) => {
                let operation = match kind {
                    Kind::Attributes => Operation::PollAttributes { timeout },
                    Kind::Commands => Operation::PollRpc { timeout },
                };
                self.call_for(now, relay, Errand::Poll(kind, number), operation);
            }
            Effect::Abort(kind, number) => {
                let errand = Errand::Poll(kind, number);
                if self.errands.end(relay, errand) {
                    self.errands.aborted.push_back(Ticket::Relay(relay, errand));
                }
            }
            Effect::Read(number) => {
                if self.errands.read_wanted.insert(relay, number).is_none() {
                    self.errands.reads_waiting.push_back(relay);
                }
                self.read_on(now);
            }
            Effect::Notify {
                observation,
                number,
                payload,
            } => self.notify(now, observation, number, payload),
            Effect::End(observation, last) => self.end(now, observation, last),
            Effect::Ping(session) => {
                self.with_endpoint(now, session, |endpoint, context, outputs| {
                    endpoint.ping(now, context, outputs);
                });
            }
            Effect::Refuse(id, refusal) => {
                if let Some(relay) = self.relays.get(relay) {
                    self.journal
                        .command_refused(now, &relay.device.name, id, refusal);
                }
                let body = Bytes::from_static(refusal.reply().as_bytes());
                self.call_for(
                    now,
                    relay,
                    Errand::Refusal(id),
                    Operation::ReplyRpc { id, body },
                );
            }
            Effect::AssignmentChanged(change) => {
                if let Some(relay) = self.relays.get(relay) {
                    self.packages.attributes_changed(now, &relay.device, change);
                }
            }
            Effect::CutOff { asked, lasted } => self.journal.polls_cut_off(asked, lasted),
            Effect::Nonsense(kind) => {
                if let Some(relay) = self.relays.get(relay) {
                    self.journal.nonsense(now, &relay.device.name, kind);
                }
            }
        }
    }

    fn call_for(&mut self, now: Instant, relay: RelayId, errand: Errand, operation: Operation) {
        let Some(device) = self.relays.get(relay).map(|relay| relay.device.clone()) else {
            return;
        };
        self.errands.begin(relay, errand);
        let call = Call {
            ticket: Ticket::Relay(relay, errand),
            request: upstream::Request::Device { device, operation },
        };
        self.begin_call(now, call);
    }

    /// Begins as many of the reads that wait as may be under way.
    fn read_on(&mut self, now: Instant) {
        while self.errands.reads < crate::config::Relay::READS
            && let Some(relay) = self.errands.reads_waiting.pop_front()
        {
            let wanted = self.errands.read_wanted.remove(&relay);
            if let Some(number) = wanted.filter(|_| self.relays.get(relay).is_some()) {
                self.errands.reads += 1;
                self.call_for(now, relay, Errand::Read(number), Operation::ReadAttributes);
            }
        }
    }

    /// A relay's call has come to its end.
    pub(super) fn errand_done(
        &mut self,
        now: Instant,
        relay: RelayId,
        errand: Errand,
        outcome: Result<Reading, Error>,
    ) {
        if !self.errands.end(relay, errand) {
            self.counters.completions_too_late += 1;
            return;
        }
        if let (Err(error), Some(relay)) = (&outcome, self.relays.get(relay)) {
            self.journal
                .errand_failed(now, &relay.device.name, errand, error);
        }
        if self.draining.is_under_way() {
            let observer = self.relays.get(relay);
            let observer = observer.and_then(|relay| relay.observation(Kind::Commands));
            let session = observer.map(|observation| observation.session);
            self.draining.touched.extend(session);
        }
        match errand {
            Errand::Poll(kind, number) => {
                let brought = outcome.and_then(Reading::poll);
                self.tell_relay(now, relay, |relay, context| {
                    relay.poll_ended(now, kind, number, brought, context);
                });
            }
            Errand::Read(number) => {
                self.errands.reads = self.errands.reads.saturating_sub(1);
                self.read_on(now);
                let read = outcome.and_then(Reading::attributes);
                self.tell_relay(now, relay, |relay, context| {
                    relay.read_ended(now, number, read, context);
                });
            }
            // If it failed, ThingsBoard gives the command again.
            Errand::Refusal(id) => {
                let is_taken = outcome.is_ok();
                self.tell_relay(now, relay, |relay, _| relay.replied(now, id, is_taken));
                if let Some(last) = outcome.as_ref().err().and_then(Last::of) {
                    self.tell_relay(now, relay, |relay, context| relay.refuse(last, context));
                }
            }
        }
    }

    /// ThingsBoard refuses a device, by this token. That says nothing of another token that it may have by now.
    pub(super) fn refuse_observations(&mut self, now: Instant, device: &Device, last: Last) {
        let Some(id) = self.relays.find(&device.name) else {
            return;
        };
        let known = self.relays.get(id).map(|relay| &relay.device.token);
        if known == Some(&device.token) {
            self.tell_relay(now, id, |relay, context| relay.refuse(last, context));
        }
    }

    fn notify(&mut self, now: Instant, observation: Observation, number: u64, payload: Bytes) {
        let max_age = u32::try_from(self.settings.relay.max_age.as_secs()).unwrap_or(u32::MAX);
        let response = Response::content(JSON, payload).with_max_age(max_age);
        if let Some(peer) = self.peers.get(observation.session) {
            self.journal
                .notified(peer, observation.id, response.payload.len());
        }
        let notification = Notification { number, response };
        self.with_endpoint(now, observation.session, |endpoint, context, outputs| {
            endpoint.notify(now, observation.id, notification, context, outputs);
        });
    }

    fn end(&mut self, now: Instant, observation: Observation, last: Last) {
        let response = match last {
            Last::Replaced => Response::new(Code::DELETED),
            Last::Unauthorized => Response::error(
                Code::UNAUTHORIZED,
                "ThingsBoard does not know the access token registered for this device",
            ),
            Last::Unregistered => Response::error(
                Code::UNAUTHORIZED,
                "the certificate is no longer registered at the gateway",
            ),
            Last::Forbidden => {
                Response::error(Code::FORBIDDEN, "ThingsBoard says the device was deleted")
            }
        };
        if let Some(peer) = self.peers.get(observation.session) {
            self.journal.observation_ended(peer, observation.id, last);
        }
        self.with_endpoint(now, observation.session, |endpoint, context, outputs| {
            endpoint.end_observation(now, observation.id, Some(response), context, outputs);
        });
    }
}
