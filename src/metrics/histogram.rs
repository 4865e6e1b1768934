//! Histograms of durations.

use std::time::Duration;

/// Upper bounds of the buckets in milliseconds: from an answer of the same machine to one of an overloaded ThingsBoard.
pub(crate) const BOUNDS: [u32; 14] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000,
];

/// A count for each of [`BOUNDS`], and one for longer durations.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BOUNDS.len()],
    beyond: u64,
    sum: Duration,
}

impl Histogram {
    pub fn observe(&mut self, time: Duration) {
        let fits = |bound: &u32| time <= Duration::from_millis((*bound).into());
        let bucket = BOUNDS.iter().zip(&mut self.counts);
        let (_, count) = bucket
            .into_iter()
            .find(|(bound, _)| fits(bound))
            .unwrap_or((&0, &mut self.beyond));
        *count += 1;
        self.sum = self.sum.saturating_add(time);
    }

    /// The number of recorded durations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.beyond
    }

    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The upper bound of each bucket in seconds, and its own count; the last bound is infinite.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let seconds = BOUNDS.map(|bound| f64::from(bound) / 1000.0);
        seconds
            .into_iter()
            .zip(self.counts)
            .chain([(f64::INFINITY, self.beyond)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_holds_it_or_in_the_last() {
        let mut histogram = Histogram::default();
        for micros in [0, 1_000, 1_001, 30_000_000, 30_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let filled: Vec<(f64, u64)> = histogram.buckets().filter(|(_, n)| *n > 0).collect();
        assert_eq!(
            filled,
            [(0.001, 2), (0.002, 1), (30.0, 1), (f64::INFINITY, 1)]
        );
        assert_eq!(histogram.count(), 5);
        assert_eq!(histogram.sum(), Duration::from_micros(60_002_002));
    }
}
