//! From a response of any size to what goes into one message of it (RFC 7959 §2.4, §2.6).

use super::blockwise::{Blockwise, make_room, no_room};
use super::{Context, RemoteEndpoint};
use crate::block::{Block, largest_szx};
use crate::block2::past_the_end;
use crate::body::ETag;
use crate::code::Code;
use crate::exchange::BlockContext;
use crate::request::Response;
use bytes::Bytes;
use std::time::Instant;

impl RemoteEndpoint {
    /// What goes into one message of a response: all of it, or the block that was asked for, or the
    /// first. What does not is held; `charged` says that it counts already. An error if it can't be.
    pub(super) fn select_block(
        &mut self,
        now: Instant,
        blocks: &BlockContext,
        response: Response,
        charged: bool,
        context: &mut Context<'_>,
    ) -> Result<Response, Response> {
        if response.block2.is_some() {
            context.counters.blocks_sent += 1;
            return Ok(response);
        }
        if !needs_block2(blocks, &response, context) {
            return Ok(response);
        }
        let parameters = context.parameters;
        if response.payload.len() > parameters.max_response_body {
            context.counters.response_too_large += 1;
            let why = "the response is too large";
            return Err(Response::error(Code::INTERNAL_SERVER_ERROR, why));
        }
        let etag = tag(&response, context);
        // Only the message that goes out now has a place in the sequence of notifications.
        let observe = response.observe;
        let mut whole = Response {
            observe: None,
            ..response
        };
        let largest_szx = largest_szx(context.max_message);
        let cut = blocks.block2.cut(&whole, etag, largest_szx);
        let block = cut.ok_or_else(past_the_end)?;
        if block.payload.len() < whole.payload.len() {
            if !charged {
                let held = self.charge_payload(blocks, etag, &whole.payload, context);
                whole.payload = held.ok_or_else(|| not_held(blocks.safe))?;
            }
            let Blockwise {
                account, snapshots, ..
            } = self.blockwise(context);
            snapshots.keep(now, blocks.key, etag, blocks.safe, whole, &block, account);
            context.counters.blocks_sent += 1;
        }
        Ok(Response { observe, ..block })
    }

    /// Counts the payload of a response that goes out in blocks towards what may be held, at the cost
    /// of others that do. Nothing if there is no room for it.
    pub(super) fn charge_payload(
        &mut self,
        blocks: &BlockContext,
        etag: ETag,
        payload: &Bytes,
        context: &mut Context<'_>,
    ) -> Option<Bytes> {
        let Blockwise {
            account, snapshots, ..
        } = self.blockwise(context);
        if let Some(held) = snapshots.payload(blocks.key, etag, payload) {
            return Some(held);
        }
        let mut charge = account.new_charge();
        let mut evicted = 0;
        let mut granted = true;
        while granted && !charge.resize(payload.len()) {
            granted = make_room(snapshots, &charge, payload.len(), &mut evicted);
        }
        context.counters.bodies_evicted += evicted;
        if !granted {
            context.counters.bodies_over_budget += 1;
            return None;
        }
        Some(charge.attach_to(payload.clone()))
    }
}

/// Whether of a response one block is sent, rather than all of it and no Block2.
fn needs_block2(blocks: &BlockContext, response: &Response, context: &Context<'_>) -> bool {
    match blocks.block2.block {
        None => spans_blocks(blocks, response, context),
        // RFC 7959 §2.4: who asks for a block is told which it gets, be it all there is.
        Some(block) => may_be_split(response) && (block.num() > 0 || !response.payload.is_empty()),
    }
}

/// Whether a response takes more than one block.
pub(super) fn spans_blocks(
    blocks: &BlockContext,
    response: &Response,
    context: &Context<'_>,
) -> bool {
    let szx = blocks.block2.szx(largest_szx(context.max_message));
    may_be_split(response) && response.payload.len() > Block::size_of(szx)
}

/// Whether a payload may be cut. Errors are for reading in one piece; and what tells a client to go
/// on must have no Block2 (RFC 7959 §2.3).
fn may_be_split(response: &Response) -> bool {
    response.block2.is_none()
        && response.code.is_success()
        && !matches!(response.code, Code::CONTINUE | Code::VALID)
}

/// The tag of a response's body.
pub(super) fn tag(response: &Response, context: &Context<'_>) -> ETag {
    let representation = (response.content_format, response.payload.as_ref());
    let computed = || context.bodies.tag(&representation);
    response.etag.unwrap_or_else(computed)
}

/// What is answered in the place of a response that can't be held. `safe`: asking again is.
fn not_held(safe: bool) -> Response {
    if safe {
        return no_room();
    }
    let why = "the request was carried out, but its response can't be held";
    Response::error(Code::INTERNAL_SERVER_ERROR, why)
}
