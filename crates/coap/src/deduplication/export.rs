//! Remembered messages as bytes: see [`crate::export`].

use super::{
    Deduplication, EXCHANGE_LIFETIME, MAX_MESSAGES, MessageKey, Messages, Outcome, Remembered,
    TICKS, Table, find_reply, has_expired, ticks,
};
use crate::code::Code;
use crate::export::{RestoreError, Restored, get_message, put_message, take};
use bytes::{Buf, BufMut};
use std::time::{Duration, Instant};

/// Messages that are exported at most, the newest: one a second for EXCHANGE_LIFETIME.
const MAX_EXPORTED: usize = 256;

/// Ticks that a message has left at most: its lifetime, rounded up at its begin and at its end.
const MAX_LEFT: u64 = EXCHANGE_LIFETIME.saturating_mul(TICKS).as_secs() + 2;

/// The numbers of the outcomes. A message in progress is not exported.
const ACKNOWLEDGED: u8 = 0;
const REPLIED: u8 = 1;
const REPLIED_WITH: u8 = 2;
const REPEATABLE_WITH: u8 = 3;
const REPEATABLE: u8 = 4;
const NO_REPLY: u8 = 5;

impl Deduplication {
    /// Writes the messages that have not expired and are not in progress. `is_open`: of those whose response is still due;
    /// they are left out as well.
    pub(crate) fn export(
        &self,
        now: Instant,
        is_open: impl Fn(MessageKey) -> bool,
        out: &mut Vec<u8>,
    ) {
        let mut written = Vec::new();
        let mut count: u16 = 0;
        let mut put = |key, left, outcome, reply: Option<&[u8]>| {
            if !is_open(key) && put_message_with(&mut written, key, left, outcome, reply) {
                count = count.saturating_add(1);
            }
        };
        match &self.messages {
            Messages::None => {}
            Messages::One(message) => {
                let left = message.expires.saturating_duration_since(now);
                let left = (left.as_millis() * u128::from(TICKS)).div_ceil(1000);
                let left = u16::try_from(left);
                put(
                    message.key(),
                    left.unwrap_or_default(),
                    message.outcome,
                    None,
                );
            }
            Messages::Table(table) => {
                let now = ticks(table.begin, now);
                let replies: Vec<u8> = table.replies.iter().copied().collect();
                let all = table.message_ids.iter().zip(&table.entries);
                let older = table.entries.len().saturating_sub(MAX_EXPORTED);
                for (message_id, entry) in all.skip(older) {
                    let key = MessageKey {
                        message_id: *message_id,
                        hash: entry.hash,
                    };
                    let left = match has_expired(entry.expires, now) {
                        true => 0,
                        false => entry.expires.wrapping_sub(now),
                    };
                    put(key, left, entry.outcome, find_reply(&replies, key));
                }
            }
        }
        out.put_u16(count);
        out.append(&mut written);
    }

    pub(crate) fn restore(
        restored: Restored,
        from: &mut &[u8],
    ) -> Result<Deduplication, RestoreError> {
        let count = usize::from(from.try_get_u16()?);
        if count > MAX_MESSAGES {
            return Err(RestoreError::Malformed);
        }
        let mut table = Box::new(Table {
            begin: Some(restored.now),
            ..Table::default()
        });
        for _ in 0..count {
            let key = get_message(from)?;
            let left = from.try_get_u16()?;
            if u64::from(left) > MAX_LEFT || table.position(key).is_some() {
                return Err(RestoreError::Malformed);
            }
            let (outcome, reply) = get_outcome(from)?;
            // A table counts one tick more than is left in full.
            let left = Duration::from_secs(1) * u32::from(left) / TICKS;
            let left = left.saturating_sub(Duration::from_millis(1));
            let Some(left) = left
                .checked_sub(restored.since)
                .filter(|left| !left.is_zero())
            else {
                continue;
            };
            table.push(&Remembered {
                message_id: key.message_id,
                hash: key.hash,
                outcome,
                expires: restored.now + left,
            });
            if let (Outcome::RepliedWith(code) | Outcome::RepeatableWith(code), Some(reply)) =
                (outcome, reply)
            {
                let repeatable = outcome == Outcome::RepeatableWith(code);
                table.record_reply(key, code, reply, repeatable);
            }
        }
        let messages = match table.entries.is_empty() {
            true => Messages::None,
            false => Messages::Table(table),
        };
        Ok(Deduplication { messages })
    }
}

impl Remembered {
    fn key(&self) -> MessageKey {
        MessageKey {
            message_id: self.message_id,
            hash: self.hash,
        }
    }
}

/// Writes a message, unless it has expired or is in progress. Returns whether it did.
fn put_message_with(
    out: &mut Vec<u8>,
    key: MessageKey,
    left: u16,
    outcome: Outcome,
    reply: Option<&[u8]>,
) -> bool {
    let (number, code, reply) = match (outcome, reply) {
        (Outcome::InProgress, _) => return false,
        (Outcome::Acknowledged, _) => (ACKNOWLEDGED, Code(0), None),
        (Outcome::Replied(code), _) => (REPLIED, code, None),
        (Outcome::RepliedWith(code), Some(reply)) => (REPLIED_WITH, code, Some(reply)),
        (Outcome::RepeatableWith(code), Some(reply)) => (REPEATABLE_WITH, code, Some(reply)),
        // The reply was dropped for newer ones.
        (Outcome::Repeatable | Outcome::RepeatableWith(_), _) => (REPEATABLE, Code(0), None),
        (Outcome::NoReply | Outcome::RepliedWith(_), _) => (NO_REPLY, Code(0), None),
    };
    if left == 0 {
        return false;
    }
    put_message(out, key);
    out.put_u16(left);
    out.put_u8(number);
    out.put_u8(code.0);
    if let Some(reply) = reply {
        // It was read with a length of two bytes.
        out.put_u16(u16::try_from(reply.len()).unwrap_or_default());
        out.put_slice(reply);
    }
    true
}

fn get_outcome<'a>(from: &mut &'a [u8]) -> Result<(Outcome, Option<&'a [u8]>), RestoreError> {
    let (number, code) = (from.try_get_u8()?, Code(from.try_get_u8()?));
    let outcome = match number {
        ACKNOWLEDGED => Outcome::Acknowledged,
        REPLIED => Outcome::Replied(code),
        REPLIED_WITH => Outcome::RepliedWith(code),
        REPEATABLE_WITH => Outcome::RepeatableWith(code),
        REPEATABLE => Outcome::Repeatable,
        NO_REPLY => Outcome::NoReply,
        _ => return Err(RestoreError::Malformed),
    };
    let reply = match outcome {
        Outcome::RepliedWith(_) | Outcome::RepeatableWith(_) => {
            let length = usize::from(from.try_get_u16()?);
            Some(take(from, length)?)
        }
        Outcome::InProgress
        | Outcome::Acknowledged
        | Outcome::Replied(_)
        | Outcome::Repeatable
        | Outcome::NoReply => None,
    };
    Ok((outcome, reply))
}
