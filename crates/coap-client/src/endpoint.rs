//! The messages of a client with one server: requests one at a time (RFC 7252 §4.7), retransmitted until they are
//! answered (§4.2), and observations (RFC 7641).
//!
//! ```text
//!  request() ──▶ queued ──▶ outstanding ──▶ Event::Response, Reset or TimedOut
//!  observe() ──▶ queued ──▶ outstanding ──▶ Event::Response ──▶ Event::Notification …
//! ```

use super::exchange::{ACK_TIMEOUT, Due, Exchange, Received};
use super::request::Request;
use bytes::Bytes;
use coap::option::number;
use coap::{Class, Code, Message, Token, Type, Undecodable};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Message IDs of the server that are remembered to recognise duplicates (RFC 7252 §4.5).
const MAX_RECENT: usize = 32;
/// An Empty message is four bytes (RFC 7252 §4.1).
const EMPTY_MESSAGE: usize = 4;

/// How an [`Endpoint`] behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameters {
    /// ACK_RANDOM_FACTOR (RFC 7252 §4.8): the first timeout is chosen between ACK_TIMEOUT and ACK_TIMEOUT times this.
    pub ack_random_factor: f64,
    /// How long a separate response may take once the request is acknowledged.
    pub separate_timeout: Duration,
    /// Requests that may wait for their turn; another one is not taken.
    pub max_queued: usize,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters {
            ack_random_factor: 1.5,
            separate_timeout: Duration::from_secs(90),
            max_queued: 8,
        }
    }
}

/// What became of a request, or what a server sent on its own. `T` is what the caller has named the request by.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields' names and types say it")]
pub enum Event<T> {
    Response {
        request: T,
        code: Code,
        payload: Bytes,
        /// Since the request was first sent.
        after: Duration,
        /// How often it was sent.
        transmissions: u32,
        /// Whether notifications follow: the response has an Observe option (RFC 7641 §3.1).
        is_observed: bool,
    },
    Notification {
        request: T,
        code: Code,
        payload: Bytes,
        /// Whether more follow. A notification without an Observe option ends the observation (RFC 7641 §3.2).
        is_observed: bool,
    },
    /// The outstanding request was sent again.
    Retransmitted,
    /// The server has rejected the request by a Reset. That is the answer to a ping (RFC 7252 §4.3).
    Reset(T),
    /// No acknowledgement was received, or no response after it.
    TimedOut(T),
}

struct Queued<T> {
    name: T,
    message_id: u16,
    token: Token,
    datagram: Vec<u8>,
}

struct Outstanding<T> {
    name: T,
    token: Token,
    datagram: Vec<u8>,
    exchange: Exchange,
    first_sent: Instant,
    transmissions: u32,
}

/// The client's end of one session.
pub struct Endpoint<T> {
    parameters: Parameters,
    random: fastrand::Rng,
    next_message_id: u16,
    next_token: u32,
    queue: VecDeque<Queued<T>>,
    /// One at most: NSTART is 1 (RFC 7252 §4.7).
    outstanding: Option<Outstanding<T>>,
    observations: Vec<(Token, T)>,
    /// Message IDs of the server's responses that were taken, newest last.
    recent: VecDeque<u16>,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<Event<T>>,
}

impl<T: Clone + PartialEq> Endpoint<T> {
    /// The first Message ID and token are random (RFC 7252 §4.4, §5.3.1).
    pub fn new(parameters: Parameters, mut random: fastrand::Rng) -> Endpoint<T> {
        Endpoint {
            parameters,
            next_message_id: random.u16(..),
            next_token: random.u32(..),
            random,
            queue: VecDeque::new(),
            outstanding: None,
            observations: Vec::new(),
            recent: VecDeque::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// The next response or notification.
    pub fn poll_event(&mut self) -> Option<Event<T>> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        Some(self.outstanding.as_ref()?.exchange.deadline())
    }

    /// Queues a Confirmable request. Returns whether it was taken: the queue may be full, or the request larger than
    /// one message holds. An observation of the same name is replaced by a registration.
    pub fn request(&mut self, now: Instant, name: T, request: &Request) -> bool {
        let (message_id, token) = self.next_ids();
        let Some(datagram) = request.encode(message_id, token) else {
            return false;
        };
        let is_taken = self.push(now, name.clone(), message_id, token, datagram);
        if is_taken && request.is_registration() {
            self.observations.retain(|(_, observed)| *observed != name);
            self.observations.push((token, name));
        }
        is_taken
    }

    /// Queues a ping, an Empty Confirmable message (RFC 7252 §4.3). Returns whether it was taken.
    pub fn ping(&mut self, now: Instant, name: T) -> bool {
        let (message_id, _) = self.next_ids();
        let ping = Message::empty(Type::Confirmable, message_id).encode(EMPTY_MESSAGE);
        let datagram = ping.unwrap_or_default();
        self.push(now, name, message_id, Token::default(), datagram)
    }

    /// Removes from the queue what is not to be sent after all. The outstanding request stays.
    pub fn retain_queued(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.queue.retain(|queued| keep(&queued.name));
    }

    fn next_ids(&mut self) -> (u16, Token) {
        self.next_message_id = self.next_message_id.wrapping_add(1);
        self.next_token = self.next_token.wrapping_add(1);
        let token = Token::new(&self.next_token.to_be_bytes());
        (self.next_message_id, token.unwrap_or_default())
    }

    fn push(
        &mut self,
        now: Instant,
        name: T,
        message_id: u16,
        token: Token,
        datagram: Vec<u8>,
    ) -> bool {
        if self.queue.len() >= self.parameters.max_queued {
            return false;
        }
        self.queue.push_back(Queued {
            name,
            message_id,
            token,
            datagram,
        });
        self.send_next(now);
        true
    }

    /// Sends the oldest queued request unless one is outstanding.
    fn send_next(&mut self, now: Instant) {
        if self.outstanding.is_some() {
            return;
        }
        let Some(next) = self.queue.pop_front() else {
            return;
        };
        let Parameters {
            ack_random_factor,
            separate_timeout,
            ..
        } = self.parameters;
        let factor = 1.0 + (ack_random_factor - 1.0) * self.random.f64();
        self.transmits.push_back(next.datagram.clone());
        self.outstanding = Some(Outstanding {
            exchange: Exchange::new(
                next.message_id,
                next.token,
                ACK_TIMEOUT.mul_f64(factor),
                separate_timeout,
                now,
            ),
            name: next.name,
            token: next.token,
            datagram: next.datagram,
            first_sent: now,
            transmissions: 1,
        });
    }

    /// Retransmits the outstanding request, or gives it up.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some(mut outstanding) = self
            .outstanding
            .take_if(|outstanding| outstanding.exchange.deadline() <= now)
        else {
            return;
        };
        match outstanding.exchange.handle_timeout(now) {
            Due::Retransmission => {
                outstanding.transmissions += 1;
                self.transmits.push_back(outstanding.datagram.clone());
                self.events.push_back(Event::Retransmitted);
                self.outstanding = Some(outstanding);
            }
            Due::TimedOut => {
                self.observations
                    .retain(|(token, _)| *token != outstanding.token);
                self.events.push_back(Event::TimedOut(outstanding.name));
                self.send_next(now);
            }
        }
    }

    /// Handles the plaintext of a datagram from the server.
    ///
    /// # Errors
    /// It is not a CoAP message, and is ignored.
    pub fn receive(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Undecodable> {
        let message = Message::decode(datagram)?;
        if self.is_duplicate(&message) {
            // RFC 7252 §4.5: acknowledged again, and processed once.
            self.acknowledge(&message);
            return Ok(());
        }
        let exchange = self.outstanding.as_mut().map(|one| &mut one.exchange);
        match exchange.map_or(Received::Unrelated, |it| it.receive(&message, now)) {
            Received::Acknowledgement => {}
            Received::Response => {
                self.acknowledge(&message);
                self.finish(now, message);
            }
            Received::Reset => {
                if let Some(outstanding) = self.outstanding.take() {
                    self.observations
                        .retain(|(token, _)| *token != outstanding.token);
                    self.events.push_back(Event::Reset(outstanding.name));
                }
            }
            Received::Unrelated => self.receive_unrelated(message),
        }
        self.send_next(now);
        Ok(())
    }

    fn is_duplicate(&self, message: &Message) -> bool {
        matches!(message.kind, Type::Confirmable | Type::NonConfirmable)
            && message.code.class() == Class::Response
            && self.recent.contains(&message.message_id)
    }

    /// Acknowledges a Confirmable message, and remembers any that is not itself an acknowledgement.
    fn acknowledge(&mut self, message: &Message) {
        if message.kind == Type::Acknowledgement {
            return;
        }
        if message.kind == Type::Confirmable {
            self.send_empty(Type::Acknowledgement, message.message_id);
        }
        if !self.recent.contains(&message.message_id) {
            if self.recent.len() == MAX_RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(message.message_id);
        }
    }

    fn send_empty(&mut self, kind: Type, message_id: u16) {
        let message = Message::empty(kind, message_id);
        self.transmits.extend(message.encode(EMPTY_MESSAGE));
    }

    /// The outstanding request has its response.
    fn finish(&mut self, now: Instant, response: Message) {
        let Some(outstanding) = self.outstanding.take() else {
            return;
        };
        let is_observed = self.is_still_observed(&response);
        self.events.push_back(Event::Response {
            is_observed,
            request: outstanding.name,
            code: response.code,
            payload: response.payload,
            after: now.saturating_duration_since(outstanding.first_sent),
            transmissions: outstanding.transmissions,
        });
    }

    /// A notification is taken. Whatever else is Confirmable is rejected by a Reset (RFC 7252 §4.2), a response of
    /// either type too: the server then stops notifying (RFC 7641 §3.6).
    fn receive_unrelated(&mut self, message: Message) {
        let is_response = message.code.class() == Class::Response
            && matches!(message.kind, Type::Confirmable | Type::NonConfirmable);
        let observation = self
            .observations
            .iter()
            .find(|(token, _)| is_response && *token == message.token);
        if let Some((_, name)) = observation {
            let request = name.clone();
            self.acknowledge(&message);
            let is_observed = self.is_still_observed(&message);
            self.events.push_back(Event::Notification {
                is_observed,
                request,
                code: message.code,
                payload: message.payload,
            });
        } else if message.kind == Type::Confirmable || is_response {
            self.send_empty(Type::Reset, message.message_id);
        }
    }

    /// Whether the response has an Observe option; without one its observation is over.
    fn is_still_observed(&mut self, response: &Message) -> bool {
        let mut options = response.options.iter();
        let is_observed = options.any(|(option, _)| *option == number::OBSERVE);
        if !is_observed {
            self.observations
                .retain(|(token, _)| *token != response.token);
        }
        is_observed
    }
}

#[cfg(test)]
mod tests;
