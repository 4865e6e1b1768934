//! Relations with clients that observe (RFC 7641): what each was sent, and what it is to be sent next.
//!
//! A relation holds two contents at most, one [pending and one in flight](relation). Which messages
//! carry them, and how often, is [`super::reliability`]'s.

pub mod relation;

use super::deduplication::MessageKey;
use super::message::{Token, Type};
use relation::{ObservationId, Relation};
use std::time::{Duration, Instant};

/// Tokens of ended relations remembered per endpoint.
const MAX_ENDED: usize = 4;
/// Relations one endpoint may have. ThingsBoard has two resources to observe; the rest is for
/// clients that register anew under another token.
const MAX_OBSERVATIONS: usize = 4;
/// Non-confirmable notifications without a measured round trip: one in this time, on average, to
/// one client (RFC 7641 §4.5.1).
const NON_INTERVAL: Duration = Duration::from_secs(3);
/// What a client that has had none for a while may get at once, beyond the first.
const BURST: u32 = 3;

/// The relations of one endpoint. Without any it holds no heap.
#[derive(Debug, Default)]
pub struct Observations {
    /// Those that were not sent anything for longest come first.
    relations: Vec<Relation>,
    next_id: u32,
    /// Boxed, because most endpoints never have one.
    ended: Option<Box<Ended>>,
    /// When the whole burst is to be had again.
    bucket_full_at: Option<Instant>,
}

/// Tokens of relations that ended, and where their sequences were: the last [`MAX_ENDED`].
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
    /// The relation under this token.
    pub fn of_token(&self, token: &Token) -> Option<ObservationId> {
        let relation = self.relations.iter().find(|one| one.token() == *token)?;
        Some(relation.id())
    }

    /// A relation.
    pub fn get_mut(&mut self, id: ObservationId) -> Option<&mut Relation> {
        self.relations.iter_mut().find(|one| one.id() == id)
    }

    /// Adds a relation, or renews the one under this token; nothing if there are too many.
    /// RFC 7641 §4.1: a token names one relation, however often it is registered.
    pub fn register(
        &mut self,
        now: Instant,
        token: Token,
        confirmable: bool,
        message: MessageKey,
    ) -> Option<ObservationId> {
        let mut relations = self.relations.iter_mut();
        if let Some(relation) = relations.find(|one| one.token() == token) {
            relation.register(now, confirmable, message);
            return Some(relation.id());
        }
        if self.relations.len() >= MAX_OBSERVATIONS {
            return None;
        }
        let id = ObservationId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        // §4.4: greater than whatever the same client was sent under the same token.
        let ended = self.ended.as_ref();
        let first_number = ended
            .and_then(|ended| ended.number_after(token))
            .unwrap_or(0);
        let relation = Relation::new(now, id, token, confirmable, message, first_number);
        self.relations.push(relation);
        Some(id)
    }

    /// Ends a relation.
    pub fn remove(&mut self, id: ObservationId) -> Option<Relation> {
        let at = self.relations.iter().position(|one| one.id() == id)?;
        let removed = self.relations.remove(at);
        let ended = self.ended.get_or_insert_default();
        ended.add(removed.token(), removed.next_sequence_number());
        if self.relations.is_empty() {
            self.relations = Vec::new();
        }
        Some(removed)
    }

    /// Which relation is to be notified next, and how; `room` is whether a Confirmable message of it
    /// may go out.
    pub fn next(
        &self,
        now: Instant,
        room: impl Fn(ObservationId) -> bool,
    ) -> Option<(ObservationId, Type)> {
        let paced = self.rate_limited_until(now).is_some();
        let mut ready = self.relations.iter().filter(|one| one.is_ready());
        ready.find_map(|relation| {
            let kind = relation.kind_at(now);
            let may_go = match kind {
                Type::Confirmable => room(relation.id()),
                Type::NonConfirmable | Type::Acknowledgement | Type::Reset => !paced,
            };
            may_go.then_some((relation.id(), kind))
        })
    }

    /// When a notification that the pace holds back may go out, if one is.
    pub fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let held_back = |one: &Relation| one.is_ready() && one.kind_at(now) == Type::NonConfirmable;
        let until = self.rate_limited_until(now)?;
        self.relations.iter().any(held_back).then_some(until)
    }

    /// This relation was sent something, of this kind: now it is the others' turn.
    pub fn record_transmission(&mut self, now: Instant, id: ObservationId, kind: Type) {
        if let Some(at) = self.relations.iter().position(|one| one.id() == id) {
            let relation = self.relations.remove(at);
            self.relations.push(relation);
        }
        if kind == Type::NonConfirmable {
            self.bucket_full_at =
                Some(self.bucket_full_at.map_or(now, |at| at.max(now)) + NON_INTERVAL);
        }
    }

    fn rate_limited_until(&self, now: Instant) -> Option<Instant> {
        let opens_at = self.bucket_full_at?.checked_sub(NON_INTERVAL * BURST)?;
        (opens_at > now).then_some(opens_at)
    }

    /// Whose message this was, and of what kind, if it is not repeated any more.
    pub fn find_sent(&self, now: Instant, message_id: u16) -> Option<(ObservationId, Type)> {
        self.relations.iter().find_map(|relation| {
            let kind = relation.sent_type(now, message_id)?;
            Some((relation.id(), kind))
        })
    }

    /// The relation registered by this message, if it has been notified since.
    pub fn notified_since(&self, message: MessageKey) -> Option<ObservationId> {
        let mut relations = self.relations.iter();
        let relation = relations.find(|one| one.notified_since(message))?;
        Some(relation.id())
    }

    /// How many relations there are.
    pub fn len(&self) -> usize {
        self.relations.len()
    }

    /// Whether nobody observes.
    pub fn is_empty(&self) -> bool {
        self.relations.is_empty()
    }

    /// Bytes of payload that are pending or in flight.
    pub fn payload_bytes(&self) -> usize {
        self.relations.iter().map(Relation::payload_bytes).sum()
    }
}

#[cfg(test)]
mod tests;
