//! Whether ThingsBoard can be reached, asked when somebody wants to know: without devices there are no requests
//! that would show it.

use crate::upstream::{Error, ThingsBoard};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long ThingsBoard may take: whoever probes the gateway has a deadline of its own, often of a few seconds.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long an outcome is believed. However many ask, ThingsBoard is asked so often.
const BELIEVED_FOR: Duration = Duration::from_secs(5);

/// The check, and what is known.
pub(crate) struct UpstreamCheck {
    upstream: Arc<ThingsBoard>,
    known: Mutex<Option<Known>>,
}

/// The outcome of a check.
#[derive(Debug, Clone, Copy)]
struct Known {
    at: Instant,
    failing: Option<(Reason, Instant)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    NotReached,
    Silent,
    NotServing,
    NoHttp,
}

impl fmt::Debug for UpstreamCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamCheck").finish_non_exhaustive()
    }
}

impl UpstreamCheck {
    pub(crate) fn new(upstream: Arc<ThingsBoard>) -> UpstreamCheck {
        UpstreamCheck {
            upstream,
            known: Mutex::new(None),
        }
    }

    /// What is wrong with ThingsBoard, in words, if anything is. One asks, and all who wait meanwhile hear of it.
    pub(crate) async fn failing(&self) -> Option<String> {
        let mut known = self.known.lock().await;
        let fresh = known.filter(|known| now().duration_since(known.at) < BELIEVED_FOR);
        let outcome = match fresh {
            Some(known) => known,
            None => self.check(known.and_then(|before| before.failing)).await,
        };
        *known = Some(outcome);
        let (reason, since) = outcome.failing?;
        Some(words(reason, now().duration_since(since)))
    }

    async fn check(&self, failing_before: Option<(Reason, Instant)>) -> Known {
        let asked = tokio::time::timeout(PATIENCE, self.upstream.is_reached()).await;
        let at = now();
        let reason = match asked.unwrap_or(Err(Error::Timeout)) {
            Ok(()) | Err(Error::Rejected(_)) => None,
            Err(Error::RetryAfter(retry_after)) if retry_after.code == 429 => None,
            Err(Error::Timeout | Error::Elapsed) => Some(Reason::Silent),
            Err(Error::Unreachable) => Some(Reason::NotReached),
            Err(Error::Overloaded | Error::RetryAfter(_)) => Some(Reason::NotServing),
            Err(Error::Unintelligible(_)) => Some(Reason::NoHttp),
        };
        let since = failing_before.map_or(at, |(_, since)| since);
        Known {
            at,
            failing: reason.map(|reason| (reason, since)),
        }
    }
}

fn words(reason: Reason, lasting: Duration) -> String {
    let what = match reason {
        Reason::NotReached => "can't be reached (upstream.url)",
        Reason::Silent => "does not answer",
        Reason::NotServing => "is not serving requests",
        Reason::NoHttp => "answers what is no HTTP",
    };
    match lasting.as_secs() {
        0 => format!("ThingsBoard {what}"),
        seconds => format!("ThingsBoard {what}, for {seconds} s now"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "outside of the loop: it says for how long something has been known"
)]
fn now() -> Instant {
    Instant::now()
}
