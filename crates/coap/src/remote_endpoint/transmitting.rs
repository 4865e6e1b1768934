//! Transmission of Confirmable messages, notifications and pings, and their acknowledgements.
//!
//! Responses are sent first, then the relations in turn, and a ping last. NSTART (RFC 7252 §4.7) is
//! applied to each relation.

use super::path::PathProof;
use super::{Context, Output, RemoteEndpoint};
use crate::message::{Message, Type};
use crate::reliability::{Due, MessagePurpose};
use std::time::{Duration, Instant};

/// How long to wait when all Message IDs are in use.
const MESSAGE_ID_RETRY: Duration = Duration::from_secs(1);

/// What could not be sent yet, and what proves a new path. Endpoints without any don't have one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unsent {
    /// When to try again to send notifications.
    retry_at: Option<Instant>,
    ping: bool,
    /// Boxed, because few peers move.
    pub(super) path_proof: Option<Box<PathProof>>,
}

impl RemoteEndpoint {
    /// When to try again to send what could not be sent.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.unsent.as_ref()?.retry_at
    }

    fn set_retry_at(&mut self, at: Option<Instant>) {
        if at.is_some() || self.unsent.is_some() {
            self.unsent.get_or_insert_default().retry_at = at;
            self.free_unsent();
        }
    }

    /// Whether a ping is to be sent once it may be.
    fn ping_wanted(&self) -> bool {
        self.unsent.as_ref().is_some_and(|unsent| unsent.ping)
    }

    /// Returns whether a ping was to be sent.
    fn take_ping_wanted(&mut self) -> bool {
        let unsent = self.unsent.as_mut();
        let wanted = unsent.is_some_and(|unsent| std::mem::take(&mut unsent.ping));
        self.free_unsent();
        wanted
    }

    pub(super) fn free_unsent(&mut self) {
        self.unsent.take_if(|unsent| **unsent == Unsent::default());
    }

    /// Sends a ping: an empty Confirmable message, which the peer answers with a Reset (RFC 7252
    /// §4.3). Does nothing while one is outstanding.
    pub fn ping(&mut self, now: Instant, context: &mut Context<'_>, out: &mut Vec<Output>) {
        if !self.outgoing.contains(MessagePurpose::Ping) {
            self.unsent.get_or_insert_default().ping = true;
            self.transmit(now, context, out);
        }
    }

    /// Cancels the ping, because a message from the peer has arrived.
    pub fn cancel_ping(&mut self, now: Instant, context: &mut Context<'_>, out: &mut Vec<Output>) {
        let was_outstanding = self.outgoing.cancel_ping();
        if self.take_ping_wanted() || was_outstanding {
            self.transmit(now, context, out);
        }
    }

    /// Retransmits at once what was last sent ACK_TIMEOUT ago or earlier, or to another address, and
    /// is not acknowledged, because the peer is awake: it has just sent something.
    pub fn retransmit_early(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        while let Some(due) = self.outgoing.retransmit_early(now, context.parameters) {
            self.perform(now, due, context, out);
        }
        self.retransmit_path_proof_early(now, context, out);
        self.transmit(now, context, out);
    }

    /// Processes an ACK or RST. Returns whether its Message ID is that of a message of ours.
    pub(super) fn handle_acknowledgement(
        &mut self,
        now: Instant,
        kind: Type,
        message_id: u16,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) -> bool {
        if self.confirm_path(message_id, out) {
            return true;
        }
        let reset = kind == Type::Reset;
        let mut ours = true;
        match self.outgoing.acknowledge(message_id) {
            // RFC 7641 §3.6: rejecting any notification, the first included, cancels the relation.
            Some(MessagePurpose::Notification(id) | MessagePurpose::Registration(id)) if reset => {
                self.cancel_observation(id, context, out);
            }
            Some(MessagePurpose::Notification(id)) => self.notification_delivered(id, out),
            Some(
                MessagePurpose::Response
                | MessagePurpose::Registration(_)
                | MessagePurpose::Last(_)
                | MessagePurpose::Ping,
            ) => {}
            None => match self.observations.find_sent(now, message_id) {
                Some((id, _)) if reset => self.cancel_observation(id, context, out),
                Some((_, Type::Confirmable)) => context.counters.superseded_acknowledged += 1,
                Some(_) => context.counters.unmatched += 1,
                None => {
                    context.counters.unmatched += 1;
                    self.count_wrong_answer(now, message_id, context);
                    ours = false;
                }
            },
        }
        self.transmit(now, context, out);
        ours
    }

    /// Sends everything that may be sent now.
    pub(super) fn transmit(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        self.set_retry_at(None);
        loop {
            while !self.outgoing.is_empty() {
                let random = (context.random)();
                let Some(due) = self.outgoing.due(now, context.parameters, random) else {
                    break;
                };
                self.perform(now, due, context, out);
            }
            if !self.send_next(now, context, out) {
                break;
            }
        }
        self.free_idle_blockwise();
    }

    fn perform(
        &mut self,
        now: Instant,
        due: Due,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        match due {
            Due::Send(bytes) => out.push(Output::Send(bytes)),
            Due::Resend(message_id, purpose) => {
                context.counters.retransmissions += 1;
                let message_id = match purpose {
                    MessagePurpose::Notification(id) => {
                        self.supersede(now, message_id, id, context)
                    }
                    MessagePurpose::Response
                    | MessagePurpose::Registration(_)
                    | MessagePurpose::Last(_)
                    | MessagePurpose::Ping => message_id,
                };
                out.extend(self.outgoing.bytes(message_id).map(Output::Send));
            }
            Due::GaveUp(purpose) => {
                context.counters.given_up += 1;
                match purpose {
                    MessagePurpose::Notification(id) => {
                        self.notification_given_up(id, context, out)
                    }
                    MessagePurpose::Registration(id) => self.report_undelivered(id, context, out),
                    MessagePurpose::Ping => {
                        context.counters.pings_unanswered += 1;
                        out.push(Output::PingUnanswered);
                    }
                    MessagePurpose::Response | MessagePurpose::Last(_) => {}
                }
            }
        }
    }

    /// Sends the next notification or ping, if one is pending and may be sent. Returns whether
    /// there was one.
    fn send_next(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) -> bool {
        let outgoing = &self.outgoing;
        let room = |id| outgoing.has_room_for(id, context.parameters);
        let next = self.observations.next(now, room);
        let may_ping = || self.ping_wanted() && outgoing.has_room_for_ping(context.parameters);
        if next.is_none() && !may_ping() {
            let retry_at = self.observations.next_timeout(now);
            self.set_retry_at(retry_at);
            return false;
        }
        let Some(message_id) = self.message_ids.allocate(now) else {
            self.set_retry_at(Some(now + MESSAGE_ID_RETRY));
            return false;
        };
        match next {
            Some((id, kind)) => self.send_notification(now, id, kind, message_id, context, out),
            None => self.send_ping(now, message_id, context),
        }
        true
    }

    fn send_ping(&mut self, now: Instant, message_id: u16, context: &mut Context<'_>) {
        self.take_ping_wanted();
        if let Some(bytes) = Message::empty(Type::Confirmable, message_id).encode(4) {
            context.counters.pings_sent += 1;
            self.push(now, message_id, MessagePurpose::Ping, bytes, context);
        }
    }

    /// Adds a message for reliable transmission. Returns whether there was room.
    pub(super) fn push(
        &mut self,
        now: Instant,
        message_id: u16,
        purpose: MessagePurpose,
        bytes: Vec<u8>,
        context: &mut Context<'_>,
    ) -> bool {
        let taken = self
            .outgoing
            .push(now, message_id, purpose, bytes, context.parameters);
        let given_up = taken.map_or(1, |older| u64::try_from(older).unwrap_or(u64::MAX));
        context.counters.queue_full += given_up;
        taken.is_some()
    }
}
