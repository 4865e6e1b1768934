//! The rate limits of a device (`transportDeviceMsgRateLimit` and `transportDeviceTelemetryMsgRateLimit`).

use super::settings::RateLimit;

/// The two token buckets of a device. They outlive its connections.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    pub(crate) messages: Bucket,
    pub(crate) telemetry: Bucket,
}

/// A token bucket that is refilled steadily (bucket4j's greedy refill).
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// The limit that the rest of the fields belong to.
    limit: Option<RateLimit>,
    /// Tokens, times the period in milliseconds.
    level: u64,
    refilled_ms: u64,
}

impl Bucket {
    /// Takes a token; false if there is none. With another limit than before the bucket is full.
    pub(crate) fn take(&mut self, rate: RateLimit, now_ms: u64) -> bool {
        let token = rate.period_ms().max(1);
        let capacity = token.saturating_mul(u64::from(rate.messages));
        if self.limit == Some(rate) {
            let since_ms = now_ms.saturating_sub(self.refilled_ms);
            let refill = since_ms.saturating_mul(u64::from(rate.messages));
            self.level = self.level.saturating_add(refill).min(capacity);
        } else {
            self.limit = Some(rate);
            self.level = capacity;
        }
        self.refilled_ms = now_ms;
        match self.level.checked_sub(token) {
            Some(level) => {
                self.level = level;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bucket_is_refilled_steadily_up_to_its_capacity() {
        let limit = RateLimit {
            messages: 5,
            period: Duration::from_secs(10),
        };
        let mut bucket = Bucket::default();
        let mut taken = |now_ms| {
            let mut taken = 0;
            while bucket.take(limit, now_ms) {
                taken += 1;
            }
            taken
        };
        assert_eq!(taken(1_000), 5);
        assert_eq!(taken(2_999), 0);
        assert_eq!(taken(3_000), 1);
        assert_eq!(taken(1_000_000), 5);
    }

    #[test]
    fn another_limit_begins_with_a_full_bucket() {
        let limit = |messages| RateLimit {
            messages,
            period: Duration::from_secs(10),
        };
        let mut bucket = Bucket::default();
        assert!(bucket.take(limit(1), 0));
        assert!(!bucket.take(limit(1), 0));
        assert!(bucket.take(limit(2), 0));
        assert!(bucket.take(limit(2), 0));
        assert!(!bucket.take(limit(2), 0));
    }
}
