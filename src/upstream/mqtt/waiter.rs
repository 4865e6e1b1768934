//! Where the outcome of a request goes, and the place that the request takes until its connection has dropped it: also when
//! its caller is gone before. So the requests in memory, and with them their bodies, have a bound.

use super::super::{Answer, Error, Report};
use super::counters::AtomicCounters;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// A place in a lane. The requests of one call share one.
pub(super) type Place = Arc<OwnedSemaphorePermit>;

pub(super) struct Waiter {
    caller: Caller,
    _counted: Counted,
}

enum Caller {
    /// A task, which has a timer for the deadline.
    Task(oneshot::Sender<Result<Answer, Error>>),
    /// No task waits: the connection reports, and minds the deadline.
    Report(Report),
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
        Waiter::of(Caller::Task(outcome), place, bytes, counters)
    }

    /// The same for a request on an open connection, that no task waits for.
    pub(super) fn reporting(
        report: Report,
        place: Place,
        bytes: usize,
        counters: Arc<AtomicCounters>,
    ) -> Waiter {
        Waiter::of(Caller::Report(report), place, bytes, counters)
    }

    fn of(caller: Caller, place: Place, bytes: usize, counters: Arc<AtomicCounters>) -> Waiter {
        counters.requests.fetch_add(1, Ordering::Relaxed);
        counters.request_bytes.fetch_add(bytes, Ordering::Relaxed);
        Waiter {
            caller,
            _counted: Counted {
                bytes,
                counters,
                _place: place,
            },
        }
    }

    /// Passes the outcome to the caller, if it still waits.
    pub(super) fn finish(self, outcome: Result<Answer, Error>) {
        match self.caller {
            Caller::Task(caller) => {
                let _ = caller.send(outcome);
            }
            Caller::Report(report) => report(outcome),
        }
    }

    /// The connection of the request has ended before it was sent. Until there is another one, a task minds the deadline.
    pub(super) fn await_deadline(&mut self, deadline: Instant) {
        if matches!(self.caller, Caller::Task(_)) {
            return;
        }
        let (outcome, answered) = oneshot::channel();
        let caller = std::mem::replace(&mut self.caller, Caller::Task(outcome));
        if let Caller::Report(report) = caller {
            tokio::spawn(async move {
                let answered = tokio::time::timeout_at(deadline.into(), answered).await;
                report(match answered {
                    Ok(answered) => answered.unwrap_or(Err(Error::Unreachable)),
                    Err(_elapsed) => Err(Error::Timeout),
                });
            });
        }
    }

    /// Whether the caller waits no longer.
    pub(super) fn is_closed(&self) -> bool {
        match &self.caller {
            Caller::Task(caller) => caller.is_closed(),
            Caller::Report(_) => false,
        }
    }
}
