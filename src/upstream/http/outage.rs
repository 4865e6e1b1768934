//! Decides when to log that ThingsBoard can't be reached, and that it answers again: once for each outage. A server that
//! comes and goes is one outage.

use std::sync::atomic::{AtomicU32, Ordering};

/// Successful exchanges in a row that end an outage.
const SUCCESSES_TO_RECOVER: u32 = 10;

/// Serving → out (a failure) → recovering (exchanges succeed) → serving, or out again.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Outage {
    /// Exchanges that must still succeed before the outage is over; zero while serving.
    successes_left: AtomicU32,
}

impl Outage {
    /// Records a failure to connect. Returns whether an outage begins with it.
    pub(super) fn failed(&self) -> bool {
        self.successes_left
            .swap(SUCCESSES_TO_RECOVER, Ordering::Relaxed)
            == 0
    }

    /// Records a successful exchange. Returns whether the outage is over with it.
    pub(super) fn succeeded(&self) -> bool {
        let left = |left: u32| left.checked_sub(1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        self.successes_left.fetch_update(set, fetch, left) == Ok(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_begins_once_and_ends_once() {
        let outage = Outage::default();
        assert!(!outage.succeeded());
        assert!(outage.failed());
        assert!(!outage.failed());
        let over: Vec<bool> = (0..12).map(|_| outage.succeeded()).collect();
        let tenth: Vec<bool> = (0..12).map(|index| index == 9).collect();
        assert_eq!(over, tenth);
        assert!(outage.failed());
    }

    #[test]
    fn a_failure_on_the_way_back_is_the_same_outage() {
        let outage = Outage::default();
        assert!(outage.failed());
        assert!((0..9).all(|_| !outage.succeeded()));
        assert!(!outage.failed());
        assert!((0..9).all(|_| !outage.succeeded()));
        assert!(outage.succeeded());
    }
}
