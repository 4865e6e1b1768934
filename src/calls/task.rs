//! One call to ThingsBoard, in a task of its own.

use crate::calls::{Call, Completion, Ticket};
use crate::upstream::{Error, Place, Upstream};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// The HTTP client enforces timeouts itself; after this grace a call ends even if the client does not.
const GRACE: Duration = Duration::from_secs(1);

/// Makes the call within its deadline, and sends a completion whatever happens. The channel has room for every call that
/// may be in flight, so sending never waits. Calls of a device are to be begun in their order; their tasks may run in another.
pub(crate) fn run<U: Upstream>(
    upstream: Arc<U>,
    timeout: Duration,
    call: Call,
    completions: mpsc::Sender<Completion>,
) -> impl Future<Output = ()> + Send {
    let place = upstream.place(&call.request);
    run_from(place, upstream, timeout, call, completions)
}

async fn run_from<U: Upstream>(
    place: Place,
    upstream: Arc<U>,
    timeout: Duration,
    call: Call,
    completions: mpsc::Sender<Completion>,
) {
    let ticket = call.ticket;
    let guard = CompletionGuard {
        ticket,
        completions,
    };
    let completion = match call.prepare() {
        Ok(Call { request, .. }) => {
            let deadline = request.deadline(timeout).saturating_add(GRACE);
            let outcome = tokio::time::timeout(deadline, upstream.send_from(place, request))
                .await
                .unwrap_or(Err(Error::Timeout));
            Completion::parse(ticket, outcome)
        }
        Err(not_sent) => *not_sent,
    };
    // Only a loop that is shutting down has closed the channel.
    let _ = guard.completions.send(completion).await;
}

/// Sends a completion even if the HTTP client panics.
struct CompletionGuard {
    ticket: Ticket,
    completions: mpsc::Sender<Completion>,
}

impl Drop for CompletionGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.completions.try_send(Completion::parse(
                self.ticket,
                Err(Error::Unintelligible("the HTTP client failed")),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::parsing::Parsed;
    use crate::dtls::SessionId;
    use crate::mapping::response::AnswerKind;
    use crate::upstream::{Answer, Request};
    use bytes::Bytes;
    use coap::{Code, ExchangeId};

    /// Panics at the body `panic`, never answers `silence`.
    struct FailingUpstream;

    impl Upstream for FailingUpstream {
        async fn send(&self, request: Request) -> Result<Answer, Error> {
            let Request::Provision { body } = request else {
                panic!("unexpected request");
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
            expect: AnswerKind::Created,
        };
        let request = Request::Provision {
            body: Bytes::from_static(body.as_bytes()),
        };
        let call = Call { ticket, request };
        let task = run(
            Arc::new(FailingUpstream),
            Duration::from_millis(1),
            call,
            completed,
        );
        let _ = tokio::spawn(task).await;
        let completion = completions.recv().await.unwrap();
        assert_eq!(completion.ticket, ticket);
        assert!(completions.recv().await.is_none(), "one completion");
        completion.outcome.map(|parsed| match parsed {
            Parsed::Response(response) => response.code,
            other => panic!("{other:?}"),
        })
    }

    #[tokio::test]
    async fn every_call_has_one_completion_even_after_a_panic_or_without_an_answer() {
        assert_eq!(outcome_of("answer").await, Ok(Code::CREATED));
        assert_eq!(outcome_of("silence").await, Err(Error::Timeout));
        assert!(matches!(
            outcome_of("panic").await,
            Err(Error::Unintelligible(_))
        ));
    }
}
