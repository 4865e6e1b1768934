//! From what one message carries to a request the gateway can serve (RFC 7959 §2.5, §2.7): its body is put
//! together first, and what asks for more of a response that is held is answered here.

use super::blockwise::{Blockwise, make_room, no_room};
use super::queueing::busy;
use super::{Context, RemoteEndpoint};
use crate::block::{Block, largest_szx};
use crate::block1::{Progress, UploadBlock, UploadError};
use crate::body::Charge;
use crate::code::Code;
use crate::counters::Counters;
use crate::exchange::BlockContext;
use crate::received::Received;
use crate::request::{Method, Request, Response};
use std::time::Instant;

impl RemoteEndpoint {
    /// The whole request, if this message makes it whole; otherwise the response.
    /// `repeated`: it came before, and was answered with a block.
    pub(super) fn assemble_request(
        &mut self,
        now: Instant,
        received: Received,
        blocks: &BlockContext,
        repeated: bool,
        context: &mut Context<'_>,
    ) -> Result<Request, Response> {
        if let Some(block) = self.serve_snapshot(now, &received.request, blocks, repeated, context)
        {
            return Err(block);
        }
        if blocks.block2.block.is_some_and(|block| block.num() > 0) {
            context.counters.blocks_not_held += 1;
            // What was done once for its response is not done again for a block of it.
            if received.request.method == Method::Post {
                let why = "the response is no longer held: send the whole request again";
                return Err(Response::error(Code::REQUEST_ENTITY_INCOMPLETE, why));
            }
        }
        if self.queue_is_full(context) && !received.block1.is_some_and(Block::more) {
            context.counters.too_many_exchanges += 1;
            return Err(busy());
        }
        match (received.request.method, received.block1) {
            (Method::Post, Some(block)) => self.add_block(now, received, block, context),
            (Method::Get, Some(block)) if block.num() > 0 || block.more() => {
                context.counters.blocks_malformed += 1;
                let why = "GET has no body to send in blocks";
                Err(Response::error(Code::BAD_REQUEST, why))
            }
            _ => Ok(received.request),
        }
    }

    /// A later block of a response that is held; or the same one, to who asks twice.
    fn serve_snapshot(
        &mut self,
        now: Instant,
        request: &Request,
        blocks: &BlockContext,
        repeated: bool,
        context: &Context<'_>,
    ) -> Option<Response> {
        let later = blocks.block2.block.is_some_and(|block| block.num() > 0);
        if !later && !repeated {
            return None;
        }
        let snapshots = &mut self.blockwise.as_mut()?.snapshots;
        let largest_szx = largest_szx(context.max_message);
        snapshots.serve(now, blocks.key, &request.etags, blocks.block2, largest_szx)
    }

    /// Takes a block of a request's body.
    fn add_block(
        &mut self,
        now: Instant,
        received: Received,
        block: Block,
        context: &mut Context<'_>,
    ) -> Result<Request, Response> {
        let in_blocks = block.num() > 0 || block.more();
        let part = UploadBlock {
            key: received.upload_key(context.bodies),
            block,
            size1: received.size1,
            payload: received.request.payload.clone(),
        };
        let largest = context.parameters.max_body;
        let Blockwise {
            account,
            uploads,
            snapshots,
        } = self.blockwise(context);
        let mut evicted = 0;
        let make_room = |charge: &Charge, bytes| make_room(snapshots, charge, bytes, &mut evicted);
        let progress = uploads.receive(now, part, largest, account, make_room);
        let counters = &mut *context.counters;
        counters.bodies_evicted += evicted;
        counters.blocks_received += u64::from(in_blocks);
        match progress {
            Ok(Progress::Continue) => Err(Response::new(Code::CONTINUE)),
            Ok(Progress::Complete(payload)) => {
                counters.uploads_completed += u64::from(in_blocks);
                Ok(Request {
                    payload,
                    ..received.request
                })
            }
            Err(refusal) => Err(upload_error_response(refusal, largest, counters)),
        }
    }
}

/// What a client is told whose block is not taken.
fn upload_error_response(
    refusal: UploadError,
    largest: usize,
    counters: &mut Counters,
) -> Response {
    match refusal {
        UploadError::Malformed => {
            counters.blocks_malformed += 1;
            let why = "the payload is not as long as Block1 says";
            Response::error(Code::BAD_REQUEST, why)
        }
        UploadError::Incomplete => {
            counters.uploads_incomplete += 1;
            let why = "the blocks before this one are not held: begin with block 0";
            Response::error(Code::REQUEST_ENTITY_INCOMPLETE, why)
        }
        UploadError::TooLarge => {
            counters.uploads_too_large += 1;
            Response {
                size1: u32::try_from(largest).ok(),
                ..Response::error(Code::REQUEST_ENTITY_TOO_LARGE, "the body is too large")
            }
        }
        UploadError::NoRoom => {
            counters.bodies_over_budget += 1;
            no_room()
        }
    }
}
