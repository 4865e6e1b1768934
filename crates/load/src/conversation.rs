//! What is said in an established session: requests, notifications, or a ping at the end.

use super::args::Work;
use super::coap::{self, Kind, Message, Token};
use super::dtls::Session;
use super::exchange::{Exchange, Step};
use super::now;
use super::plan::Slot;
use super::session::{Phase, Phases, Shared, ended, started};
use super::tally::Trouble;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep_until;

/// RFC 7252 §4.6 has messages of up to 1152 bytes where nothing is known; some servers send more.
const LARGEST_MESSAGE: usize = 2048;
/// Dead is who does not answer a ping in this time: enough for two retransmissions.
const PING: Duration = Duration::from_secs(7);

/// What a session's work came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The run is over.
    Ended,
    /// The session is of no use any more.
    Lost,
    /// The session goes on, whatever has become of the exchange.
    Done,
}

/// What came next.
enum TapRecord {
    Message(Message),
    Nothing,
    Lost,
    Ended,
}

/// An established session and its messages.
pub(crate) struct Conversation {
    session: Session,
    shared: Arc<Shared>,
    phases: Phases,
    next_id: u16,
    next_token: u32,
}

impl Conversation {
    pub(crate) fn new(session: Session, shared: Arc<Shared>, phases: Phases) -> Conversation {
        Conversation {
            session,
            shared,
            phases,
            next_id: fastrand::u16(..),
            next_token: fastrand::u32(..),
        }
    }

    /// Until the session or the run ends. `turn` is the next one's number, also for the session that follows.
    pub(crate) async fn work(&mut self, slot: &Slot, turn: &mut u32) -> Outcome {
        match self.shared.work {
            Work::Requests => self.requests(slot, turn).await,
            Work::Observe => self.observe().await,
            Work::Idle | Work::Handshakes => self.idle().await,
        }
    }

    /// Until the session or the run ends. A lost session goes on with the turns it had.
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
            // From when it was due, so that a server that is behind can't hide it (coordinated omission).
            let begun = due.unwrap_or_else(now);
            let request = self.shared.request.clone();
            let (outcome, code) = self
                .exchange(|id, token| request.confirmable(id, token))
                .await;
            self.shared.count(|tally| match code {
                Some(_) => tally.latencies.record(now() - begun),
                None => tally.unfinished += u64::from(outcome == Outcome::Ended),
            });
            if outcome != Outcome::Done {
                return outcome;
            }
        }
    }

    /// Registers, and hears notifications until the end.
    async fn observe(&mut self) -> Outcome {
        let begun = now();
        let request = self.shared.request.clone();
        let (outcome, response) = self
            .exchange(|id, token| request.confirmable(id, token))
            .await;
        if let Some((_, observed)) = response {
            self.shared.count(|tally| {
                tally.latencies.record(now() - begun);
                if !observed {
                    tally.trouble(Trouble::NotObserved);
                }
            });
        }
        if outcome != Outcome::Done {
            return outcome;
        }
        let token = self.next_token.to_be_bytes();
        loop {
            match self.hear(std::future::pending()).await {
                TapRecord::Message(message)
                    if message.token == token && message.code != coap::EMPTY =>
                {
                    if message.kind == Kind::Confirmable
                        && !self
                            .send(&coap::empty(Kind::Acknowledgement, message.id))
                            .await
                    {
                        return Outcome::Lost;
                    }
                    let measured = *self.phases.borrow() != Phase::Connecting;
                    self.shared.count(|tally| {
                        tally.code(message.code);
                        tally.notifications += u64::from(message.observe && measured);
                        // RFC 7641 §3.2: a response without the option is the last under this token.
                        if !message.observe {
                            tally.trouble(Trouble::NotObserved);
                        }
                    });
                }
                TapRecord::Message(stray) => self.refuse(&stray).await,
                TapRecord::Nothing => {}
                TapRecord::Lost => return Outcome::Lost,
                TapRecord::Ended => return Outcome::Ended,
            }
        }
    }

    /// Does nothing until the end, and looks then whether the session is still there.
    async fn idle(&mut self) -> Outcome {
        loop {
            match self.idle_until(std::future::pending()).await {
                Outcome::Done => {}
                Outcome::Lost => return Outcome::Lost,
                Outcome::Ended => break,
            }
        }
        let id = self.next_id;
        let ping = coap::empty(Kind::Confirmable, id);
        let until = now() + PING;
        let mut buffer = [0; LARGEST_MESSAGE];
        let mut exchange = Exchange::new(id, [0; 4], PING, 0.0, now());
        let mut alive = false;
        let mut sent = self.session.send(&ping).await.is_ok();
        while sent && !alive && now() < until {
            let wait = self.session.receive(&mut buffer);
            match tokio::time::timeout_at(exchange.deadline().min(until).into(), wait).await {
                Ok(Ok(length)) => {
                    let message = buffer.get(..length).and_then(Message::parse);
                    alive = message
                        .is_some_and(|message| exchange.receive(&message, now()) == Step::Reset);
                }
                Ok(Err(_)) => break,
                Err(_) if exchange.timed_out(now()) == Step::Retransmit => {
                    self.shared.count(|tally| tally.retransmissions += 1);
                    sent = self.session.send(&ping).await.is_ok();
                }
                Err(_) => break,
            }
        }
        self.shared.count(|tally| match alive {
            true => tally.alive += 1,
            false => tally.trouble(Trouble::Dead),
        });
        Outcome::Ended
    }

    /// Sees one Confirmable request through; gives the response's code, if one came, and whether it has an Observe option.
    async fn exchange(
        &mut self,
        message: impl FnOnce(u16, Token) -> Vec<u8>,
    ) -> (Outcome, Option<(u8, bool)>) {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_token = self.next_token.wrapping_add(1);
        let (id, token) = (self.next_id, self.next_token.to_be_bytes());
        let datagram = message(id, token);
        let mut exchange = Exchange::new(id, token, self.shared.patience, fastrand::f64(), now());
        if !self.send(&datagram).await {
            return (Outcome::Lost, None);
        }
        loop {
            let (step, message) = match self.hear(sleep_until(exchange.deadline().into())).await {
                TapRecord::Message(message) => (exchange.receive(&message, now()), Some(message)),
                TapRecord::Nothing => (exchange.timed_out(now()), None),
                TapRecord::Lost => return (Outcome::Lost, None),
                TapRecord::Ended => return (Outcome::Ended, None),
            };
            match step {
                Step::Wait => {}
                Step::Retransmit => {
                    self.shared.count(|tally| tally.retransmissions += 1);
                    if !self.send(&datagram).await {
                        return (Outcome::Lost, None);
                    }
                }
                Step::Response {
                    code,
                    acknowledge,
                    observe,
                } => {
                    self.shared.count(|tally| tally.code(code));
                    let acknowledgement =
                        acknowledge.map(|id| coap::empty(Kind::Acknowledgement, id));
                    let lost = match acknowledgement {
                        Some(acknowledgement) => !self.send(&acknowledgement).await,
                        None => false,
                    };
                    return (
                        if lost { Outcome::Lost } else { Outcome::Done },
                        Some((code, observe)),
                    );
                }
                Step::Reset => {
                    self.shared.count(|tally| tally.trouble(Trouble::Reset));
                    return (Outcome::Done, None);
                }
                Step::GiveUp => {
                    self.shared.count(|tally| tally.trouble(Trouble::NoAnswer));
                    return (Outcome::Done, None);
                }
                Step::NotOurs => {
                    if let Some(stray) = message {
                        self.refuse(&stray).await;
                    }
                }
            }
        }
    }

    /// Refuses whatever comes until then.
    async fn idle_until(&mut self, until: impl Future<Output = ()>) -> Outcome {
        let mut until = pin!(until);
        loop {
            match self.hear(until.as_mut()).await {
                TapRecord::Message(stray) => self.refuse(&stray).await,
                TapRecord::Nothing => return Outcome::Done,
                TapRecord::Lost => return Outcome::Lost,
                TapRecord::Ended => return Outcome::Ended,
            }
        }
    }

    /// RFC 7252 §4.2: a Confirmable message without context is rejected by a reset.
    async fn refuse(&mut self, stray: &Message) {
        if stray.kind == Kind::Confirmable {
            self.send(&coap::empty(Kind::Reset, stray.id)).await;
        }
    }

    /// Ends the session.
    pub(crate) async fn close(self) {
        self.session.close().await;
    }

    async fn send(&mut self, bytes: &[u8]) -> bool {
        self.session.send(bytes).await.is_ok()
    }

    /// The next message until then.
    async fn hear(&mut self, until: impl Future<Output = ()>) -> TapRecord {
        let mut until = pin!(until);
        let mut buffer = [0; LARGEST_MESSAGE];
        loop {
            let received = tokio::select! {
                biased;
                () = ended(&mut self.phases) => return TapRecord::Ended,
                received = self.session.receive(&mut buffer) => received,
                () = until.as_mut() => return TapRecord::Nothing,
            };
            let Ok(length) = received else {
                return TapRecord::Lost;
            };
            match buffer.get(..length).and_then(Message::parse) {
                Some(message) => return TapRecord::Message(message),
                None => self.shared.count(|tally| tally.trouble(Trouble::Malformed)),
            }
        }
    }
}
