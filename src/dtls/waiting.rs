//! Application data for clients that have moved, until their new path is proven or more has come from there: of all sessions
//! together, so that a bound holds for all, and so that the oldest one gives way.

use super::path::SessionId;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// MAX_TRANSMIT_WAIT with the default parameters (RFC 7252 §4.8.2): after that the client has given up a request without a
/// response, and we a message without an acknowledgement. A later answer would match nothing.
const LIFETIME: Duration = Duration::from_secs(93);
/// Bytes of all, with [`OVERHEAD`] for each: 7,000 messages of 1,100 bytes.
pub(super) const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Memory of a message besides its bytes.
const OVERHEAD: usize = 96;

/// What one datagram is to carry.
struct Waiting {
    session: SessionId,
    since: Instant,
    plaintext: Vec<u8>,
}

/// All of it, by numbers in the order in which it came.
pub(super) struct WaitingData {
    most_bytes: usize,
    by_number: BTreeMap<u64, Waiting>,
    next: u64,
    bytes: usize,
}

impl WaitingData {
    /// For this many bytes: [`MAX_BYTES`].
    pub(super) fn new(most_bytes: usize) -> WaitingData {
        WaitingData {
            most_bytes,
            by_number: BTreeMap::new(),
            next: 0,
            bytes: 0,
        }
    }

    /// Adds one. Returns its number.
    pub(super) fn push(&mut self, now: Instant, session: SessionId, plaintext: Vec<u8>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.bytes = self.bytes.saturating_add(charge(&plaintext));
        let since = now;
        let waiting = Waiting {
            session,
            since,
            plaintext,
        };
        self.by_number.insert(number, waiting);
        number
    }

    /// Whether this one waits under this number.
    pub(super) fn is(&self, number: u64, plaintext: &[u8]) -> bool {
        let waiting = self.by_number.get(&number);
        waiting.is_some_and(|waiting| waiting.plaintext == plaintext)
    }

    /// Removes one. `None`: it has expired, or was evicted.
    pub(super) fn remove(&mut self, number: u64) -> Option<Vec<u8>> {
        let plaintext = self.by_number.remove(&number)?.plaintext;
        self.bytes = self.bytes.saturating_sub(charge(&plaintext));
        Some(plaintext)
    }

    /// Evicts the oldest one if all together are too large. Returns its number and session.
    pub(super) fn evict(&mut self) -> Option<(u64, SessionId)> {
        let is_over = self.bytes > self.most_bytes;
        self.pop_oldest_if(|_| is_over)
    }

    /// Removes the oldest one if it has waited for too long. Returns its number and session.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<(u64, SessionId)> {
        self.pop_oldest_if(|waiting| waiting.since + LIFETIME <= now)
    }

    fn pop_oldest_if(&mut self, is_due: impl Fn(&Waiting) -> bool) -> Option<(u64, SessionId)> {
        let (number, oldest) = self.by_number.first_key_value()?;
        let (number, session) = is_due(oldest).then_some((*number, oldest.session))?;
        self.remove(number);
        Some((number, session))
    }

    /// When the oldest one expires.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let (_, oldest) = self.by_number.first_key_value()?;
        Some(oldest.since + LIFETIME)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }
}

fn charge(plaintext: &[u8]) -> usize {
    plaintext.len().saturating_add(OVERHEAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: SessionId = SessionId(1);

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        Instant::now()
    }

    #[test]
    fn each_waits_until_max_transmit_wait_is_over() {
        let (mut waiting, now) = (WaitingData::new(MAX_BYTES), start());
        assert_eq!(waiting.next_timeout(), None);
        let first = waiting.push(now, ONE, vec![1]);
        let second = waiting.push(now + Duration::from_secs(1), ONE, vec![2]);
        assert_eq!(waiting.next_timeout(), Some(now + LIFETIME));
        let just_before = now + LIFETIME - Duration::from_millis(1);
        assert_eq!(waiting.pop_expired(just_before), None);
        assert_eq!(waiting.pop_expired(now + LIFETIME), Some((first, ONE)));
        assert_eq!(waiting.pop_expired(now + LIFETIME), None);
        assert_eq!(
            (waiting.remove(first), waiting.remove(second)),
            (None, Some(vec![2]))
        );
        assert_eq!((waiting.len(), waiting.bytes), (0, 0));
    }

    #[test]
    fn all_together_are_bounded_and_the_oldest_gives_way() {
        let (mut waiting, now) = (WaitingData::new(MAX_BYTES), start());
        let mut evicted = Vec::new();
        for session in 0..20_000 {
            waiting.push(now, SessionId(session), vec![0; 1_000]);
            evicted.extend(waiting.evict());
            assert!(waiting.bytes <= MAX_BYTES);
        }
        assert_eq!(waiting.len(), MAX_BYTES / 1_096);
        assert_eq!(evicted.len() + waiting.len(), 20_000);
        let oldest = (0..).map(|number| (number, SessionId(number)));
        assert!(evicted.iter().copied().eq(oldest.take(evicted.len())));
    }
}
