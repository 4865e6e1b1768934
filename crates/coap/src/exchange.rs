//! One request and its response, which is piggybacked on the acknowledgement or separate (RFC 7252
//! §5.2).
//!
//! ```text
//! Confirmable:      Received ──respond──▶ piggybacked ACK                    (§5.2.1)
//!                      │ piggyback_timeout: empty ACK
//!                      ▼
//!                   Acknowledged ──respond──▶ separate Confirmable response  (§5.2.2)
//! Non-confirmable:  Received ──respond──▶ Non-confirmable response           (§5.2.3)
//! ```

use super::block::Block;
use super::block2::BlockRequest;
use super::body::{Bodies, Key};
use super::deduplication::MessageKey;
use super::export::RestoreError;
use super::message::{Token, Type};
use super::request::{Method, Response};
use crate::received::Received;
use bytes::{Buf, BufMut};
use std::time::Instant;

/// Flags of an exported [`BlockContext`].
const HAS_BLOCK1: u8 = 1;
const HAS_BLOCK2: u8 = 2;
const SIZE2: u8 = 4;
const SAFE: u8 = 8;
const REPEATABLE: u8 = 16;

/// Identifies an open exchange of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u32);

impl ExchangeId {
    /// Whether this exchange started before another one of the same endpoint. Ids wrap around after
    /// 2^32.
    pub fn began_before(self, other: ExchangeId) -> bool {
        (1..1 << 31).contains(&other.0.wrapping_sub(self.0))
    }
}

/// How a response must be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carriage {
    /// On the acknowledgement of the request.
    Piggybacked,
    /// As a Confirmable message of its own, the request having been acknowledged.
    Separate,
    /// As a Non-confirmable message.
    NonConfirmable,
}

/// What of a request's Block options and method its response depends on (RFC 7959).
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockContext {
    /// Identifies the body of its response.
    pub key: Key,
    /// Block1: the block of the request's body.
    pub block1: Option<Block>,
    /// Block2 and Size2: the requested block of the response.
    pub block2: BlockRequest,
    /// Whether its method is safe (RFC 7252 §5.8), so that the client may repeat the request.
    pub safe: bool,
    /// Whether a duplicate may be processed again (RFC 7252 §4.5). Then its response need not be
    /// remembered.
    pub repeatable: bool,
}

impl BlockContext {
    /// Reads it from a request.
    pub(crate) fn of(received: &Received, bodies: &Bodies) -> BlockContext {
        let request = &received.request;
        let later = request.block2.is_some_and(|block| block.num() > 0);
        let safe = request.method == Method::Get;
        BlockContext {
            key: received.download_key(bodies),
            // RFC 7959 §2.7: a client that requests later blocks of a response has sent its own
            // body already.
            block1: received.block1.filter(|_| !later),
            block2: BlockRequest {
                block: request.block2,
                size2: request.size2_wanted,
            },
            safe,
            repeatable: later || (safe && request.observe.is_none()),
        }
    }

    /// Writes it: see [`crate::export`].
    pub(crate) fn export(&self, out: &mut Vec<u8>) {
        let flags = [
            (self.block1.is_some(), HAS_BLOCK1),
            (self.block2.block.is_some(), HAS_BLOCK2),
            (self.block2.size2, SIZE2),
            (self.safe, SAFE),
            (self.repeatable, REPEATABLE),
        ];
        let set = flags.into_iter().filter(|(is_set, _)| *is_set);
        out.put_u8(set.fold(0, |flags, (_, flag)| flags | flag));
        self.key.export(out);
        for block in [self.block1, self.block2.block].into_iter().flatten() {
            out.put_u32(block.encode());
        }
    }

    pub(crate) fn restore(from: &mut &[u8]) -> Result<BlockContext, RestoreError> {
        let flags = from.try_get_u8()?;
        if flags & !(HAS_BLOCK1 | HAS_BLOCK2 | SIZE2 | SAFE | REPEATABLE) != 0 {
            return Err(RestoreError::Malformed);
        }
        let key = Key::restore(from)?;
        let mut block = |flag| match flags & flag != 0 {
            true => match Block::decode(from.try_get_u32()?) {
                Some(block) => Ok(Some(block)),
                None => Err(RestoreError::Malformed),
            },
            false => Ok(None),
        };
        Ok(BlockContext {
            key,
            block1: block(HAS_BLOCK1)?,
            block2: BlockRequest {
                block: block(HAS_BLOCK2)?,
                size2: flags & SIZE2 != 0,
            },
            safe: flags & SAFE != 0,
            repeatable: flags & REPEATABLE != 0,
        })
    }

    /// For requests whose options are not read.
    pub(crate) fn none(bodies: &Bodies) -> BlockContext {
        BlockContext {
            key: bodies.key(&()),
            block1: None,
            block2: BlockRequest {
                block: None,
                size2: false,
            },
            safe: false,
            repeatable: false,
        }
    }

    /// Whether the request asks for a block of the response after the first.
    pub(crate) fn wants_later_block(&self) -> bool {
        self.block2.block.is_some_and(|block| block.num() > 0)
    }

    /// Whether this response, a block of a larger one, is generated again for a duplicate of the
    /// request.
    pub(crate) fn can_regenerate(&self, response: &Response) -> bool {
        let is_partial = |block: Block| block.num() > 0 || block.more();
        self.repeatable && response.block2.is_some_and(is_partial)
    }
}

/// A request that has no response yet.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Unique among the endpoint's open exchanges.
    pub id: ExchangeId,
    /// The message with the request.
    pub message: MessageKey,
    /// The request's token.
    pub token: Token,
    /// No-Response of the request (RFC 7967).
    pub no_response: u8,
    /// Its Block options.
    pub blocks: BlockContext,
    carriage: Carriage,
    acknowledge_at: Option<Instant>,
}

impl Exchange {
    /// Opens an exchange; `acknowledge_at` is when a Confirmable request must have its empty ACK.
    pub(crate) fn open(
        id: ExchangeId,
        kind: Type,
        message: MessageKey,
        token: Token,
        no_response: u8,
        blocks: BlockContext,
        acknowledge_at: Instant,
    ) -> Exchange {
        let (carriage, acknowledge_at) = match kind {
            Type::Confirmable => (Carriage::Piggybacked, Some(acknowledge_at)),
            Type::NonConfirmable | Type::Acknowledgement | Type::Reset => {
                (Carriage::NonConfirmable, None)
            }
        };
        Exchange {
            id,
            message,
            token,
            no_response,
            blocks,
            carriage,
            acknowledge_at,
        }
    }

    /// When the request must be acknowledged if there is no response yet.
    pub(crate) fn acknowledge_at(&self) -> Option<Instant> {
        self.acknowledge_at
    }

    /// Records that the empty ACK was sent: from here on the response is separate.
    pub(crate) fn acknowledge(&mut self) {
        self.acknowledge_at = None;
        self.carriage = Carriage::Separate;
    }

    /// How a response must be sent now.
    pub(crate) fn carriage(&self) -> Carriage {
        self.carriage
    }
}
