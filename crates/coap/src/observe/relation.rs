//! One observation relation. The states of a notification:
//!
//! ```text
//! Pending ──newer notification──▶ dropped, never sent
//!    │ Non-confirmable: as the rate limit allows ──▶ sent                         (§4.5.1)
//!    │ Confirmable: as NSTART allows
//!    ▼
//! InFlight ──ACK──▶ delivered
//!    ├─ retransmission, and a newer one is pending ──▶ that is sent in its place  (§4.5.2)
//!    ├─ MAX_RETRANSMIT ──▶ given up; or Pending again, if the client has registered since
//!    └─ RST ──▶ the relation ends                                                 (§3.6)
//! ```
//!
//! Sections are of RFC 7641. At most one notification is pending, and one in flight.

mod export;

use crate::deduplication::{EXCHANGE_LIFETIME, MessageKey};
use crate::exchange::BlockContext;
use crate::message::{Token, Type};
use crate::request::Response;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Sent messages remembered per relation, to recognise a late Reset.
const MAX_SENT: usize = 8;
/// Sequence numbers have 24 bits (RFC 7641 §2).
pub(crate) const SEQUENCE_MASK: u32 = 0x00ff_ffff;
/// The longest time without a Confirmable message (RFC 7641 §4.5).
const LONGEST_UNCONFIRMED: Duration = Duration::from_secs(24 * 3600);

/// Identifies a relation of one endpoint; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObservationId(pub u32);

/// New content for one relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Chosen by the caller, and returned with [`Delivered`](crate::Output::Delivered).
    pub number: u64,
    /// A 2.xx. An error ends a relation: see
    /// [`end_observation`](crate::RemoteEndpoint::end_observation).
    pub response: Response,
}

#[derive(Debug)]
struct Content {
    notification: Notification,
    /// Whether its payload is charged as a body.
    charged: bool,
}

#[derive(Debug)]
struct InFlight {
    content: Box<Content>,
    /// A registration was answered since, with a higher sequence number: the client would discard
    /// this one as older (§3.4).
    outdated: bool,
}

#[derive(Debug)]
struct Sent {
    message_id: u16,
    kind: Type,
    at: Instant,
}

/// A client's registration for one resource, identified by its token (RFC 7641 §4.1).
#[derive(Debug)]
pub(crate) struct Relation {
    id: ObservationId,
    token: Token,
    confirmable: bool,
    /// When the client registered, or was last sent a Confirmable message.
    confirmed_at: Instant,
    /// The message that registered it.
    registered_by: MessageKey,
    /// Whether a notification was sent since.
    notified: bool,
    next_sequence_number: u32,
    /// The Block options of its registration, which hold for each notification (RFC 7959 §2.6).
    blocks: Option<BlockContext>,
    /// Boxed like the one in flight, because most relations have none most of the time.
    pending: Option<Box<Content>>,
    in_flight: Option<InFlight>,
    /// Messages that are no longer retransmitted, but may still be answered with a Reset.
    sent: VecDeque<Sent>,
}

impl Relation {
    /// The next sequence number, without taking it.
    pub(crate) fn next_sequence_number(&self) -> u32 {
        self.next_sequence_number
    }

    /// Takes the next sequence number (RFC 7641 §4.4): 0 for the response to a token's first
    /// registration, as with ThingsBoard, then each greater than the one before, in 24 bits. 2^23
    /// in 256 seconds would be too many, but there are not enough Message IDs for that.
    pub(crate) fn take_sequence_number(&mut self) -> u32 {
        let taken = self.next_sequence_number;
        self.next_sequence_number = taken.wrapping_add(1) & SEQUENCE_MASK;
        taken
    }

    /// A relation registered by this message.
    pub(crate) fn new(
        now: Instant,
        id: ObservationId,
        token: Token,
        confirmable: bool,
        registered_by: MessageKey,
        first_number: u32,
    ) -> Relation {
        Relation {
            id,
            token,
            confirmable,
            confirmed_at: now,
            registered_by,
            notified: false,
            next_sequence_number: first_number,
            blocks: None,
            pending: None,
            in_flight: None,
            sent: VecDeque::new(),
        }
    }

    /// Records that the client has registered again.
    pub(crate) fn register(&mut self, now: Instant, confirmable: bool, message: MessageKey) {
        self.confirmable = confirmable;
        self.confirmed_at = now;
        self.registered_by = message;
        self.notified = false;
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.outdated = true;
        }
    }

    /// The Block options of its registration.
    pub(crate) fn blocks(&self) -> Option<BlockContext> {
        self.blocks
    }

    pub(crate) fn set_blocks(&mut self, blocks: BlockContext) {
        self.blocks = Some(blocks);
    }

    /// Unique in the endpoint.
    pub(crate) fn id(&self) -> ObservationId {
        self.id
    }

    /// The token of its registration.
    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// Whether this message registered it, and a notification was sent since.
    pub(crate) fn notified_since(&self, message: MessageKey) -> bool {
        self.registered_by == message && self.notified
    }

    /// The type of its notifications: that of its registration.
    pub(crate) fn kind(&self) -> Type {
        if self.confirmable {
            Type::Confirmable
        } else {
            Type::NonConfirmable
        }
    }

    /// Replaces the pending notification. `charged`: its payload is charged as a body. Returns
    /// whether there was one.
    pub(crate) fn set_pending(&mut self, notification: Notification, charged: bool) -> bool {
        let content = Content {
            notification,
            charged,
        };
        self.pending.replace(Box::new(content)).is_some()
    }

    /// Records the acknowledgement of the notification in flight. Returns its number.
    pub(crate) fn acknowledged(&mut self) -> Option<u64> {
        Some(self.in_flight.take()?.content.notification.number)
    }

    /// Makes the notification in flight pending again after MAX_RETRANSMIT, if the client has
    /// registered since. Returns whether that is so.
    pub(crate) fn requeue(&mut self) -> bool {
        let Some(sent) = self.in_flight.take_if(|sent| sent.outdated) else {
            return false;
        };
        self.pending.get_or_insert(sent.content);
        true
    }

    /// Drops the pending notification and the one in flight.
    pub(crate) fn clear(&mut self) {
        self.pending = None;
        self.in_flight = None;
    }

    /// Drops the pending notification. Returns its number.
    pub(crate) fn discard_pending(&mut self) -> Option<u64> {
        Some(self.pending.take()?.notification.number)
    }

    /// Whether the retransmission of the notification in flight must be another message: with newer
    /// content, or with a newer sequence number.
    pub(crate) fn must_replace_in_flight(&self) -> bool {
        let outdated = self.in_flight.as_ref().is_some_and(|sent| sent.outdated);
        self.pending.is_some() || outdated
    }

    /// The newest notification's response, and whether its payload is charged.
    pub(crate) fn newest(&self) -> Option<(Response, bool)> {
        let in_flight = self.in_flight.as_ref().map(|sent| &sent.content);
        let newest = self.pending.as_ref().or(in_flight)?;
        Some((newest.notification.response.clone(), newest.charged))
    }

    /// Records that the newest notification was sent in a Confirmable message. Returns whether it
    /// superseded an older one in flight.
    pub(crate) fn sent_confirmable(&mut self, now: Instant) -> bool {
        let older = self.in_flight.take().map(|sent| sent.content);
        let superseded = self.pending.is_some() && older.is_some();
        let newest = self.pending.take().or(older);
        self.in_flight = newest.map(|content| InFlight {
            content,
            outdated: false,
        });
        self.confirmed_at = now;
        self.notified = true;
        superseded
    }

    /// Records that the newest notification was sent in a Non-confirmable message. Returns its
    /// number.
    pub(crate) fn sent_non_confirmable(&mut self, now: Instant, message_id: u16) -> Option<u64> {
        self.record_sent(now, Type::NonConfirmable, message_id);
        self.notified = true;
        self.discard_pending()
    }

    /// Remembers a message that is not retransmitted any more: a Reset of it ends the relation (RFC
    /// 7641 §3.6).
    pub(crate) fn record_sent(&mut self, now: Instant, kind: Type, message_id: u16) {
        if self.sent.len() >= MAX_SENT {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent {
            message_id,
            kind,
            at: now,
        });
    }

    /// The type of a remembered message.
    pub(crate) fn sent_type(&self, now: Instant, message_id: u16) -> Option<Type> {
        // Later, the Message ID may be used for another message (RFC 7252 §4.4).
        let is_sent =
            |sent: &&Sent| sent.message_id == message_id && now < sent.at + EXCHANGE_LIFETIME;
        self.sent.iter().find(is_sent).map(|sent| sent.kind)
    }

    /// Whether a notification is pending, and none in flight.
    pub(crate) fn is_ready(&self) -> bool {
        self.pending.is_some() && self.in_flight.is_none()
    }

    /// The type of a notification that is sent now.
    pub(crate) fn kind_at(&self, now: Instant) -> Type {
        // RFC 7641 §4.5: a Confirmable notification at least every 24 hours.
        if now >= self.confirmed_at + LONGEST_UNCONFIRMED {
            return Type::Confirmable;
        }
        self.kind()
    }

    /// Bytes of payloads that are pending or in flight.
    pub(crate) fn payload_bytes(&self) -> usize {
        let in_flight = self.in_flight.as_ref().map(|sent| &sent.content);
        let held = [self.pending.as_ref(), in_flight].into_iter().flatten();
        held.map(|content| content.notification.response.payload.len())
            .sum()
    }
}
