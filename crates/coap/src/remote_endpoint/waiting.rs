//! Requests that wait until their client has fewer exchanges open.
//!
//! Clients send what they have: a hundred POSTs at once from one with Californium's or node-coap's defaults. So many calls
//! upstream for one session would be at the cost of others, and a 5.03 loses telemetry, as no client tries again by
//! itself. So `coap.max_exchanges` of a session are worked on at once, and `coap.queue` more wait, in order. They are
//! acknowledged in time, recognised when they come again, and their bytes count towards `coap.body_bytes`.

use super::blockwise::{Blockwise, make_room, no_room};
use super::{Context, Output, RemoteEndpoint, send_empty};
use crate::body::Charge;
use crate::code::Code;
use crate::exchange::Exchange;
use crate::message::Type;
use crate::request::{Request, Response};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Instant;

/// Seconds after which an endpoint with too many open exchanges may try again.
const BUSY_MAX_AGE: u32 = 5;
/// What a request takes beside its place in the queue and its payload: its path and query.
const OPTIONS: usize = 160;

#[derive(Debug)]
struct Queued {
    exchange: Exchange,
    request: Request,
    _charge: Charge,
}

/// Requests that wait. An endpoint without any has none of this.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// In the order in which they came.
    queue: VecDeque<Queued>,
    /// No later than when the next of them is to be acknowledged.
    acknowledge_at: Option<Instant>,
}

impl RemoteEndpoint {
    /// Begins a request, or has it wait for others to end. If there is no room for it: what it is to be answered.
    pub(super) fn begin_or_wait(
        &mut self,
        exchange: Exchange,
        mut request: Request,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) -> Option<(Exchange, Response)> {
        if self.waiting.is_none() && self.exchanges.len() < context.parameters.max_exchanges {
            self.begin(exchange, request, context, out);
            return None;
        }
        // The bytes of a body that came in blocks count already.
        let payload = match exchange.asked.block1 {
            Some(_) => 0,
            None => request.payload.len(),
        };
        let bytes = size_of::<Queued>() + OPTIONS + payload;
        let Blockwise {
            account, snapshots, ..
        } = self.blockwise(context);
        let mut charge = account.open();
        let mut given_up = 0;
        let mut granted = true;
        while granted && !charge.resize(bytes) {
            granted = make_room(snapshots, &charge, bytes, &mut given_up);
        }
        context.counters.bodies_given_up += given_up;
        if !granted {
            context.counters.bodies_over_budget += 1;
            self.let_go_of_bodies();
            return Some((exchange, no_room()));
        }
        context.counters.requests_waited += 1;
        // A slice would keep the whole datagram alive, which is not charged.
        request.payload = match exchange.asked.block1 {
            Some(_) => request.payload,
            None => Bytes::copy_from_slice(&request.payload),
        };
        let waiting = self.waiting.get_or_insert_default();
        waiting.acknowledge_at = earlier(waiting.acknowledge_at, exchange.acknowledge_at());
        waiting.queue.push_back(Queued {
            exchange,
            request,
            _charge: charge,
        });
        None
    }

    fn begin(
        &mut self,
        exchange: Exchange,
        request: Request,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        context.counters.requests += 1;
        out.push(Output::Request(exchange.id, request));
        self.exchanges.push(exchange);
    }

    /// Whether [`begin_waiting`](Self::begin_waiting) is to be called, once.
    pub fn wants_to_begin(&self, context: &Context<'_>) -> bool {
        self.waiting.is_some() && self.exchanges.len() < context.parameters.max_exchanges
    }

    /// Begins the request that has waited longest, if it may begin. The caller says when: a request that is answered at
    /// once would begin the next from within, as deep as the queue is long; and each endpoint has its turn.
    pub fn begin_waiting(&mut self, context: &mut Context<'_>, out: &mut Vec<Output>) {
        let room = self.exchanges.len() < context.parameters.max_exchanges;
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        let next = if room {
            waiting.queue.pop_front()
        } else {
            None
        };
        if waiting.queue.is_empty() {
            self.waiting = None;
        }
        if let Some(Queued {
            exchange,
            request,
            _charge,
        }) = next
        {
            self.begin(exchange, request, context, out);
        }
        self.let_go_of_bodies();
    }

    /// Whether no further request can even wait.
    pub(super) fn is_full(&self, context: &Context<'_>) -> bool {
        let parameters = context.parameters;
        self.exchanges.len() >= parameters.max_exchanges && self.waiting() >= parameters.queue
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.waiting
            .as_ref()
            .map_or(0, |waiting| waiting.queue.len())
    }

    /// Acknowledges those whose response can't ride on the acknowledgement any more (RFC 7252 §5.2.2).
    pub(super) fn acknowledge_waiting(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        if waiting.acknowledge_at.is_none_or(|at| at > now) {
            return;
        }
        waiting.acknowledge_at = None;
        for Queued { exchange, .. } in &mut waiting.queue {
            if exchange.acknowledge_at().is_some_and(|at| at <= now) {
                context.counters.empty_acknowledgements += 1;
                exchange.acknowledge();
                self.deduplication.acknowledged(exchange.message);
                send_empty(Type::Acknowledgement, exchange.message.message_id, out);
            }
            waiting.acknowledge_at = earlier(waiting.acknowledge_at, exchange.acknowledge_at());
        }
    }

    /// When [`acknowledge_waiting`](Self::acknowledge_waiting) has something next.
    pub(super) fn acknowledge_waiting_at(&self) -> Option<Instant> {
        self.waiting.as_ref()?.acknowledge_at
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}

/// The response to a request for which the queue has no room.
pub(super) fn busy() -> Response {
    let why = "too many requests at once in this session";
    Response::error(Code::SERVICE_UNAVAILABLE, why).with_max_age(BUSY_MAX_AGE)
}
