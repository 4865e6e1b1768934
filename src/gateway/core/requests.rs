//! From an endpoint's request to an answer at once, or to a call upstream; and the way back.

use super::Core;
use crate::coap::{Code, Context, ExchangeId, Output, RemoteEndpoint, Request, Response};
use crate::dtls::SessionId;
use crate::gateway::call::{Call, Ticket};
use crate::gateway::peers::Peer;
use crate::gateway::route::{self, NoRoute, Resource};
use crate::gateway::translate::{self, Translated};
use std::time::Instant;

/// Seconds after which a device may try again when too many calls are in flight.
const BUSY_MAX_AGE: u32 = 5;
/// What DTLS adds to a plaintext at most: header 13, explicit nonce 8, tag 16 (RFC 5288 §3), and
/// some to spare for DTLS 1.3's padding and content type.
const DTLS_OVERHEAD: usize = 48;
impl Core {
    /// Lets a peer's endpoint work, then does what it wants done.
    pub(super) fn with_endpoint(
        &mut self,
        now: Instant,
        session: SessionId,
        work: impl FnOnce(&mut RemoteEndpoint, &mut Context<'_>, &mut Vec<Output>),
    ) {
        let Some(peer) = self.peers.get_mut(session) else {
            return;
        };
        let mut outputs = std::mem::take(&mut self.outputs);
        let mut context = Context {
            parameters: &self.settings.coap,
            max_message: self.settings.dtls.mtu.saturating_sub(DTLS_OVERHEAD),
            random: &mut || self.random.u32(..),
            counters: &mut self.coap_counters,
        };
        work(&mut peer.endpoint, &mut context, &mut outputs);
        self.peers.arm(session);
        for output in outputs.drain(..) {
            match output {
                Output::Send(bytes) => self.demux.send(now, session, &bytes),
                Output::Request(exchange, request) => {
                    self.handle_request(now, session, exchange, request);
                }
                // Nobody registers yet, so nothing comes of observing.
                Output::Delivered(..)
                | Output::Undelivered(_)
                | Output::TooLarge(..)
                | Output::Cancelled(_)
                | Output::RegistrationRepeated(_)
                | Output::PingUnanswered => {}
            }
        }
        self.outputs = outputs;
    }

    pub(super) fn respond(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
        response: Response,
    ) {
        if let Some(peer) = self.peers.get(session) {
            self.journal.answered(peer, exchange, &response);
        }
        self.with_endpoint(now, session, |endpoint, context, outputs| {
            endpoint.respond(now, exchange, response, context, outputs);
        });
    }

    pub(super) fn handle_request(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
        request: Request,
    ) {
        let Some(peer) = self.peers.get(session) else {
            return;
        };
        let resource = route::resolve(&request.path);
        self.journal.asked(peer, exchange, &request, resource);
        match self.decide(peer, request, resource) {
            Translated::Answer(response) => {
                if peer.device.is_none() {
                    self.counters.unregistered_requests += 1;
                }
                self.respond(now, session, exchange, response);
            }
            Translated::Ask(..) if self.in_flight >= self.settings.max_in_flight => {
                self.counters.calls_refused += 1;
                let busy = Response::error(
                    Code::SERVICE_UNAVAILABLE,
                    "too many requests on their way to ThingsBoard",
                );
                self.respond(now, session, exchange, busy.with_max_age(BUSY_MAX_AGE));
            }
            Translated::Ask(expect, request) => {
                self.in_flight += 1;
                self.counters.calls += 1;
                let ticket = Ticket {
                    session,
                    exchange,
                    expect,
                };
                self.calls.push_back(Call { ticket, request });
            }
        }
    }

    /// What a request comes to, for this peer.
    pub(super) fn decide(
        &self,
        peer: &Peer,
        request: Request,
        resource: Result<Resource, NoRoute>,
    ) -> Translated {
        let may_provision = self.settings.provision && resource == Ok(Resource::Provision);
        if peer.device.is_none() && !may_provision {
            return Translated::Answer(Response::error(
                Code::UNAUTHORIZED,
                format!(
                    "certificate not registered at the gateway: SHA-256 {}",
                    peer.fingerprint()
                ),
            ));
        }
        match resource {
            Ok(resource) => translate::to_upstream(
                request,
                resource,
                peer.device.as_ref(),
                self.settings.coap.max_body,
            ),
            Err(nowhere) => Translated::Answer(translate::no_route(nowhere)),
        }
    }
}
