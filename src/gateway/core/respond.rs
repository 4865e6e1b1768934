//! The one place where a request gets its response. What is malformed, and a block of a body, the endpoint answers by
//! itself: that is no request yet.

use super::Core;
use crate::dtls::SessionId;
use coap::{ExchangeId, ObservationId, Response};
use std::time::Instant;

/// Why a request gets its response, on which depends what else follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It was handled, or refused.
    Handled,
    /// It is a registration that is accepted (RFC 7641 §4.1).
    Registered,
    /// The gateway stops. That is no service: a device that repeats its requests must not keep its session open by them.
    Draining,
}

impl Core {
    /// Sends the response to a request, writes the journal and counts. Returns the relation that a registration has made
    /// or renewed, if there is one now.
    pub(super) fn respond(
        &mut self,
        now: Instant,
        session: SessionId,
        exchange: ExchangeId,
        response: Response,
        why: Why,
    ) -> Option<ObservationId> {
        let peer = self.sessions.get_mut(session)?;
        self.journal.response(peer, exchange, &response);
        if let Some(labels) = peer.close_request(exchange) {
            self.tallies.answers.answered(labels, response.code);
        }
        let registered = self.with_endpoint(now, session, |endpoint, context, outputs| match why {
            Why::Handled => {
                endpoint.respond(now, exchange, response, context, outputs);
                // The device is awake now, perhaps not for long.
                endpoint.retransmit_early(now, context, outputs);
                None
            }
            Why::Registered => {
                endpoint.respond_registered(now, exchange, response, context, outputs)
            }
            Why::Draining => {
                endpoint.respond(now, exchange, response, context, outputs);
                None
            }
        });
        if why == Why::Handled {
            self.sessions.served(now, session);
            self.with_relay_if_any(now, session, |relay, context| relay.uplink(now, context));
        }
        registered.flatten()
    }
}
