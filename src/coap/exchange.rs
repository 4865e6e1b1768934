//! One request and its response: whether the response rides on the acknowledgement (RFC 7252 §5.2).
//!
//! ```text
//! Confirmable:      Received ──respond──▶ piggybacked ACK                    (§5.2.1)
//!                      │ piggyback_timeout: empty ACK
//!                      ▼
//!                   Acknowledged ──respond──▶ separate Confirmable response  (§5.2.2)
//! Non-confirmable:  Received ──respond──▶ Non-confirmable response           (§5.2.3)
//! ```

use super::message::{Token, Type};
use std::time::Instant;

/// Names an open exchange of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u32);

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

/// A request that has no response yet.
#[derive(Debug)]
pub struct Exchange {
    /// Its name.
    pub id: ExchangeId,
    /// The request's Message ID.
    pub message_id: u16,
    /// The request's token.
    pub token: Token,
    /// No-Response of the request (RFC 7967).
    pub no_response: u8,
    carriage: Carriage,
    acknowledge_at: Option<Instant>,
}

impl Exchange {
    /// Opens an exchange; `acknowledge_at` is when a Confirmable request must have its empty ACK.
    pub fn open(
        id: ExchangeId,
        kind: Type,
        message_id: u16,
        token: Token,
        no_response: u8,
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
            message_id,
            token,
            no_response,
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
