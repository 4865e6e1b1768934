//! CoAP for one secure session: from decrypted datagrams to requests, and from responses to
//! datagrams.
//!
//! Receiving: [`Message::from_bytes`] → empty, acknowledgement or response? → duplicate? → options
//! → an [`Exchange`] opens and [`Output::Request`] is returned. Responding:
//! [`RemoteEndpoint::respond`] chooses the message type, remembers the reply for duplicates, and
//! returns [`Output::Send`].
//!
//! | Module | Owns |
//! |---|---|
//! | [`queueing`] | requests beyond `max_exchanges` |
//! | [`responding`] | from a response to its message |
//! | [`transmitting`] | Confirmable messages, until they are acknowledged or given up |
//! | [`observing`] | registrations and notifications |
//! | [`receiving_blocks`] | assembles requests, serves later blocks of responses |
//! | [`sending_blocks`] | selects a block of a response |
//! | [`blockwise`] | the uploads and snapshots of the endpoint |
//! | [`exporting`] | the endpoint as bytes, and out of them |
//! | [`path`] | whether the peer receives what is sent to its address |

mod blockwise;
mod exporting;
mod observing;
mod path;
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
use super::few::Few;
use super::message::{Message, Token, Type, Undecodable};
use super::message_id::MessageIds;
use super::observe::{Observations, relation::ObservationId};
use super::option::number::OBSERVE;
use super::received::{BadOption, Received, registers};
use super::reliability::Outgoing;
use super::request::{Request, Response};
use crate::parameters::Parameters;
use blockwise::Blockwise;
use bytes::Bytes;
use queueing::RequestQueue;
use std::time::Instant;
use transmitting::Unsent;

/// What the caller has to do after a message, a timeout or a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Encrypt and send these bytes.
    Send(Vec<u8>),
    /// As [`Send`](Output::Send), but now or never: a ping to the peer's address, which has
    /// [changed](RemoteEndpoint::path_changed).
    ProvePath(Vec<u8>),
    /// A new request. Answer it with [`RemoteEndpoint::respond`].
    Request(ExchangeId, Request),
    /// The notification with this number was acknowledged, or was sent as a Non-confirmable
    /// message.
    Delivered(ObservationId, u64),
    /// A notification, or the response to the registration, was given up after MAX_RETRANSMIT; or a
    /// notification was given up because no memory was left for it. The relation stays, and nothing
    /// of it is pending or in flight any more.
    Undelivered(ObservationId),
    /// The notification with this number is larger than `coap.max_response_body` and is not sent.
    /// The relation is unchanged.
    TooLarge(ObservationId, u64),
    /// The peer rejected a notification, which may be an earlier one (RFC 7641 §3.6), or the
    /// endpoint refused a registration with the relation's token. The relation has ended.
    Cancelled(ObservationId),
    /// A duplicate of the request that registered this relation got the same response again, but
    /// notifications were sent since. The peer discards that response as older (RFC 7641 §3.4), so
    /// if it never received the first one, it misses the content.
    RegistrationRepeated(ObservationId),
    /// There was no answer to the [`ping`](RemoteEndpoint::ping).
    PingUnanswered,
    /// The peer receives what is sent to its address: it has answered a
    /// [ping](Output::ProvePath) there.
    PathConfirmed,
}

/// What a call of an endpoint needs from outside.
pub struct Context<'a> {
    /// Transmission parameters and bounds.
    pub parameters: &'a Parameters,
    /// The largest message that fits one datagram under DTLS, in bytes.
    pub max_message: usize,
    /// The account of the bodies of all endpoints.
    pub bodies: &'a Bodies,
    /// To whom the bodies of this endpoint are charged.
    pub holder: Holder<'a>,
    /// Uniform random numbers, for timeouts.
    pub random: &'a mut dyn FnMut() -> u32,
    /// Counts what happens.
    pub counters: &'a mut Counters,
}

/// The CoAP state of one secure session. It holds no heap if no more than one message is remembered,
/// no transfer is under way and its client does not observe.
#[derive(Debug)]
pub struct RemoteEndpoint {
    message_ids: MessageIds,
    next_exchange: u32,
    /// The first sequence number of a token of which nothing is known: above what an unknown relation may have had after an
    /// export that this endpoint is out of.
    unused_number: u32,
    deduplication: Deduplication,
    exchanges: Few<Exchange>,
    /// Boxed, because most endpoints never have one.
    queue: Option<Box<RequestQueue>>,
    outgoing: Outgoing,
    observations: Observations,
    /// Boxed, because most endpoints never have one.
    blockwise: Option<Box<Blockwise>>,
    /// Boxed, because most endpoints never have one.
    unsent: Option<Box<Unsent>>,
}

impl RemoteEndpoint {
    /// A new endpoint. `first_message_id` should be random (§4.4).
    pub fn new(first_message_id: u16) -> RemoteEndpoint {
        RemoteEndpoint {
            message_ids: MessageIds::new(first_message_id),
            next_exchange: 0,
            unused_number: 0,
            deduplication: Deduplication::default(),
            exchanges: Few::default(),
            queue: None,
            outgoing: Outgoing::default(),
            observations: Observations::default(),
            blockwise: None,
            unsent: None,
        }
    }

    /// Processes a decrypted datagram.
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
            // go-coap acknowledges a notification by a request for the rest of it. Californium
            // answers that, too.
            (Type::Acknowledgement, Class::Request) => {
                let (key, message_id) = (key(context), message.message_id);
                let ours = self.handle_acknowledgement(now, message.kind, message_id, context, out);
                // A duplicate of it acknowledges a message that is no longer outstanding.
                if ours || !self.observations.is_empty() {
                    self.receive_request(now, message, key, context, out);
                }
            }
            // An acknowledgement acknowledges, whatever it carries.
            (Type::Acknowledgement, _) | (Type::Reset, Class::Empty) => {
                self.handle_acknowledgement(now, message.kind, message.message_id, context, out);
            }
            // §4.3: an empty Confirmable message is a ping.
            (Type::Confirmable, Class::Empty) => {
                context.counters.pings += 1;
                send_empty(Type::Reset, message.message_id, out);
            }
            // We send no requests: a Confirmable response is rejected (§4.2), others are ignored.
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

        let registers = registers(&message);
        let observes = message.options.iter().any(|(n, _)| *n == OBSERVE);
        let received = Received::read(message);
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
        let rejected = match request {
            Ok(request) => self.start_or_enqueue(exchange, request, context, out),
            Err(response) => Some((exchange, response)),
        };
        if let Some((exchange, response)) = rejected {
            let refused = registers && !response.code.is_success();
            let ended = refused && self.end_refused(&exchange, out);
            self.answer(now, &exchange, response, None, context, out);
            if ended {
                // A notification of another relation may be sent now.
                self.transmit(now, context, out);
            }
        }
    }

    /// Does what is due at `now`: sends empty acknowledgements and retransmissions, and drops what
    /// has expired.
    pub fn handle_timeout(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        for exchange in self.exchanges.iter_mut() {
            if exchange.acknowledge_at().is_some_and(|at| at <= now) {
                context.counters.empty_acknowledgements += 1;
                exchange.acknowledge();
                self.deduplication.record_acknowledgement(exchange.message);
                send_empty(Type::Acknowledgement, exchange.message.message_id, out);
            }
        }
        self.acknowledge_queued(now, context, out);
        self.transmit(now, context, out);
        self.retransmit_path_proof(now, context, out);
        self.deduplication.expire(now);
        self.expire_bodies(now, context);
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called next.
    pub fn next_timeout(&self) -> Option<Instant> {
        let acknowledge = self
            .exchanges
            .iter()
            .filter_map(Exchange::acknowledge_at)
            .min();
        let retransmit = self.outgoing.next_timeout();
        let forget = self.deduplication.empty_at();
        let expire = self.next_body_timeout();
        let queued = self.acknowledge_queued_at();
        [
            acknowledge,
            queued,
            retransmit,
            self.path_proof_timeout(),
            self.retry_at(),
            forget,
            expire,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The id of the next exchange.
    pub fn next_exchange(&self) -> ExchangeId {
        ExchangeId(self.next_exchange)
    }

    /// Exchanges without a response, queued ones included.
    pub fn open_exchanges(&self) -> usize {
        self.exchanges.len() + self.queued()
    }

    /// Messages remembered for deduplication.
    pub fn remembered(&self) -> usize {
        self.deduplication.len()
    }

    /// Bytes of the replies remembered for deduplication.
    pub fn remembered_bytes(&self) -> usize {
        self.deduplication.reply_bytes()
    }

    /// Our Confirmable messages that are waiting or not yet acknowledged.
    pub fn outgoing(&self) -> usize {
        self.outgoing.len()
    }

    /// Observation relations (RFC 7641 §4.1).
    pub fn observations(&self) -> usize {
        self.observations.len()
    }

    /// Its relations, with the tokens that the client has given them.
    pub fn relations(&self) -> impl Iterator<Item = (ObservationId, Token)> {
        self.observations.relations()
    }

    /// Bytes of notifications that are pending or not acknowledged.
    pub fn pending_notification_bytes(&self) -> usize {
        self.observations.payload_bytes()
    }
}

fn send_empty(kind: Type, message_id: u16, out: &mut Vec<Output>) {
    if let Some(bytes) = Message::empty(kind, message_id).encode(4) {
        out.push(Output::Send(bytes));
    }
}

/// The response to a request with options that are refused (RFC 7252 §5.4.1, §5.10.2).
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
