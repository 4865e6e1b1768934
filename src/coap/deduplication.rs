//! Recognises a message that comes twice, and remembers what it was answered (RFC 7252 §4.2, §4.5).
//!
//! DTLS replay protection does not do this: a retransmission is a new record. What one message goes
//! through:
//!
//! ```text
//! InProgress ──▶ Acknowledged            empty ACK sent, the response is or will be separate
//!     │  └─────▶ Replied(code, tail)     the response rode on the ACK
//!     │  └─────▶ Repeatable              so did this, but it can be made again
//!     │  └─────▶ (forgotten)             so did this, and it asks for nothing but to be repeated
//!     └────────▶ Settled                 Non-confirmable, or its reply is no longer kept
//! ```
//!
//! A reply is kept without header and token: a retransmission brings both. So the 2.01 of a
//! telemetry message costs one entry and no heap.

use super::code::Code;
use super::message::{Token, Type};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a Confirmable message may still be retransmitted (RFC 7252 §4.8.2). By the default
/// parameters, not by `[coap]`: those are how we send, and these are about how devices do.
pub const EXCHANGE_LIFETIME: Duration = Duration::from_secs(247);
/// The same for a Non-confirmable one.
pub const NON_LIFETIME: Duration = Duration::from_secs(145);

/// Messages remembered per endpoint. Beyond it the oldest that is not in progress is forgotten: an
/// endpoint that sends more than this in four minutes is not waiting for a reply that old.
const MAX_MESSAGES: usize = 1024;
/// Bytes of remembered replies per endpoint. Beyond it the oldest reply goes, not its Message ID.
const MAX_REPLY_BYTES: usize = 8 * 1024;

#[derive(Debug)]
enum Outcome {
    InProgress,
    Acknowledged,
    Replied { code: Code, tail: Box<[u8]> },
    Repeatable,
    Settled,
}

#[derive(Debug)]
struct Entry {
    expires: Instant,
    outcome: Outcome,
}

/// What to do about a message that came.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The first of its kind: act upon it.
    New,
    /// A duplicate that changes nothing.
    Ignore,
    /// A duplicate of what was acknowledged before its response was there: acknowledge it again.
    AcknowledgeAgain,
    /// A duplicate of what is to be answered anew.
    Again,
    /// A duplicate of what was answered: these bytes again.
    Repeat(Vec<u8>),
}

/// The Message IDs one endpoint has used lately. Empty, it holds no heap.
#[derive(Debug, Default)]
pub struct Deduplication {
    /// Apart from what is known of them: nearly every message is new, and for each all are looked through.
    message_ids: VecDeque<u16>,
    /// One for each, in the same order.
    entries: VecDeque<Entry>,
    reply_bytes: usize,
    /// When the last of them expires.
    empty_at: Option<Instant>,
}

impl Deduplication {
    /// Judges a message that carries a request, and remembers it if it is new.
    pub fn arrive(&mut self, now: Instant, kind: Type, message_id: u16, token: &Token) -> Arrival {
        if let Some(entry) = self.find_mut(message_id) {
            if entry.expires > now {
                return match &entry.outcome {
                    Outcome::InProgress | Outcome::Settled => Arrival::Ignore,
                    Outcome::Repeatable => {
                        entry.outcome = Outcome::InProgress;
                        Arrival::Again
                    }
                    Outcome::Acknowledged => Arrival::AcknowledgeAgain,
                    Outcome::Replied { code, tail } => {
                        Arrival::Repeat(acknowledgement(*code, message_id, token, tail))
                    }
                };
            }
            self.forget(message_id);
        }
        self.make_room(now);
        let (lifetime, outcome) = match kind {
            Type::Confirmable => (EXCHANGE_LIFETIME, Outcome::InProgress),
            Type::NonConfirmable | Type::Acknowledgement | Type::Reset => {
                (NON_LIFETIME, Outcome::Settled)
            }
        };
        let expires = now + lifetime;
        self.empty_at = self.empty_at.max(Some(expires));
        self.message_ids.push_back(message_id);
        self.entries.push_back(Entry { expires, outcome });
        Arrival::New
    }

    /// The message was acknowledged without a response.
    pub fn acknowledged(&mut self, message_id: u16) {
        if let Some(entry) = self.find_mut(message_id) {
            entry.outcome = Outcome::Acknowledged;
        }
    }

    /// The message was answered with an acknowledgement that can be made again.
    pub fn repeatable(&mut self, message_id: u16) {
        if let Some(entry) = self.find_mut(message_id) {
            entry.outcome = Outcome::Repeatable;
        }
    }

    /// The message was answered with this acknowledgement, header and token included.
    pub fn replied(&mut self, message_id: u16, code: Code, acknowledgement: &[u8], token: &Token) {
        let tail: Box<[u8]> = acknowledgement
            .get(4 + token.as_bytes().len()..)
            .unwrap_or_default()
            .into();
        let length = tail.len();
        if let Some(entry) = self.find_mut(message_id) {
            entry.outcome = Outcome::Replied { code, tail };
            self.reply_bytes += length;
        }
        for entry in &mut self.entries {
            if self.reply_bytes <= MAX_REPLY_BYTES {
                break;
            }
            if let Outcome::Replied { tail, .. } = &entry.outcome
                && !tail.is_empty()
            {
                self.reply_bytes -= tail.len();
                entry.outcome = Outcome::Settled;
            }
        }
    }

    /// When nothing here is worth keeping any more; `None` if nothing is kept.
    pub fn empty_at(&self) -> Option<Instant> {
        self.empty_at
    }

    /// Frees everything, if `now` is past [`empty_at`](Self::empty_at).
    pub fn expire(&mut self, now: Instant) {
        if self.empty_at().is_some_and(|at| at <= now) {
            *self = Deduplication::default();
        }
    }

    /// Messages remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of the replies among them.
    pub fn reply_bytes(&self) -> usize {
        self.reply_bytes
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn find_mut(&mut self, message_id: u16) -> Option<&mut Entry> {
        let at = self.position(message_id)?;
        self.entries.get_mut(at)
    }

    fn position(&self, message_id: u16) -> Option<usize> {
        let (older, newer) = self.message_ids.as_slices();
        // A vector at a time, where a search for the place would go one by one.
        if !newer.contains(&message_id) && !older.contains(&message_id) {
            return None;
        }
        // A retransmission follows its original closely: look from the newest.
        self.message_ids
            .iter()
            .rposition(|known| *known == message_id)
    }

    /// Remembers a message no more: whatever comes with its Message ID is new.
    pub fn forget(&mut self, message_id: u16) {
        if let Some(at) = self.position(message_id) {
            self.remove(at);
        }
    }

    fn make_room(&mut self, now: Instant) {
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.expires <= now)
        {
            self.remove(0);
        }
        if self.entries.len() >= MAX_MESSAGES {
            let oldest = self
                .entries
                .iter()
                .position(|entry| !matches!(entry.outcome, Outcome::InProgress));
            self.remove(oldest.unwrap_or(0));
        }
    }

    fn remove(&mut self, at: usize) {
        self.message_ids.remove(at);
        if let Some(Entry {
            outcome: Outcome::Replied { tail, .. },
            ..
        }) = self.entries.remove(at)
        {
            self.reply_bytes -= tail.len();
        }
    }
}

/// The bytes of an acknowledgement whose options and payload are `tail` (RFC 7252 §3).
fn acknowledgement(code: Code, message_id: u16, token: &Token, tail: &[u8]) -> Vec<u8> {
    let token = token.as_bytes();
    let length = u8::try_from(token.len()).unwrap_or_default();
    let mut bytes = Vec::with_capacity(4 + token.len() + tail.len());
    bytes.extend([0x60 | length, code.0]);
    bytes.extend(message_id.to_be_bytes());
    bytes.extend(token);
    bytes.extend(tail);
    bytes
}

#[cfg(test)]
#[path = "deduplication_tests.rs"]
mod tests;
