//! Recognises a copy of a message that came before, and remembers what it was answered (RFC 7252 §4.2, §4.5).
//!
//! DTLS replay protection does not do this: a retransmission is a new record. What one message goes
//! through:
//!
//! ```text
//! InProgress ──▶ Acknowledged            empty ACK sent, the response is or will be separate
//!     │  └─────▶ Replied(code)           the response rode on the ACK, and was a code alone
//!     │  └─────▶ RepliedWith(code)       so did this, with options or a payload: kept in `replies`
//!     │  └─────▶ Repeatable              so did this, but it can be made again
//!     │  └─────▶ (forgotten)             so did this, and it asks for nothing but to be repeated
//!     └────────▶ Settled                 Non-confirmable
//! ```
//!
//! A copy is equal byte for byte. Message IDs alone do not tell: there are libraries that use one twice
//! within EXCHANGE_LIFETIME, or have none but 0, and what such a device sends must not be lost.
//!
//! A reply is kept without header and token: a retransmission brings both. So a telemetry message
//! and its 2.01 take ten bytes.

use super::code::Code;
use super::counters::Counters;
use super::message::{Token, Type};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a Confirmable message may still be retransmitted (RFC 7252 §4.8.2). By the default
/// parameters, not by `[coap]`: those are how we send, and these are about how devices do.
pub const EXCHANGE_LIFETIME: Duration = Duration::from_secs(247);
/// The same for a Non-confirmable one.
pub const NON_LIFETIME: Duration = Duration::from_secs(145);

/// Messages remembered per endpoint: 8 a second for EXCHANGE_LIFETIME. Beyond it the oldest that is
/// not in progress is forgotten, and counted: a copy of it would be taken for a new message.
const MAX_MESSAGES: usize = 2048;
/// Bytes of remembered replies per endpoint. Beyond it the oldest reply goes, not its message.
const MAX_REPLY_BYTES: usize = 4 * 1024;
/// Bytes before each reply: Message ID, hash and length.
const REPLY_HEADER: usize = 8;
/// Ticks of the clock of [`Entry::expires`] in a second.
const TICKS: u32 = 8;

/// Which message of a peer this is: its Message ID, and a keyed hash over all its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageKey {
    /// Its Message ID.
    pub message_id: u16,
    /// Of all its bytes.
    pub hash: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    InProgress,
    Acknowledged,
    Replied(Code),
    RepliedWith(Code),
    Repeatable,
    NoReply,
}

#[derive(Debug)]
struct Entry {
    hash: u32,
    /// In ticks since `begin`, modulo 2^16: nothing is remembered for more than a tenth of that.
    expires: u16,
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
    ProcessAgain,
    /// A duplicate of what was answered: these bytes again.
    ReplyAgain(Vec<u8>),
}

/// The messages one endpoint has sent lately. Empty, it holds no heap.
#[derive(Debug, Default)]
pub struct Deduplication {
    /// Boxed, because most endpoints are idle most of the time.
    table: Option<Box<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    /// Apart from what is known of them: nearly every message is new, and for each all are looked through.
    message_ids: VecDeque<u16>,
    /// One for each, in the same order.
    entries: VecDeque<Entry>,
    /// Replies, the oldest first: Message ID, hash and length, then options and payload.
    replies: VecDeque<u8>,
    /// When the clock of the entries began.
    begin: Option<Instant>,
    /// When the last of them expires.
    empty_at: Option<Instant>,
}

impl Deduplication {
    /// Judges a message that carries a request, and remembers it if it is new.
    pub fn classify(
        &mut self,
        now: Instant,
        kind: Type,
        key: MessageKey,
        token: &Token,
        counters: &mut Counters,
    ) -> Arrival {
        self.expire(now);
        let known = self.table.get_or_insert_default();
        known.classify(now, kind, key, token, counters)
    }

    /// The message was acknowledged without a response.
    pub fn record_acknowledgement(&mut self, key: MessageKey) {
        if let Some(known) = &mut self.table {
            known.set(key, Outcome::Acknowledged);
        }
    }

    /// The message was answered with an acknowledgement that can be made again.
    pub fn mark_repeatable(&mut self, key: MessageKey) {
        if let Some(known) = &mut self.table {
            known.set(key, Outcome::Repeatable);
        }
    }

    /// The message was answered with this acknowledgement, header and token included.
    pub fn record_reply(
        &mut self,
        key: MessageKey,
        code: Code,
        acknowledgement: &[u8],
        token: &Token,
    ) {
        if let Some(known) = &mut self.table {
            known.record_reply(key, code, acknowledgement, token);
        }
    }

    /// Remembers a message no more: a copy of it is new.
    pub fn forget(&mut self, key: MessageKey) {
        if let Some(known) = &mut self.table {
            known.forget(key);
        }
    }

    /// When nothing here is worth keeping any more; `None` if nothing is kept.
    pub fn empty_at(&self) -> Option<Instant> {
        self.table.as_ref()?.empty_at
    }

    /// Frees everything, if `now` is past [`empty_at`](Self::empty_at).
    pub fn expire(&mut self, now: Instant) {
        if self.empty_at().is_some_and(|at| at <= now) {
            self.table = None;
        }
    }

    /// Messages remembered.
    pub fn len(&self) -> usize {
        self.table.as_ref().map_or(0, |known| known.entries.len())
    }

    /// Bytes of the replies among them.
    pub fn reply_bytes(&self) -> usize {
        self.table.as_ref().map_or(0, |known| known.replies.len())
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.table.is_none()
    }
}

impl Table {
    fn classify(
        &mut self,
        now: Instant,
        kind: Type,
        key: MessageKey,
        token: &Token,
        counters: &mut Counters,
    ) -> Arrival {
        if let Some(at) = self.position(key)
            && let Some(entry) = self.entries.get_mut(at)
        {
            if !has_expired(entry.expires, ticks(self.begin, now)) {
                return match entry.outcome {
                    Outcome::InProgress | Outcome::NoReply => Arrival::Ignore,
                    Outcome::Repeatable => {
                        entry.outcome = Outcome::InProgress;
                        Arrival::ProcessAgain
                    }
                    Outcome::Acknowledged => Arrival::AcknowledgeAgain,
                    Outcome::Replied(code) => {
                        Arrival::ReplyAgain(acknowledgement(code, key.message_id, token, &[]))
                    }
                    Outcome::RepliedWith(code) => match self.reply(key) {
                        Some(tail) => {
                            Arrival::ReplyAgain(acknowledgement(code, key.message_id, token, tail))
                        }
                        None => Arrival::Ignore,
                    },
                };
            }
            self.remove(at);
        }
        self.make_room(now, counters);
        let (lifetime, outcome) = match kind {
            Type::Confirmable => (EXCHANGE_LIFETIME, Outcome::InProgress),
            Type::NonConfirmable | Type::Acknowledgement | Type::Reset => {
                (NON_LIFETIME, Outcome::NoReply)
            }
        };
        let expires = now + lifetime;
        self.begin.get_or_insert(now);
        self.empty_at = self.empty_at.max(Some(expires));
        self.message_ids.push_back(key.message_id);
        self.entries.push_back(Entry {
            hash: key.hash,
            // A tick later, as ticks are rounded down: nothing is forgotten too early.
            expires: ticks(self.begin, expires).wrapping_add(1),
            outcome,
        });
        Arrival::New
    }

    fn record_reply(&mut self, key: MessageKey, code: Code, acknowledgement: &[u8], token: &Token) {
        let tail = acknowledgement
            .get(4 + token.as_bytes().len()..)
            .unwrap_or_default();
        if tail.is_empty() {
            return self.set(key, Outcome::Replied(code));
        }
        self.set(key, Outcome::RepliedWith(code));
        let Some(length) = u16::try_from(tail.len())
            .ok()
            .filter(|_| REPLY_HEADER + tail.len() <= MAX_REPLY_BYTES)
        else {
            return;
        };
        while self.replies.len() + REPLY_HEADER + tail.len() > MAX_REPLY_BYTES {
            let length = self.replies.iter().skip(REPLY_HEADER - 2);
            let length = length
                .take(2)
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            self.replies
                .drain(..(REPLY_HEADER + length).min(self.replies.len()));
        }
        self.replies.extend(key.message_id.to_be_bytes());
        self.replies.extend(key.hash.to_be_bytes());
        self.replies.extend(length.to_be_bytes());
        self.replies.extend(tail);
    }

    /// Options and payload of the reply to this message, if they are still kept: the newest, should
    /// the message have come before and its first entry have expired.
    fn reply(&mut self, key: MessageKey) -> Option<&[u8]> {
        let mut rest = &*self.replies.make_contiguous();
        let mut found = None;
        while let Some((header, behind)) = rest.split_at_checked(REPLY_HEADER)
            && let [id_high, id_low, a, b, c, d, length_high, length_low] = *header
        {
            let length = usize::from(u16::from_be_bytes([length_high, length_low]));
            let (tail, next) = behind.split_at_checked(length)?;
            let of = MessageKey {
                message_id: u16::from_be_bytes([id_high, id_low]),
                hash: u32::from_be_bytes([a, b, c, d]),
            };
            if of == key {
                found = Some(tail);
            }
            rest = next;
        }
        found
    }

    fn set(&mut self, key: MessageKey, outcome: Outcome) {
        if let Some(at) = self.position(key)
            && let Some(entry) = self.entries.get_mut(at)
        {
            entry.outcome = outcome;
        }
    }

    fn position(&self, key: MessageKey) -> Option<usize> {
        let (older, newer) = self.message_ids.as_slices();
        // A vector at a time, where a search for the place would go one by one.
        if !newer.contains(&key.message_id) && !older.contains(&key.message_id) {
            return None;
        }
        // A retransmission follows its original closely: look from the newest.
        let mut known = self.message_ids.iter().zip(&self.entries);
        known.rposition(|(message_id, entry)| {
            *message_id == key.message_id && entry.hash == key.hash
        })
    }

    fn forget(&mut self, key: MessageKey) {
        if let Some(at) = self.position(key) {
            self.remove(at);
        }
    }

    fn make_room(&mut self, now: Instant, counters: &mut Counters) {
        let now = ticks(self.begin, now);
        while self
            .entries
            .front()
            .is_some_and(|entry| has_expired(entry.expires, now))
        {
            self.remove(0);
        }
        if self.entries.len() >= MAX_MESSAGES {
            let mut entries = self.entries.iter();
            let oldest = entries.position(|entry| entry.outcome != Outcome::InProgress);
            counters.messages_forgotten += 1;
            self.remove(oldest.unwrap_or(0));
        }
    }

    fn remove(&mut self, at: usize) {
        self.message_ids.remove(at);
        self.entries.remove(at);
    }
}

/// Whole ticks from `begin` to `at`, modulo 2^16.
fn ticks(begin: Option<Instant>, at: Instant) -> u16 {
    let since = begin.map_or(Duration::ZERO, |begin| at.saturating_duration_since(begin));
    let ticks = since.as_millis() * u128::from(TICKS) / 1000;
    u16::try_from(ticks & 0xffff).unwrap_or_default()
}

/// Whether what expires at that tick has done so. Both are less than half of all ticks apart.
fn has_expired(expires: u16, now: u16) -> bool {
    now.wrapping_sub(expires) < 1 << 15
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
mod tests;
