//! CoAP for one secure session: from decrypted datagrams to requests, from responses to datagrams.
//!
//! A message's way in: [`Message::decode`] → empty, acknowledgement or response? → duplicate? →
//! options → an [`Exchange`] opens and [`Output::Request`] leaves. The way back: [`respond`] picks
//! the carriage, remembers the reply for duplicates, and [`Output::Send`] leaves.
//!
//! Requests beyond `max_exchanges` stay in [`waiting`]. [`responding`] is that way back. [`transmitting`] sends what is
//! Confirmable, until it is acknowledged or given up. [`observing`] is the clients that observe. What does not fit one
//! message is put together in [`gathering`], cut in [`cutting`], and held in [`blockwise`].
//!
//! [`respond`]: RemoteEndpoint::respond

mod blockwise;
mod observing;
mod queueing;
mod receiving_blocks;
mod responding;
mod sending_blocks;
mod transmitting;

use super::body::Bodies;
use super::code::{Class, Code};
use super::counters::Counters;
use super::deduplication::{Arrival, Deduplication, MessageKey};
use super::evictable::Holder;
use super::exchange::{BlockContext, Exchange, ExchangeId};
use super::message::{Message, Type, Undecodable};
use super::message_id::MessageIds;
use super::observe::{Observations, relation::ObservationId};
use super::option::number::OBSERVE;
use super::received::{self, BadOption};
use super::reliability::Outgoing;
use super::request::{Request, Response};
use crate::parameters::Parameters;
use blockwise::Blockwise;
use bytes::Bytes;
use queueing::RequestQueue;
use std::time::Instant;

/// What came of a message or a timer.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Encrypt and send these bytes.
    Send(Vec<u8>),
    /// A new request; answer it with [`RemoteEndpoint::respond`].
    Request(ExchangeId, Request),
    /// The notification of this number has reached the peer: it was acknowledged, or it was sent and
    /// is Non-confirmable.
    Delivered(ObservationId, u64),
    /// A notification, or the response to the registration, was given up after MAX_RETRANSMIT; or a
    /// notification was, because so many bytes could not be held. The relation is still there, and nothing of it is pending or in flight any more.
    Undelivered(ObservationId),
    /// The notification of this number is larger than `coap.max_response_body` and is not sent. The
    /// relation is as it was.
    TooLarge(ObservationId, u64),
    /// The peer rejected a notification, be it one of some time ago (RFC 7641 §3.6). The relation is
    /// gone.
    Cancelled(ObservationId),
    /// The request that registered this relation came again and was answered as the first time,
    /// though notifications have gone out since. The peer takes that answer for older than those,
    /// so if it never saw the first it now misses what was in it.
    RegistrationRepeated(ObservationId),
    /// Nothing answered the [`ping`](RemoteEndpoint::ping).
    PingUnanswered,
}

/// What is the same for all endpoints.
pub struct Context<'a> {
    /// Times and bounds.
    pub parameters: &'a Parameters,
    /// The largest message that fits one datagram under DTLS, in bytes.
    pub max_message: usize,
    /// How many bytes of bodies are held.
    pub bodies: &'a Bodies,
    /// Whose endpoint it is, as far as such bytes go.
    pub holder: Holder<'a>,
    /// Uniform random numbers.
    pub random: &'a mut dyn FnMut() -> u32,
    /// What happened.
    pub counters: &'a mut Counters,
}

/// The CoAP state of one secure session. Idle, without bodies under way and not observing, it holds
/// no heap.
#[derive(Debug)]
pub struct RemoteEndpoint {
    message_ids: MessageIds,
    next_exchange: u32,
    deduplication: Deduplication,
    exchanges: Vec<Exchange>,
    /// Boxed, because most endpoints never have one.
    queue: Option<Box<RequestQueue>>,
    outgoing: Outgoing,
    observations: Observations,
    /// Boxed, because most endpoints never have one.
    blockwise: Option<Box<Blockwise>>,
    /// When what could not be sent at the last try may be.
    retry_at: Option<Instant>,
    ping_wanted: bool,
}

impl RemoteEndpoint {
    /// An endpoint we have not exchanged anything with. `first_message_id` should be random (§4.4).
    pub fn new(first_message_id: u16) -> RemoteEndpoint {
        RemoteEndpoint {
            message_ids: MessageIds::new(first_message_id),
            next_exchange: 0,
            deduplication: Deduplication::default(),
            exchanges: Vec::new(),
            queue: None,
            outgoing: Outgoing::default(),
            observations: Observations::default(),
            blockwise: None,
            retry_at: None,
            ping_wanted: false,
        }
    }

    /// A decrypted datagram came.
    pub fn receive(
        &mut self,
        now: Instant,
        datagram: Bytes,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        let message = match Message::from_bytes(datagram.clone()) {
            Ok(message) => message,
            Err(Undecodable::Reject { message_id }) => {
                context.counters.malformed_rejected += 1;
                return send_empty(Type::Reset, message_id, out);
            }
            Err(Undecodable::Acknowledgement { message_id }) => {
                self.handle_acknowledgement(now, Type::Acknowledgement, message_id, context, out);
                return;
            }
            Err(Undecodable::Ignore) => {
                context.counters.malformed_ignored += 1;
                return;
            }
        };
        let key = |context: &Context<'_>| MessageKey {
            message_id: message.message_id,
            hash: context.bodies.message_hash(&datagram),
        };
        match (message.kind, message.code.class()) {
            (Type::Confirmable | Type::NonConfirmable, Class::Request) => {
                let key = key(context);
                self.receive_request(now, message, key, context, out);
            }
            // go-coap acknowledges a notification by a request for the rest of it. Californium answers that, too.
            (Type::Acknowledgement, Class::Request) => {
                let (key, message_id) = (key(context), message.message_id);
                let ours = self.handle_acknowledgement(now, message.kind, message_id, context, out);
                // A copy names what has been acknowledged.
                if ours || !self.observations.is_empty() {
                    self.receive_request(now, message, key, context, out);
                }
            }
            // Whatever an acknowledgement carries, it acknowledges.
            (Type::Acknowledgement, _) | (Type::Reset, Class::Empty) => {
                self.handle_acknowledgement(now, message.kind, message.message_id, context, out);
            }
            // §4.3: an empty Confirmable message asks whether we live.
            (Type::Confirmable, Class::Empty) => {
                context.counters.pings += 1;
                send_empty(Type::Reset, message.message_id, out);
            }
            // A response to a request we never sent. A Confirmable one is rejected (§4.2), others ignored.
            (Type::Confirmable, _) => {
                context.counters.unmatched += 1;
                send_empty(Type::Reset, message.message_id, out);
            }
            (Type::NonConfirmable | Type::Reset, _) => context.counters.unmatched += 1,
        }
    }

    fn receive_request(
        &mut self,
        now: Instant,
        message: Message,
        key: MessageKey,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        let (kind, token) = (message.kind, message.token);
        let arrival = self
            .deduplication
            .classify(now, kind, key, &token, context.counters);
        if arrival != Arrival::New {
            context.counters.duplicates += 1;
        }
        match arrival {
            Arrival::New => self.outgoing.count_request(),
            Arrival::ProcessAgain => {}
            Arrival::Ignore => return,
            Arrival::AcknowledgeAgain => {
                return send_empty(Type::Acknowledgement, key.message_id, out);
            }
            Arrival::ReplyAgain(bytes) => {
                out.push(Output::Send(bytes));
                return self.registration_repeated(key, context, out);
            }
        }

        let observes = message.options.iter().any(|(n, _)| *n == OBSERVE);
        let received = received::read(message);
        if observes && matches!(&received, Ok(received) if received.request.observe.is_none()) {
            context.counters.observe_ignored += 1;
        }
        // §5.4.1: a Non-confirmable request with an unknown critical option is rejected in silence.
        if kind != Type::Confirmable && matches!(received, Err(BadOption::Critical(_))) {
            context.counters.bad_options_ignored += 1;
            return;
        }
        let id = ExchangeId(self.next_exchange);
        self.next_exchange = self.next_exchange.wrapping_add(1);
        let (no_response, blocks) = match &received {
            Ok(received) => (
                received.request.no_response,
                BlockContext::of(received, context.bodies),
            ),
            Err(_) => (0, BlockContext::none(context.bodies)),
        };
        let acknowledge_at = now + context.parameters.piggyback_timeout;
        let exchange = Exchange::open(id, kind, key, token, no_response, blocks, acknowledge_at);
        let repeated = arrival == Arrival::ProcessAgain;
        let request = received
            .map_err(bad_option_response)
            .and_then(|received| self.assemble_request(now, received, &blocks, repeated, context));
        let refused = match request {
            Ok(request) => self.start_or_enqueue(exchange, request, context, out),
            Err(response) => Some((exchange, response)),
        };
        if let Some((exchange, response)) = refused {
            self.answer(now, &exchange, response, None, context, out);
        }
    }

    /// Does what time demands: empty acknowledgements, retransmissions, forgetting.
    pub fn handle_timeout(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        for exchange in &mut self.exchanges {
            if exchange.acknowledge_at().is_some_and(|at| at <= now) {
                context.counters.empty_acknowledgements += 1;
                exchange.acknowledge();
                self.deduplication.record_acknowledgement(exchange.message);
                send_empty(Type::Acknowledgement, exchange.message.message_id, out);
            }
        }
        self.acknowledge_queued(now, context, out);
        self.transmit(now, context, out);
        self.deduplication.expire(now);
        self.expire_bodies(now, context);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted next.
    pub fn next_timeout(&self) -> Option<Instant> {
        let acknowledge = self
            .exchanges
            .iter()
            .filter_map(Exchange::acknowledge_at)
            .min();
        let retransmit = self.outgoing.next_timeout();
        let forget = self.deduplication.empty_at();
        let expire = self.next_body_timeout();
        let waiting = self.acknowledge_queued_at();
        [
            acknowledge,
            waiting,
            retransmit,
            self.retry_at,
            forget,
            expire,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The name of the next exchange.
    pub fn next_exchange(&self) -> ExchangeId {
        ExchangeId(self.next_exchange)
    }

    /// Exchanges without a response, those that wait included.
    pub fn open_exchanges(&self) -> usize {
        self.exchanges.len() + self.queued()
    }

    /// Messages remembered for the sake of their duplicates.
    pub fn remembered(&self) -> usize {
        self.deduplication.len()
    }

    /// Bytes of replies remembered with them.
    pub fn remembered_bytes(&self) -> usize {
        self.deduplication.reply_bytes()
    }

    /// Confirmable messages of ours, waiting or not yet acknowledged.
    pub fn outgoing(&self) -> usize {
        self.outgoing.len()
    }

    /// Clients' relations (RFC 7641 §4.1).
    pub fn observations(&self) -> usize {
        self.observations.len()
    }

    /// Bytes of notifications that wait to be sent or are not acknowledged.
    pub fn pending_notification_bytes(&self) -> usize {
        self.observations.payload_bytes()
    }
}

fn send_empty(kind: Type, message_id: u16, out: &mut Vec<Output>) {
    if let Some(bytes) = Message::empty(kind, message_id).encode(4) {
        out.push(Output::Send(bytes));
    }
}

/// What a request with options we can't honour is told (RFC 7252 §5.4.1, §5.10.2).
fn bad_option_response(bad: BadOption) -> Response {
    match bad {
        BadOption::Critical(number) => Response::error(
            Code::BAD_OPTION,
            format!("option {number} is critical and not understood here"),
        ),
        BadOption::Proxy => Response::error(
            Code::PROXYING_NOT_SUPPORTED,
            "this is no forward proxy: leave Proxy-Uri and Proxy-Scheme out",
        ),
        BadOption::NotUtf8(number) => Response::error(
            Code::BAD_REQUEST,
            format!("option {number} is not UTF-8 text"),
        ),
        BadOption::ReservedSize(number) => Response::error(
            Code::BAD_REQUEST,
            format!("option {number} has the reserved block size 7"),
        ),
    }
}

#[cfg(test)]
mod tests;
