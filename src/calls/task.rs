//! One call to ThingsBoard, in a task of its own.

use crate::calls::{Call, Completion, Ticket};
use crate::mapping::unanswerable;
use crate::upstream::{Answer, Error, Operation, Report, Upstream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// The HTTP client enforces timeouts itself; after this grace a call ends even if the client does not.
const GRACE: Duration = Duration::from_secs(1);

/// Makes the call within its deadline, and sends a completion whatever happens. The channel has room for every call that
/// may be in flight, so sending never waits.
pub(crate) async fn run<U: Upstream>(
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
            let outcome = tokio::time::timeout(deadline, upstream.send(request))
                .await
                .unwrap_or(Err(Error::Timeout));
            Completion::parse(ticket, outcome)
        }
        Err(not_sent) => *not_sent,
    };
    // Only a loop that is shutting down has closed the channel.
    let _ = guard.completions.send(completion).await;
}

/// Begins a call without a task, where ThingsBoard is reached in a way that needs none. Returns the call if it needs one.
pub(crate) fn try_post<U: Upstream>(
    upstream: &U,
    call: Call,
    completions: &mpsc::Sender<Completion>,
) -> Option<Call> {
    let Call { ticket, request } = call;
    if ticket.is_abortable() {
        return Some(Call { ticket, request });
    }
    let accept = |operation: &Operation| -> Option<Report> {
        // What `Call::prepare` does for a post.
        if let Err(refusal) = unanswerable::check(operation) {
            let _ = completions.try_send(Completion::not_sent(ticket, refusal));
            return None;
        }
        let mut last = LastCompletion(Some((ticket, completions.clone())));
        Some(Box::new(move |outcome| last.send(outcome)))
    };
    let posted = upstream.try_post(request, accept);
    posted.err().map(|request| Call { ticket, request })
}

/// Sends the completion of a call that has no task, even if it is dropped.
struct LastCompletion(Option<(Ticket, mpsc::Sender<Completion>)>);

impl LastCompletion {
    fn send(&mut self, outcome: Result<Answer, Error>) {
        if let Some((ticket, completions)) = self.0.take() {
            // There is room, unless the loop is shutting down.
            let _ = completions.try_send(Completion::parse(ticket, outcome));
        }
    }
}

impl Drop for LastCompletion {
    fn drop(&mut self) {
        self.send(Err(Error::Unreachable));
    }
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
    use crate::device::{AccessToken, Device};
    use crate::dtls::SessionId;
    use crate::mapping::response::AnswerKind;
    use crate::upstream::Request;
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

    /// Reports at once, or drops the report.
    struct Reporting(bool);

    impl Upstream for Reporting {
        async fn send(&self, _: Request) -> Result<Answer, Error> {
            panic!("it takes posts only");
        }

        fn try_post(
            &self,
            request: Request,
            accept: impl FnOnce(&Operation) -> Option<Report>,
        ) -> Result<(), Request> {
            let Request::Device { operation, .. } = request else {
                panic!("unexpected request");
            };
            let report = accept(&operation);
            if self.0
                && let Some(report) = report
            {
                let body = Bytes::new();
                report(Ok(Answer { body }));
            }
            Ok(())
        }
    }

    #[test]
    fn a_call_without_a_task_has_one_completion_even_if_it_is_dropped() {
        for is_reported in [true, false] {
            let (completed, mut completions) = mpsc::channel(2);
            let call = |expect, body: &'static str| {
                let ticket = Ticket::Exchange {
                    session: SessionId(1),
                    exchange: ExchangeId(1),
                    expect,
                };
                let device = Arc::new(Device {
                    name: "meter".into(),
                    token: AccessToken::new("TOKEN").unwrap(),
                });
                let operation = Operation::PostTelemetry(body.into());
                let request = Request::Device { device, operation };
                Call { ticket, request }
            };
            let abortable = call(AnswerKind::Attributes, "{}");
            let upstream = Reporting(is_reported);
            assert!(try_post(&upstream, abortable, &completed).is_some());
            let refused = call(AnswerKind::Created, "[]");
            assert!(try_post(&upstream, refused, &completed).is_none());
            let refused = completions.try_recv().unwrap();
            assert!(matches!(refused.outcome, Ok(Parsed::NotSent(_))));
            let post = call(AnswerKind::Created, "{a:1}");
            let ticket = post.ticket;
            assert!(try_post(&upstream, post, &completed).is_none());
            let completion = completions.try_recv().unwrap();
            assert_eq!(completion.ticket, ticket);
            assert_eq!(completion.outcome.is_ok(), is_reported);
            assert!(completions.try_recv().is_err(), "one completion");
        }
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
