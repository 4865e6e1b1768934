//! One relation: what it is to be sent, and what it was sent. The way of one content:
//!
//! ```text
//! Pending ──newer content──▶ gone, never sent
//!    │ Non-confirmable: as the pace allows ──▶ sent, and that is all              (§4.5.1)
//!    │ Confirmable: as NSTART allows
//!    ▼
//! InFlight ──ACK──▶ delivered
//!    ├─ retransmission, and there is newer content ──▶ that goes in its place     (§4.5.2)
//!    ├─ MAX_RETRANSMIT ──▶ given up; or Pending again, if the client has registered since
//!    └─ RST ──▶ the relation is gone                                              (§3.6)
//! ```
//!
//! Sections are RFC 7641's. At most one content is pending, and one in flight.

use crate::deduplication::{EXCHANGE_LIFETIME, MessageKey};
use crate::exchange::BlockContext;
use crate::message::{Token, Type};
use crate::request::Response;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Messages remembered per relation for the sake of a late Reset.
const MAX_SENT: usize = 8;
/// Sequence numbers have 24 bits (RFC 7641 §2).
const SEQUENCE_MASK: u32 = 0x00ff_ffff;
/// How often a client must show that it still wants notifications (RFC 7641 §4.5).
const LONGEST_UNCONFIRMED: Duration = Duration::from_secs(24 * 3600);

/// Names a relation of one endpoint; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObservationId(pub u32);

/// Content for one relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The caller's; comes back with [`Delivered`](crate::Output::Delivered).
    pub number: u64,
    /// A 2.xx. An error ends a relation: see
    /// [`end_observation`](crate::RemoteEndpoint::end_observation).
    pub response: Response,
}

#[derive(Debug)]
struct Content {
    notification: Notification,
    /// Whether its payload counts towards the bytes of bodies that may be held.
    charged: bool,
}

#[derive(Debug)]
struct InFlight {
    content: Content,
    /// The client has been answered a registration since, with a higher sequence number: what it
    /// gets now under the old number it takes for old.
    outdated: bool,
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
    /// The message that registered it.
    registered_by: MessageKey,
    /// Whether it was notified since.
    notified: bool,
    next_sequence_number: u32,
    /// What its registration says of blocks: that holds for each notification (RFC 7959 §2.6).
    blocks: Option<BlockContext>,
    pending: Option<Content>,
    in_flight: Option<InFlight>,
    /// Messages that are no longer repeated, but may still be answered with a Reset.
    sent: VecDeque<Sent>,
}

impl Relation {
    /// The sequence number it would use next.
    pub fn next_sequence_number(&self) -> u32 {
        self.next_sequence_number
    }

    /// The sequence number of what goes out next (RFC 7641 §4.4): 0 with the response to a
    /// token's first registration, as ThingsBoard has it, then each greater than the one before, in 24 bits. 2^23 of
    /// them in 256 seconds, which would be too many, need more Message IDs than there are.
    pub fn take_sequence_number(&mut self) -> u32 {
        let taken = self.next_sequence_number;
        self.next_sequence_number = taken.wrapping_add(1) & SEQUENCE_MASK;
        taken
    }

    /// A relation registered by this message.
    pub fn new(
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

    /// The client registers again.
    pub fn register(&mut self, now: Instant, confirmable: bool, message: MessageKey) {
        self.confirmable = confirmable;
        self.confirmed_at = now;
        self.registered_by = message;
        self.notified = false;
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.outdated = true;
        }
    }

    /// What its registration says of blocks.
    pub fn blocks(&self) -> Option<BlockContext> {
        self.blocks
    }

    /// Notes what its registration says of blocks.
    pub fn set_blocks(&mut self, blocks: BlockContext) {
        self.blocks = Some(blocks);
    }

    /// Its name.
    pub fn id(&self) -> ObservationId {
        self.id
    }

    /// The token of its registration.
    pub fn token(&self) -> Token {
        self.token
    }

    /// Whether this message registered it, and it has been notified since.
    pub fn notified_since(&self, message: MessageKey) -> bool {
        self.registered_by == message && self.notified
    }

    /// How it is sent messages: as its registration came.
    pub fn kind(&self) -> Type {
        if self.confirmable {
            Type::Confirmable
        } else {
            Type::NonConfirmable
        }
    }

    /// Takes newer content, whose payload counts towards the bytes that may be held or does not.
    /// Returns whether there was older that has not been sent.
    pub fn set_pending(&mut self, notification: Notification, charged: bool) -> bool {
        let content = Content {
            notification,
            charged,
        };
        self.pending.replace(content).is_some()
    }

    /// What is in flight has been acknowledged: its number.
    pub fn acknowledged(&mut self) -> Option<u64> {
        Some(self.in_flight.take()?.content.notification.number)
    }

    /// What is in flight is given up. But if the client has registered since, it lives, and the
    /// content is sent anew: returns whether that is so.
    pub fn requeue(&mut self) -> bool {
        let Some(sent) = self.in_flight.take_if(|sent| sent.outdated) else {
            return false;
        };
        self.pending.get_or_insert(sent.content);
        true
    }

    /// Forgets what is pending and what is in flight.
    pub fn clear(&mut self) {
        self.pending = None;
        self.in_flight = None;
    }

    /// Forgets what is pending: its number.
    pub fn discard_pending(&mut self) -> Option<u64> {
        Some(self.pending.take()?.notification.number)
    }

    /// Whether what is in flight should go out in another form than before.
    pub fn must_replace_in_flight(&self) -> bool {
        let outdated = self.in_flight.as_ref().is_some_and(|sent| sent.outdated);
        self.pending.is_some() || outdated
    }

    /// The newest content, and whether its payload counts towards the bytes that may be held.
    pub fn newest(&self) -> Option<(Response, bool)> {
        let in_flight = self.in_flight.as_ref().map(|sent| &sent.content);
        let newest = self.pending.as_ref().or(in_flight)?;
        Some((newest.notification.response.clone(), newest.charged))
    }

    /// The newest content has gone out in a Confirmable message. Returns whether it took the place
    /// of older content.
    pub fn sent_confirmable(&mut self, now: Instant) -> bool {
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

    /// The newest content has gone out in a Non-confirmable message: its number.
    pub fn sent_non_confirmable(&mut self, now: Instant, message_id: u16) -> Option<u64> {
        self.record_sent(now, Type::NonConfirmable, message_id);
        self.notified = true;
        self.discard_pending()
    }

    /// This message is not repeated, but a Reset of it ends the relation (RFC 7641 §3.6).
    pub fn record_sent(&mut self, now: Instant, kind: Type, message_id: u16) {
        if self.sent.len() >= MAX_SENT {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent {
            message_id,
            kind,
            at: now,
        });
    }

    /// The kind of a remembered message.
    pub fn sent_type(&self, now: Instant, message_id: u16) -> Option<Type> {
        // Later, the Message ID may stand for something else (RFC 7252 §4.4).
        let is_it =
            |sent: &&Sent| sent.message_id == message_id && now < sent.at + EXCHANGE_LIFETIME;
        self.sent.iter().find(is_it).map(|sent| sent.kind)
    }

    /// Whether there is something to send, and nothing in flight.
    pub fn is_ready(&self) -> bool {
        self.pending.is_some() && self.in_flight.is_none()
    }

    /// How what is sent now goes out.
    pub fn kind_at(&self, now: Instant) -> Type {
        // RFC 7641 §4.5: at least every 24 hours a client must show that it is there.
        if now >= self.confirmed_at + LONGEST_UNCONFIRMED {
            return Type::Confirmable;
        }
        self.kind()
    }

    /// Bytes of payload that are pending or in flight.
    pub fn payload_bytes(&self) -> usize {
        let in_flight = self.in_flight.as_ref().map(|sent| &sent.content);
        let held = [self.pending.as_ref(), in_flight].into_iter().flatten();
        held.map(|content| content.notification.response.payload.len())
            .sum()
    }
}
