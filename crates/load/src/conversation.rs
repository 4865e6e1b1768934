//! The work of one established session: requests, an observation, a move to another port, or idling with a ping at the
//! end.

use super::args::Work;
use super::dtls::Session;
use super::now;
use super::plan::Slot;
use super::session::{Phase, Phases, Shared, ended, started};
use super::tally::ErrorKind;
use coap::{Class, Code};
use coap_client::{Endpoint, Event, Parameters};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep_until;

/// A session whose ping is not answered in this time is dead. It is enough for two retransmissions.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How a piece of a session's work has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The run is over.
    Ended,
    /// The session is closed or broken.
    Lost,
    /// The session continues, whether or not the exchange succeeded.
    Done,
}

/// What a session waits for.
enum Next {
    /// The endpoint has reported something.
    Event(Event<()>),
    /// The deadline is reached.
    Due,
    /// The session is closed or broken.
    Lost,
    /// The run is over.
    Ended,
}

/// An established session and its CoAP endpoint. Its requests need no names: it makes one at a time.
pub(crate) struct Conversation {
    session: Session,
    endpoint: Endpoint<()>,
    shared: Arc<Shared>,
    phases: Phases,
}

impl Conversation {
    pub(crate) fn new(session: Session, shared: Arc<Shared>, phases: Phases) -> Conversation {
        let parameters = Parameters {
            separate_timeout: shared.response_timeout,
            ..Parameters::default()
        };
        Conversation {
            session,
            endpoint: Endpoint::new(parameters, fastrand::Rng::new()),
            shared,
            phases,
        }
    }

    /// Works until the session or the run ends; `Done` where the session is of no more use. `turn` is the number of the next request; it outlives the session.
    pub(crate) async fn work(&mut self, slot: &Slot, turn: &mut u32) -> Outcome {
        match self.shared.work {
            Work::Requests => self.requests(slot, turn).await,
            Work::Observe => self.observe().await,
            Work::Move => self.move_once(slot, turn).await,
            Work::Idle | Work::Handshakes => self.idle().await,
        }
    }

    /// Makes the request that precedes the measurement. Returns whether it was answered with success.
    pub(crate) async fn first_request(&mut self) -> (Outcome, bool) {
        let (outcome, response) = self.exchange().await;
        (outcome, is_success(response))
    }

    /// Gets another port when the measurement begins, and makes a request when its turn is due. `turn` is 1 after that: the
    /// session is another one then, and its first request has been answered.
    async fn move_once(&mut self, slot: &Slot, turn: &mut u32) -> Outcome {
        let Some(start) = started(&mut self.phases).await else {
            return Outcome::Ended;
        };
        if *turn == 0 {
            *turn = 1;
            let Ok(socket) = self.shared.connector.socket(slot.source).await else {
                self.shared
                    .count(|tally| tally.count_error(ErrorKind::Socket));
                return Outcome::Lost;
            };
            if self.session.replace_socket(socket).is_err() {
                return Outcome::Lost;
            }
            self.shared.count(|tally| tally.moved += 1);
            let due = slot.pace.due(start, 0);
            if due.is_some() {
                match self.idle_until(slot.turns.take()).await {
                    Outcome::Done => {}
                    over @ (Outcome::Ended | Outcome::Lost) => return over,
                }
            }
            let begun = due.unwrap_or_else(now);
            let (outcome, response) = self.exchange().await;
            match (outcome, is_success(response)) {
                (Outcome::Done, false) => return Outcome::Done,
                (Outcome::Done, true) => self.shared.count(|tally| {
                    tally.latencies.record(now() - begun);
                    tally.served += 1;
                }),
                (Outcome::Ended | Outcome::Lost, _) => {
                    self.shared
                        .count(|tally| tally.unfinished += u64::from(outcome == Outcome::Ended));
                    return outcome;
                }
            }
        } else {
            self.shared.count(|tally| tally.served_after_handshake += 1);
        }
        self.idle_until(std::future::pending()).await
    }

    /// Makes requests, each when its turn is due, until the session or the run ends.
    async fn requests(&mut self, slot: &Slot, turn: &mut u32) -> Outcome {
        let Some(start) = started(&mut self.phases).await else {
            return Outcome::Ended;
        };
        loop {
            let due = slot.pace.due(start, *turn);
            *turn = turn.wrapping_add(1);
            if due.is_some() {
                match self.idle_until(slot.turns.take()).await {
                    Outcome::Done => {}
                    over @ (Outcome::Ended | Outcome::Lost) => return over,
                }
            }
            // Latency counts from when the request was due, so that a server that is behind can't hide it
            // (coordinated omission).
            let begun = due.unwrap_or_else(now);
            let (outcome, response) = self.exchange().await;
            self.shared.count(|tally| match response {
                Some(_) => tally.latencies.record(now() - begun),
                None => tally.unfinished += u64::from(outcome == Outcome::Ended),
            });
            if outcome != Outcome::Done {
                return outcome;
            }
        }
    }

    /// Registers an observation and counts its notifications until the session or the run ends.
    async fn observe(&mut self) -> Outcome {
        let begun = now();
        let (outcome, response) = self.exchange().await;
        if let Some((_, is_observed)) = response {
            self.shared.count(|tally| {
                tally.latencies.record(now() - begun);
                if !is_observed {
                    tally.count_error(ErrorKind::NotObserved);
                }
            });
        }
        if outcome != Outcome::Done {
            return outcome;
        }
        let mut notified = 0;
        let outcome = loop {
            match self.next_or_end(std::future::pending()).await {
                Next::Event(Event::Notification {
                    code, is_observed, ..
                }) => {
                    let is_measured = *self.phases.borrow() != Phase::Connecting;
                    let counts = u64::from(is_observed && is_measured);
                    notified += counts;
                    self.shared.count(|tally| {
                        tally.code(code);
                        tally.notifications += counts;
                        if !is_observed {
                            tally.count_error(ErrorKind::NotObserved);
                        }
                    });
                }
                Next::Event(_) | Next::Due => {}
                Next::Lost => break Outcome::Lost,
                Next::Ended => break Outcome::Ended,
            }
        };
        self.shared
            .count(|tally| *tally.notified.entry(notified).or_default() += 1);
        outcome
    }

    /// Does nothing until the run ends, then pings to see whether the session still exists.
    async fn idle(&mut self) -> Outcome {
        loop {
            match self.idle_until(std::future::pending()).await {
                Outcome::Done => {}
                Outcome::Lost => return Outcome::Lost,
                Outcome::Ended => break,
            }
        }
        let until = now() + PING_TIMEOUT;
        self.endpoint.ping(now(), ());
        let is_alive = loop {
            match self.next(sleep_until(until.into())).await {
                Next::Event(Event::Reset(())) => break true,
                Next::Event(Event::TimedOut(())) | Next::Due | Next::Lost | Next::Ended => {
                    break false;
                }
                Next::Event(_) => {}
            }
        };
        self.shared.count(|tally| match is_alive {
            true => tally.alive += 1,
            false => tally.count_error(ErrorKind::Dead),
        });
        Outcome::Ended
    }

    /// Makes one request. Returns the response's code and whether it has an Observe option; `None` without a response.
    async fn exchange(&mut self) -> (Outcome, Option<(Code, bool)>) {
        self.endpoint.request(now(), (), &self.shared.request);
        loop {
            match self.next_or_end(std::future::pending()).await {
                Next::Event(Event::Response {
                    code, is_observed, ..
                }) => {
                    self.shared.count(|tally| tally.code(code));
                    return (Outcome::Done, Some((code, is_observed)));
                }
                Next::Event(Event::Reset(())) => {
                    self.shared
                        .count(|tally| tally.count_error(ErrorKind::Reset));
                    return (Outcome::Done, None);
                }
                Next::Event(Event::TimedOut(())) => {
                    self.shared
                        .count(|tally| tally.count_error(ErrorKind::NoAnswer));
                    return (Outcome::Done, None);
                }
                Next::Event(Event::Notification { .. } | Event::Retransmitted) | Next::Due => {}
                Next::Lost => return (Outcome::Lost, None),
                Next::Ended => return (Outcome::Ended, None),
            }
        }
    }

    /// Lets the endpoint answer messages until this time.
    async fn idle_until(&mut self, until: impl Future<Output = ()>) -> Outcome {
        let mut until = pin!(until);
        loop {
            match self.next_or_end(until.as_mut()).await {
                Next::Event(_) => {}
                Next::Due => return Outcome::Done,
                Next::Lost => return Outcome::Lost,
                Next::Ended => return Outcome::Ended,
            }
        }
    }

    pub(crate) async fn close(self) {
        self.session.close().await;
    }

    /// The next event, unless the run ends first.
    async fn next_or_end(&mut self, until: impl Future<Output = ()>) -> Next {
        let mut phases = self.phases.clone();
        tokio::select! {
            biased;
            () = ended(&mut phases) => Next::Ended,
            next = self.next(until) => next,
        }
    }

    /// Carries datagrams between session and endpoint until the latter has an event.
    async fn next(&mut self, until: impl Future<Output = ()>) -> Next {
        let mut until = pin!(until);
        loop {
            while let Some(datagram) = self.endpoint.poll_transmit() {
                if self.session.send(&datagram).await.is_err() {
                    return Next::Lost;
                }
            }
            if let Some(event) = self.endpoint.poll_event() {
                if event == Event::Retransmitted {
                    self.shared.count(|tally| tally.retransmissions += 1);
                }
                return Next::Event(event);
            }
            let timeout = timeout(self.endpoint.next_timeout());
            tokio::select! {
                biased;
                received = self.session.receive() => match received {
                    Ok(plaintext) => {
                        if self.endpoint.receive(now(), &plaintext).is_err() {
                            self.shared.count(|tally| tally.count_error(ErrorKind::Malformed));
                        }
                    }
                    Err(_) => return Next::Lost,
                },
                () = timeout => self.endpoint.handle_timeout(now()),
                () = until.as_mut() => return Next::Due,
            }
        }
    }
}

/// Whether a response has a code of class 2 (RFC 7252 §5.9.1).
fn is_success(response: Option<(Code, bool)>) -> bool {
    response.is_some_and(|(code, _)| code.class() == Class::Response && code.0 < 0x80)
}

/// Resolves at that time; never where there is none.
async fn timeout(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
