//! One request and its response: whether the response rides on the acknowledgement (RFC 7252 §5.2).
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
use super::message::{Token, Type};
use super::request::{Method, Response};
use crate::received::Received;
use std::time::Instant;

/// Names an open exchange of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u32);

impl ExchangeId {
    /// Whether this one began before another of the same endpoint. Names come round again, after four billions.
    pub fn began_before(self, other: ExchangeId) -> bool {
        (1..1 << 31).contains(&other.0.wrapping_sub(self.0))
    }
}

/// How a response must travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    /// On the acknowledgement of the request.
    Piggybacked,
    /// As a Confirmable message of its own, the request having been acknowledged.
    Separate,
    /// As a Non-confirmable message.
    NonConfirmable,
}

/// What a request says of blocks (RFC 7959), as far as its response depends on it.
#[derive(Debug, Clone, Copy)]
pub struct BlockContext {
    /// What its response is a body of.
    pub key: Key,
    /// The block of its own body.
    pub block1: Option<Block>,
    /// Which block of the response it wants.
    pub block2: BlockRequest,
    /// Whether it only asks, so that it may be asked again.
    pub safe: bool,
    /// Whether it may be answered anew when it comes twice: RFC 7252 §4.5 allows that where it makes
    /// no difference. Then no block need be remembered for its duplicates' sake.
    repeatable: bool,
}

impl BlockContext {
    /// What this request says.
    pub(super) fn of(received: &Received, bodies: &Bodies) -> BlockContext {
        let request = &received.request;
        let later = request.block2.is_some_and(|block| block.num() > 0);
        let safe = request.method == Method::Get;
        BlockContext {
            key: received.download_key(bodies),
            // RFC 7959 §2.7: who asks for later blocks of a response has sent its own already.
            block1: received.block1.filter(|_| !later),
            block2: BlockRequest {
                block: request.block2,
                size2: request.size2_wanted,
            },
            safe,
            repeatable: later || (safe && request.observe.is_none()),
        }
    }

    /// Nothing.
    pub(super) fn none(bodies: &Bodies) -> BlockContext {
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

    /// Whether it asks for a block of a response that is not the first.
    pub fn wants_later_block(&self) -> bool {
        self.block2.block.is_some_and(|block| block.num() > 0)
    }

    /// Whether this response, a block of a larger one, is made again when the request comes twice.
    pub fn can_regenerate(&self, response: &Response) -> bool {
        let of_larger = |block: Block| block.num() > 0 || block.more();
        self.repeatable && response.block2.is_some_and(of_larger)
    }
}

/// A request that has no response yet.
#[derive(Debug)]
pub struct Exchange {
    /// Its name.
    pub id: ExchangeId,
    /// The message that carries the request.
    pub message: MessageKey,
    /// The request's token.
    pub token: Token,
    /// No-Response of the request (RFC 7967).
    pub no_response: u8,
    /// What it says of blocks.
    pub blocks: BlockContext,
    carriage: Carriage,
    acknowledge_at: Option<Instant>,
}

impl Exchange {
    /// Opens an exchange; `acknowledge_at` is when a Confirmable request must have its empty ACK.
    pub fn open(
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

    /// When the request is to be acknowledged though there is no response.
    pub fn acknowledge_at(&self) -> Option<Instant> {
        self.acknowledge_at
    }

    /// The piggyback timer has run out: from here on the response is separate.
    pub fn acknowledge(&mut self) {
        self.acknowledge_at = None;
        self.carriage = Carriage::Separate;
    }

    /// How a response given now must travel.
    pub fn carriage(&self) -> Carriage {
        self.carriage
    }
}
