//! Requests of one connection: queued, in the order in which they are sent, and in flight.

use super::super::encode::Outgoing;
use super::super::topics::Inbound;
use std::collections::VecDeque;
use std::time::Instant;

/// Requests that one connection may have, queued or in flight.
pub(super) const MOST_REQUESTS: usize = 256;
/// Bytes of the payloads of these.
pub(super) const MOST_BYTES: usize = 1024 * 1024;

/// Packets of one connection that were given up without a PUBACK, until another connection is wanted: their ids can't be
/// used again, and the library may keep their payloads.
pub(super) const MOST_GIVEN_UP: usize = 64;

/// A request that was not sent yet.
pub(super) struct Queued<I> {
    pub(super) id: I,
    pub(super) outgoing: Outgoing,
    pub(super) deadline: Instant,
}

/// A request that was sent.
pub(super) struct Sent<I> {
    pub(super) id: I,
    pub(super) outgoing: Outgoing,
    pub(super) deadline: Instant,
    pub(super) packet: u16,
    /// The number in its topics, if it has an answer.
    pub(super) request: u32,
    pub(super) sent_at: Instant,
    /// Whether its PUBACK has come, and its answer has not.
    pub(super) is_acknowledged: bool,
}

pub(super) struct InFlight<I> {
    queued: VecDeque<Queued<I>>,
    sent: Vec<Sent<I>>,
    bytes: usize,
    /// Packets that were given up without a PUBACK.
    given_up: usize,
    last_request: u32,
}

impl<I> InFlight<I> {
    pub(super) fn new() -> InFlight<I> {
        InFlight {
            queued: VecDeque::new(),
            sent: Vec::new(),
            bytes: 0,
            given_up: 0,
            last_request: 0,
        }
    }

    /// Queues a request, or gives it back if there are too many.
    pub(super) fn push(&mut self, request: Queued<I>) -> Result<(), Queued<I>> {
        let bytes = self.bytes + request.outgoing.payload.len();
        if self.len() >= MOST_REQUESTS || bytes > MOST_BYTES {
            return Err(request);
        }
        self.bytes = bytes;
        self.queued.push_back(request);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.queued.len() + self.sent.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[cfg(test)]
    pub(super) fn has_queued(&self) -> bool {
        !self.queued.is_empty()
    }

    pub(super) fn has_sent(&self) -> bool {
        !self.sent.is_empty()
    }

    pub(super) fn pop_queued(&mut self) -> Option<Queued<I>> {
        let request = self.queued.pop_front()?;
        self.bytes -= request.outgoing.payload.len();
        self.shrink();
        Some(request)
    }

    /// The number for the topics of the next request: from 1 to 2³¹ - 1, since ThingsBoard reads them as Java's int.
    pub(super) fn next_request(&mut self) -> u32 {
        self.last_request = match self.last_request {
            0x7fff_ffff.. => 1,
            last => last + 1,
        };
        self.last_request
    }

    /// Adds a request that was sent.
    pub(super) fn insert(&mut self, request: Sent<I>) {
        self.bytes += request.outgoing.payload.len();
        self.sent.push(request);
    }

    /// The request whose PUBLISH had this packet id.
    pub(super) fn by_packet(&mut self, packet: u16) -> Option<usize> {
        let is_it = |sent: &Sent<I>| sent.packet == packet && !sent.is_acknowledged;
        let at = self.sent.iter().position(is_it);
        if at.is_none() {
            // Given up, or answered before its PUBACK came.
            self.given_up = self.given_up.saturating_sub(1);
        }
        at
    }

    /// The request that this answers.
    pub(super) fn by_answer(&self, inbound: Inbound) -> Option<usize> {
        self.sent
            .iter()
            .position(|sent| sent.outgoing.target.is_answered_by(sent.request, inbound))
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Sent<I>> {
        self.sent.get_mut(at)
    }

    /// Removes a request that was sent. The order of the others stays.
    pub(super) fn remove(&mut self, at: usize) -> Option<Sent<I>> {
        if at >= self.sent.len() {
            return None;
        }
        let sent = self.sent.remove(at);
        self.bytes -= sent.outgoing.payload.len();
        // Its PUBACK may still come, and it may be what a limit is exceeded with.
        self.given_up += usize::from(!sent.is_acknowledged);
        self.shrink();
        Some(sent)
    }

    /// Removes a request whose PUBACK has come.
    pub(super) fn remove_acknowledged(&mut self, at: usize) -> Option<Sent<I>> {
        if let Some(sent) = self.sent.get_mut(at) {
            sent.is_acknowledged = true;
        }
        self.remove(at)
    }

    /// Removes a request that was sent and whose deadline has passed.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<Sent<I>> {
        let at = self.sent.iter().position(|sent| sent.deadline <= now)?;
        self.remove(at)
    }

    /// Removes a request that was not sent and whose deadline has passed.
    pub(super) fn pop_expired_queued(&mut self, now: Instant) -> Option<Queued<I>> {
        let is_expired = |queued: &Queued<I>| queued.deadline <= now;
        let at = self.queued.iter().position(is_expired)?;
        let request = self.queued.remove(at)?;
        self.bytes -= request.outgoing.payload.len();
        self.shrink();
        Some(request)
    }

    /// Removes all that were sent, in their order.
    pub(super) fn take_sent(&mut self) -> Vec<Sent<I>> {
        let sent = std::mem::take(&mut self.sent);
        for request in &sent {
            self.bytes -= request.outgoing.payload.len();
        }
        sent
    }

    /// How many packets were sent and have no PUBACK.
    pub(super) fn unacknowledged(&self) -> usize {
        let sent = self.sent.iter().filter(|sent| !sent.is_acknowledged);
        sent.count() + self.given_up
    }

    /// Whether so many PUBACKs have not come that another connection is wanted.
    pub(super) fn is_worn_out(&self) -> bool {
        self.given_up >= MOST_GIVEN_UP
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let sent = self.sent.iter().map(|sent| sent.deadline);
        sent.chain(self.queued.iter().map(|queued| queued.deadline))
            .min()
    }

    /// Frees the memory while nothing is in flight.
    fn shrink(&mut self) {
        if self.queued.is_empty() {
            self.queued = VecDeque::new();
        }
        if self.sent.is_empty() {
            self.sent = Vec::new();
        }
    }
}
