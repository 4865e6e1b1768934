//! How much handshaking strangers may cause.

use shares::source::host;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// At most `rate` a second, bursts up to as many.
#[derive(Debug)]
pub struct TokenBucket {
    rate: u32,
    left: f64,
    refilled: Option<Instant>,
}

impl TokenBucket {
    /// A full budget.
    pub fn new(rate: u32) -> TokenBucket {
        TokenBucket {
            rate,
            left: f64::from(rate),
            refilled: None,
        }
    }

    /// Whether there is something left.
    pub fn has(&mut self, now: Instant) -> bool {
        let rate = f64::from(self.rate);
        let passed = self
            .refilled
            .map_or(Duration::ZERO, |then| now.saturating_duration_since(then));
        self.refilled = Some(now);
        self.left = (self.left + passed.as_secs_f64() * rate).min(rate);
        self.left >= 1.0
    }

    /// Takes one; false if nothing is left.
    pub fn take(&mut self, now: Instant) -> bool {
        let enough = self.has(now);
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

/// Handshakes of each proven source address in the current second, but for those that a registered device has completed.
/// Only proven addresses are ever counted, so a forger can't use up another's share, nor fill the table.
#[derive(Debug)]
pub struct AddressLimit {
    limit: u32,
    second: Option<Instant>,
    counts: HashMap<IpAddr, u32>,
}

impl AddressLimit {
    /// At most `limit` a second for each address.
    pub fn new(limit: u32) -> AddressLimit {
        AddressLimit {
            limit,
            second: None,
            counts: HashMap::new(),
        }
    }

    /// Whether the address has had its share of this second.
    pub fn is_exhausted(&mut self, now: Instant, address: IpAddr) -> bool {
        self.turn(now);
        let count = self.counts.get(&host(address)).copied();
        count.unwrap_or_default() >= self.limit
    }

    /// Counts one handshake of a proven address.
    pub fn count(&mut self, now: Instant, address: IpAddr) {
        self.turn(now);
        let count = self.counts.entry(host(address)).or_default();
        *count = count.saturating_add(1);
    }

    /// One of them has led to a registered device's session, and is not counted any more.
    pub fn give_back(&mut self, now: Instant, address: IpAddr) {
        self.turn(now);
        if let Some(count) = self.counts.get_mut(&host(address)) {
            *count = count.saturating_sub(1);
        }
    }

    fn turn(&mut self, now: Instant) {
        let current = self
            .second
            .is_some_and(|second| now.saturating_duration_since(second) < SECOND);
        if !current {
            self.second = Some(now);
            self.counts = HashMap::new();
        }
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
    fn a_budget_is_spent_and_refills_with_time() {
        let (mut budget, now) = (TokenBucket::new(10), start());
        assert_eq!((0..50).filter(|_| budget.take(now)).count(), 10);
        let later = now + Duration::from_millis(300);
        assert_eq!((0..50).filter(|_| budget.take(later)).count(), 3);
        let much_later = now + Duration::from_secs(60);
        assert_eq!((0..50).filter(|_| budget.take(much_later)).count(), 10);
    }

    #[test]
    fn each_address_has_its_own_share_of_every_second() {
        let (mut share, now) = (AddressLimit::new(2), start());
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        for _ in 0..2 {
            assert!(!share.is_exhausted(now, one));
            share.count(now, one);
        }
        assert!(share.is_exhausted(now, one));
        assert!(!share.is_exhausted(now, other));
        share.give_back(now, one);
        share.give_back(now, other);
        assert!(!share.is_exhausted(now, one));
        share.count(now, one);
        assert!(share.is_exhausted(now, one));
        assert!(!share.is_exhausted(now + SECOND, one));
    }
}
