//! Rate limits on hellos and handshakes.

use shares::source::host;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// A token bucket: `rate` tokens a second, and bursts of as many.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    rate: u32,
    tokens: f64,
    refilled: Option<Instant>,
}

impl TokenBucket {
    pub(crate) fn new(rate: u32) -> TokenBucket {
        TokenBucket {
            rate,
            tokens: f64::from(rate),
            refilled: None,
        }
    }

    /// Whether there is a token.
    pub(crate) fn has(&mut self, now: Instant) -> bool {
        let rate = f64::from(self.rate);
        let passed = self
            .refilled
            .map_or(Duration::ZERO, |then| now.saturating_duration_since(then));
        self.refilled = Some(now);
        self.tokens = (self.tokens + passed.as_secs_f64() * rate).min(rate);
        self.tokens >= 1.0
    }

    /// Takes a token; false if there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let enough = self.has(now);
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

/// Limits the handshakes of each host with a proven address within a second. Those that a registered device completes are
/// refunded. Only proven addresses are counted, so a forger can neither use up another's share nor fill the table.
#[derive(Debug)]
pub(crate) struct AddressLimit {
    limit: u32,
    second: Option<Instant>,
    counts: HashMap<IpAddr, u32>,
}

impl AddressLimit {
    /// At most `limit` a second for each host.
    pub(crate) fn new(limit: u32) -> AddressLimit {
        AddressLimit {
            limit,
            second: None,
            counts: HashMap::new(),
        }
    }

    /// Whether the host of this address has reached the limit in the current second.
    pub(crate) fn is_exhausted(&mut self, now: Instant, address: IpAddr) -> bool {
        self.renew(now);
        let count = self.counts.get(&host(address)).copied();
        count.unwrap_or_default() >= self.limit
    }

    pub(crate) fn count(&mut self, now: Instant, address: IpAddr) {
        self.renew(now);
        let count = self.counts.entry(host(address)).or_default();
        *count = count.saturating_add(1);
    }

    /// Refunds one handshake, which a registered device has completed.
    pub(crate) fn refund(&mut self, now: Instant, address: IpAddr) {
        self.renew(now);
        if let Some(count) = self.counts.get_mut(&host(address)) {
            *count = count.saturating_sub(1);
        }
    }

    /// Clears the counts when a new second begins.
    fn renew(&mut self, now: Instant) {
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
    fn a_bucket_is_spent_and_refills_with_time() {
        let (mut bucket, now) = (TokenBucket::new(10), start());
        assert_eq!((0..50).filter(|_| bucket.take(now)).count(), 10);
        let later = now + Duration::from_millis(300);
        assert_eq!((0..50).filter(|_| bucket.take(later)).count(), 3);
        let much_later = now + Duration::from_secs(60);
        assert_eq!((0..50).filter(|_| bucket.take(much_later)).count(), 10);
    }

    #[test]
    fn each_address_has_a_limit_of_its_own_in_every_second() {
        let (mut share, now) = (AddressLimit::new(2), start());
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        for _ in 0..2 {
            assert!(!share.is_exhausted(now, one));
            share.count(now, one);
        }
        assert!(share.is_exhausted(now, one));
        assert!(!share.is_exhausted(now, other));
        share.refund(now, one);
        share.refund(now, other);
        assert!(!share.is_exhausted(now, one));
        share.count(now, one);
        assert!(share.is_exhausted(now, one));
        assert!(!share.is_exhausted(now + SECOND, one));
    }
}
