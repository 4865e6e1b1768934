//! Our own Confirmable messages: retransmission and NSTART (RFC 7252 §4.2, §4.7, §4.8).
//!
//! ```text
//! Waiting ──▶ Outstanding ──▶ (retransmitted up to MAX_RETRANSMIT times) ──▶ given up
//!    │          │  └─────────▶ acknowledged or reset
//!    │          └──▶ (superseded: other bytes, the same count and timeout)
//!    └──▶ (behind others for MAX_TRANSMIT_WAIT) ──▶ given up
//! ```
//!
//! Only responses wait here. Notifications and pings are made when nothing waits and NSTART has room
//! ([`Outgoing::has_room`]): until then a notification may be replaced by a newer one.
//!
//! NSTART keeps what is behind an unacknowledged message waiting. Were there no end to that, a peer
//! that has gone would be sent one message after the other, 93 seconds each, and their memory held.

use super::Parameters;
use super::observe::ObservationId;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Confirmable messages that may wait or be outstanding at once. A client has no more exchanges
/// open than this, so it is reached only by one that opens new ones without acknowledging answers.
const MAX_MESSAGES: usize = 32;

/// The longest a message waits behind others, whatever the parameters say.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// What a Confirmable message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
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

impl Purpose {
    fn observation(self) -> Option<ObservationId> {
        match self {
            Purpose::Registration(id) | Purpose::Notification(id) | Purpose::Last(id) => Some(id),
            Purpose::Response | Purpose::Ping => None,
        }
    }
}

#[derive(Debug)]
struct Transmission {
    message_id: u16,
    purpose: Purpose,
    bytes: Vec<u8>,
    /// When it is given up, if it is still waiting then.
    stale_at: Instant,
    /// Set once it is outstanding.
    progress: Option<Progress>,
}

#[derive(Debug)]
struct Progress {
    retransmissions: u8,
    timeout: Duration,
    sent_at: Instant,
    retransmit_at: Instant,
    /// Whether it was sent once more than MAX_RETRANSMIT allows, to a peer just awake.
    hastened: bool,
}

impl Progress {
    /// §4.2: each timeout is twice the one before.
    fn retransmit(&mut self, now: Instant) {
        self.retransmissions += 1;
        self.timeout = self.timeout.saturating_mul(2).min(LONGEST_WAIT);
        self.sent_at = now;
        self.retransmit_at = now + self.timeout;
    }
}

/// What a timer brought about.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// Send these bytes for the first time.
    Send(Vec<u8>),
    /// Send the message with this Message ID again: its [`bytes`](Outgoing::bytes), or what
    /// [`supersede`](Outgoing::supersede)s it.
    Resend(u16, Purpose),
    /// No acknowledgement came in time for such a message.
    GaveUp(Purpose),
}

/// Confirmable messages on their way to one endpoint. Empty, it holds no heap.
#[derive(Debug, Default)]
pub struct Outgoing {
    queue: VecDeque<Transmission>,
}

impl Outgoing {
    /// Takes a message for reliable transmission; [`due`](Self::due) says when to send it.
    /// Returns false, and takes nothing, if the queue is full.
    #[must_use]
    pub fn push(
        &mut self,
        now: Instant,
        message_id: u16,
        purpose: Purpose,
        bytes: Vec<u8>,
        parameters: &Parameters,
    ) -> bool {
        let room = self.queue.len() < MAX_MESSAGES;
        if room {
            self.queue.push_back(Transmission {
                message_id,
                purpose,
                bytes,
                stale_at: now + max_transmit_wait(parameters),
                progress: None,
            });
        }
        room
    }

    /// An ACK or RST with this Message ID came: what it was for, if it was awaited.
    pub fn settle(&mut self, message_id: u16) -> Option<Purpose> {
        self.remove(|one| one.message_id == message_id && one.progress.is_some())
    }

    /// Takes back what belongs to a relation, be it waiting or outstanding.
    pub fn withdraw(&mut self, observation: ObservationId) {
        self.retain(|one| one.purpose.observation() != Some(observation));
    }

    /// Takes back what belongs to a relation and was not sent yet.
    pub fn withdraw_waiting(&mut self, observation: ObservationId) {
        self.retain(|one| one.progress.is_some() || one.purpose.observation() != Some(observation));
    }

    /// Takes back a relation's notification. Responses to its registrations stay.
    pub fn withdraw_notification(&mut self, observation: ObservationId) {
        self.retain(|one| one.purpose != Purpose::Notification(observation));
    }

    /// Takes back the ping. Returns whether there was one.
    pub fn withdraw_ping(&mut self) -> bool {
        self.remove(|one| one.purpose == Purpose::Ping).is_some()
    }

    fn retain(&mut self, which: impl FnMut(&Transmission) -> bool) {
        self.queue.retain(which);
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    fn remove(&mut self, which: impl FnMut(&Transmission) -> bool) -> Option<Purpose> {
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
    pub fn supersede(&mut self, message_id: u16, by: u16, purpose: Purpose, bytes: Vec<u8>) {
        let mut outstanding = self.queue.iter_mut().filter(|one| one.progress.is_some());
        if let Some(message) = outstanding.find(|one| one.message_id == message_id) {
            message.message_id = by;
            message.purpose = purpose;
            message.bytes = bytes;
        }
    }

    /// The same, by the message for `purpose`, if one waits: its Message ID.
    pub fn supersede_by_waiting(&mut self, message_id: u16, purpose: Purpose) -> Option<u16> {
        let waits = |one: &Transmission| one.purpose == purpose && one.progress.is_none();
        let at = self.queue.iter().position(waits)?;
        let newer = self.queue.remove(at)?;
        self.supersede(message_id, newer.message_id, purpose, newer.bytes);
        Some(newer.message_id)
    }

    /// Whether a message for this is waiting or outstanding.
    pub fn has(&self, purpose: Purpose) -> bool {
        self.queue.iter().any(|one| one.purpose == purpose)
    }

    /// Whether what is pushed now goes out at once: nothing waits, and NSTART is not reached.
    pub fn has_room(&self, parameters: &Parameters) -> bool {
        self.queue.len() < parameters.nstart.min(MAX_MESSAGES)
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
        let outstanding = self.outstanding();
        if outstanding < parameters.nstart
            && let Some(next) = self.queue.iter_mut().find(|t| t.progress.is_none())
        {
            // §4.2: the first timeout is random, once for the whole exchange.
            let timeout = initial_timeout(parameters, random);
            next.progress = Some(Progress {
                retransmissions: 0,
                timeout,
                sent_at: now,
                retransmit_at: now + timeout,
                hastened: false,
            });
            return Some(Due::Send(next.bytes.clone()));
        }
        let at = self.queue.iter().position(|transmission| {
            let progress = transmission.progress.as_ref();
            progress.is_some_and(|progress| progress.retransmit_at <= now)
        })?;
        let transmission = self.queue.get_mut(at)?;
        let progress = transmission.progress.as_mut()?;
        if progress.retransmissions < parameters.max_retransmit {
            progress.retransmit(now);
            return Some(Due::Resend(transmission.message_id, transmission.purpose));
        }
        let message_id = transmission.message_id;
        self.settle(message_id).map(Due::GaveUp)
    }

    /// The peer is awake now. What was last sent ACK_TIMEOUT ago or earlier is sent again, which
    /// counts as its next retransmission; when none is left it is sent once more, and given up when
    /// it would have been. Call until it returns nothing.
    pub fn hasten(&mut self, now: Instant, parameters: &Parameters) -> Option<Due> {
        let transmission = self.queue.iter_mut().find(|transmission| {
            transmission.progress.as_ref().is_some_and(|progress| {
                let left = progress.retransmissions < parameters.max_retransmit;
                now.saturating_duration_since(progress.sent_at) >= parameters.ack_timeout
                    && (left || !progress.hastened)
            })
        })?;
        let progress = transmission.progress.as_mut()?;
        if progress.retransmissions < parameters.max_retransmit {
            progress.retransmit(now);
        } else {
            progress.sent_at = now;
            progress.hastened = true;
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

    /// Messages sent and not settled: NSTART at most.
    pub fn outstanding(&self) -> usize {
        self.queue.iter().filter(|t| t.progress.is_some()).count()
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
#[path = "reliability_tests.rs"]
mod tests;
