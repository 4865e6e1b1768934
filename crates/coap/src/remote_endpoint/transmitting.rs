//! What an endpoint sends of its own accord, and what becomes of it.
//!
//! Responses go first, then the relations in turn, and a ping last. NSTART (RFC 7252 §4.7) is each relation's own.

use super::{Context, Output, RemoteEndpoint};
use crate::message::{Message, Type};
use crate::reliability::{Due, MessagePurpose};
use std::time::{Duration, Instant};

/// When all Message IDs are taken: how long until the next look.
const MESSAGE_ID_RETRY: Duration = Duration::from_secs(1);

impl RemoteEndpoint {
    /// Asks whether the peer lives: an empty Confirmable message, which it answers with a Reset
    /// (RFC 7252 §4.3). While one is under way, nothing happens.
    pub fn ping(&mut self, now: Instant, context: &mut Context<'_>, out: &mut Vec<Output>) {
        if !self.outgoing.contains(MessagePurpose::Ping) {
            self.ping_wanted = true;
            self.transmit(now, context, out);
        }
    }

    /// A message came from the peer, so no ping is needed, and nothing waits for its Reset.
    pub fn cancel_ping(&mut self, now: Instant, context: &mut Context<'_>, out: &mut Vec<Output>) {
        let is_under_way = self.outgoing.cancel_ping();
        if std::mem::take(&mut self.ping_wanted) || is_under_way {
            self.transmit(now, context, out);
        }
    }

    /// The peer has just sent something, so it is awake: what it was last sent ACK_TIMEOUT ago or
    /// earlier, and has not acknowledged, is sent again at once rather than when its back-off ends.
    pub fn retransmit_early(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        while let Some(due) = self.outgoing.retransmit_early(now, context.parameters) {
            self.perform(now, due, context, out);
        }
        self.transmit(now, context, out);
    }

    /// An acknowledgement or a Reset came. Returns whether it names a message of ours.
    pub(super) fn handle_acknowledgement(
        &mut self,
        now: Instant,
        kind: Type,
        message_id: u16,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) -> bool {
        let reset = kind == Type::Reset;
        let mut ours = true;
        match self.outgoing.acknowledge(message_id) {
            // RFC 7641 §3.6: to reject any notification, the first included, is to cancel.
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
                    ours = false;
                }
            },
        }
        self.transmit(now, context, out);
        ours
    }

    /// Sends all that may go out now.
    pub(super) fn transmit(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        self.retry_at = None;
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

    /// Makes the next message of those that are made only when they may go out. Returns whether
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
        let may_ping = || self.ping_wanted && outgoing.has_room_for_ping(context.parameters);
        if next.is_none() && !may_ping() {
            self.retry_at = self.observations.next_timeout(now);
            return false;
        }
        let Some(message_id) = self.message_ids.allocate(now) else {
            self.retry_at = Some(now + MESSAGE_ID_RETRY);
            return false;
        };
        match next {
            Some((id, kind)) => self.send_notification(now, id, kind, message_id, context, out),
            None => self.send_ping(now, message_id, context),
        }
        true
    }

    fn send_ping(&mut self, now: Instant, message_id: u16, context: &mut Context<'_>) {
        self.ping_wanted = false;
        if let Some(bytes) = Message::empty(Type::Confirmable, message_id).encode(4) {
            context.counters.pings_sent += 1;
            self.push(now, message_id, MessagePurpose::Ping, bytes, context);
        }
    }

    /// Takes a message for reliable transmission. Returns whether there was room.
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
