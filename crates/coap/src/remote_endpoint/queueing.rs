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
pub(super) struct RequestQueue {
    /// In the order in which they came.
    queue: VecDeque<Queued>,
    /// No later than when the next of them is to be acknowledged.
    acknowledge_at: Option<Instant>,
}

impl RemoteEndpoint {
    /// Begins a request, or has it wait for others to end. If there is no room for it: what it is to be answered.
    pub(super) fn start_or_enqueue(
        &mut self,
        exchange: Exchange,
        mut request: Request,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) -> Option<(Exchange, Response)> {
        if self.queue.is_none() && self.exchanges.len() < context.parameters.max_exchanges {
            self.start(exchange, request, context, out);
            return None;
        }
        // The bytes of a body that came in blocks count already.
        let payload = match exchange.blocks.block1 {
            Some(_) => 0,
            None => request.payload.len(),
        };
        let bytes = size_of::<Queued>() + OPTIONS + payload;
        let Blockwise {
            account, snapshots, ..
        } = self.blockwise(context);
        let mut charge = account.new_charge();
        let mut evicted = 0;
        let mut granted = true;
        while granted && !charge.resize(bytes) {
            granted = make_room(snapshots, &charge, bytes, &mut evicted);
        }
        context.counters.bodies_evicted += evicted;
        if !granted {
            context.counters.bodies_over_budget += 1;
            self.free_idle_blockwise();
            return Some((exchange, no_room()));
        }
        context.counters.requests_waited += 1;
        // A slice would keep the whole datagram alive, which is not charged.
        request.payload = match exchange.blocks.block1 {
            Some(_) => request.payload,
            None => Bytes::copy_from_slice(&request.payload),
        };
        let waiting = self.queue.get_or_insert_default();
        waiting.acknowledge_at = earlier(waiting.acknowledge_at, exchange.acknowledge_at());
        waiting.queue.push_back(Queued {
            exchange,
            request,
            _charge: charge,
        });
        None
    }

    fn start(
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

    /// Whether [`start_queued`](Self::start_queued) is to be called, once.
    pub fn can_start_queued(&self, context: &Context<'_>) -> bool {
        self.queue.is_some() && self.exchanges.len() < context.parameters.max_exchanges
    }

    /// Begins the request that has waited longest, if it may begin. The caller says when: a request that is answered at
    /// once would begin the next from within, as deep as the queue is long; and each endpoint has its turn.
    pub fn start_queued(&mut self, context: &mut Context<'_>, out: &mut Vec<Output>) {
        let room = self.exchanges.len() < context.parameters.max_exchanges;
        let Some(waiting) = &mut self.queue else {
            return;
        };
        let next = if room {
            waiting.queue.pop_front()
        } else {
            None
        };
        if waiting.queue.is_empty() {
            self.queue = None;
        }
        if let Some(Queued {
            exchange,
            request,
            _charge,
        }) = next
        {
            self.start(exchange, request, context, out);
        }
        self.free_idle_blockwise();
    }

    /// Whether no further request can even wait.
    pub(super) fn queue_is_full(&self, context: &Context<'_>) -> bool {
        let parameters = context.parameters;
        self.exchanges.len() >= parameters.max_exchanges && self.queued() >= parameters.queue
    }

    /// Requests that wait.
    pub fn queued(&self) -> usize {
        self.queue.as_ref().map_or(0, |waiting| waiting.queue.len())
    }

    /// Acknowledges those whose response can't ride on the acknowledgement any more (RFC 7252 §5.2.2).
    pub(super) fn acknowledge_queued(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        let Some(waiting) = &mut self.queue else {
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
                self.deduplication.record_acknowledgement(exchange.message);
                send_empty(Type::Acknowledgement, exchange.message.message_id, out);
            }
            waiting.acknowledge_at = earlier(waiting.acknowledge_at, exchange.acknowledge_at());
        }
    }

    /// When [`acknowledge_queued`](Self::acknowledge_queued) has something next.
    pub(super) fn acknowledge_queued_at(&self) -> Option<Instant> {
        self.queue.as_ref()?.acknowledge_at
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
