//! Sends responses (RFC 7252 §5.2).

use super::{Context, Output, RemoteEndpoint, send_empty};
use crate::block::Block;
use crate::code::Code;
use crate::exchange::{Carriage, Exchange, ExchangeId};
use crate::message::{Token, Type};
use crate::observe::relation::ObservationId;
use crate::reliability::MessagePurpose;
use crate::request::Response;
use std::time::Instant;

impl RemoteEndpoint {
    /// Answers a request. Does nothing if the exchange is no longer open.
    pub fn respond(
        &mut self,
        now: Instant,
        id: ExchangeId,
        response: Response,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        if let Some(exchange) = self.close(id) {
            self.answer(now, &exchange, response, None, context, out);
        }
    }

    pub(super) fn close(&mut self, id: ExchangeId) -> Option<Exchange> {
        let at = self.exchanges.iter().position(|open| open.id == id)?;
        self.exchanges.remove(at)
    }

    /// Sends a response: piggybacked, separate or Non-confirmable. Returns whether it was sent as
    /// given.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        exchange: &Exchange,
        response: Response,
        registers: Option<ObservationId>,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) -> bool {
        if response.is_suppressed_by(exchange.no_response) {
            // RFC 7967 §2.1: no response, but a Confirmable request is still acknowledged.
            if exchange.carriage() == Carriage::Piggybacked {
                self.deduplication.record_acknowledgement(exchange.message);
                send_empty(Type::Acknowledgement, exchange.message.message_id, out);
            }
            return false;
        }
        let blocks = &exchange.blocks;
        let (mut response, as_given) =
            match self.select_block(now, blocks, response, false, context) {
                Ok(response) => (response, true),
                Err(error) => (error, false),
            };
        response.block1 = blocks
            .block1
            .map(|block| acknowledged(block, response.code));
        let regenerable = blocks.can_regenerate(&response);
        let (kind, message_id) = match exchange.carriage() {
            Carriage::Piggybacked => (Type::Acknowledgement, Some(exchange.message.message_id)),
            Carriage::Separate => (Type::Confirmable, self.message_ids.allocate(now)),
            Carriage::NonConfirmable => (Type::NonConfirmable, self.message_ids.allocate(now)),
        };
        // A client that sends more requests than there are Message IDs (§4.4) does not get more
        // responses.
        let Some(message_id) = message_id else {
            context.counters.out_of_message_ids += 1;
            return false;
        };
        // `dtls.mtu` is never so small that not even an error would fit.
        let Some(encoded) = encode(response, kind, message_id, exchange.token, context) else {
            return false;
        };
        let Encoded { code, bytes, whole } = encoded;
        let whole = whole && as_given;
        match exchange.carriage() {
            Carriage::Piggybacked if regenerable && whole => {
                // RFC 7252 §4.5: duplicates of idempotent requests need not be recognised. A
                // download has thousands of requests for later blocks.
                if blocks.wants_later_block() {
                    self.deduplication.forget(exchange.message);
                } else {
                    self.deduplication.mark_repeatable(exchange.message);
                }
                out.push(Output::Send(bytes));
            }
            Carriage::Piggybacked => {
                self.deduplication.record_reply(
                    exchange.message,
                    code,
                    &bytes,
                    &exchange.token,
                    blocks.repeatable,
                );
                out.push(Output::Send(bytes));
            }
            Carriage::NonConfirmable => {
                if let Some(relation) = registers.and_then(|id| self.observations.get_mut(id)) {
                    relation.record_sent(now, kind, message_id);
                }
                // As above.
                if regenerable && whole && blocks.wants_later_block() {
                    self.deduplication.forget(exchange.message);
                }
                out.push(Output::Send(bytes));
            }
            Carriage::Separate => {
                let purpose = registers
                    .filter(|_| whole)
                    .map_or(MessagePurpose::Response, MessagePurpose::Registration);
                let taken = self.push(now, message_id, purpose, bytes, context);
                self.transmit(now, context, out);
                return taken && whole;
            }
        }
        whole
    }
}

/// Block1 of a response (RFC 7959 §2.3): that of the request, with M only if the code is 2.31.
fn acknowledged(block: Block, code: Code) -> Block {
    if code == Code::CONTINUE {
        block
    } else {
        block.last()
    }
}

/// An encoded response; or, if it is too large, an encoded error.
pub(super) struct Encoded {
    code: Code,
    pub(super) bytes: Vec<u8>,
    whole: bool,
}

pub(super) fn encode(
    response: Response,
    kind: Type,
    message_id: u16,
    token: Token,
    context: &mut Context<'_>,
) -> Option<Encoded> {
    let as_bytes = |response: Response, whole| {
        let code = response.code;
        let message = response.into_message(kind, message_id, token);
        let bytes = message.encode(context.max_message)?;
        Some(Encoded { code, bytes, whole })
    };
    if let Some(encoded) = as_bytes(response, true) {
        return Some(encoded);
    }
    context.counters.response_too_large += 1;
    let error = Response::error(Code::INTERNAL_SERVER_ERROR, "the response fits no message");
    as_bytes(error, false)
}
