//! The Message IDs of what we send (RFC 7252 §4.4).

use super::deduplication::EXCHANGE_LIFETIME;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// Allots the Message IDs of what we send to one endpoint: a random start, then one after the other.
///
/// None may come twice within EXCHANGE_LIFETIME (§4.4), and there are 65,536, so an endpoint can be
/// sent some 265 messages a second and no more. We keep a little below that: the Message IDs are
/// taken in eighths, and an eighth is begun again when the last use of it is EXCHANGE_LIFETIME ago.
/// That lets 232 messages a second through for ever, and any burst up to 57,344.
#[derive(Debug)]
pub struct MessageIds {
    last: u16,
    /// The first use of all.
    begin: Option<Instant>,
    /// When each eighth was used last, in milliseconds since `begin`. Half the size of an instant:
    /// every idle endpoint has these.
    used: [Option<NonZeroU64>; 8],
}

impl MessageIds {
    /// Starts at `seed`, which should be random.
    pub fn new(seed: u16) -> MessageIds {
        MessageIds {
            last: seed,
            begin: None,
            used: [None; 8],
        }
    }

    /// The next Message ID, or nothing if all have been used too lately.
    pub fn allocate(&mut self, now: Instant) -> Option<u16> {
        let next = self.last.wrapping_add(1);
        let eighth = |message_id: u16| usize::from(message_id >> 13);
        let begin = *self.begin.get_or_insert(now);
        let used = self.used.get_mut(eighth(next))?;
        let begins = eighth(next) != eighth(self.last);
        let free_at = used.map(|at| begin + Duration::from_millis(at.get()) + EXCHANGE_LIFETIME);
        if begins && free_at.is_some_and(|free_at| now < free_at) {
            return None;
        }
        // Rounded up, so that none is free too early.
        let since = now.saturating_duration_since(begin).as_millis();
        *used = NonZeroU64::MIN.checked_add(u64::try_from(since).unwrap_or(u64::MAX));
        self.last = next;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        Instant::now()
    }

    #[test]
    fn message_ids_follow_each_other_round_the_clock() {
        let (mut ids, now) = (MessageIds::new(u16::MAX - 1), start());
        let next: Vec<_> = (0..3).filter_map(|_| ids.allocate(now)).collect();
        assert_eq!(next, [u16::MAX, 0, 1]);
    }

    /// §4.4, for every rate and wherever it begins.
    #[test]
    fn no_message_id_is_used_twice_within_exchange_lifetime() {
        for (seed, a_second) in [(0, 50), (9_000, 232), (40_000, 300), (65_535, 2_000)] {
            let (mut ids, now) = (MessageIds::new(seed), start());
            let mut last_use: Vec<Option<Instant>> = vec![None; 1 << 16];
            let mut refused = 0;
            for number in 0..a_second * 700 {
                let at = now + Duration::from_secs(1) * number / a_second;
                let Some(message_id) = ids.allocate(at) else {
                    refused += 1;
                    continue;
                };
                if let Some(before) = last_use[usize::from(message_id)].replace(at) {
                    assert!(at - before >= EXCHANGE_LIFETIME, "{a_second} a second");
                }
            }
            assert_eq!(
                refused > 0,
                a_second > 232,
                "{refused} at {a_second} a second"
            );
            let later = now + Duration::from_secs(700) + EXCHANGE_LIFETIME;
            assert!(ids.allocate(later).is_some());
        }
    }
}
