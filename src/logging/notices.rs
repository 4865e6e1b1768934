//! Keeps the log readable when many devices, or one stranger, do the same thing many times.

use shares::{Counts, source};
use std::collections::HashSet;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Things told apart in one period. Beyond it the rest of the period is silent, and counted.
const MAX_NOTICES: usize = 4096;
/// Of these, what one host may cause, and one network.
const MAX_OF_HOST: usize = 256;
const MAX_OF_NETWORK: usize = 1024;

/// Lets the first notice of its kind through in every period.
#[derive(Debug)]
pub struct Notices<K> {
    period: Duration,
    since: Option<Instant>,
    seen: HashSet<K>,
    by_host: Counts<IpAddr>,
    by_network: Counts<IpAddr>,
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
            by_host: Counts::new(MAX_NOTICES, MAX_OF_HOST),
            by_network: Counts::new(MAX_NOTICES, MAX_OF_NETWORK),
            held_back: 0,
        }
    }

    /// Whether this is the first of its kind in the period.
    pub fn is_first(&mut self, now: Instant, key: K) -> bool {
        self.begin_period(now);
        let first = self.seen.len() < MAX_NOTICES && self.seen.insert(key);
        self.held_back += u64::from(!first);
        first
    }

    /// The same where who is at this address chooses the key: one source's many leave room for those of others.
    pub fn is_first_from(&mut self, now: Instant, address: IpAddr, key: K) -> bool {
        self.begin_period(now);
        let is_new = self.seen.len() < MAX_NOTICES && !self.seen.contains(&key);
        let first = is_new && self.take_share(address) && self.seen.insert(key);
        self.held_back += u64::from(!first);
        first
    }

    fn take_share(&mut self, address: IpAddr) -> bool {
        let network = source::network(address);
        if self.by_network.take(network).is_err() {
            return false;
        }
        let taken = self.by_host.take(source::host(address)).is_ok();
        if !taken {
            self.by_network.release(&network);
        }
        taken
    }

    fn begin_period(&mut self, now: Instant) {
        let over = self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) >= self.period);
        if over {
            let held_back = self.held_back;
            *self = Notices::every(self.period);
            (self.since, self.held_back) = (Some(now), held_back);
        }
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

    #[test]
    fn what_one_source_causes_leaves_room_for_the_notices_of_others() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let hour = Duration::from_secs(3600);
        let mut notices = Notices::every(hour);
        let of = |third: u8, last: u8| IpAddr::from([192, 0, third, last]);
        let mut count = |now, address, keys: std::ops::Range<u32>| {
            let first = |key: &u32| notices.is_first_from(now, address, *key);
            keys.filter(first).count()
        };
        assert_eq!(count(now, of(2, 1), 0..4_300), MAX_OF_HOST);
        let others = (2..200).map(|last| count(now, of(3, last), 5_000..10_000));
        assert_eq!(others.sum::<usize>(), MAX_OF_NETWORK - MAX_OF_HOST);
        for network in 10..20 {
            let elsewhere = IpAddr::from([10, network, 0, 1]);
            let key = 20_000 + u32::from(network);
            assert_eq!(count(now, elsewhere, key..key + 1), 1);
        }
        assert_eq!(count(now + hour, of(2, 1), 0..10), 10);
    }
}
