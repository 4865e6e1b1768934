//! Registrations, notifications and the end of relations (RFC 7641).
//!
//! The state of the relations is in [`crate::observe`]; this module makes their messages.

use super::responding::encode;
use super::sending_blocks::{spans_blocks, tag};
use super::{Context, Output, RemoteEndpoint};
use crate::deduplication::MessageKey;
use crate::exchange::{Carriage, Exchange, ExchangeId};
use crate::message::Type;
use crate::observe::relation::{Notification, ObservationId};
use crate::reliability::MessagePurpose;
use crate::request::Response;
use std::time::Instant;

impl RemoteEndpoint {
    /// The relation with the token of this open exchange, if there is one: the request renews it
    /// (RFC 7641 §3.1), ends it (§3.6), or is unrelated to it.
    pub fn observation_of(&self, exchange: ExchangeId) -> Option<ObservationId> {
        let exchange = self.exchanges.iter().find(|open| open.id == exchange)?;
        self.observations.of_token(&exchange.token)
    }

    /// Answers a registration, and adds a relation, or renews the one with its token. A renewed
    /// relation sends its notifications in the type of this request. Its pending notification
    /// follows this response, and the one in flight gets a higher sequence number at its next
    /// retransmission.
    ///
    /// Returns `None`, and sends the response without Observe, if there is no relation afterwards:
    /// there are too many, or the response is an error (RFC 7641 §4.1), too large, suppressed (RFC
    /// 7967), or could not be sent. If the token had a relation, that has ended. Does nothing if
    /// the exchange is no longer open.
    pub fn respond_registered(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        response: Response,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) -> Option<ObservationId> {
        let exchange = self.close(exchange)?;
        let registered = self.register(now, &exchange, response, context, out);
        // A notification of this relation or of another may be sent now.
        self.transmit(now, context, out);
        registered
    }

    fn register(
        &mut self,
        now: Instant,
        exchange: &Exchange,
        response: Response,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) -> Option<ObservationId> {
        if !response.code.is_success() {
            if let Some(id) = self.observations.of_token(&exchange.token) {
                self.remove_observation(id);
            }
            self.answer(now, exchange, response, None, context, out);
            return None;
        }
        let confirmable = exchange.carriage() != Carriage::NonConfirmable;
        let (token, message) = (exchange.token, exchange.message);
        // RFC 7641 §4.4: greater than all that the client was sent with this token.
        let unused_number = self.unused_number;
        let registered =
            (self.observations).register(now, token, confirmable, message, unused_number);
        let Some(id) = registered else {
            context.counters.too_many_observations += 1;
            self.answer(now, exchange, response, None, context, out);
            return None;
        };
        // The response to this registration replaces the one to the registration before.
        let before = self.outgoing.cancel_registration(id);
        let relation = self.observations.get_mut(id);
        let response = Response {
            observe: relation.map(|relation| {
                if let Some(before) = before {
                    relation.record_sent(now, Type::Confirmable, before);
                }
                relation.set_blocks(exchange.blocks);
                relation.take_sequence_number()
            }),
            ..response
        };
        if self.answer(now, exchange, response, Some(id), context, out) {
            return Some(id);
        }
        self.remove_observation(id);
        None
    }

    /// Notifies a relation of new content, which replaces a pending notification. At the next
    /// retransmission of one in flight the newest content is sent in its place (RFC 7641 §4.5.2).
    pub fn notify(
        &mut self,
        now: Instant,
        observation: ObservationId,
        mut notification: Notification,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        let Some(relation) = self.observations.get_mut(observation) else {
            return;
        };
        let response = &notification.response;
        if response.payload.len() > context.parameters.max_response_body {
            context.counters.notifications_too_large += 1;
            out.push(Output::TooLarge(observation, notification.number));
            return;
        }
        // Frees its bytes for the new notification.
        context.counters.notifications_superseded +=
            u64::from(relation.discard_pending().is_some());
        let blocks = relation.blocks();
        let charged = match blocks.filter(|blocks| spans_blocks(blocks, response, context)) {
            None => false,
            Some(blocks) => {
                let etag = tag(response, context);
                let Some(payload) = self.charge_payload(&blocks, etag, &response.payload, context)
                else {
                    self.report_undelivered(observation, context, out);
                    // None of its messages is in flight any more, so another message may be sent.
                    return self.transmit(now, context, out);
                };
                notification.response.payload = payload;
                true
            }
        };
        if let Some(relation) = self.observations.get_mut(observation) {
            relation.set_pending(notification, charged);
        }
        self.transmit(now, context, out);
    }

    /// Ends a relation, with a last response without Observe (RFC 7641 §4.2) or in silence. Its
    /// pending notification and the one in flight are not sent again.
    pub fn end_observation(
        &mut self,
        now: Instant,
        observation: ObservationId,
        last: Option<Response>,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        let Some(relation) = self.observations.remove(observation) else {
            return;
        };
        let kind = relation.kind();
        if last.is_some() && kind == Type::Confirmable {
            // The notification in flight stays until the last response can replace it.
            self.outgoing.cancel_unsent(observation);
        } else {
            self.outgoing.cancel_all(observation);
        }
        if let Some(last) = last {
            let last = Response {
                observe: None,
                ..last
            };
            match self.message_ids.allocate(now) {
                None => context.counters.out_of_message_ids += 1,
                Some(message_id) => {
                    let encoded = encode(last, kind, message_id, relation.token(), context);
                    let bytes = encoded.map(|encoded| encoded.bytes);
                    match (bytes, kind) {
                        (None, _) => {}
                        (Some(bytes), Type::Confirmable) => {
                            let purpose = MessagePurpose::Last(observation);
                            self.push(now, message_id, purpose, bytes, context);
                        }
                        (Some(bytes), _) => out.push(Output::Send(bytes)),
                    }
                }
            }
        }
        self.transmit(now, context, out);
    }

    /// Sends the newest notification of a relation.
    pub(super) fn send_notification(
        &mut self,
        now: Instant,
        id: ObservationId,
        kind: Type,
        message_id: u16,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        let Some(bytes) = self.encode_newest(now, id, kind, message_id, context) else {
            // `notify` has charged its bytes, so this happens only if the client has registered
            // again since, with smaller blocks.
            let relation = self.observations.get_mut(id);
            if let Some(number) = relation.and_then(|relation| relation.discard_pending()) {
                context.counters.notifications_too_large += 1;
                out.push(Output::TooLarge(id, number));
            }
            return;
        };
        self.observations.record_transmission(now, id, kind);
        if kind == Type::Confirmable {
            // `has_room_for` has said that there is room; otherwise it stays pending.
            if !self.push(
                now,
                message_id,
                MessagePurpose::Notification(id),
                bytes,
                context,
            ) {
                return;
            }
            if let Some(relation) = self.observations.get_mut(id) {
                relation.sent_confirmable(now);
            }
        } else {
            out.push(Output::Send(bytes));
            let relation = self.observations.get_mut(id);
            let number =
                relation.and_then(|relation| relation.sent_non_confirmable(now, message_id));
            out.extend(number.map(|number| Output::Delivered(id, number)));
        }
        context.counters.notifications_sent += 1;
    }

    /// Replaces the notification with this Message ID at its retransmission, if there is newer
    /// content. Returns the Message ID to be sent.
    pub(super) fn supersede(
        &mut self,
        now: Instant,
        message_id: u16,
        id: ObservationId,
        context: &mut Context<'_>,
    ) -> u16 {
        let Some(relation) = self.observations.get_mut(id) else {
            let last = MessagePurpose::Last(id);
            let by = self.outgoing.supersede_by_waiting(message_id, last);
            return by.unwrap_or(message_id);
        };
        if !relation.must_replace_in_flight() {
            return message_id;
        }
        let Some(newer) = self.message_ids.allocate(now) else {
            return message_id;
        };
        let Some(bytes) = self.encode_newest(now, id, Type::Confirmable, newer, context) else {
            return message_id;
        };
        self.outgoing
            .supersede(message_id, newer, MessagePurpose::Notification(id), bytes);
        if let Some(relation) = self.observations.get_mut(id) {
            relation.record_sent(now, Type::Confirmable, message_id);
            context.counters.notifications_superseded += u64::from(relation.sent_confirmable(now));
        }
        context.counters.notifications_sent += 1;
        newer
    }

    /// Encodes the newest notification, or its first block (RFC 7959 §2.6).
    fn encode_newest(
        &mut self,
        now: Instant,
        id: ObservationId,
        kind: Type,
        message_id: u16,
        context: &mut Context<'_>,
    ) -> Option<Vec<u8>> {
        let relation = self.observations.get_mut(id)?;
        let (blocks, token) = (relation.blocks(), relation.token());
        let observe = Some(relation.take_sequence_number());
        let (newest, charged) = relation.newest()?;
        let newest = Response { observe, ..newest };
        let message = match blocks {
            Some(blocks) => self
                .select_block(now, &blocks, newest, charged, context)
                .ok()?,
            None => newest,
        };
        let message = message.into_message(kind, message_id, token);
        message.encode(context.max_message)
    }

    pub(super) fn notification_delivered(&mut self, id: ObservationId, out: &mut Vec<Output>) {
        let relation = self.observations.get_mut(id);
        let number = relation.and_then(|relation| relation.acknowledged());
        out.extend(number.map(|number| Output::Delivered(id, number)));
    }

    /// Handles that the notification in flight was given up.
    pub(super) fn notification_given_up(
        &mut self,
        id: ObservationId,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        let relation = self.observations.get_mut(id);
        match relation.map(|relation| relation.requeue()) {
            Some(true) => {}
            Some(false) => self.report_undelivered(id, context, out),
            // The last response would have replaced it, and is given up with it.
            None => self.outgoing.cancel_all(id),
        }
    }

    pub(super) fn report_undelivered(
        &mut self,
        id: ObservationId,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        // Responses to registrations stay, as each request must get a response.
        self.outgoing.cancel_notification(id);
        if let Some(relation) = self.observations.get_mut(id) {
            relation.clear();
            context.counters.notifications_given_up += 1;
            out.push(Output::Undelivered(id));
        }
    }

    pub(super) fn cancel_observation(
        &mut self,
        id: ObservationId,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        if self.remove_observation(id) {
            context.counters.observations_cancelled += 1;
            out.push(Output::Cancelled(id));
        }
    }

    /// Ends the relation with the token of a registration that is refused: to the client, a response
    /// without Observe means that (RFC 7641 §4.1). Returns whether there was one.
    pub(super) fn end_refused(&mut self, registration: &Exchange, out: &mut Vec<Output>) -> bool {
        let Some(id) = self.observations.of_token(&registration.token) else {
            return false;
        };
        out.push(Output::Cancelled(id));
        self.remove_observation(id)
    }

    pub(super) fn registration_repeated(
        &mut self,
        message: MessageKey,
        context: &mut Context<'_>,
        out: &mut Vec<Output>,
    ) {
        if let Some(id) = self.observations.notified_since(message) {
            context.counters.registrations_repeated += 1;
            out.push(Output::RegistrationRepeated(id));
        }
    }

    /// Removes a relation and its messages. Returns whether it existed.
    fn remove_observation(&mut self, id: ObservationId) -> bool {
        self.outgoing.cancel_all(id);
        self.observations.remove(id).is_some()
    }
}
