//! Endpoints as bytes, so that their sessions outlive the process.
//!
//! ```text
//!  endpoint:  format (1) ‖ flags (1) ‖ Message IDs ‖ first number of unknown tokens (3), if it is not 0 ‖ observations, if there were any ‖ messages, if they are exported
//!  Message IDs:  the last (2) ‖ if one was used lately: of each eighth its age (1 each)
//!  observations:  next id (4) ‖ ended (1), each: token ‖ sequence number (3)
//!                 ‖ relations (1), each: id (4) ‖ token ‖ flags (1) ‖ age (4) ‖ registered by (6) ‖ sequence number (3)
//!                 ‖ Block options, if it has them
//!  messages:  count (2), each: message (6) ‖ lifetime left (2) ‖ outcome (1) ‖ code (1) ‖ reply (2 + n)
//!  token:  length (1) ‖ bytes
//! ```
//!
//! Ages are in seconds before the export, lifetimes in seconds after it. What is in flight, pending or in progress is not
//! exported: the application notifies again of what was not delivered, and a request that was not answered is processed if it
//! is repeated. Messages are known again only to an endpoint whose [`Bodies`](crate::Bodies) have the same seed.
//!
//! An export that is not the endpoint's last knows nothing of what was sent after it. An endpoint out of such an export skips
//! [Message IDs](MESSAGE_IDS_SKIPPED) and [sequence numbers](SEQUENCE_NUMBERS_SKIPPED), since neither may be used twice. So do
//! tokens that it does not know: one may have been registered after the export, and its client ignores lower numbers.

use crate::deduplication::MessageKey;
use crate::message::Token;
use crate::observe::relation::SEQUENCE_MASK;
use bytes::{Buf, BufMut, TryGetError};
use std::time::{Duration, Instant};

/// The format that is written, and the only one that is read.
pub(crate) const FORMAT: u8 = 1;

/// Message IDs that an endpoint skips if it may have used some after its export: as many as 35 seconds take at the rate that is
/// allowed for ever. After a burst, which may be larger, one can be used again within EXCHANGE_LIFETIME.
pub(crate) const MESSAGE_IDS_SKIPPED: u16 = 1 << 13;

/// Sequence numbers that are skipped in the same case. A client takes a number for newer that is up to 2^23 higher (RFC 7641
/// §3.4), and there are not enough Message IDs for as many notifications in less than four minutes.
pub(crate) const SEQUENCE_NUMBERS_SKIPPED: u32 = 1 << 16;

/// What of an endpoint is exported, and whether it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// It goes on. The messages that it remembers for deduplication are left out.
    Running,
    /// It goes on. The messages that it remembers are there, so that none of them is processed again.
    WithMessages,
    /// It ends: nothing is sent after this. The messages are there.
    Final,
}

/// Why an endpoint was not restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreError {
    /// The export is of another format.
    Format(u8),
    /// The export is cut off, or was changed.
    Malformed,
}

impl std::fmt::Display for RestoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RestoreError::Format(format) => {
                write!(f, "an endpoint in format {format}, which is not known")
            }
            RestoreError::Malformed => f.write_str("an endpoint's export is malformed"),
        }
    }
}

impl std::error::Error for RestoreError {}

impl From<TryGetError> for RestoreError {
    fn from(_: TryGetError) -> RestoreError {
        RestoreError::Malformed
    }
}

/// When an endpoint is restored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Restored {
    pub now: Instant,
    /// How long ago it was exported.
    pub since: Duration,
    /// Whether it may have sent something after its export.
    pub sent_since: bool,
}

impl Restored {
    /// The time that was so many seconds before the export.
    pub(crate) fn at(self, age: u64) -> Instant {
        let ago = self.since.saturating_add(Duration::from_secs(age));
        // There may be no such time; then it is no longer ago than this clock knows.
        self.now.checked_sub(ago).unwrap_or(self.now)
    }

    /// A sequence number that is above what was used since this one was the next.
    pub(crate) fn above(self, number: u32) -> u32 {
        let skipped = match self.sent_since {
            true => SEQUENCE_NUMBERS_SKIPPED,
            false => 0,
        };
        number.wrapping_add(skipped) & SEQUENCE_MASK
    }
}

/// The seconds from `at` to `now`, rounded down: what is restored is never older than it was.
pub(crate) fn age(now: Instant, at: Instant) -> u64 {
    now.saturating_duration_since(at).as_secs()
}

pub(crate) fn put_token(out: &mut Vec<u8>, token: Token) {
    let bytes = token.as_bytes();
    // At most eight.
    out.put_u8(u8::try_from(bytes.len()).unwrap_or_default());
    out.put_slice(bytes);
}

pub(crate) fn get_token(from: &mut &[u8]) -> Result<Token, RestoreError> {
    let length = usize::from(from.try_get_u8()?);
    Token::new(take(from, length)?).ok_or(RestoreError::Malformed)
}

pub(crate) fn put_message(out: &mut Vec<u8>, message: MessageKey) {
    out.put_u16(message.message_id);
    out.put_u32(message.hash);
}

pub(crate) fn get_message(from: &mut &[u8]) -> Result<MessageKey, RestoreError> {
    Ok(MessageKey {
        message_id: from.try_get_u16()?,
        hash: from.try_get_u32()?,
    })
}

pub(crate) fn put_sequence_number(out: &mut Vec<u8>, number: u32) {
    out.put_uint(u64::from(number), 3);
}

/// The next sequence number, which was not used.
pub(crate) fn get_sequence_number(
    restored: Restored,
    from: &mut &[u8],
) -> Result<u32, RestoreError> {
    let number = u32::try_from(from.try_get_uint(3)?).map_err(|_| RestoreError::Malformed)?;
    Ok(restored.above(number))
}

/// The next bytes.
pub(crate) fn take<'a>(from: &mut &'a [u8], length: usize) -> Result<&'a [u8], RestoreError> {
    from.split_off(..length).ok_or(RestoreError::Malformed)
}
