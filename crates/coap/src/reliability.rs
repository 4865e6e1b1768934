//! Our own Confirmable messages: retransmission and NSTART (RFC 7252 §4.2, §4.7, §4.8).
//!
//! ```text
//! Waiting ──▶ Outstanding ──▶ (retransmitted up to MAX_RETRANSMIT times) ──▶ given up
//!    │          │  ├─────────▶ acknowledged or reset
//!    │          │  └─────────▶ (a response that its client ignores) ──▶ given up
//!    │          └──▶ (superseded: other bytes, the same count and timeout)
//!    └──▶ (waiting for MAX_TRANSMIT_WAIT) ──▶ given up
//! ```
//!
//! NSTART bounds the interactions that we start: notifications and pings (§4.7). It is applied to
//! each observation, as only the notifications of one observation must be in order: an
//! unacknowledged notification does not delay those of another observation. Responses end an
//! interaction that the client started, and wait for nothing. They are bounded by
//! [`MAX_RESPONSE_BYTES`]; and if a client sends further requests without acknowledging any
//! response, each response is sent twice, and not five times.
//!
//! Notifications and pings are encoded when they may be sent ([`Outgoing::has_room_for`]): until
//! then a newer notification may replace the pending one. Only the last response of an observation
//! waits here.

use super::few::Few;
use super::observe::relation::ObservationId;
use crate::parameters::Parameters;
use std::time::{Duration, Instant};

/// Notifications, last responses and pings that may be waiting or outstanding at once.
const MAX_MESSAGES: usize = 32;
/// Bytes of responses that may be outstanding at once, with [`OVERHEAD`] for each: 140 responses of
/// a few bytes. Beyond it the oldest is given up, which was sent at least once.
const MAX_RESPONSE_BYTES: usize = 16 * 1024;
/// Memory of a message in addition to its bytes.
const OVERHEAD: usize = size_of::<Transmission>();

/// The longest wait and the longest timeout, whatever the parameters are.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// The purpose of a Confirmable message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessagePurpose {
    /// A separate response.
    Response,
    /// The response to a registration.
    Registration(ObservationId),
    /// A notification.
    Notification(ObservationId),
    /// The last response of a relation that has ended (RFC 7641 §4.2).
    Last(ObservationId),
    /// An empty message, to check whether the peer is alive (RFC 7252 §4.3).
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

    /// Whether the message is the response to a request.
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
    /// When the message is given up if it was not sent yet.
    stale_at: Instant,
    /// [`Outgoing::acknowledged`] when the message was pushed.
    acknowledged: u32,
    /// `Some` once the message is outstanding.
    progress: Option<Progress>,
}

#[derive(Debug)]
struct Progress {
    retransmissions: u8,
    timeout: Duration,
    sent_at: Instant,
    /// Whether it was sent last to an address that the peer has left.
    sent_elsewhere: bool,
    retransmit_at: Instant,
    /// [`Outgoing::requests`] when the message was sent last.
    requests: u32,
    /// Whether the message is to be sent once more than MAX_RETRANSMIT allows: the peer was active
    /// right after the last transmission.
    extra_due: bool,
    /// Whether the message was sent once more than MAX_RETRANSMIT allows.
    extra_sent: bool,
}

impl Progress {
    /// §4.2: each timeout is twice the one before.
    fn retransmit(&mut self, now: Instant, requests: u32) {
        self.retransmissions += 1;
        self.requests = requests;
        self.timeout = self.timeout.saturating_mul(2).min(LONGEST_WAIT);
        (self.sent_at, self.sent_elsewhere) = (now, false);
        self.retransmit_at = now + self.timeout;
    }

    fn send_extra(&mut self, now: Instant) {
        (self.sent_at, self.sent_elsewhere) = (now, false);
        self.extra_sent = true;
    }
}

/// A due action.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Send these bytes for the first time.
    Send(Vec<u8>),
    /// Send the message with this Message ID again: its [`bytes`](Outgoing::bytes), or what
    /// [`supersede`](Outgoing::supersede)s it.
    Resend(u16, MessagePurpose),
    /// No acknowledgement arrived in time: the message is removed.
    GaveUp(MessagePurpose),
}

/// The Confirmable messages that are being sent to one endpoint. Empty, it holds no heap.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    queue: Few<Transmission>,
    /// Requests received, modulo 2^32.
    requests: u32,
    /// Responses acknowledged or reset, modulo 2^32.
    acknowledged: u32,
}

impl Outgoing {
    /// Adds a message for reliable transmission; [`due`](Self::due) says when to send it.
    /// Returns how many older responses were given up for it; `None` if there is no room for it.
    #[must_use]
    pub(crate) fn push(
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
        self.queue.push(Transmission {
            message_id,
            purpose,
            bytes,
            stale_at: now + max_transmit_wait(parameters),
            acknowledged: self.acknowledged,
            progress: None,
        });
        Some(given_up)
    }

    /// Counts a received request.
    pub(crate) fn count_request(&mut self) {
        self.requests = self.requests.wrapping_add(1);
    }

    /// The peer has another address. What was sent to the old one says nothing about when to send to
    /// the new one.
    pub(crate) fn path_changed(&mut self) {
        for one in self.queue.iter_mut() {
            if let Some(progress) = &mut one.progress {
                progress.sent_elsewhere = true;
            }
        }
    }

    /// Removes the outstanding message with this Message ID, for which an ACK or RST was received.
    /// Returns its purpose.
    pub(crate) fn acknowledge(&mut self, message_id: u16) -> Option<MessagePurpose> {
        let purpose = self.remove(|one| one.message_id == message_id && one.progress.is_some())?;
        if purpose.is_response() {
            self.acknowledged = self.acknowledged.wrapping_add(1);
        }
        Some(purpose)
    }

    /// Bytes of responses, with their overhead.
    fn response_bytes(&self) -> usize {
        let responses = self.queue.iter().filter(|one| one.purpose.is_response());
        responses.map(|one| one.bytes.len() + OVERHEAD).sum()
    }

    /// The number of notifications, last responses and pings.
    fn non_responses(&self) -> usize {
        let own = |one: &&Transmission| !one.purpose.is_response();
        self.queue.iter().filter(own).count()
    }

    /// Removes all messages of a relation.
    pub(crate) fn cancel_all(&mut self, observation: ObservationId) {
        self.queue
            .retain(|one| one.purpose.observation() != Some(observation));
    }

    /// Removes the messages of a relation that were not sent yet.
    pub(crate) fn cancel_unsent(&mut self, observation: ObservationId) {
        self.queue
            .retain(|one| one.progress.is_some() || one.purpose.observation() != Some(observation));
    }

    /// Removes the notification of a relation. Responses to its registrations stay.
    pub(crate) fn cancel_notification(&mut self, observation: ObservationId) {
        self.queue
            .retain(|one| one.purpose != MessagePurpose::Notification(observation));
    }

    /// Removes the response to a registration after the client has registered again. Returns its
    /// Message ID.
    pub(crate) fn cancel_registration(&mut self, observation: ObservationId) -> Option<u16> {
        let registration = MessagePurpose::Registration(observation);
        let message_id = self
            .queue
            .iter()
            .find(|one| one.purpose == registration)?
            .message_id;
        self.queue.retain(|one| one.purpose != registration);
        Some(message_id)
    }

    /// Removes the ping. Returns whether there was one.
    pub(crate) fn cancel_ping(&mut self) -> bool {
        self.remove(|one| one.purpose == MessagePurpose::Ping)
            .is_some()
    }

    fn remove(&mut self, which: impl FnMut(&Transmission) -> bool) -> Option<MessagePurpose> {
        let at = self.queue.iter().position(which)?;
        Some(self.queue.remove(at)?.purpose)
    }

    /// The bytes of an outstanding message.
    pub(crate) fn bytes(&self, message_id: u16) -> Option<Vec<u8>> {
        let mut outstanding = self.queue.iter().filter(|one| one.progress.is_some());
        let message = outstanding.find(|one| one.message_id == message_id)?;
        Some(message.bytes.clone())
    }

    /// Replaces an outstanding message by another one, which keeps its retransmission count and
    /// timeout (RFC 7641 §4.5.2).
    pub(crate) fn supersede(
        &mut self,
        message_id: u16,
        by: u16,
        purpose: MessagePurpose,
        bytes: Vec<u8>,
    ) {
        let mut outstanding = self.queue.iter_mut().filter(|one| one.progress.is_some());
        if let Some(message) = outstanding.find(|one| one.message_id == message_id) {
            message.message_id = by;
            message.purpose = purpose;
            message.bytes = bytes;
        }
    }

    /// Replaces an outstanding message by the waiting one for `purpose`, if there is one. Returns
    /// its Message ID.
    pub(crate) fn supersede_by_waiting(
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

    /// Whether a message with this purpose is waiting or outstanding.
    pub(crate) fn contains(&self, purpose: MessagePurpose) -> bool {
        self.queue.iter().any(|one| one.purpose == purpose)
    }

    /// Whether a notification of this observation can be sent at once.
    pub(crate) fn has_room_for(&self, observation: ObservationId, parameters: &Parameters) -> bool {
        let of_it = |one: &&Transmission| one.purpose.observation() == Some(observation);
        self.queue.iter().filter(of_it).count() < parameters.nstart
            && self.non_responses() < MAX_MESSAGES
    }

    /// Whether a ping can be sent at once.
    pub(crate) fn has_room_for_ping(&self, parameters: &Parameters) -> bool {
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

    /// Whether this response was sent twice, and the client has sent further requests since without
    /// acknowledging any response.
    fn is_ignored_by_client(&self, response: &Transmission) -> bool {
        response.purpose == MessagePurpose::Response
            && response.acknowledged == self.acknowledged
            && response.progress.as_ref().is_some_and(|progress| {
                progress.retransmissions > 0 && progress.requests != self.requests
            })
    }

    /// The next action that is due at `now`: call it until it returns `None`. `random` is uniform
    /// over `u32`.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        parameters: &Parameters,
        random: u32,
    ) -> Option<Due> {
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
            // §4.2: the initial timeout is random.
            let timeout = initial_timeout(parameters, random);
            next.progress = Some(Progress {
                retransmissions: 0,
                timeout,
                sent_at: now,
                sent_elsewhere: false,
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
        let is_ignored = self
            .queue
            .get(at)
            .is_some_and(|one| self.is_ignored_by_client(one));
        let transmission = self.queue.get_mut(at)?;
        let progress = transmission.progress.as_mut()?;
        if !is_ignored && progress.retransmissions < parameters.max_retransmit {
            progress.retransmit(now, self.requests);
            return Some(Due::Resend(transmission.message_id, transmission.purpose));
        }
        if !is_ignored && std::mem::take(&mut progress.extra_due) {
            progress.send_extra(now);
            progress.retransmit_at = now + progress.timeout;
            return Some(Due::Resend(transmission.message_id, transmission.purpose));
        }
        let message_id = transmission.message_id;
        self.remove(|one| one.message_id == message_id && one.progress.is_some())
            .map(Due::GaveUp)
    }

    /// Retransmits early, because the peer is known to be active. A message whose last transmission
    /// is ACK_TIMEOUT ago or earlier, or went to another address, is sent again, which counts as its next retransmission. If
    /// none is left, it is sent once more, and given up when it would have been. If the last one
    /// was just now, and may have been lost before the peer woke up, the extra one follows
    /// ACK_TIMEOUT later. Call it until it returns `None`.
    pub(crate) fn retransmit_early(
        &mut self,
        now: Instant,
        parameters: &Parameters,
    ) -> Option<Due> {
        // For responses see `is_ignored_by_client`: a client that never acknowledges them is not
        // asleep.
        let is_no_response = |one: &&mut Transmission| one.purpose != MessagePurpose::Response;
        for one in self.queue.iter_mut().filter(is_no_response) {
            let Some(progress) = &mut one.progress else {
                continue;
            };
            // Very large parameters must not panic here.
            let again_at = progress.sent_at + parameters.ack_timeout.min(LONGEST_WAIT);
            let is_just_sent = again_at > now && !progress.sent_elsewhere;
            let none_left = progress.retransmissions >= parameters.max_retransmit;
            if none_left && !progress.extra_sent && !progress.extra_due && is_just_sent {
                progress.extra_due = true;
                progress.retransmit_at = progress.retransmit_at.min(again_at);
            }
        }
        let at = self.queue.iter().position(|transmission| {
            !self.is_ignored_by_client(transmission)
                && transmission.progress.as_ref().is_some_and(|progress| {
                    let left = progress.retransmissions < parameters.max_retransmit;
                    let age = now.saturating_duration_since(progress.sent_at);
                    (age >= parameters.ack_timeout || progress.sent_elsewhere)
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

    /// When [`due`](Self::due) returns something next, if nothing else happens.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.queue
            .iter()
            .map(|transmission| match &transmission.progress {
                Some(progress) => progress.retransmit_at,
                None => transmission.stale_at,
            })
            .min()
    }

    /// The number of messages waiting or outstanding.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether no message is waiting or outstanding.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The largest number of outstanding messages of one observation.
    #[cfg(test)]
    pub(crate) fn most_outstanding_of_an_observation(&self) -> usize {
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
    // Very large parameters must not panic here.
    Duration::try_from_secs_f64(seconds).map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT))
}

/// ACK_TIMEOUT × [1, ACK_RANDOM_FACTOR] (RFC 7252 §4.8).
pub(crate) fn initial_timeout(parameters: &Parameters, random: u32) -> Duration {
    let fraction = f64::from(random) / f64::from(u32::MAX);
    let spread = (f64::from(parameters.ack_random_factor) - 1.0).max(0.0);
    parameters.ack_timeout.mul_f64(1.0 + spread * fraction)
}

#[cfg(test)]
mod tests;
