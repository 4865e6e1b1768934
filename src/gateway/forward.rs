//! One call to upstream, in a task of its own.

use super::call::{Call, Completion};
use crate::upstream::{Error, Upstream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// The client enforces the timeout itself; this ends a call even if it should fail to.
const GRACE: Duration = Duration::from_secs(1);

/// Makes the call under its deadline and reports back, whatever happens. The channel has room for
/// every call that the core lets be in flight, so nobody waits on it.
pub async fn forward<U: Upstream>(
    upstream: Arc<U>,
    timeout: Duration,
    call: Call,
    completions: mpsc::Sender<Completion>,
) {
    let Call { ticket, request } = call;
    // A task of its own once more: should the client panic, the exchange is still answered.
    let mut work = tokio::spawn(async move { upstream.send(request).await });
    let outcome = match tokio::time::timeout(timeout + GRACE, &mut work).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_panicked)) => Err(Error::Unintelligible("the HTTP client failed")),
        Err(_elapsed) => {
            work.abort();
            Err(Error::Timeout)
        }
    };
    // Only a loop that is shutting down has closed the channel.
    let _ = completions.send(Completion { ticket, outcome }).await;
}
