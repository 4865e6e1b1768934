//! Recognises duplicates of messages, and remembers the replies to them (RFC 7252 §4.2, §4.5).
//!
//! DTLS replay protection does not do this: a retransmission is a new record. The states of one
//! message:
//!
//! ```text
//! InProgress ──▶ Acknowledged            empty ACK sent, the response is or will be separate
//!     │  └─────▶ Replied(code)           piggybacked response, a code alone
//!     │  └─────▶ RepliedWith(code)       piggybacked response with options or a payload: kept in `replies`
//!     │  └─────▶ RepeatableWith(code)    the same to a request that is processed again if that was evicted
//!     │  └─────▶ Repeatable              piggybacked response that can be generated again
//!     │  └─────▶ (forgotten)             piggybacked response to a request for a later block
//!  NoReply                               Non-confirmable: duplicates are ignored
//! ```
//!
//! A duplicate is equal byte for byte. The Message ID alone does not identify it: some libraries
//! use one twice within EXCHANGE_LIFETIME, or always 0, and messages of such devices must not be
//! lost.
//!
//! A reply is kept without header and token, as a retransmission has both. So a telemetry message
//! and its 2.01 take ten bytes.

mod export;

use super::code::Code;
use super::counters::Counters;
use super::message::{Token, Type};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a Confirmable message may still be retransmitted (RFC 7252 §4.8.2). By the default
/// parameters and not by `[coap]`, which is how we transmit: this is about how clients do.
pub const EXCHANGE_LIFETIME: Duration = Duration::from_secs(247);
/// How long a Non-confirmable message may still be duplicated (RFC 7252 §4.8.2).
pub(crate) const NON_LIFETIME: Duration = Duration::from_secs(145);

/// Messages remembered per endpoint: 8 a second for EXCHANGE_LIFETIME. Beyond it the oldest that is
/// not in progress is forgotten, and counted: a duplicate of it would be processed as a new
/// message.
const MAX_MESSAGES: usize = 2048;
/// Bytes of remembered replies per endpoint. Beyond it the oldest reply is dropped, but not its
/// message.
const MAX_REPLY_BYTES: usize = 4 * 1024;
/// Bytes before each reply: Message ID, hash and length.
const REPLY_HEADER: usize = 8;
/// Ticks of the clock of [`Entry::expires`] in a second.
const TICKS: u32 = 8;

/// Identifies a message of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageKey {
    /// The Message ID.
    pub message_id: u16,
    /// A keyed hash of all its bytes.
    pub hash: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    InProgress,
    Acknowledged,
    Replied(Code),
    RepliedWith(Code),
    RepeatableWith(Code),
    Repeatable,
    NoReply,
}

#[derive(Debug)]
struct Entry {
    hash: u32,
    /// In ticks since `begin`, modulo 2^16. No lifetime is more than a tenth of that.
    expires: u16,
    outcome: Outcome,
}

/// How to react to a received message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is not a duplicate: process it.
    New,
    /// A duplicate: ignore it.
    Ignore,
    /// A duplicate of a message that was acknowledged with an empty ACK: acknowledge it again.
    AcknowledgeAgain,
    /// A duplicate of an idempotent request: process it again.
    ProcessAgain,
    /// A duplicate of a message with a piggybacked response: send these bytes again.
    ReplyAgain(Vec<u8>),
}

/// The messages received lately from one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Deduplication {
    messages: Messages,
}

#[derive(Debug, Default)]
enum Messages {
    #[default]
    None,
    /// The only one in its lifetime, and its reply has neither options nor a payload: all that a
    /// device leaves behind that posts now and then. It needs no timer, as there is no heap to free.
    One(Remembered),
    /// Boxed, because most endpoints are idle most of the time.
    Table(Box<Table>),
}

#[derive(Debug)]
struct Remembered {
    /// Apart, and not a [`MessageKey`]: its padding would make every endpoint larger.
    message_id: u16,
    hash: u32,
    outcome: Outcome,
    expires: Instant,
}

#[derive(Debug, Default)]
struct Table {
    /// Apart from the entries: nearly every message is new, and for each message all Message IDs
    /// are searched.
    message_ids: VecDeque<u16>,
    /// One for each Message ID, in the same order.
    entries: VecDeque<Entry>,
    /// Replies, the oldest first: Message ID, hash and length, then options and payload.
    replies: VecDeque<u8>,
    /// The start of the entries' clock.
    begin: Option<Instant>,
    /// When the last entry expires.
    empty_at: Option<Instant>,
}

impl Deduplication {
    /// Classifies a message with a request, and remembers it if it is new.
    pub(crate) fn classify(
        &mut self,
        now: Instant,
        kind: Type,
        key: MessageKey,
        token: &Token,
        counters: &mut Counters,
    ) -> Arrival {
        self.expire(now);
        if matches!(self.messages, Messages::None) {
            self.messages = Messages::One(Remembered::new(now, kind, key));
            return Arrival::New;
        }
        let mut table = self.take_table();
        let arrival = table.classify(now, kind, key, token, counters);
        self.messages = Messages::Table(table);
        arrival
    }

    /// Takes the table. If there was none, it has the only message.
    fn take_table(&mut self) -> Box<Table> {
        match std::mem::take(&mut self.messages) {
            Messages::None => Box::default(),
            Messages::One(message) => {
                let mut table = Box::<Table>::default();
                // No later than its arrival.
                let begin = message.expires.checked_sub(EXCHANGE_LIFETIME);
                table.begin = begin.or(Some(message.expires));
                table.push(&message);
                table
            }
            Messages::Table(table) => table,
        }
    }

    fn set(&mut self, key: MessageKey, outcome: Outcome) {
        match &mut self.messages {
            Messages::One(message) if message.is(key) => message.outcome = outcome,
            Messages::None | Messages::One(_) => {}
            Messages::Table(table) => table.set(key, outcome),
        }
    }

    /// Records that the message was acknowledged with an empty ACK.
    pub(crate) fn record_acknowledgement(&mut self, key: MessageKey) {
        self.set(key, Outcome::Acknowledged);
    }

    /// Records that the piggybacked response to the message can be generated again.
    pub(crate) fn mark_repeatable(&mut self, key: MessageKey) {
        self.set(key, Outcome::Repeatable);
    }

    /// Records the piggybacked response to the message: the bytes of the ACK, header and token
    /// included. `repeatable`: without it a duplicate may be processed again (§4.5).
    pub(crate) fn record_reply(
        &mut self,
        key: MessageKey,
        code: Code,
        acknowledgement: &[u8],
        token: &Token,
        repeatable: bool,
    ) {
        let tail = acknowledgement
            .get(4 + token.as_bytes().len()..)
            .unwrap_or_default();
        if tail.is_empty() {
            self.set(key, Outcome::Replied(code));
        } else if !matches!(self.messages, Messages::None) {
            let mut table = self.take_table();
            table.record_reply(key, code, tail, repeatable);
            self.messages = Messages::Table(table);
        }
    }

    /// Forgets a message: a duplicate of it is processed as a new one.
    pub(crate) fn forget(&mut self, key: MessageKey) {
        match &mut self.messages {
            Messages::One(message) if message.is(key) => self.messages = Messages::None,
            Messages::None | Messages::One(_) => {}
            Messages::Table(table) => table.forget(key),
        }
    }

    /// When the last entry of the table expires; `None` if there is no table.
    pub(crate) fn empty_at(&self) -> Option<Instant> {
        match &self.messages {
            Messages::None | Messages::One(_) => None,
            Messages::Table(table) => table.empty_at,
        }
    }

    /// Forgets all messages, if the last one has expired.
    pub(crate) fn expire(&mut self, now: Instant) {
        let empty_at = match &self.messages {
            Messages::None => None,
            Messages::One(message) => Some(message.expires),
            Messages::Table(table) => table.empty_at,
        };
        if empty_at.is_some_and(|at| at <= now) {
            self.messages = Messages::None;
        }
    }

    /// Messages remembered.
    pub(crate) fn len(&self) -> usize {
        match &self.messages {
            Messages::None => 0,
            Messages::One(_) => 1,
            Messages::Table(table) => table.entries.len(),
        }
    }

    /// Bytes of the remembered replies.
    pub(crate) fn reply_bytes(&self) -> usize {
        match &self.messages {
            Messages::None | Messages::One(_) => 0,
            Messages::Table(table) => table.replies.len(),
        }
    }

    #[cfg(test)]
    pub(crate) fn holds_no_heap(&self) -> bool {
        !matches!(self.messages, Messages::Table(_))
    }
}

impl Remembered {
    fn new(now: Instant, kind: Type, key: MessageKey) -> Remembered {
        let (lifetime, outcome) = match kind {
            Type::Confirmable => (EXCHANGE_LIFETIME, Outcome::InProgress),
            Type::NonConfirmable | Type::Acknowledgement | Type::Reset => {
                (NON_LIFETIME, Outcome::NoReply)
            }
        };
        Remembered {
            message_id: key.message_id,
            hash: key.hash,
            outcome,
            expires: now + lifetime,
        }
    }

    fn is(&self, key: MessageKey) -> bool {
        self.message_id == key.message_id && self.hash == key.hash
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
                    Outcome::RepliedWith(code) | Outcome::RepeatableWith(code) => {
                        let repeatable = entry.outcome == Outcome::RepeatableWith(code);
                        if let Some(tail) = self.reply(key) {
                            let id = key.message_id;
                            return Arrival::ReplyAgain(acknowledgement(code, id, token, tail));
                        }
                        if !repeatable {
                            return Arrival::Ignore;
                        }
                        self.set(key, Outcome::InProgress);
                        Arrival::ProcessAgain
                    }
                };
            }
            self.remove(at);
        }
        self.make_room(now, counters);
        self.begin.get_or_insert(now);
        self.push(&Remembered::new(now, kind, key));
        Arrival::New
    }

    fn push(&mut self, message: &Remembered) {
        self.empty_at = self.empty_at.max(Some(message.expires));
        self.message_ids.push_back(message.message_id);
        self.entries.push_back(Entry {
            hash: message.hash,
            // One more, as ticks are rounded down: no entry expires too early.
            expires: ticks(self.begin, message.expires).wrapping_add(1),
            outcome: message.outcome,
        });
    }

    /// `tail`: options and payload of the reply.
    fn record_reply(&mut self, key: MessageKey, code: Code, tail: &[u8], repeatable: bool) {
        let outcome = match repeatable {
            true => Outcome::RepeatableWith(code),
            false => Outcome::RepliedWith(code),
        };
        self.set(key, outcome);
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

    /// Options and payload of the reply to this message, if they are still kept.
    fn reply(&mut self, key: MessageKey) -> Option<&[u8]> {
        find_reply(self.replies.make_contiguous(), key)
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
        // `contains` compares many at a time (SIMD), and `rposition` one by one.
        if !newer.contains(&key.message_id) && !older.contains(&key.message_id) {
            return None;
        }
        // A retransmission follows its original closely: search from the newest.
        let mut messages = self.message_ids.iter().zip(&self.entries);
        messages.rposition(|(message_id, entry)| {
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

/// The reply to this message among all replies. If there are several, because an earlier entry of the
/// same message has expired, the newest.
fn find_reply(replies: &[u8], key: MessageKey) -> Option<&[u8]> {
    let mut rest = replies;
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

/// Whole ticks from `begin` to `at`, modulo 2^16.
fn ticks(begin: Option<Instant>, at: Instant) -> u16 {
    let since = begin.map_or(Duration::ZERO, |begin| at.saturating_duration_since(begin));
    let ticks = since.as_millis() * u128::from(TICKS) / 1000;
    u16::try_from(ticks & 0xffff).unwrap_or_default()
}

/// Whether `expires` is not after `now`. They are less than half of all ticks apart.
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
