//! Logs the first event of each key in a period: keeps the log readable when many devices, or one attacker, do the same
//! thing many times.

use shares::{Counts, source};
use std::collections::HashSet;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Keys in one period. Events of other keys are counted and not logged.
const MAX_KEYS: usize = 4096;
/// Of these, the keys that one host may use up, and one network.
const MAX_OF_HOST: usize = 256;
const MAX_OF_NETWORK: usize = 1024;

/// Admits the first event of each key in every period.
#[derive(Debug)]
pub(crate) struct Throttle<K> {
    period: Duration,
    since: Option<Instant>,
    seen: HashSet<K>,
    by_host: Counts<IpAddr>,
    by_network: Counts<IpAddr>,
    /// Events that were not admitted, since the start.
    pub suppressed: u64,
}

impl<K: Eq + Hash> Throttle<K> {
    /// Admits one event of each key in this period.
    pub(crate) fn every(period: Duration) -> Throttle<K> {
        Throttle {
            period,
            since: None,
            seen: HashSet::new(),
            by_host: Counts::new(MAX_KEYS, MAX_OF_HOST),
            by_network: Counts::new(MAX_KEYS, MAX_OF_NETWORK),
            suppressed: 0,
        }
    }

    /// Whether this is the first event of its key in the period.
    pub(crate) fn admits(&mut self, now: Instant, key: K) -> bool {
        self.begin_period(now);
        let first = self.seen.len() < MAX_KEYS && self.seen.insert(key);
        self.suppressed += u64::from(!first);
        first
    }

    /// The same for a key that the peer at this address chooses: a host or network may use up its share of keys only.
    pub(crate) fn admits_from(&mut self, now: Instant, address: IpAddr, key: K) -> bool {
        self.begin_period(now);
        let is_new = self.seen.len() < MAX_KEYS && !self.seen.contains(&key);
        let first = is_new && self.take_share(address) && self.seen.insert(key);
        self.suppressed += u64::from(!first);
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
            let suppressed = self.suppressed;
            *self = Throttle::every(self.period);
            (self.since, self.suppressed) = (Some(now), suppressed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_of_a_key_is_admitted_once_a_period() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let minute = Duration::from_secs(60);
        let mut throttle = Throttle::every(minute);
        assert!(throttle.admits(now, 1));
        assert!(!throttle.admits(now, 1));
        assert!(throttle.admits(now, 2));
        assert!(throttle.admits(now + minute, 1));
        assert_eq!(throttle.suppressed, 1);
    }

    #[test]
    fn memory_is_bounded() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let mut throttle = Throttle::every(Duration::from_secs(60));
        let admitted = (0..100_000).filter(|key| throttle.admits(now, *key));
        assert_eq!(admitted.count(), MAX_KEYS);
    }

    #[test]
    fn one_source_leaves_keys_for_others() {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let hour = Duration::from_secs(3600);
        let mut throttle = Throttle::every(hour);
        let of = |third: u8, last: u8| IpAddr::from([192, 0, third, last]);
        let mut count = |now, address, keys: std::ops::Range<u32>| {
            let first = |key: &u32| throttle.admits_from(now, address, *key);
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
