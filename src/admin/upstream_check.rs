//! Checks whether ThingsBoard can be reached when a probe or scrape needs to know: without devices there are no requests
//! that would show it.

use crate::gateway::UpstreamServer;
use crate::upstream::{Error, RetryAfter, RetryCause};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long ThingsBoard may take. Probes have deadlines of their own, often of a few seconds.
const CHECK_TIMEOUT: Duration = Duration::from_millis(1500);
/// How long an outcome is reused, so that probes and scrapes make one request in this time at most.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// The check, with its last outcome.
pub(crate) struct UpstreamCheck {
    upstream: Arc<UpstreamServer>,
    last: Mutex<Option<Outcome>>,
}

/// The outcome of a check.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    at: Instant,
    /// Why it fails, and since when.
    failing: Option<(Reason, Instant)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    NotReached,
    Silent,
    NotServing,
    Unintelligible,
}

impl fmt::Debug for UpstreamCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamCheck").finish_non_exhaustive()
    }
}

impl UpstreamCheck {
    pub(crate) fn new(upstream: Arc<UpstreamServer>) -> UpstreamCheck {
        UpstreamCheck {
            upstream,
            last: Mutex::new(None),
        }
    }

    /// Why ThingsBoard can't be reached, or `None`. Concurrent callers share one check.
    pub(crate) async fn failing(&self) -> Option<String> {
        let mut last = self.last.lock().await;
        let fresh = last.filter(|last| now().duration_since(last.at) < FRESH_FOR);
        let outcome = match fresh {
            Some(fresh) => fresh,
            None => self.check(last.and_then(|before| before.failing)).await,
        };
        *last = Some(outcome);
        let (reason, since) = outcome.failing?;
        Some(describe(reason, now().duration_since(since)))
    }

    async fn check(&self, failing_before: Option<(Reason, Instant)>) -> Outcome {
        let answer = tokio::time::timeout(CHECK_TIMEOUT, self.upstream.is_reachable()).await;
        let at = now();
        let reason = match answer.unwrap_or(Err(Error::Timeout)) {
            // An answer, whatever it says of this request.
            Ok(()) | Err(Error::Rejected(_)) => None,
            Err(Error::RetryAfter(RetryAfter {
                cause: RetryCause::RateLimited,
                ..
            })) => None,
            Err(Error::Timeout | Error::Elapsed) => Some(Reason::Silent),
            Err(Error::Unreachable) => Some(Reason::NotReached),
            Err(Error::Overloaded | Error::RetryAfter(_)) => Some(Reason::NotServing),
            Err(Error::Unintelligible(_)) => Some(Reason::Unintelligible),
        };
        let since = failing_before.map_or(at, |(_, since)| since);
        Outcome {
            at,
            failing: reason.map(|reason| (reason, since)),
        }
    }
}

fn describe(reason: Reason, lasting: Duration) -> String {
    let what = match reason {
        Reason::NotReached => "can't be reached (upstream.url)",
        Reason::Silent => "does not answer",
        Reason::NotServing => "is not serving requests",
        Reason::Unintelligible => "sends replies that can't be understood",
    };
    match lasting.as_secs() {
        0 => format!("ThingsBoard {what}"),
        seconds => format!("ThingsBoard {what}, for {seconds} s now"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "outside of the loop: the age of an outcome"
)]
fn now() -> Instant {
    Instant::now()
}
