//! An endpoint's bodies that don't fit one message (RFC 7959): what comes is put together before the
//! gateway sees it, what goes is cut, and what is asked for again or further on is answered here.

use super::{BUSY_MAX_AGE, Context, RemoteEndpoint};
use crate::coap::block::{Block, largest_szx};
use crate::coap::block1::{Part, Progress, Refusal, Uploads};
use crate::coap::block2::{Snapshots, past_the_end};
use crate::coap::body::{Account, ETag};
use crate::coap::code::Code;
use crate::coap::counters::Counters;
use crate::coap::exchange::Asked;
use crate::coap::option::Received;
use crate::coap::request::{Method, Request, Response};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;

/// Seconds after which a client may try again when no more bytes of bodies can be held.
const NO_ROOM_MAX_AGE: u32 = 30;

/// What one endpoint holds of bodies. Only those that transfer some have it.
#[derive(Debug)]
pub(super) struct Blockwise {
    account: Arc<Account>,
    uploads: Uploads,
    snapshots: Snapshots,
}

impl Blockwise {
    /// Whether nothing is held any more, here or by the gateway.
    fn is_idle(&self) -> bool {
        self.uploads.is_empty()
            && self.snapshots.is_empty()
            && Arc::strong_count(&self.account) == 1
    }
}

impl RemoteEndpoint {
    fn blockwise(&mut self, context: &Context<'_>) -> &mut Blockwise {
        self.blockwise.get_or_insert_with(|| {
            Box::new(Blockwise {
                account: context.bodies.account(context.parameters),
                uploads: Uploads::default(),
                snapshots: Snapshots::default(),
            })
        })
    }

    /// From what one message carries to the whole request, if it is that; otherwise the response.
    /// `repeated`: it came before, and was answered with a block.
    pub(super) fn gather(
        &mut self,
        now: Instant,
        received: Received,
        asked: &Asked,
        repeated: bool,
        context: &mut Context<'_>,
    ) -> Result<Request, Response> {
        if let Some(block) = self.serve(now, &received.request, asked, repeated, context) {
            return Err(block);
        }
        if asked.wish.block.is_some_and(|block| block.num() > 0) {
            context.counters.blocks_of_nothing += 1;
            // What was done once for its response is not done again for a block of it.
            if received.request.method == Method::Post {
                let why = "the response is no longer held: send the whole request again";
                return Err(Response::error(Code::REQUEST_ENTITY_INCOMPLETE, why));
            }
        }
        if self.is_full() && !received.block1.is_some_and(Block::more) {
            context.counters.too_many_exchanges += 1;
            let why = "too many requests at once in this session";
            let busy = Response::error(Code::SERVICE_UNAVAILABLE, why);
            return Err(busy.with_max_age(BUSY_MAX_AGE));
        }
        match (received.request.method, received.block1) {
            (Method::Post, Some(block)) => self.assemble(now, received, block, context),
            (Method::Get, Some(block)) if block.num() > 0 || block.more() => {
                context.counters.blocks_malformed += 1;
                let why = "GET has no body to send in blocks";
                Err(Response::error(Code::BAD_REQUEST, why))
            }
            _ => Ok(received.request),
        }
    }

    /// A later block of a response that is held; or the same one, to who asks twice.
    fn serve(
        &mut self,
        now: Instant,
        request: &Request,
        asked: &Asked,
        repeated: bool,
        context: &Context<'_>,
    ) -> Option<Response> {
        let later = asked.wish.block.is_some_and(|block| block.num() > 0);
        if !later && !repeated {
            return None;
        }
        let snapshots = &mut self.blockwise.as_mut()?.snapshots;
        let largest_szx = largest_szx(context.max_message);
        snapshots.serve(now, asked.key, &request.etags, asked.wish, largest_szx)
    }

    /// Takes a block of a request's body.
    fn assemble(
        &mut self,
        now: Instant,
        received: Received,
        block: Block,
        context: &mut Context<'_>,
    ) -> Result<Request, Response> {
        let in_blocks = block.num() > 0 || block.more();
        let part = Part {
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
        let make_room = || snapshots.give_up_one();
        let progress = uploads.receive(now, part, largest, account, make_room);
        let counters = &mut *context.counters;
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
            Err(refusal) => Err(refused(refusal, largest, counters)),
        }
    }

    /// What goes into one message of a response: all of it, or the block that was asked for, or the
    /// first. What does not is held; `charged` says that it counts already. An error if it can't be.
    pub(super) fn in_blocks(
        &mut self,
        now: Instant,
        asked: &Asked,
        response: Response,
        charged: bool,
        context: &mut Context<'_>,
    ) -> Result<Response, Response> {
        if response.block2.is_some() {
            context.counters.blocks_sent += 1;
            return Ok(response);
        }
        if !is_cut(asked, &response, context) {
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
        let cut = asked.wish.cut(&whole, etag, largest_szx);
        let block = cut.ok_or_else(past_the_end)?;
        if block.payload.len() < whole.payload.len() {
            if !charged {
                let held = self.hold(asked, etag, &whole.payload, context);
                whole.payload = held.ok_or_else(|| not_held(asked.safe))?;
            }
            let snapshots = &mut self.blockwise(context).snapshots;
            snapshots.keep(now, asked.key, etag, asked.safe, whole, &block);
            context.counters.blocks_sent += 1;
        }
        Ok(Response { observe, ..block })
    }

    /// Counts the payload of a response that goes out in blocks towards what may be held, at the cost
    /// of others that do. Nothing if there is no room for it.
    pub(super) fn hold(
        &mut self,
        asked: &Asked,
        etag: ETag,
        payload: &Bytes,
        context: &mut Context<'_>,
    ) -> Option<Bytes> {
        let Blockwise {
            account, snapshots, ..
        } = self.blockwise(context);
        if let Some(held) = snapshots.payload(asked.key, etag, payload) {
            return Some(held);
        }
        let mut charge = account.open();
        while !charge.resize(payload.len()) {
            if !snapshots.give_up_one() {
                context.counters.bodies_over_budget += 1;
                return None;
            }
        }
        Some(charge.onto(payload.clone()))
    }

    /// Forgets what nobody went on with.
    pub(super) fn expire_bodies(&mut self, now: Instant, context: &mut Context<'_>) {
        if let Some(blockwise) = &mut self.blockwise {
            context.counters.uploads_expired += blockwise.uploads.expire(now);
            blockwise.snapshots.expire(now);
            self.let_go_of_bodies();
        }
    }

    /// Holds no heap for bodies when there are none.
    pub(super) fn let_go_of_bodies(&mut self) {
        self.blockwise.take_if(|blockwise| blockwise.is_idle());
    }

    /// When [`expire_bodies`](Self::expire_bodies) has something next.
    pub(super) fn bodies_expire_at(&self) -> Option<Instant> {
        let blockwise = self.blockwise.as_ref()?;
        let deadlines = [
            blockwise.uploads.next_timeout(),
            blockwise.snapshots.next_timeout(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Bytes of bodies that this endpoint accounts for: those on their way in, those the gateway has
    /// not let go of, those kept to be sent.
    pub fn body_bytes(&self) -> usize {
        let blockwise = self.blockwise.as_ref();
        blockwise.map_or(0, |blockwise| blockwise.account.held())
    }
}

/// Whether of a response one block is sent, rather than all of it and no Block2.
fn is_cut(asked: &Asked, response: &Response, context: &Context<'_>) -> bool {
    match asked.wish.block {
        None => spans_blocks(asked, response, context),
        // RFC 7959 §2.4: who asks for a block is told which it gets, be it all there is.
        Some(block) => is_body(response) && (block.num() > 0 || !response.payload.is_empty()),
    }
}

/// Whether a response takes more than one block.
pub(super) fn spans_blocks(asked: &Asked, response: &Response, context: &Context<'_>) -> bool {
    let szx = asked.wish.szx(largest_szx(context.max_message));
    is_body(response) && response.payload.len() > Block::size_of(szx)
}

/// Whether a payload may be cut. Errors are for reading in one piece; and what tells a client to go
/// on must have no Block2 (RFC 7959 §2.3).
fn is_body(response: &Response) -> bool {
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

/// What a client is told whose block is not taken.
fn refused(refusal: Refusal, largest: usize, counters: &mut Counters) -> Response {
    match refusal {
        Refusal::Malformed => {
            counters.blocks_malformed += 1;
            let why = "the payload is not as long as Block1 says";
            Response::error(Code::BAD_REQUEST, why)
        }
        Refusal::Incomplete => {
            counters.uploads_incomplete += 1;
            let why = "the blocks before this one are not held: begin with block 0";
            Response::error(Code::REQUEST_ENTITY_INCOMPLETE, why)
        }
        Refusal::TooLarge => {
            counters.uploads_too_large += 1;
            Response {
                size1: u32::try_from(largest).ok(),
                ..Response::error(Code::REQUEST_ENTITY_TOO_LARGE, "the body is too large")
            }
        }
        Refusal::NoRoom => {
            counters.bodies_over_budget += 1;
            no_room()
        }
    }
}

fn no_room() -> Response {
    let why = "too many bytes of bodies are under way";
    Response::error(Code::SERVICE_UNAVAILABLE, why).with_max_age(NO_ROOM_MAX_AGE)
}

/// What is answered in the place of a response that can't be held. `safe`: asking again is.
fn not_held(safe: bool) -> Response {
    if safe {
        return no_room();
    }
    let why = "the request was carried out, but its response can't be held";
    Response::error(Code::INTERNAL_SERVER_ERROR, why)
}
