//! Our own Confirmable messages: retransmission and NSTART (RFC 7252 §4.2, §4.7, §4.8).
//!
//! ```text
//! Waiting ──▶ Outstanding ──▶ (retransmitted up to MAX_RETRANSMIT times) ──▶ given up
//!    │          │  ├─────────▶ acknowledged or reset
//!    │          │  └─────────▶ (a response its client has gone past) ──▶ given up
//!    │          └──▶ (superseded: other bytes, the same count and timeout)
//!    └──▶ (behind others for MAX_TRANSMIT_WAIT) ──▶ given up
//! ```
//!
//! NSTART bounds what we begin, notifications and pings (§4.7). It holds for what must come in order, which is one
//! observation: what is not acknowledged there holds back nothing of another. Responses end what the client has begun,
//! and wait neither for one another nor for anything else. What bounds them is [`MAX_RESPONSE_BYTES`]; and a client that
//! sends further requests while it acknowledges no response at all has gone past those it was sent: each is sent twice,
//! not five times.
//!
//! Notifications and pings are made when they may go out ([`Outgoing::has_room_for`]): until then a notification may be
//! replaced by a newer one. Only the last response of an observation waits here.

use super::observe::relation::ObservationId;
use crate::parameters::Parameters;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Notifications, last responses and pings that may wait or be outstanding at once.
const MAX_MESSAGES: usize = 32;
/// Bytes of responses that may be outstanding at once, [`OVERHEAD`] for each included: 140 of a few bytes each.
/// Beyond it the oldest is given up: it was sent at least once.
const MAX_RESPONSE_BYTES: usize = 16 * 1024;
/// What a message takes beside its bytes.
const OVERHEAD: usize = size_of::<Transmission>();

/// The longest a message waits behind others, whatever the parameters say.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// What a Confirmable message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessagePurpose {
    /// A separate response.
    Response,
    /// The response to a registration.
    Registration(ObservationId),
    /// A notification.
    Notification(ObservationId),
    /// The last response of a relation that is gone.
    Last(ObservationId),
    /// An empty message, to see whether the peer lives.
    Ping,
}

impl MessagePurpose {
    fn observation(self) -> Option<ObservationId> {
        match self {
            MessagePurpose::Registration(id)
            | MessagePurpose::Notification(id)
            | MessagePurpose::Last(id) => Some(id),
            MessagePurpose::Response | MessagePurpose::Ping => None,
        }
    }

    /// Whether it answers a request.
    fn is_response(self) -> bool {
        match self {
            MessagePurpose::Response | MessagePurpose::Registration(_) => true,
            MessagePurpose::Notification(_) | MessagePurpose::Last(_) | MessagePurpose::Ping => {
                false
            }
        }
    }
}

#[derive(Debug)]
struct Transmission {
    message_id: u16,
    purpose: MessagePurpose,
    bytes: Vec<u8>,
    /// When it is given up, if it is still waiting then.
    stale_at: Instant,
    /// How many responses the peer had acknowledged when it was made.
    acknowledged: u32,
    /// Set once it is outstanding.
    progress: Option<Progress>,
}

#[derive(Debug)]
struct Progress {
    retransmissions: u8,
    timeout: Duration,
    sent_at: Instant,
    retransmit_at: Instant,
    /// How many requests had come when it was sent last.
    requests: u32,
    /// Whether it is to be sent once more than MAX_RETRANSMIT allows: the peer was awake right after it was sent last.
    extra_due: bool,
    /// Whether it was sent once more than MAX_RETRANSMIT allows, to a peer just awake.
    extra_sent: bool,
}

impl Progress {
    /// §4.2: each timeout is twice the one before.
    fn retransmit(&mut self, now: Instant, requests: u32) {
        self.retransmissions += 1;
        self.requests = requests;
        self.timeout = self.timeout.saturating_mul(2).min(LONGEST_WAIT);
        self.sent_at = now;
        self.retransmit_at = now + self.timeout;
    }

    fn send_extra(&mut self, now: Instant) {
        self.sent_at = now;
        self.extra_sent = true;
    }
}

/// What a timer brought about.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// Send these bytes for the first time.
    Send(Vec<u8>),
    /// Send the message with this Message ID again: its [`bytes`](Outgoing::bytes), or what
    /// [`supersede`](Outgoing::supersede)s it.
    Resend(u16, MessagePurpose),
    /// No acknowledgement came in time for such a message.
    GaveUp(MessagePurpose),
}

/// Confirmable messages on their way to one endpoint. Empty, it holds no heap.
#[derive(Debug, Default)]
pub struct Outgoing {
    queue: VecDeque<Transmission>,
    /// Requests that have come, modulo 2^32.
    requests: u32,
    /// Responses that were acknowledged or reset, modulo 2^32.
    acknowledged: u32,
}

impl Outgoing {
    /// Takes a message for reliable transmission; [`due`](Self::due) says when to send it.
    /// Returns how many older responses were given up for it; nothing, if there is no room for it.
    #[must_use]
    pub fn push(
        &mut self,
        now: Instant,
        message_id: u16,
        purpose: MessagePurpose,
        bytes: Vec<u8>,
        parameters: &Parameters,
    ) -> Option<usize> {
        let mut given_up = 0;
        if purpose.is_response() {
            while self.response_bytes() + bytes.len() + OVERHEAD > MAX_RESPONSE_BYTES {
                self.remove(|one| one.purpose == MessagePurpose::Response)?;
                given_up += 1;
            }
        } else if self.non_responses() >= MAX_MESSAGES {
            return None;
        }
        self.queue.push_back(Transmission {
            message_id,
            purpose,
            bytes,
            stale_at: now + max_transmit_wait(parameters),
            acknowledged: self.acknowledged,
            progress: None,
        });
        Some(given_up)
    }

    /// A new request came.
    pub fn count_request(&mut self) {
        self.requests = self.requests.wrapping_add(1);
    }

    /// An ACK or RST with this Message ID came: what it was for, if it was awaited.
    pub fn acknowledge(&mut self, message_id: u16) -> Option<MessagePurpose> {
        let purpose = self.remove(|one| one.message_id == message_id && one.progress.is_some())?;
        if purpose.is_response() {
            self.acknowledged = self.acknowledged.wrapping_add(1);
        }
        Some(purpose)
    }

    /// Bytes of responses, and what they take beside.
    fn response_bytes(&self) -> usize {
        let responses = self.queue.iter().filter(|one| one.purpose.is_response());
        responses.map(|one| one.bytes.len() + OVERHEAD).sum()
    }

    /// Notifications, last responses and pings.
    fn non_responses(&self) -> usize {
        let own = |one: &&Transmission| !one.purpose.is_response();
        self.queue.iter().filter(own).count()
    }

    /// Takes back what belongs to a relation, be it waiting or outstanding.
    pub fn cancel_all(&mut self, observation: ObservationId) {
        self.retain(|one| one.purpose.observation() != Some(observation));
    }

    /// Takes back what belongs to a relation and was not sent yet.
    pub fn cancel_unsent(&mut self, observation: ObservationId) {
        self.retain(|one| one.progress.is_some() || one.purpose.observation() != Some(observation));
    }

    /// Takes back a relation's notification. Responses to its registrations stay.
    pub fn cancel_notification(&mut self, observation: ObservationId) {
        self.retain(|one| one.purpose != MessagePurpose::Notification(observation));
    }

    /// Takes back the response to a relation's registration, as the client has registered again since: its Message ID.
    pub fn cancel_registration(&mut self, observation: ObservationId) -> Option<u16> {
        let registration = MessagePurpose::Registration(observation);
        let message_id = self
            .queue
            .iter()
            .find(|one| one.purpose == registration)?
            .message_id;
        self.retain(|one| one.purpose != registration);
        Some(message_id)
    }

    /// Takes back the ping. Returns whether there was one.
    pub fn cancel_ping(&mut self) -> bool {
        self.remove(|one| one.purpose == MessagePurpose::Ping)
            .is_some()
    }

    fn retain(&mut self, which: impl FnMut(&Transmission) -> bool) {
        self.queue.retain(which);
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    fn remove(&mut self, which: impl FnMut(&Transmission) -> bool) -> Option<MessagePurpose> {
        let at = self.queue.iter().position(which)?;
        let removed = self.queue.remove(at)?;
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        Some(removed.purpose)
    }

    /// The bytes of an outstanding message.
    pub fn bytes(&self, message_id: u16) -> Option<Vec<u8>> {
        let mut outstanding = self.queue.iter().filter(|one| one.progress.is_some());
        let message = outstanding.find(|one| one.message_id == message_id)?;
        Some(message.bytes.clone())
    }

    /// Another message goes on in the place of an outstanding one, with its retransmission count and
    /// timeout (RFC 7641 §4.5.2): the peer has not become quicker because there is news.
    pub fn supersede(&mut self, message_id: u16, by: u16, purpose: MessagePurpose, bytes: Vec<u8>) {
        let mut outstanding = self.queue.iter_mut().filter(|one| one.progress.is_some());
        if let Some(message) = outstanding.find(|one| one.message_id == message_id) {
            message.message_id = by;
            message.purpose = purpose;
            message.bytes = bytes;
        }
    }

    /// The same, by the message for `purpose`, if one waits: its Message ID.
    pub fn supersede_by_waiting(
        &mut self,
        message_id: u16,
        purpose: MessagePurpose,
    ) -> Option<u16> {
        let waits = |one: &Transmission| one.purpose == purpose && one.progress.is_none();
        let at = self.queue.iter().position(waits)?;
        let newer = self.queue.remove(at)?;
        self.supersede(message_id, newer.message_id, purpose, newer.bytes);
        Some(newer.message_id)
    }

    /// Whether a message for this is waiting or outstanding.
    pub fn contains(&self, purpose: MessagePurpose) -> bool {
        self.queue.iter().any(|one| one.purpose == purpose)
    }

    /// Whether a notification of this observation goes out at once.
    pub fn has_room_for(&self, observation: ObservationId, parameters: &Parameters) -> bool {
        let of_it = |one: &&Transmission| one.purpose.observation() == Some(observation);
        self.queue.iter().filter(of_it).count() < parameters.nstart
            && self.non_responses() < MAX_MESSAGES
    }

    /// Whether a ping goes out at once.
    pub fn has_room_for_ping(&self, parameters: &Parameters) -> bool {
        self.non_responses() < parameters.nstart.min(MAX_MESSAGES)
    }

    /// Whether a waiting message may be sent.
    fn may_send(&self, waiting: &Transmission, parameters: &Parameters) -> bool {
        let of_it = |one: &&Transmission| {
            one.progress.is_some() && one.purpose.observation() == waiting.purpose.observation()
        };
        match waiting.purpose {
            MessagePurpose::Response | MessagePurpose::Registration(_) | MessagePurpose::Ping => {
                true
            }
            MessagePurpose::Notification(_) | MessagePurpose::Last(_) => {
                self.queue.iter().filter(of_it).count() < parameters.nstart
            }
        }
    }

    /// Whether the client has sent requests since it was sent this response, twice, and has acknowledged no response
    /// in that time.
    fn is_ignored_by_client(&self, response: &Transmission) -> bool {
        response.purpose == MessagePurpose::Response
            && response.acknowledged == self.acknowledged
            && response.progress.as_ref().is_some_and(|progress| {
                progress.retransmissions > 0 && progress.requests != self.requests
            })
    }

    /// What is to be done by `now`: call until it returns nothing. `random` is uniform over `u32`.
    pub fn due(&mut self, now: Instant, parameters: &Parameters, random: u32) -> Option<Due> {
        let stale = self
            .queue
            .iter()
            .find(|transmission| transmission.progress.is_none() && transmission.stale_at <= now)
            .map(|transmission| transmission.message_id);
        if let Some(message_id) = stale {
            return self
                .remove(|transmission| transmission.message_id == message_id)
                .map(Due::GaveUp);
        }
        let mut waiting = self.queue.iter();
        let next = waiting.position(|t| t.progress.is_none() && self.may_send(t, parameters));
        if let Some(next) = next.and_then(|at| self.queue.get_mut(at)) {
            // §4.2: the first timeout is random, once for the whole exchange.
            let timeout = initial_timeout(parameters, random);
            next.progress = Some(Progress {
                retransmissions: 0,
                timeout,
                sent_at: now,
                retransmit_at: now + timeout,
                requests: self.requests,
                extra_due: false,
                extra_sent: false,
            });
            return Some(Due::Send(next.bytes.clone()));
        }
        let at = self.queue.iter().position(|transmission| {
            let progress = transmission.progress.as_ref();
            progress.is_some_and(|progress| progress.retransmit_at <= now)
        })?;
        let gone_past = self
            .queue
            .get(at)
            .is_some_and(|one| self.is_ignored_by_client(one));
        let transmission = self.queue.get_mut(at)?;
        let progress = transmission.progress.as_mut()?;
        if !gone_past && progress.retransmissions < parameters.max_retransmit {
            progress.retransmit(now, self.requests);
            return Some(Due::Resend(transmission.message_id, transmission.purpose));
        }
        if !gone_past && std::mem::take(&mut progress.extra_due) {
            progress.send_extra(now);
            progress.retransmit_at = now + progress.timeout;
            return Some(Due::Resend(transmission.message_id, transmission.purpose));
        }
        let message_id = transmission.message_id;
        self.remove(|one| one.message_id == message_id && one.progress.is_some())
            .map(Due::GaveUp)
    }

    /// The peer is awake now. What was last sent ACK_TIMEOUT ago or earlier is sent again, which
    /// counts as its next retransmission; when none is left it is sent once more, and given up when
    /// it would have been. What was sent for the last time a moment ago, and may have been lost before the peer woke, is
    /// sent once more ACK_TIMEOUT after that. Call until it returns nothing.
    pub fn retransmit_early(&mut self, now: Instant, parameters: &Parameters) -> Option<Due> {
        // A client that goes on without acknowledging responses does so by habit.
        let no_response = |one: &&mut Transmission| one.purpose != MessagePurpose::Response;
        for one in self.queue.iter_mut().filter(no_response) {
            let Some(progress) = &mut one.progress else {
                continue;
            };
            // Parameters beyond reason must not panic here.
            let again_at = progress.sent_at + parameters.ack_timeout.min(LONGEST_WAIT);
            let none_left = progress.retransmissions >= parameters.max_retransmit;
            if none_left && !progress.extra_sent && !progress.extra_due && again_at > now {
                progress.extra_due = true;
                progress.retransmit_at = progress.retransmit_at.min(again_at);
            }
        }
        let at = self.queue.iter().position(|transmission| {
            !self.is_ignored_by_client(transmission)
                && transmission.progress.as_ref().is_some_and(|progress| {
                    let left = progress.retransmissions < parameters.max_retransmit;
                    now.saturating_duration_since(progress.sent_at) >= parameters.ack_timeout
                        && (left || !(progress.extra_sent || progress.extra_due))
                })
        })?;
        let transmission = self.queue.get_mut(at)?;
        let progress = transmission.progress.as_mut()?;
        if progress.retransmissions < parameters.max_retransmit {
            progress.retransmit(now, self.requests);
        } else {
            progress.send_extra(now);
        }
        Some(Due::Resend(transmission.message_id, transmission.purpose))
    }

    /// When [`due`](Self::due) has something next, if time alone decides.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.queue
            .iter()
            .map(|transmission| match &transmission.progress {
                Some(progress) => progress.retransmit_at,
                None => transmission.stale_at,
            })
            .min()
    }

    /// Messages waiting or outstanding.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Messages of one observation that were sent and not settled, at most.
    #[cfg(test)]
    pub fn most_outstanding_of_an_observation(&self) -> usize {
        let sent = self.queue.iter().filter(|one| one.progress.is_some());
        let of: Vec<_> = sent.filter_map(|one| one.purpose.observation()).collect();
        let count = |id: &ObservationId| of.iter().filter(|other| *other == id).count();
        of.iter().map(count).max().unwrap_or_default()
    }
}

/// MAX_TRANSMIT_WAIT: ACK_TIMEOUT × (2^(MAX_RETRANSMIT + 1) − 1) × ACK_RANDOM_FACTOR, 93 s with the
/// default parameters (RFC 7252 §4.8.2).
fn max_transmit_wait(parameters: &Parameters) -> Duration {
    let doublings = f64::from(parameters.max_retransmit) + 1.0;
    let factor = (doublings.exp2() - 1.0) * f64::from(parameters.ack_random_factor);
    let seconds = parameters.ack_timeout.as_secs_f64() * factor;
    // Parameters beyond reason must not panic here.
    Duration::try_from_secs_f64(seconds).map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT))
}

/// ACK_TIMEOUT × [1, ACK_RANDOM_FACTOR] (RFC 7252 §4.8).
fn initial_timeout(parameters: &Parameters, random: u32) -> Duration {
    let fraction = f64::from(random) / f64::from(u32::MAX);
    let spread = (f64::from(parameters.ack_random_factor) - 1.0).max(0.0);
    parameters.ack_timeout.mul_f64(1.0 + spread * fraction)
}

#[cfg(test)]
mod tests;
