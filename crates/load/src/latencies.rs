//! Latencies, in a histogram of a few KiB however many there are.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

/// Latencies are kept in microseconds, up to ten minutes, to three digits.
const LONGEST: u64 = 600_000_000;
const DIGITS: u8 = 3;

/// A histogram of latencies.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Result<Latencies, String> {
        let histogram = Histogram::new_with_max(LONGEST, DIGITS);
        (histogram.map(Latencies)).map_err(|error| format!("no histogram: {error}"))
    }

    /// Records one; it counts as ten minutes if it is longer.
    pub(crate) fn record(&mut self, time: Duration) {
        self.0
            .saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST));
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that this share (0 to 1) of all did not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(share))
    }

    pub(crate) fn longest(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    /// The quantiles of a report; `None` if there are no latencies.
    pub(crate) fn quantiles(&self) -> Option<Quantiles> {
        let at = |share| milliseconds(self.quantile(share));
        (self.count() > 0).then(|| Quantiles {
            p50: at(0.5),
            p99: at(0.99),
            p99_9: at(0.999),
            max: milliseconds(self.longest()),
        })
    }
}

/// In milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

pub(crate) fn per_second(count: u64, over: Duration) -> f64 {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    if over.is_zero() {
        0.0
    } else {
        f64::from(count) / over.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact_to_two_thousandths_and_the_longest_is_bounded() {
        let mut latencies = Latencies::new().unwrap();
        for ms in 1..=1000 {
            latencies.record(Duration::from_millis(ms));
        }
        for (share, expected) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0)] {
            let found = latencies.quantile(share).as_secs_f64() * 1000.0;
            assert!(
                (found / expected - 1.0).abs() < 0.002,
                "{share}: {found} ms"
            );
        }
        latencies.record(Duration::MAX);
        assert_eq!(latencies.longest().as_secs_f64().round(), 600.0);
        assert_eq!(latencies.count(), 1001);
    }

    #[test]
    fn a_rate_over_no_time_is_zero() {
        assert_eq!(per_second(10, Duration::ZERO), 0.0);
        assert_eq!(per_second(10, Duration::from_secs(4)), 2.5);
    }
}
