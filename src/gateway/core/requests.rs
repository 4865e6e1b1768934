//! From an endpoint's request to a response at once, or to a call to ThingsBoard; and back from its answer to a response.

use super::Core;
use super::respond::Why;
use crate::calls::parsing::Parsed;
use crate::calls::{Call, Ticket};
use crate::dtls::SessionId;
use crate::gateway::sessions::Peer;
use crate::gateway::stats::answers::RequestLabels;
use crate::mapping::path::{self, NoRoute};
use crate::mapping::request::{self, Action, Sizes};
use crate::mapping::resource::Resource;
use crate::mapping::response::{self, AnswerKind};
use crate::ota::AssignmentChange;
use crate::quotas::in_flight::{Full, Holder};
use crate::relay::ObservationEnd;
use crate::upstream::{self, Error};
use coap::{self, Code, Context, ExchangeId, Observe, Output, RemoteEndpoint, Request, Response};
use std::time::Instant;

/// Seconds after which a device may try again when too many calls are in flight.
const BUSY_MAX_AGE: u32 = 5;

/// Tells sets of relations apart: ids are never used again, and rise.
fn relations(endpoint: &RemoteEndpoint) -> (usize, u64) {
    let ids = endpoint.relations().map(|(id, _)| u64::from(id.0));
    (endpoint.observations(), ids.sum())
}

impl Core {
    /// The largest CoAP message that fits one datagram, and one record of this session, in bytes.
    fn max_message(&self, session: SessionId) -> usize {
        let of_session = self.sessions.dtls.max_plaintext(session);
        let in_datagram = self.settings.max_message();
        of_session.map_or(in_datagram, |most| most.min(in_datagram))
    }

    /// Runs `work` on a peer's endpoint, then carries out its outputs. A request among them may lead back here: the vector
    /// of outputs is taken out of `self` meanwhile, so the inner call uses one of its own.
    pub(super) fn with_endpoint<T>(
        &mut self,
        now: Instant,
        session: SessionId,
        work: impl FnOnce(&mut RemoteEndpoint, &mut Context<'_>, &mut Vec<Output>) -> T,
    ) -> Option<T> {
        let max_message = self.max_message(session);
        let is_stored = self.state.is_some() || self.group.is_some();
        let peer = self.sessions.get_mut(session)?;
        let relations = is_stored.then(|| relations(&peer.endpoint));
        let mut outputs = std::mem::take(&mut self.outputs);
        let mut parameters = match peer.device {
            Some(_) => self.settings.coap,
            None => self.settings.coap_for_unregistered(),
        };
        let held_back = self.in_flight.holds_back(&peer.holder());
        if held_back {
            parameters.max_exchanges = 0;
        }
        let mut context = Context {
            parameters: &parameters,
            max_message,
            bodies: &self.bodies,
            holder: match &peer.device {
                Some(device) => coap::Holder::Device(&device.name),
                None => coap::Holder::Source(peer.host()),
            },
            random: &mut || self.random.u32(..),
            counters: &mut self.coap_counters,
        };
        let result = work(&mut peer.endpoint, &mut context, &mut outputs);
        let has_other = relations.is_some_and(|before| before != self::relations(&peer.endpoint));
        if peer.endpoint.can_start_queued(&context) {
            self.ready.add(now, peer);
        } else if held_back && peer.endpoint.queued() > 0 {
            self.ready.postpone(now, peer);
        }
        self.sessions.arm(session);
        for output in outputs.drain(..) {
            match output {
                Output::Send(bytes) => {
                    if let Some(bytes) = self.hold_back(now, session, bytes) {
                        self.send_now(now, session, &bytes);
                    }
                }
                Output::Request(exchange, request) => {
                    self.handle_request(now, session, exchange, request);
                }
                Output::ProvePath(bytes) if self.may_send(now, session) => {
                    self.sessions.dtls.send_proof(session, &bytes);
                    self.tap.send(|| self.sent(session, &bytes));
                }
                Output::ProvePath(_) => {}
                Output::PathConfirmed => self.sessions.dtls.confirm_path(session),
                event @ (Output::Delivered(..)
                | Output::TooLarge(..)
                | Output::Undelivered(_)
                | Output::Cancelled(_)
                | Output::RegistrationRepeated(_)
                | Output::PingUnanswered) => {
                    self.relay_calls.endpoint_events.push_back((session, event))
                }
            }
        }
        self.outputs = outputs;
        if has_other {
            self.session_changed(now, session);
        }
        self.prove_path(now, session);
        if self.draining.is_active() {
            self.draining.touched.push(session);
        }
        Some(result)
    }

    /// Sends a CoAP message to a session's peer.
    pub(super) fn send_now(&mut self, now: Instant, session: SessionId, message: &[u8]) {
        self.sessions.dtls.send(now, session, message);
        self.tap.send(|| self.sent(session, message));
    }

    /// Handles a new request.
    pub(super) fn handle_request(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
        request: Request,
    ) {
        if self.refuse_of_former_device(now, session, exchange) {
            return;
        }
        let Some(peer) = self.sessions.get_mut(session) else {
            return;
        };
        let resource = path::resolve(&request.path);
        self.journal.request(peer, exchange, &request, resource);
        let labels = RequestLabels::of(request.method, resource);
        peer.open_request(exchange, labels);
        self.tallies.answers.opened();
        // A device's reply to a command ends an exchange that ThingsBoard has begun.
        if self.draining.is_active()
            && !self.is_stored(session)
            && !matches!(resource, Ok(Resource::Rpc { id: Some(_) }))
        {
            return self.refuse_while_draining(now, session, exchange);
        }
        let kind = resource.ok().and_then(Resource::observable);
        let registers = request.observe == Some(Observe::Register);
        if registers && kind.is_none() {
            self.counters.registrations_elsewhere += 1;
        }
        if request.observe == Some(Observe::Deregister)
            && let Some(kind) = kind
        {
            self.deregister(now, session, exchange, kind);
        }
        let Some(peer) = self.sessions.get(session) else {
            return;
        };
        let action = self.decide(peer, request, resource);
        if registers && !matches!(action, Action::Register(_)) {
            // To the client, a response without Observe ends the observation with this token (RFC 7641 §4.1).
            self.end_without_notification(now, session, exchange);
        }
        match action {
            Action::Respond(response) => {
                let peer = self.sessions.get(session);
                if peer.is_some_and(|peer| peer.device.is_none()) {
                    self.counters.unregistered_requests += 1;
                    self.sessions.refused_unregistered(now, session);
                }
                self.respond(now, session, exchange, response, Why::Handled);
            }
            Action::Register(kind) => self.register(now, session, exchange, kind),
            Action::Download(download, wanted) => {
                self.download(now, session, exchange, download, wanted);
            }
            Action::Call(expect, request) => {
                self.start_call(now, session, exchange, expect, request)
            }
        }
    }

    /// Begins a call to ThingsBoard for a request, if its bounds allow it.
    pub(super) fn start_call(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
        expect: AnswerKind,
        request: upstream::Request,
    ) {
        let Some(peer) = self.sessions.get(session) else {
            return;
        };
        if matches!(expect, AnswerKind::Attributes | AnswerKind::Registration)
            && let Some(seconds) = self.unanswered.refuses(now, peer.name())
        {
            self.counters.gets_refused += 1;
            let why = "ThingsBoard leaves this device's GETs unanswered: it may limit their rate";
            return self.refuse_call(now, session, exchange, expect, why, seconds);
        }
        let holder = peer.holder();
        let device = peer.device.as_ref();
        if let AnswerKind::CommandReply(id) = expect
            && let Some(relay) = device.and_then(|device| self.relays.find(&device.name))
            && self
                .relays
                .get(relay)
                .is_some_and(|relay| relay.is_reply_outdated(id))
        {
            // The caller that awaited it lost its command in ThingsBoard's restart. ThingsBoard, too, accepts a reply that
            // nothing awaits.
            self.with_relay(now, relay, |relay, context| {
                relay.reply_received(now, id, context);
            });
            let response = Response::new(Code::CREATED);
            self.respond(now, session, exchange, response, Why::Handled);
            return;
        }
        if let Err(full) = self.in_flight.begin(holder, session, exchange, expect) {
            let (counter, why) = match full {
                Full::Whole => (
                    &mut self.counters.calls_refused,
                    "too many requests on their way to ThingsBoard",
                ),
                Full::Device => (
                    &mut self.counters.calls_refused_to_device,
                    "too many requests of this device on their way to ThingsBoard",
                ),
                Full::ClientRpc => (
                    &mut self.counters.client_rpcs_refused,
                    "too many client-side RPCs wait for a rule chain",
                ),
            };
            *counter += 1;
            return self.refuse_call(now, session, exchange, expect, why, BUSY_MAX_AGE);
        }
        if let AnswerKind::CommandReply(id) = expect {
            self.with_relay_if_any(now, session, |relay, context| {
                relay.reply_received(now, id, context);
            });
        }
        self.counters.calls += 1;
        let ticket = Ticket::Exchange {
            session,
            exchange,
            expect,
        };
        self.queue_call(now, Call { ticket, request });
    }

    /// Answers a request whose call can't be made now.
    fn refuse_call(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
        expect: AnswerKind,
        why: &'static str,
        max_age: u32,
    ) {
        let response = Response::error(Code::SERVICE_UNAVAILABLE, why).with_max_age(max_age);
        match expect {
            AnswerKind::Registration => self.fail_registration(now, session, exchange, response),
            AnswerKind::Created
            | AnswerKind::CommandReply(_)
            | AnswerKind::Attributes
            | AnswerKind::RpcReply
            | AnswerKind::Provisioned => {
                self.respond(now, session, exchange, response, Why::Handled);
            }
        }
    }

    /// Aborts the calls of a session that has ended, except those that have an effect in ThingsBoard.
    pub(super) fn give_up_calls(&mut self, session: SessionId) {
        while let Some((exchange, expect)) = self.in_flight.abort_one(session) {
            let ticket = Ticket::Exchange {
                session,
                exchange,
                expect,
            };
            self.counters.calls_given_up += 1;
            self.tallies.upstream.aborted(&ticket);
            self.relay_calls.abort(ticket);
        }
    }

    /// Queues a call for the driver.
    pub(super) fn queue_call(&mut self, now: Instant, call: Call) {
        self.tallies.upstream.begin(now, call.ticket);
        self.calls.push_back(call);
    }

    /// The call for a device's request has ended.
    pub(super) fn exchange_call_ended(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
        expect: AnswerKind,
        outcome: Result<Parsed, Error>,
    ) {
        let Some(holder) = self.in_flight.end(session, exchange) else {
            self.counters.completions_too_late += 1;
            return;
        };
        let Some(peer) = self.sessions.get(session) else {
            self.counters.completions_too_late += 1;
            return self.reply_ended(now, &holder, expect, &outcome);
        };
        if let (AnswerKind::Attributes | AnswerKind::Registration, Some(device)) =
            (expect, &peer.device)
        {
            match &outcome {
                Err(Error::Timeout) => self.unanswered.timed_out(now, &device.name),
                _ => self.unanswered.answered(&device.name),
            }
        }
        if expect == AnswerKind::Attributes
            && outcome.is_ok()
            && let Some(device) = &peer.device
        {
            // The answer is not parsed here. It may have new `fw_*` attributes, and the device may GET that package next.
            let any = AssignmentChange::ANY;
            self.packages.attributes_changed(now, device, any);
        }
        if let Err(error) = &outcome {
            self.journal
                .upstream_failed(now, peer, exchange, expect, error);
            // Open polls under this access token would be refused only when they end.
            let refusal = ObservationEnd::of(error).filter(|_| expect != AnswerKind::Provisioned);
            if let Some(end) = refusal.filter(|_| !peer.is_under_former_token(exchange)) {
                self.with_relay_if_any(now, session, |relay, context| relay.rejected(end, context));
            }
        }
        self.reply_ended(now, &holder, expect, &outcome);
        // What was read may be read again.
        if !matches!(expect, AnswerKind::Attributes | AnswerKind::Registration) {
            self.hold_responses(now, session);
        }
        let response = match outcome {
            Ok(Parsed::Response(response) | Parsed::NotSent(response)) => response,
            Ok(Parsed::Registration(Ok(read))) => {
                return self.attributes_read(now, session, exchange, read);
            }
            Ok(Parsed::Registration(Err(unreadable))) => {
                response::attributes_unreadable(unreadable)
            }
            // None of these is parsed for an exchange.
            Ok(Parsed::Poll(_) | Parsed::Attributes(_) | Parsed::Answer(_)) => {
                response::unreadable_answer()
            }
            Err(error) => response::failed(expect, &error),
        };
        if expect == AnswerKind::Registration {
            return self.fail_registration(now, session, exchange, response);
        }
        if expect == AnswerKind::Provisioned
            && response.code == Code::CREATED
            && let Some(peer) = self.sessions.get(session)
        {
            self.journal.provisioned(now, peer);
        }
        self.respond(now, session, exchange, response, Why::Handled);
    }

    /// Passes to the relay whether a device's reply to a command has reached ThingsBoard, whether or not its session still
    /// exists.
    fn reply_ended(
        &mut self,
        now: Instant,
        holder: &Holder,
        expect: AnswerKind,
        outcome: &Result<Parsed, Error>,
    ) {
        if let (AnswerKind::CommandReply(id), Holder::Device(name)) = (expect, holder)
            && let Some(relay) = self.relays.find(name)
        {
            let is_accepted = matches!(outcome, Ok(Parsed::Response(_)));
            self.with_relay(now, relay, |relay, _| {
                relay.reply_answered(now, id, is_accepted)
            });
        }
    }

    /// Translates a request of this peer.
    pub(super) fn decide(
        &self,
        peer: &Peer,
        request: Request,
        resource: Result<Resource, NoRoute>,
    ) -> Action {
        let may_provision = self.settings.provision && resource == Ok(Resource::Provision);
        if peer.device.is_none() && !may_provision {
            return Action::Respond(Response::error(
                Code::UNAUTHORIZED,
                format!(
                    "certificate not registered at the gateway: SHA-256 {}",
                    peer.fingerprint()
                ),
            ));
        }
        let sizes = Sizes {
            largest_body: self.settings.coap.max_body,
            max_message: self.max_message(peer.session),
        };
        request::map(request, resource, peer.device.as_ref(), sizes)
    }
}
