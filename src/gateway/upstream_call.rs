//! One call to upstream, in a task of its own.

use super::call::{Call, Completion, Ticket};
use crate::upstream::{Error, Upstream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// The client enforces its timeouts itself; this ends a call even if it should fail to.
const GRACE: Duration = Duration::from_secs(1);

/// Makes the call under its deadline and reports back, whatever happens. The channel has room for
/// every call that the core lets be in flight, so nobody waits on it.
pub async fn forward<U: Upstream>(
    upstream: Arc<U>,
    timeout: Duration,
    call: Call,
    completions: mpsc::Sender<Completion>,
) {
    let ticket = call.ticket;
    let last_word = LastWord {
        ticket,
        completions,
    };
    let completion = match call.prepare() {
        Ok(Call { request, .. }) => {
            let deadline = request.deadline(timeout).saturating_add(GRACE);
            let outcome = tokio::time::timeout(deadline, upstream.send(request))
                .await
                .unwrap_or(Err(Error::Timeout));
            Completion::read(ticket, outcome)
        }
        Err(not_sent) => *not_sent,
    };
    // Only a loop that is shutting down has closed the channel.
    let _ = last_word.completions.send(completion).await;
}

/// Sees to it that the exchange is answered even should the client panic.
struct LastWord {
    ticket: Ticket,
    completions: mpsc::Sender<Completion>,
}

impl Drop for LastWord {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.completions.try_send(Completion::read(
                self.ticket,
                Err(Error::Unintelligible("the HTTP client failed")),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::SessionId;
    use crate::gateway::reading::Reading;
    use crate::mapping::translate::Expect;
    use crate::upstream::{Answer, Request};
    use bytes::Bytes;
    use coap::{Code, ExchangeId};

    /// Panics at a body of "panic", never answers "silence".
    struct Fragile;

    impl Upstream for Fragile {
        async fn send(&self, request: Request) -> Result<Answer, Error> {
            let Request::Provision { body } = request else {
                panic!("not asked for here");
            };
            assert_ne!(&body[..], b"panic");
            if &body[..] == b"silence" {
                std::future::pending::<()>().await;
            }
            Ok(Answer { body })
        }
    }

    async fn outcome_of(body: &'static str) -> Result<Code, Error> {
        let (completed, mut completions) = mpsc::channel(1);
        let ticket = Ticket::Exchange {
            session: SessionId(1),
            exchange: ExchangeId(1),
            expect: Expect::Created,
        };
        let request = Request::Provision {
            body: Bytes::from_static(body.as_bytes()),
        };
        let call = Call { ticket, request };
        let task = forward(Arc::new(Fragile), Duration::from_millis(1), call, completed);
        let _ = tokio::spawn(task).await;
        let completion = completions.recv().await.unwrap();
        assert_eq!(completion.ticket, ticket);
        assert!(completions.recv().await.is_none(), "one completion");
        completion.outcome.map(|reading| match reading {
            Reading::Response(response) => response.code,
            other => panic!("{other:?}"),
        })
    }

    #[tokio::test]
    async fn every_call_comes_to_one_end_a_panic_and_silence_included() {
        assert_eq!(outcome_of("answer").await, Ok(Code::CREATED));
        assert_eq!(outcome_of("silence").await, Err(Error::Timeout));
        assert!(matches!(
            outcome_of("panic").await,
            Err(Error::Unintelligible(_))
        ));
    }
}
