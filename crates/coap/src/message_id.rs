//! The Message IDs of what we send (RFC 7252 §4.4).

mod export;

use super::deduplication::EXCHANGE_LIFETIME;
use std::time::Instant;

/// How many Message IDs are between the last one and [`distant`](MessageIds::distant) ones, on each
/// side: an eighth, which takes 35 s at 232 messages a second.
const NEAR: u16 = 1 << 13;
/// How many Message IDs are [`distant`](MessageIds::distant).
const DISTANT_MESSAGE_IDS: u32 = (1 << 16) - 2 * (1 << 13);

/// Allocates the Message IDs of what we send to one endpoint: a random start, then one after the
/// other.
///
/// None may be used twice within EXCHANGE_LIFETIME (§4.4), and there are 65,536, so an endpoint can
/// be sent at most 265 messages a second. The limit here is a little lower: the Message IDs are
/// divided into eighths, and an eighth is used again only when its last use is EXCHANGE_LIFETIME
/// ago. That allows 232 messages a second for ever, and bursts of up to 57,344.
#[derive(Debug)]
pub(crate) struct MessageIds {
    last: u16,
    used: Used,
}

/// When Message IDs were used in the last EXCHANGE_LIFETIME.
#[derive(Debug)]
enum Used {
    Never,
    /// Only those of the eighth of the last one, most lately then. So it is with nearly all
    /// endpoints, and it takes no heap.
    OneEighth(Instant),
    Eighths(Box<[Option<Instant>; 8]>),
}

impl MessageIds {
    /// Starts at `seed`, which should be random.
    pub(crate) fn new(seed: u16) -> MessageIds {
        MessageIds {
            last: seed,
            used: Used::Never,
        }
    }

    /// A Message ID that nobody can guess, for a message that is sent seldom: one of those that were
    /// not allocated lately, nor will be soon, so that it is in use for no other message.
    pub(crate) fn distant(&self, random: u32) -> u16 {
        let ahead = u16::try_from(random % DISTANT_MESSAGE_IDS).unwrap_or_default();
        self.last.wrapping_add(NEAR).wrapping_add(ahead)
    }

    /// Whether a Message ID may be a [`distant`](Self::distant) one.
    pub(crate) fn is_distant(&self, message_id: u16) -> bool {
        let ahead = message_id.wrapping_sub(self.last);
        (NEAR..=u16::MAX - NEAR).contains(&ahead)
    }

    /// The next Message ID, or `None` if it was used within EXCHANGE_LIFETIME.
    pub(crate) fn allocate(&mut self, now: Instant) -> Option<u16> {
        let next = self.last.wrapping_add(1);
        let eighth = |message_id: u16| usize::from(message_id >> 13);
        let begins = eighth(next) != eighth(self.last);
        let is_free = |used: &Option<Instant>| used.is_none_or(|at| at + EXCHANGE_LIFETIME <= now);
        match &mut self.used {
            Used::Eighths(used) if used.iter().all(is_free) => self.used = Used::OneEighth(now),
            Used::Eighths(used) => {
                let used = used.get_mut(eighth(next))?;
                if begins && !is_free(used) {
                    return None;
                }
                *used = Some(now);
            }
            Used::OneEighth(at) if begins && !is_free(&Some(*at)) => {
                let mut used = Box::new([None; 8]);
                *used.get_mut(eighth(self.last))? = Some(*at);
                *used.get_mut(eighth(next))? = Some(now);
                self.used = Used::Eighths(used);
            }
            Used::Never | Used::OneEighth(_) => self.used = Used::OneEighth(now),
        }
        self.last = next;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        Instant::now()
    }

    #[test]
    fn message_ids_wrap_around() {
        let (mut ids, now) = (MessageIds::new(u16::MAX - 1), start());
        let next: Vec<_> = (0..3).filter_map(|_| ids.allocate(now)).collect();
        assert_eq!(next, [u16::MAX, 0, 1]);
    }

    #[test]
    fn distant_message_ids_are_all_but_a_quarter_around_the_last_one() {
        let mut ids = MessageIds::new(60_000);
        let last = ids.allocate(start()).unwrap();
        let distances: std::collections::HashSet<u16> = (0..1 << 16)
            .map(|random| ids.distant(random).wrapping_sub(last))
            .collect();
        assert_eq!(distances.len(), 49_152);
        assert_eq!(distances.iter().min(), Some(&(1 << 13)));
        assert_eq!(distances.iter().max(), Some(&(u16::MAX - (1 << 13))));
        for message_id in 0..=u16::MAX {
            let is_one = distances.contains(&message_id.wrapping_sub(last));
            assert_eq!(ids.is_distant(message_id), is_one, "{message_id}");
        }
    }

    /// §4.4, for several rates and first Message IDs.
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
