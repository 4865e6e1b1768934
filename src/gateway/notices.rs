//! Keeps the log readable when many devices, or one stranger, do the same thing many times.

use std::collections::HashSet;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Things told apart in one period. Beyond it the rest of the period is silent, and counted.
const MAX_NOTICES: usize = 4096;

/// Lets the first notice of its kind through in every period.
#[derive(Debug)]
pub struct Notices<K> {
    period: Duration,
    since: Option<Instant>,
    seen: HashSet<K>,
    /// Notices held back since the start.
    pub held_back: u64,
}

impl<K: Eq + Hash> Notices<K> {
    /// Once per `period` for each key.
    pub fn every(period: Duration) -> Notices<K> {
        Notices {
            period,
            since: None,
            seen: HashSet::new(),
            held_back: 0,
        }
    }

    /// Whether this is the first of its kind in the period.
    pub fn is_first(&mut self, now: Instant, key: K) -> bool {
        let over = self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) >= self.period);
        if over {
            self.since = Some(now);
            self.seen = HashSet::new();
        }
        let first = self.seen.len() < MAX_NOTICES && self.seen.insert(key);
        if !first {
            self.held_back += 1;
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_kind_comes_through_once_a_period() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let minute = Duration::from_secs(60);
        let mut notices = Notices::every(minute);
        assert!(notices.is_first(now, 1));
        assert!(!notices.is_first(now, 1));
        assert!(notices.is_first(now, 2));
        assert!(notices.is_first(now + minute, 1));
        assert_eq!(notices.held_back, 1);
    }

    #[test]
    fn memory_is_bounded() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let mut notices = Notices::every(Duration::from_secs(60));
        let through = (0..100_000).filter(|key| notices.is_first(now, *key));
        assert_eq!(through.count(), MAX_NOTICES);
    }
}
