//! The observation relations of one endpoint (RFC 7641).
//!
//! A relation holds two notifications at most, one [pending and one in flight](relation). Their
//! transmission is in [`crate::reliability`].

mod export;
pub(crate) mod relation;

use super::deduplication::MessageKey;
use super::few::Few;
use super::message::{Token, Type};
use relation::{ObservationId, Relation};
use std::time::{Duration, Instant};

/// Tokens of ended relations that are remembered per endpoint.
const MAX_ENDED: usize = 4;
/// Relations of one endpoint. ThingsBoard has two observable resources; the others are for clients
/// that register again under another token.
const MAX_OBSERVATIONS: usize = 4;
/// The average interval of Non-confirmable notifications to one client whose round-trip time is not
/// known (RFC 7641 §4.5.1).
const NON_INTERVAL: Duration = Duration::from_secs(3);
/// Notifications that may be sent at once after a pause, beyond the first.
const BURST: u32 = 3;

/// The relations of one endpoint. Without any it holds no heap.
#[derive(Debug, Default)]
pub(crate) struct Observations {
    /// In the order of their last transmission: the one that waits longest is first.
    relations: Few<Relation>,
    /// What outlives the relations. Boxed, because most endpoints never have one.
    history: Option<Box<History>>,
}

/// Kept from the first relation on, until the session ends.
#[derive(Debug, Default)]
struct History {
    next_id: u32,
    ended: Ended,
    /// When the token bucket of Non-confirmable notifications is full again.
    bucket_full_at: Option<Instant>,
}

/// The tokens of the last [`MAX_ENDED`] ended relations, and their next sequence numbers.
#[derive(Debug, Default)]
struct Ended(Vec<(Token, u32)>);

impl Ended {
    fn add(&mut self, token: Token, next_number: u32) {
        self.0.retain(|(other, _)| *other != token);
        if self.0.len() >= MAX_ENDED {
            self.0.remove(0);
        }
        self.0.push((token, next_number));
    }

    fn number_after(&self, token: Token) -> Option<u32> {
        let found = self.0.iter().find(|(ended, _)| *ended == token)?;
        Some(found.1)
    }
}

impl Observations {
    /// The relation with this token.
    pub(crate) fn of_token(&self, token: &Token) -> Option<ObservationId> {
        let relation = self.relations.iter().find(|one| one.token() == *token)?;
        Some(relation.id())
    }

    /// The relation with this id.
    pub(crate) fn get_mut(&mut self, id: ObservationId) -> Option<&mut Relation> {
        self.relations.iter_mut().find(|one| one.id() == id)
    }

    /// Adds a relation, or renews the one with this token; `None` if there are too many.
    /// RFC 7641 §4.1: a token identifies one relation, however often it is registered. `unused_number`: the first
    /// sequence number of a token of which nothing is known.
    pub(crate) fn register(
        &mut self,
        now: Instant,
        token: Token,
        confirmable: bool,
        message: MessageKey,
        unused_number: u32,
    ) -> Option<ObservationId> {
        let mut relations = self.relations.iter_mut();
        if let Some(relation) = relations.find(|one| one.token() == token) {
            relation.register(now, confirmable, message);
            return Some(relation.id());
        }
        if self.relations.len() >= MAX_OBSERVATIONS {
            return None;
        }
        let history = self.history.get_or_insert_default();
        let id = ObservationId(history.next_id);
        history.next_id = history.next_id.wrapping_add(1);
        // §4.4: greater than all that the client was sent with this token.
        let first_number = history.ended.number_after(token);
        let first_number = first_number.unwrap_or(unused_number);
        let relation = Relation::new(now, id, token, confirmable, message, first_number);
        self.relations.push(relation);
        Some(id)
    }

    /// Ends a relation.
    pub(crate) fn remove(&mut self, id: ObservationId) -> Option<Relation> {
        let at = self.relations.iter().position(|one| one.id() == id)?;
        let removed = self.relations.remove(at)?;
        let ended = &mut self.history.get_or_insert_default().ended;
        ended.add(removed.token(), removed.next_sequence_number());
        Some(removed)
    }

    /// The relation whose notification is to be sent next, and in which type of message. `room`
    /// says whether a Confirmable message of a relation may be sent.
    pub(crate) fn next(
        &self,
        now: Instant,
        room: impl Fn(ObservationId) -> bool,
    ) -> Option<(ObservationId, Type)> {
        let rate_limited = self.rate_limited_until(now).is_some();
        let mut ready = self.relations.iter().filter(|one| one.is_ready());
        ready.find_map(|relation| {
            let kind = relation.kind_at(now);
            let may_send = match kind {
                Type::Confirmable => room(relation.id()),
                Type::NonConfirmable | Type::Acknowledgement | Type::Reset => !rate_limited,
            };
            may_send.then_some((relation.id(), kind))
        })
    }

    /// When the rate limit allows the next Non-confirmable notification, if one is pending.
    pub(crate) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let held_back = |one: &Relation| one.is_ready() && one.kind_at(now) == Type::NonConfirmable;
        let until = self.rate_limited_until(now)?;
        self.relations.iter().any(held_back).then_some(until)
    }

    /// Records that a message of this type was sent: the relation moves behind the others.
    pub(crate) fn record_transmission(&mut self, now: Instant, id: ObservationId, kind: Type) {
        let at = self.relations.iter().position(|one| one.id() == id);
        // There is mostly one.
        if self.relations.len() > 1
            && let Some(relation) = at.and_then(|at| self.relations.remove(at))
        {
            self.relations.push(relation);
        }
        if kind == Type::NonConfirmable {
            let full_at = &mut self.history.get_or_insert_default().bucket_full_at;
            *full_at = Some(full_at.map_or(now, |at| at.max(now)) + NON_INTERVAL);
        }
    }

    fn rate_limited_until(&self, now: Instant) -> Option<Instant> {
        let full_at = self.history.as_ref()?.bucket_full_at?;
        let opens_at = full_at.checked_sub(NON_INTERVAL * BURST)?;
        (opens_at > now).then_some(opens_at)
    }

    /// The relation and the type of a message that was sent and is not retransmitted any more.
    pub(crate) fn find_sent(&self, now: Instant, message_id: u16) -> Option<(ObservationId, Type)> {
        self.relations.iter().find_map(|relation| {
            let kind = relation.sent_type(now, message_id)?;
            Some((relation.id(), kind))
        })
    }

    /// The relation registered by this message, if it has been notified since.
    pub(crate) fn notified_since(&self, message: MessageKey) -> Option<ObservationId> {
        let mut relations = self.relations.iter();
        let relation = relations.find(|one| one.notified_since(message))?;
        Some(relation.id())
    }

    /// The relations, with their tokens.
    pub(crate) fn relations(&self) -> impl Iterator<Item = (ObservationId, Token)> {
        self.relations.iter().map(|one| (one.id(), one.token()))
    }

    /// The number of relations.
    pub(crate) fn len(&self) -> usize {
        self.relations.len()
    }

    /// Whether there is no relation.
    pub(crate) fn is_empty(&self) -> bool {
        self.relations.is_empty()
    }

    /// Bytes of payloads that are pending or in flight.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.relations.iter().map(Relation::payload_bytes).sum()
    }
}

#[cfg(test)]
mod tests;
