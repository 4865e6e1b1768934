//! Our own Confirmable messages: Message IDs, retransmission, NSTART (RFC 7252 §4.2, §4.4, §4.7, §4.8).
//!
//! ```text
//! Waiting ──▶ Outstanding ──▶ (retransmitted up to MAX_RETRANSMIT times) ──▶ given up
//!    │             └─────────▶ acknowledged or reset
//!    └──▶ (behind others for MAX_TRANSMIT_WAIT) ──▶ given up
//! ```
//!
//! NSTART keeps what is behind an unacknowledged message waiting. Were there no end to that, a peer
//! that has gone would be sent one message after the other, 93 seconds each, and their memory held.

use super::Parameters;
use super::deduplication::EXCHANGE_LIFETIME;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Confirmable messages that may wait or be outstanding at once. A client has no more exchanges
/// open than this, so it is reached only by one that opens new ones without acknowledging answers.
const MAX_MESSAGES: usize = 32;

/// The longest a message waits behind others, whatever the parameters say.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Allots the Message IDs of what we send to one endpoint: a random start, then one after the other.
///
/// None may come twice within EXCHANGE_LIFETIME (§4.4), and there are 65,536, so an endpoint can be
/// sent some 265 messages a second and no more. We keep a little below that: the Message IDs are
/// taken in eighths, and an eighth is begun again when the last use of it is EXCHANGE_LIFETIME ago.
/// That lets 232 messages a second through for ever, and any burst up to 57,344.
#[derive(Debug)]
pub struct MessageIds {
    last: u16,
    /// When each eighth was used last.
    used: [Option<Instant>; 8],
}

impl MessageIds {
    /// Starts at `seed`, which should be random.
    pub fn new(seed: u16) -> MessageIds {
        MessageIds {
            last: seed,
            used: [None; 8],
        }
    }

    /// The next Message ID, or nothing if all have been used too lately.
    pub fn allot(&mut self, now: Instant) -> Option<u16> {
        let next = self.last.wrapping_add(1);
        let eighth = |message_id: u16| usize::from(message_id >> 13);
        let used = self.used.get_mut(eighth(next))?;
        let begins = eighth(next) != eighth(self.last);
        if begins && used.is_some_and(|at| now < at + EXCHANGE_LIFETIME) {
            return None;
        }
        *used = Some(now);
        self.last = next;
        Some(next)
    }
}

#[derive(Debug)]
struct Transmission {
    message_id: u16,
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
    retransmit_at: Instant,
}

/// What a timer brought about.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// Send these bytes for the first time.
    Send(Vec<u8>),
    /// Send them again.
    Resend(Vec<u8>),
    /// No acknowledgement came in time for this Message ID.
    GaveUp(u16),
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
        bytes: Vec<u8>,
        parameters: &Parameters,
    ) -> bool {
        let room = self.queue.len() < MAX_MESSAGES;
        if room {
            self.queue.push_back(Transmission {
                message_id,
                bytes,
                stale_at: now + max_transmit_wait(parameters),
                progress: None,
            });
        }
        room
    }

    /// An ACK or RST with this Message ID came. Returns whether it was awaited.
    pub fn settle(&mut self, message_id: u16) -> bool {
        self.remove(|transmission| {
            transmission.message_id == message_id && transmission.progress.is_some()
        })
    }

    fn remove(&mut self, which: impl FnMut(&Transmission) -> bool) -> bool {
        let at = self.queue.iter().position(which);
        let removed = at.and_then(|at| self.queue.remove(at)).is_some();
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        removed
    }

    /// What is to be done by `now`: call until it returns nothing. `random` is uniform over `u32`.
    pub fn due(&mut self, now: Instant, parameters: &Parameters, random: u32) -> Option<Due> {
        let stale = self
            .queue
            .iter()
            .find(|transmission| transmission.progress.is_none() && transmission.stale_at <= now)
            .map(|transmission| transmission.message_id);
        if let Some(message_id) = stale {
            self.remove(|transmission| transmission.message_id == message_id);
            return Some(Due::GaveUp(message_id));
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
                retransmit_at: now + timeout,
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
            progress.retransmissions += 1;
            progress.timeout *= 2;
            progress.retransmit_at = now + progress.timeout;
            return Some(Due::Resend(transmission.bytes.clone()));
        }
        let message_id = transmission.message_id;
        self.settle(message_id);
        Some(Due::GaveUp(message_id))
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

    fn outstanding(&self) -> usize {
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
