//! Where the outcome of a request goes, and the place that the request takes until its connection has dropped it: also when
//! its caller is gone before. So the requests in memory, and with them their bodies, have a bound.

use super::super::{Answer, Error};
use super::counters::AtomicCounters;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// A place in a lane. The requests of one call share one.
pub(super) type Place = Arc<OwnedSemaphorePermit>;

pub(super) struct Waiter {
    outcome: oneshot::Sender<Result<Answer, Error>>,
    _counted: Counted,
}

/// A request that is counted, with its place.
struct Counted {
    bytes: usize,
    counters: Arc<AtomicCounters>,
    _place: Place,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let counters = &self.counters;
        counters.requests.fetch_sub(1, Ordering::Relaxed);
        counters
            .request_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Waiter {
    /// For a request with a body of so many bytes.
    pub(super) fn new(
        outcome: oneshot::Sender<Result<Answer, Error>>,
        place: Place,
        bytes: usize,
        counters: Arc<AtomicCounters>,
    ) -> Waiter {
        counters.requests.fetch_add(1, Ordering::Relaxed);
        counters.request_bytes.fetch_add(bytes, Ordering::Relaxed);
        Waiter {
            outcome,
            _counted: Counted {
                bytes,
                counters,
                _place: place,
            },
        }
    }

    /// Passes the outcome to the caller, if it still waits.
    pub(super) fn finish(self, outcome: Result<Answer, Error>) {
        let _ = self.outcome.send(outcome);
    }

    /// Whether the caller waits no longer.
    pub(super) fn is_closed(&self) -> bool {
        self.outcome.is_closed()
    }
}
