//! A device's relay as bytes, so that its observations and commands outlive the process.
//!
//! ```text
//!  relay:  format (1) ‖ flags (1) ‖ observation of attributes, if there is one ‖ observation of commands, if there is one
//!          ‖ attributes, if they are observed ‖ commands, if there are any
//!  observation:  session ‖ id            the session is left out if it is that of the attributes
//!  attributes:  count, each: 2 × length + 1 if it is unconfirmed ‖ key ‖ hash of the value (8), if it is confirmed
//!  commands:  seconds since 1970 ‖ queued: count, each: flags (1) ‖ age ‖ length ‖ body
//!             ‖ delivered: count, each: flags (1) ‖ id ‖ hash (16) ‖ age
//! ```
//!
//! Numbers without a length are LEB128: seven bits a byte, the lowest first. Ages are in seconds before the export. A relay that
//! observes five attributes with names of eight letters takes 93 bytes.
//!
//! | Of | is exported | and after a restart |
//! |---|---|---|
//! | an observation | its session, its id, whether it is parked | it goes on; one that is live is checked as if the device had just registered |
//! | a confirmed attribute | a hash of its value | it is notified if the first read brings another value, or none |
//! | an unconfirmed one, in flight or not | its name | it is notified as the first read brings it |
//! | a queued command | all but its acknowledgement | it is notified in its turn |
//! | the command in flight | the same | it is notified once more: the device may get it a second time, under the same id and a higher sequence number |
//! | a delivered command | its id and hash | it is recognised if ThingsBoard sends it again |
//! | a reply on its way | nothing | the reply counts as not taken; the device repeats its request |
//! | acknowledgements to ThingsBoard | nothing | their connection is closed: ThingsBoard sends again what it has no acknowledgement of |
//! | downlink, reads | nothing | they begin one device after the other, and a read shows what has changed |
//!
//! # What is lost when the process is killed
//!
//! The last export that was stored may be older than the relay. A value that was confirmed since is notified once more, and
//! so is a command. What was received and not exported yet is what ThingsBoard sends again, or a read shows; a one-way command
//! of a poll is lost. So is a value that the device has been notified of since, if it became what it was before while there
//! was no gateway: nothing shows then that the device has another.
//!
//! # Bounds
//!
//! An export has [`MAX_EXPORT`] bytes. Commands that don't fit are left out, the newest first. Attributes that don't fit are left
//! out with their observation, whose relation then has no relay: its owner ends it, and the device registers again.

use crate::dtls::SessionId;
use crate::relay::Observation;
use bytes::{Buf, BufMut, TryGetError};
use coap::ObservationId;
use std::time::{Duration, Instant};

/// The format that is written, and the only one that is read.
pub(super) const FORMAT: u8 = 1;

/// Bytes of an export at most. A row of the store has a few more.
pub(crate) const MAX_EXPORT: usize = 64_000;

/// Why a relay was not restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RestoreError {
    /// The export is of another format.
    Format(u8),
    /// The export is cut off, or was changed.
    Malformed,
}

impl std::fmt::Display for RestoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RestoreError::Format(format) => {
                write!(f, "a relay in format {format}, which is not known")
            }
            RestoreError::Malformed => f.write_str("a relay's export is malformed"),
        }
    }
}

impl std::error::Error for RestoreError {}

impl From<TryGetError> for RestoreError {
    fn from(_: TryGetError) -> RestoreError {
        RestoreError::Malformed
    }
}

/// An export from before 2026 is from before the clock was set, after a boot in 1970: how long ago it was is unknown.
const CLOCK_IS_SET: u64 = 1_767_225_600;

/// The time by both clocks: ages are counted by the first, as long as the process lives, and by the second beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub now: Instant,
    /// Seconds since 1970. It may jump.
    pub unix: u64,
}

impl Times {
    /// The seconds since `at`, rounded down.
    pub(super) fn age(self, at: Instant) -> u64 {
        self.now.saturating_duration_since(at).as_secs()
    }

    /// The time that was so many seconds before an export at `exported`, in seconds since 1970.
    pub(super) fn at(self, exported: u64, age: u64) -> Instant {
        let since = match exported < CLOCK_IS_SET {
            true => 0,
            false => self.unix.saturating_sub(exported),
        };
        let ago = since.saturating_add(age);
        // There may be no such time; then it is no longer ago than this clock knows.
        let at = self.now.checked_sub(Duration::from_secs(ago));
        at.unwrap_or(self.now)
    }
}

/// The number under which a session is stored, if it is.
pub(crate) type KeyOf<'a> = &'a dyn Fn(SessionId) -> Option<u64>;

/// The restored session that was stored under a number, if it is the device's and its endpoint has this relation. The number
/// must be that session's alone: another session under it would get the observation.
pub(crate) type SessionOf<'a> = &'a dyn Fn(u64, ObservationId) -> Option<SessionId>;

pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    out.put_u8(u8::try_from(number).unwrap_or_default());
}

pub(super) fn get_number(from: &mut &[u8]) -> Result<u64, RestoreError> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = from.try_get_u8()?;
        let bits = u64::from(byte & 0x7f);
        // The last byte has one bit.
        if bits << shift >> shift != bits {
            return Err(RestoreError::Malformed);
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(RestoreError::Malformed)
}

pub(super) fn put_length(out: &mut Vec<u8>, length: usize) {
    put_number(out, u64::try_from(length).unwrap_or(u64::MAX));
}

/// A count of what follows, of which there may be so many.
pub(super) fn get_count(from: &mut &[u8], most: usize) -> Result<usize, RestoreError> {
    let count = usize::try_from(get_number(from)?).map_err(|_| RestoreError::Malformed)?;
    match count <= most {
        true => Ok(count),
        false => Err(RestoreError::Malformed),
    }
}

/// The next bytes.
pub(super) fn take<'a>(from: &mut &'a [u8], length: usize) -> Result<&'a [u8], RestoreError> {
    from.split_off(..length).ok_or(RestoreError::Malformed)
}

/// The next bytes, as many as the array has.
pub(super) fn take_array<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], RestoreError> {
    let (taken, rest) = from.split_first_chunk().ok_or(RestoreError::Malformed)?;
    *from = rest;
    Ok(*taken)
}

/// An observation as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredObservation {
    /// The number under which its session is stored.
    pub session: u64,
    pub id: ObservationId,
}

impl StoredObservation {
    pub(super) fn put(self, out: &mut Vec<u8>, session_before: Option<u64>) {
        if session_before != Some(self.session) {
            put_number(out, self.session);
        }
        put_number(out, u64::from(self.id.0));
    }

    /// `session`: that of the observation before it, if it is the same.
    pub(super) fn get(
        from: &mut &[u8],
        session: Option<u64>,
    ) -> Result<StoredObservation, RestoreError> {
        let session = match session {
            Some(same) => same,
            None => get_number(from)?,
        };
        let id = u32::try_from(get_number(from)?).map_err(|_| RestoreError::Malformed)?;
        Ok(StoredObservation {
            session,
            id: ObservationId(id),
        })
    }

    pub(super) fn restore(self, session_of: SessionOf<'_>) -> Option<Observation> {
        let session = session_of(self.session, self.id)?;
        Some(Observation {
            session,
            id: self.id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_go_on_between_processes_unless_a_clock_was_not_set() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now() + Duration::from_secs(10_000);
        let unix = CLOCK_IS_SET + 1000;
        let ago = |unix, exported, age| {
            let at = Times { now, unix }.at(exported, age);
            (now - at).as_secs()
        };
        assert_eq!(ago(unix, unix - 300, 60), 360);
        assert_eq!(ago(unix, unix + 300, 60), 60, "it was put back");
        assert_eq!(ago(unix, 500, 60), 60, "it was not set then");
        assert_eq!(ago(500, unix, 60), 60, "it is not set now");
        assert_eq!(ago(unix, unix, u64::MAX), 0, "there is no such time");
    }

    #[test]
    fn numbers_take_a_byte_for_seven_bits_and_none_is_read_that_was_not_written() {
        for (number, length) in [(0, 1), (127, 1), (128, 2), (16_384, 3), (u64::MAX, 10)] {
            let mut out = Vec::new();
            put_number(&mut out, number);
            assert_eq!(out.len(), length);
            let from = &mut &out[..];
            assert_eq!(get_number(from), Ok(number));
            assert!(from.is_empty());
            let cut = &mut &out[..length - 1];
            assert_eq!(get_number(cut), Err(RestoreError::Malformed));
        }
        for malformed in [&[0xff; 10][..], &[0x80; 11], &[0xff, 0xff, 0xff]] {
            assert_eq!(
                get_number(&mut &malformed[..]),
                Err(RestoreError::Malformed)
            );
        }
    }
}
