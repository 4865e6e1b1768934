//! Relations with clients that observe (RFC 7641): what each was sent, and what it is to be sent next.
//!
//! One content of one relation:
//!
//! ```text
//! Pending ──newer content──▶ gone, never sent
//!    │ Non-confirmable: as the pace allows  ──▶ sent, and that is all         (§4.5.1)
//!    │ Confirmable: as NSTART allows
//!    ▼
//! InFlight ──ACK──▶ delivered
//!    │ retransmission, and there is newer content ──▶ that goes in its place  (§4.5.2)
//!    └─RST──▶ the relation is gone                                            (§3.6)
//! ```
//!
//! So a relation holds two contents at most. Which messages carry them, and how often, is
//! [`super::reliability`]'s.

use super::deduplication::EXCHANGE_LIFETIME;
use super::message::{Message, Token, Type};
use super::request::Response;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Relations one endpoint may have. ThingsBoard has two resources to observe; the rest is for
/// clients that register anew under another token.
const MAX_OBSERVATIONS: usize = 4;
/// Messages remembered per relation for the sake of a late Reset.
const MAX_SENT: usize = 8;
/// How often a client must show that it still wants notifications (RFC 7641 §4.5).
const LONGEST_UNCONFIRMED: Duration = Duration::from_secs(24 * 3600);
/// Non-confirmable notifications without a measured round trip: one in this time, on average, to
/// one client (RFC 7641 §4.5.1).
const PACE: Duration = Duration::from_secs(3);
/// What a client that has had none for a while may get at once, beyond the first.
const BURST: u32 = 3;
/// Sequence numbers have 24 bits (RFC 7641 §2).
const SEQUENCE_MASK: u32 = 0x00ff_ffff;

/// What a notification has beside its payload, at most: header 4, token 8, Observe 1 + 3,
/// Content-Format 1 + 2, Max-Age 1 + 4, payload marker 1; and an ETag, 1 + 8, to spare.
pub const NOTIFICATION_OVERHEAD: usize = 34;

/// The largest payload of a notification, where messages may have `max_message` bytes.
pub fn largest_notification(max_message: usize) -> usize {
    max_message.saturating_sub(NOTIFICATION_OVERHEAD)
}

/// What a request's Observe option asks for (RFC 7641 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observe {
    /// 0: notify me.
    Register,
    /// 1: no longer.
    Deregister,
}

impl Observe {
    /// The option's meaning; other values have none, and the option is then as good as unrecognised.
    pub fn from_value(value: u32) -> Option<Observe> {
        match value {
            0 => Some(Observe::Register),
            1 => Some(Observe::Deregister),
            _ => None,
        }
    }
}

/// Names a relation of one endpoint; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObservationId(pub u32);

/// Content for one relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The caller's; comes back with [`Delivered`](super::Output::Delivered).
    pub number: u64,
    /// A 2.xx. An error ends a relation: see
    /// [`end_observation`](super::RemoteEndpoint::end_observation).
    pub response: Response,
}

#[derive(Debug)]
struct InFlight {
    notification: Notification,
    /// The client has been answered a registration since, with a higher sequence number: what it
    /// gets now under the old number it takes for old.
    overtaken: bool,
}

#[derive(Debug)]
struct Sent {
    message_id: u16,
    kind: Type,
    at: Instant,
}

/// One client's interest in one resource, named by its token (RFC 7641 §4.1).
#[derive(Debug)]
pub struct Relation {
    id: ObservationId,
    token: Token,
    confirmable: bool,
    /// When the client last had to show that it is there: its registration, or a Confirmable message.
    confirmed_at: Instant,
    /// The Message ID of the registering request, while a duplicate of it may come.
    registered_by: Option<u16>,
    /// Whether it was notified since.
    notified: bool,
    pending: Option<Notification>,
    in_flight: Option<InFlight>,
    /// Messages that are no longer repeated, but may still be answered with a Reset.
    sent: VecDeque<Sent>,
}

impl Relation {
    /// The token of its registration.
    pub fn token(&self) -> Token {
        self.token
    }

    /// How it is sent messages: as its registration came.
    pub fn kind(&self) -> Type {
        if self.confirmable {
            Type::Confirmable
        } else {
            Type::NonConfirmable
        }
    }

    /// Takes newer content. Returns whether there was older that has not been sent.
    pub fn renew(&mut self, notification: Notification) -> bool {
        self.pending.replace(notification).is_some()
    }

    /// What is in flight has been acknowledged: its number.
    pub fn acknowledged(&mut self) -> Option<u64> {
        Some(self.in_flight.take()?.notification.number)
    }

    /// What is in flight is given up. But if the client has registered since, it lives, and the
    /// content is sent anew: returns whether that is so.
    pub fn send_anew(&mut self) -> bool {
        let Some(sent) = self.in_flight.take_if(|sent| sent.overtaken) else {
            return false;
        };
        self.pending.get_or_insert(sent.notification);
        true
    }

    /// Forgets what is pending and what is in flight.
    pub fn stand_still(&mut self) {
        self.pending = None;
        self.in_flight = None;
    }

    /// Forgets what is pending: its number.
    pub fn discard(&mut self) -> Option<u64> {
        Some(self.pending.take()?.number)
    }

    /// Whether what is in flight should go out in another form than before.
    pub fn has_newer(&self) -> bool {
        let overtaken = self.in_flight.as_ref().is_some_and(|sent| sent.overtaken);
        self.pending.is_some() || overtaken
    }

    /// The message that carries the newest content.
    pub fn compose(&self, kind: Type, message_id: u16, sequence_number: u32) -> Option<Message> {
        let response = Response {
            observe: Some(sequence_number),
            ..self.newest()?.response.clone()
        };
        Some(response.into_message(kind, message_id, self.token))
    }

    fn newest(&self) -> Option<&Notification> {
        let in_flight = self.in_flight.as_ref().map(|sent| &sent.notification);
        self.pending.as_ref().or(in_flight)
    }

    /// The newest content has gone out in a Confirmable message. Returns whether it took the place
    /// of older content.
    pub fn sent_confirmable(&mut self, now: Instant) -> bool {
        let older = self.in_flight.take().map(|sent| sent.notification);
        let superseded = self.pending.is_some() && older.is_some();
        let newest = self.pending.take().or(older);
        self.in_flight = newest.map(|notification| InFlight {
            notification,
            overtaken: false,
        });
        self.confirmed_at = now;
        self.notified = true;
        superseded
    }

    /// The newest content has gone out in a Non-confirmable message: its number.
    pub fn sent_non_confirmable(&mut self, now: Instant, message_id: u16) -> Option<u64> {
        self.remember(now, Type::NonConfirmable, message_id);
        self.notified = true;
        self.discard()
    }

    /// This message is not repeated, but a Reset of it ends the relation (RFC 7641 §3.6).
    pub fn remember(&mut self, now: Instant, kind: Type, message_id: u16) {
        if self.sent.len() >= MAX_SENT {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent {
            message_id,
            kind,
            at: now,
        });
    }

    fn is_ready(&self) -> bool {
        self.pending.is_some() && self.in_flight.is_none()
    }

    fn kind_at(&self, now: Instant) -> Type {
        // RFC 7641 §4.5: at least every 24 hours a client must show that it is there.
        if now >= self.confirmed_at + LONGEST_UNCONFIRMED {
            return Type::Confirmable;
        }
        self.kind()
    }

    fn payload_bytes(&self) -> usize {
        let in_flight = self.in_flight.as_ref().map(|sent| &sent.notification);
        let held = [self.pending.as_ref(), in_flight].into_iter().flatten();
        held.map(|notification| notification.response.payload.len())
            .sum()
    }
}

/// The relations of one endpoint. Without any it holds no heap.
#[derive(Debug, Default)]
pub struct Observations {
    /// Those that were not sent anything for longest come first.
    relations: Vec<Relation>,
    next_id: u32,
    /// One sequence for all relations: a client that registers anew under the token of a relation
    /// that has ended must not take the answer for an old one (RFC 7641 §4.4).
    next_sequence_number: u32,
    /// When the whole burst is to be had again.
    rested_at: Option<Instant>,
}

impl Observations {
    /// The relation under this token.
    pub fn of_token(&self, token: &Token) -> Option<ObservationId> {
        let relation = self.relations.iter().find(|one| one.token == *token)?;
        Some(relation.id)
    }

    /// A relation.
    pub fn get_mut(&mut self, id: ObservationId) -> Option<&mut Relation> {
        self.relations.iter_mut().find(|one| one.id == id)
    }

    /// Adds a relation, or renews the one under this token; nothing if there are too many.
    /// RFC 7641 §4.1: a token names one relation, however often it is registered.
    pub fn register(
        &mut self,
        now: Instant,
        token: Token,
        confirmable: bool,
        message_id: u16,
    ) -> Option<ObservationId> {
        if let Some(relation) = self.relations.iter_mut().find(|one| one.token == token) {
            relation.confirmable = confirmable;
            relation.confirmed_at = now;
            relation.registered_by = Some(message_id);
            relation.notified = false;
            if let Some(in_flight) = &mut relation.in_flight {
                in_flight.overtaken = true;
            }
            return Some(relation.id);
        }
        if self.relations.len() >= MAX_OBSERVATIONS {
            return None;
        }
        let id = ObservationId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.relations.push(Relation {
            id,
            token,
            confirmable,
            confirmed_at: now,
            registered_by: Some(message_id),
            notified: false,
            pending: None,
            in_flight: None,
            sent: VecDeque::new(),
        });
        Some(id)
    }

    /// Ends a relation.
    pub fn remove(&mut self, id: ObservationId) -> Option<Relation> {
        let at = self.relations.iter().position(|one| one.id == id)?;
        let removed = self.relations.remove(at);
        if self.relations.is_empty() {
            self.relations = Vec::new();
        }
        Some(removed)
    }

    /// The sequence number of what goes out next (RFC 7641 §4.4): each greater than the one before,
    /// in 24 bits. 2^23 of them in 256 seconds, which would be too many, need more Message IDs than
    /// there are.
    pub fn allot_sequence_number(&mut self) -> u32 {
        let allotted = self.next_sequence_number;
        self.next_sequence_number = allotted.wrapping_add(1) & SEQUENCE_MASK;
        allotted
    }

    /// Which relation is to be notified next, and how; `room` is whether a Confirmable message may
    /// go out.
    pub fn next(&self, now: Instant, room: bool) -> Option<(ObservationId, Type)> {
        let paced = self.paced_until(now).is_some();
        let mut ready = self.relations.iter().filter(|one| one.is_ready());
        ready.find_map(|relation| {
            let kind = relation.kind_at(now);
            let may_go = match kind {
                Type::Confirmable => room,
                Type::NonConfirmable | Type::Acknowledgement | Type::Reset => !paced,
            };
            may_go.then_some((relation.id, kind))
        })
    }

    /// When a notification that the pace holds back may go out, if one is.
    pub fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let held_back = |one: &Relation| one.is_ready() && one.kind_at(now) == Type::NonConfirmable;
        let until = self.paced_until(now)?;
        self.relations.iter().any(held_back).then_some(until)
    }

    /// This relation was sent something, of this kind: now it is the others' turn.
    pub fn took_its_turn(&mut self, now: Instant, id: ObservationId, kind: Type) {
        if let Some(at) = self.relations.iter().position(|one| one.id == id) {
            let relation = self.relations.remove(at);
            self.relations.push(relation);
        }
        if kind == Type::NonConfirmable {
            self.rested_at = Some(self.rested_at.map_or(now, |at| at.max(now)) + PACE);
        }
    }

    fn paced_until(&self, now: Instant) -> Option<Instant> {
        let opens_at = self.rested_at?.checked_sub(PACE * BURST)?;
        (opens_at > now).then_some(opens_at)
    }

    /// Whose message this was, and of what kind, if it is not repeated any more.
    pub fn sender_of(&self, now: Instant, message_id: u16) -> Option<(ObservationId, Type)> {
        self.relations.iter().find_map(|relation| {
            let sent = relation.sent.iter().find(|sent| {
                // Later, the Message ID may stand for something else (RFC 7252 §4.4).
                sent.message_id == message_id && now < sent.at + EXCHANGE_LIFETIME
            })?;
            Some((relation.id, sent.kind))
        })
    }

    /// The relation registered by this message, if it has been notified since.
    pub fn notified_since(&self, message_id: u16) -> Option<ObservationId> {
        let registered = |one: &&Relation| one.registered_by == Some(message_id) && one.notified;
        self.relations.iter().find(registered).map(|one| one.id)
    }

    /// A new request has this Message ID: no duplicate of an older one can come any more.
    pub fn message_id_taken(&mut self, message_id: u16) {
        for relation in &mut self.relations {
            if relation.registered_by == Some(message_id) {
                relation.registered_by = None;
            }
        }
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
#[path = "observe_tests.rs"]
mod tests;
