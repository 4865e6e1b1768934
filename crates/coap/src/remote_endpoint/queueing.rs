//! Queues requests while their endpoint has too many open exchanges.
//!
//! With Californium's or node-coap's defaults a client sends a hundred POSTs at once. So many calls
//! upstream for one session would be at the expense of others, and a 5.03 loses telemetry, as no
//! client tries again by itself. So `coap.max_exchanges` of a session are open at once, and
//! `coap.queue` more are queued in order. Queued requests are acknowledged in time and
//! deduplicated, and their bytes count towards `coap.body_bytes`.

use super::blockwise::{Blockwise, make_room, no_room};
use super::{Context, Output, RemoteEndpoint, send_empty};
use crate::body::{Charge, ETag};
use crate::code::Code;
use crate::deduplication::MessageKey;
use crate::exchange::Exchange;
use crate::message::Type;
use crate::request::{Method, Request, Response};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Instant;

/// Max-Age, in seconds, of a 5.03 because the queue is full.
const BUSY_MAX_AGE: u32 = 5;
/// The fewest bytes charged for the options of a queued request.
const MIN_OPTIONS: usize = 160;
/// Bytes of the smallest allocation, overhead included.
const MIN_ALLOCATION: usize = 32;

#[derive(Debug)]
struct Queued {
    exchange: Exchange,
    request: Request,
    _charge: Charge,
}

/// The queued requests of one endpoint, which has no queue without any.
#[derive(Debug, Default)]
pub(super) struct RequestQueue {
    /// In the order of arrival.
    queue: VecDeque<Queued>,
    /// When the next of them must be acknowledged, or earlier.
    acknowledge_at: Option<Instant>,
}

impl RemoteEndpoint {
    /// Starts a request, or queues it. If no memory is left for it, returns its response.
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
        // The bytes of a body assembled from several blocks are charged already.
        let is_charged = request.method == Method::Post
            && exchange.blocks.block1.is_some_and(|block| block.num() > 0);
        let payload = if is_charged { 0 } else { request.payload.len() };
        let bytes = size_of::<Queued>() + option_bytes(&request) + payload;
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
        if !is_charged {
            // A slice would keep the whole datagram alive, and only the payload is charged.
            request.payload = Bytes::copy_from_slice(&request.payload);
        }
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

    /// Whether a queued request may start: call [`start_queued`](Self::start_queued) once.
    pub fn can_start_queued(&self, context: &Context<'_>) -> bool {
        self.queue.is_some() && self.exchanges.len() < context.parameters.max_exchanges
    }

    /// Starts the oldest queued request, if it may start. The caller decides when, so that
    /// endpoints take turns, and so that requests that are answered at once don't recurse as deep
    /// as the queue is long.
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

    /// Whether no further request can be queued.
    pub(super) fn queue_is_full(&self, context: &Context<'_>) -> bool {
        let parameters = context.parameters;
        // While others are queued, a request is queued even if an exchange may open.
        let must_wait = self.queue.is_some() || self.exchanges.len() >= parameters.max_exchanges;
        must_wait && self.queued() >= parameters.queue
    }

    /// The number of queued requests.
    pub fn queued(&self) -> usize {
        self.queue.as_ref().map_or(0, |waiting| waiting.queue.len())
    }

    /// Whether this message's request is queued.
    pub(super) fn is_queued(&self, message: MessageKey) -> bool {
        let mut queued = self.queue.iter().flat_map(|waiting| &waiting.queue);
        queued.any(|queued| queued.exchange.message == message)
    }

    /// Sends the empty ACKs of queued requests that are due (RFC 7252 §5.2.2).
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

    /// When [`acknowledge_queued`](Self::acknowledge_queued) is due next.
    pub(super) fn acknowledge_queued_at(&self) -> Option<Instant> {
        self.queue.as_ref()?.acknowledge_at
    }
}

/// Bytes charged for the options of a request: a datagram may have 64, of 255 bytes or of none.
fn option_bytes(request: &Request) -> usize {
    let texts = [&request.path, &request.query];
    let allocated = |texts: &Vec<String>| {
        let values = texts.iter().map(|text| text.capacity().max(MIN_ALLOCATION));
        values.sum::<usize>() + texts.capacity() * size_of::<String>()
    };
    let texts: usize = texts.into_iter().map(allocated).sum();
    let etags = request.etags.capacity() * size_of::<ETag>();
    MIN_OPTIONS.max(texts + etags)
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}

/// The response to a request for which the queue has no room.
pub(super) fn busy() -> Response {
    let why = "too many requests at once in this session";
    Response::error(Code::SERVICE_UNAVAILABLE, why).with_max_age(BUSY_MAX_AGE)
}
