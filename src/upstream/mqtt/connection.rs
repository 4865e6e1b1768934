//! One MQTT 5 connection, without a socket and without a clock: bytes, requests and `now` in; bytes, outcomes and messages
//! out.
//!
//! ```text
//! start ──▶ queued ──poll_write──▶ sent ──PUBACK──▶ acknowledged ──answer──▶ Finished
//!              │                     │ └───────(telemetry, replies …)───────▶ Finished
//!              └─▶ Unsent            └─▶ Finished, as its fate deserves: `outcome`
//! ```
//!
//! * Nothing but CONNECT is sent before the CONNACK: ThingsBoard swallows what it can't work off.
//! * Requests are sent in their order. PUBACKs come in any order, and are matched by packet id; each has a deadline.
//! * What was sent when the connection ends may have been acted upon. What was not sent is given back.
//! * A PUBLISH of ThingsBoard's is acknowledged when the owner says so, but answers at once.
//! * Packet ids of ThingsBoard's end at 65,535, so a new connection is wanted before: [`Event::RenewalDue`].

mod in_flight;
mod keep_alive;
mod packets;
mod subscriptions;
#[cfg(test)]
pub(super) mod tests;

pub use subscriptions::Kinds;
pub(crate) use subscriptions::Numbers;

use super::super::{Answer, Error};
use super::counters::Expired;
use super::encode::Outgoing;
use super::outcome::{self, End, Pending};
use super::topics::{self, Inbound};
use bytes::{Bytes, BytesMut};
use in_flight::{InFlight, Queued, Sent};
use keep_alive::{Due, KeepAlive};
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::result_code::PubackReasonCode;
use packets::{Packets, Published, Received};
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};
use subscriptions::{Change, Subscriptions};

/// How long the CONNACK may take.
const CONNACK: Duration = Duration::from_secs(5);
/// How long what is in flight may take once the connection is to be closed.
const CLOSING: Duration = Duration::from_secs(5);
/// No more is encoded while so many bytes wait to be written.
const UNWRITTEN: usize = 16 * 1024;
/// A new connection is wanted from this packet id of ThingsBoard's on.
const RENEWAL_ID: u16 = 60_000;
/// But not so soon after the CONNACK: packet ids that are not ThingsBoard's may begin anywhere.
const RENEWAL_NOT_BEFORE: Duration = Duration::from_secs(1);

/// What has happened. `I` is what the owner knows a request by.
pub(super) enum Event<I> {
    /// ThingsBoard has accepted the connection.
    Connected,
    Finished(I, Result<Answer, Error>),
    /// Not sent, so it can be sent on another connection. With its deadline.
    Unsent(I, Outgoing, Instant),
    /// These subscriptions work now. Changes before are lost.
    Subscribed(Numbers),
    /// Shared attributes have changed.
    Attributes(Downlink),
    /// A command with this id.
    Command(u32, Downlink),
    /// Packet ids will soon be used up: ThingsBoard's, or those of messages without a PUBACK.
    RenewalDue,
    /// The last event.
    Ended(End),
}

/// A message of ThingsBoard's to the device.
pub(super) struct Downlink {
    pub(super) payload: Bytes,
    /// To be given to [`Connection::acknowledge`]. `None`: no acknowledgement is wanted.
    pub(super) packet: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Until this time a CONNACK may come.
    Connecting(Instant),
    Connected,
    /// Nothing more is sent; what is in flight has until this time.
    Closing(Instant),
    Ended,
}

pub(super) struct Connection<I> {
    packets: Packets,
    phase: Phase,
    requests: InFlight<I>,
    subscriptions: Subscriptions,
    keep_alive: KeepAlive,
    events: VecDeque<Event<I>>,
    last_received: Instant,
    has_package_error: bool,
    renewal_not_before: Instant,
    /// Packet ids of messages to the devices that none of them has acknowledged.
    unacknowledged: BTreeSet<u16>,
    is_renewal_due: bool,
    /// Since they were taken last.
    expired: Expired,
}

impl<I> Connection<I> {
    /// On a stream that nothing was sent on yet. `user_name`: the access token, or `provision`. `client_id`: any that no other
    /// connection has. ThingsBoard ignores it, but a broker in front of it might not.
    pub(super) fn new(now: Instant, user_name: &str, client_id: &str) -> Connection<I> {
        let mut connection = Connection {
            packets: Packets::new(),
            phase: Phase::Connecting(now + CONNACK),
            requests: InFlight::new(),
            subscriptions: Subscriptions::default(),
            keep_alive: KeepAlive::new(now),
            events: VecDeque::new(),
            last_received: now,
            has_package_error: false,
            renewal_not_before: now,
            unacknowledged: BTreeSet::new(),
            is_renewal_due: false,
            expired: Expired::default(),
        };
        if connection.packets.connect(user_name, client_id).is_err() {
            connection.end(End::Unintelligible("CONNECT can't be sent"));
        }
        connection
    }

    /// Queues a request. Its outcome is an event.
    pub(super) fn start(&mut self, id: I, outgoing: Outgoing, deadline: Instant) {
        let request = Queued {
            id,
            outgoing,
            deadline,
        };
        match self.phase {
            Phase::Connecting(_) | Phase::Connected => {
                if let Err(surplus) = self.requests.push(request) {
                    let overloaded = Err(Error::Overloaded);
                    self.events
                        .push_back(Event::Finished(surplus.id, overloaded));
                }
            }
            Phase::Closing(_) | Phase::Ended => self.give_back(request),
        }
    }

    /// What is to be subscribed to, and nothing else.
    pub(super) fn set_subscriptions(&mut self, numbers: Numbers) {
        self.subscriptions.set_wanted(numbers);
    }

    /// Acknowledges a message of this connection: a device has it. If several devices get it, only the first of them counts.
    /// Returns whether it is the first one.
    pub(super) fn acknowledge(&mut self, now: Instant, packet: u16) -> bool {
        let is_first = self.unacknowledged.remove(&packet);
        if is_first {
            self.send_acknowledgement(now, packet);
        }
        is_first
    }

    fn send_acknowledgement(&mut self, now: Instant, packet: u16) {
        if matches!(self.phase, Phase::Connected | Phase::Closing(_)) {
            self.keep_alive.sent(now);
            if self.packets.acknowledge(packet).is_err() {
                self.end(End::Unintelligible("a PUBACK can't be sent"));
            }
        }
    }

    /// The device has sent something. Until then pings keep the connection open, and it stays open though nothing is subscribed
    /// to.
    pub(super) fn alive_until(&mut self, until: Instant) {
        self.keep_alive.alive_until(until);
    }

    /// Closes the connection as soon as nothing is in flight.
    pub(super) fn close(&mut self, now: Instant) {
        match self.phase {
            Phase::Connecting(_) => self.end(End::Closed),
            Phase::Connected => {
                self.phase = Phase::Closing(now + CLOSING);
                while let Some(queued) = self.requests.pop_queued() {
                    self.give_back(queued);
                }
                self.close_if_idle();
            }
            Phase::Closing(_) | Phase::Ended => {}
        }
    }

    /// The stream has ended, or has failed.
    pub(super) fn lost(&mut self) {
        self.end(End::Lost);
    }

    pub(super) fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// The owner reads nothing for a while, so that nothing comes says nothing about the connection.
    pub(super) fn reading_paused(&mut self, now: Instant) {
        self.last_received = now;
        self.keep_alive.received();
    }

    /// Reads what has been received.
    pub(super) fn receive(&mut self, now: Instant, bytes: &[u8]) {
        self.last_received = now;
        self.keep_alive.received();
        let mut cursor = Cursor::new(bytes);
        let end = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        while cursor.position() < end && !self.is_ended() {
            let before = cursor.position();
            if let Some(received) = self.packets.receive(&mut cursor) {
                self.received(now, received);
            }
            if cursor.position() == before {
                break;
            }
        }
        self.close_if_idle();
    }

    fn received(&mut self, now: Instant, received: Received) {
        match received {
            Received::Connected(server_keep_alive) => {
                self.phase = Phase::Connected;
                self.renewal_not_before = now + RENEWAL_NOT_BEFORE;
                if let Some(time) = server_keep_alive {
                    self.keep_alive.set_server_keep_alive(time);
                }
                self.events.push_back(Event::Connected);
            }
            Received::Acknowledged(packet, code) => self.acknowledged(packet, code),
            Received::Subscribed(packet, Some(granted))
                if self.subscriptions.is_granted(packet, granted) =>
            {
                self.subscriptions.answered(now, packet);
            }
            Received::Subscribed(..) => {
                self.end(End::Unintelligible("it refuses a subscription"));
            }
            Received::Unsubscribed(packet) => self.subscriptions.answered(now, packet),
            Received::Published(published) => self.published(now, &published),
            Received::Pong => {}
            Received::End(end) => self.end(end),
        }
    }

    fn acknowledged(&mut self, packet: u16, code: PubackReasonCode) {
        let Some(at) = self.requests.by_packet(packet) else {
            return;
        };
        let outcome = outcome::acknowledged(code);
        if let Some(sent) = self.requests.get_mut(at)
            && outcome.is_ok()
            && sent.outgoing.target.has_answer()
        {
            sent.is_acknowledged = true;
            return;
        }
        if let Some(sent) = self.requests.remove_acknowledged(at) {
            let answer = outcome.map(|()| Answer { body: Bytes::new() });
            self.events.push_back(Event::Finished(sent.id, answer));
        }
    }

    fn published(&mut self, now: Instant, published: &Published) {
        if published.id.is_some_and(|id| id >= RENEWAL_ID) && self.renewal_not_before <= now {
            self.renew();
        }
        let payload = published.packet.payload().as_slice();
        let downlink = || Downlink {
            payload: Bytes::copy_from_slice(payload),
            packet: published.id,
        };
        let inbound = topics::inbound(published.packet.topic_name());
        match inbound {
            // It comes after an UNSUBSCRIBE.
            Some(Inbound::AttributesUpdate) if !self.subscriptions.wanted().attributes => {}
            // Without a PUBACK ThingsBoard keeps a persistent command for the next subscription.
            Some(Inbound::Command(_)) if !self.subscriptions.wanted().commands => return,
            Some(Inbound::AttributesUpdate) => {
                self.unacknowledged.extend(published.id);
                self.events.push_back(Event::Attributes(downlink()));
                return;
            }
            Some(Inbound::Command(id)) => {
                self.unacknowledged.extend(published.id);
                self.events.push_back(Event::Command(id, downlink()));
                return;
            }
            Some(Inbound::PackageError) => self.has_package_error = true,
            Some(
                Inbound::Attributes(_)
                | Inbound::ClientRpc(_)
                | Inbound::Chunk { .. }
                | Inbound::Provision,
            )
            | None => {}
        }
        if let Some(inbound) = inbound
            && let Some(at) = self.requests.by_answer(inbound)
            && let Some(sent) = self.requests.remove(at)
        {
            let answer = outcome::answered(&sent.outgoing, payload);
            self.events.push_back(Event::Finished(sent.id, answer));
        }
        if let Some(id) = published.id {
            self.send_acknowledgement(now, id);
        }
    }

    fn renew(&mut self) {
        if !std::mem::replace(&mut self.is_renewal_due, true) {
            self.events.push_back(Event::RenewalDue);
        }
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Connecting(until) if until <= now => self.end(End::Silent),
            Phase::Closing(until) if until <= now => self.disconnect(End::Closed),
            Phase::Connecting(_) | Phase::Connected | Phase::Closing(_) | Phase::Ended => {}
        }
        while let Some(expired) = self.requests.pop_expired_queued(now) {
            self.expired.unsent += 1;
            self.events
                .push_back(Event::Finished(expired.id, Err(Error::Timeout)));
        }
        let mut is_silent = self.subscriptions.is_overdue(now);
        while let Some(expired) = self.requests.pop_expired(now) {
            match expired.is_acknowledged {
                true => self.expired.unanswered += 1,
                false => self.expired.unacknowledged += 1,
            }
            // Nothing at all has come since it was sent, so the connection is dead.
            is_silent |= self.last_received < expired.sent_at;
            self.events
                .push_back(Event::Finished(expired.id, Err(Error::Timeout)));
        }
        if self.requests.is_worn_out() {
            self.renew();
        }
        if let Some(numbers) = self.subscriptions.pop_settled(now) {
            self.events.push_back(Event::Subscribed(numbers));
        }
        if is_silent {
            self.end(End::Silent);
        }
        if self.phase == Phase::Connected {
            match self.keep_alive.due(now, self.is_used()) {
                Some(Due::Ping) => {
                    self.keep_alive.pinged(now);
                    if self.packets.ping().is_err() {
                        self.end(End::Unintelligible("a PINGREQ can't be sent"));
                    }
                }
                Some(Due::Close) => self.disconnect(End::Closed),
                Some(Due::Silent) => self.end(End::Silent),
                None => {}
            }
        }
        self.close_if_idle();
    }

    /// Requests whose time was over, since this was called last.
    pub(super) fn take_expired(&mut self) -> Expired {
        std::mem::take(&mut self.expired)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Connecting(until) | Phase::Closing(until) => until,
            Phase::Connected => self.keep_alive.next_timeout(self.is_used()),
            Phase::Ended => return None,
        };
        let requests = self.requests.next_deadline();
        let subscriptions = self.subscriptions.next_timeout();
        [Some(phase), requests, subscriptions]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether anything is subscribed to, or in flight.
    fn is_used(&self) -> bool {
        !self.requests.is_empty() || !self.subscriptions.wanted().is_empty()
    }

    /// Moves bytes to the end of `buffer`. To be called until it moves none: then all that can be sent now was moved.
    pub(super) fn poll_write(&mut self, now: Instant, buffer: &mut BytesMut) -> bool {
        if self.phase == Phase::Connected {
            self.send_changes(now);
            self.send_requests(now);
        }
        let is_any = self.packets.unwritten() > 0;
        self.packets.write_to(buffer);
        is_any
    }

    fn send_changes(&mut self, now: Instant) {
        let Some(change) = self.subscriptions.next_change() else {
            return;
        };
        let packet = match change {
            Change::Subscribe(numbers) => self.packets.subscribe(numbers.kinds()),
            Change::Unsubscribe(kinds) => self.packets.unsubscribe(kinds),
        };
        match packet {
            Ok(packet) => {
                self.subscriptions.sent(now, packet, change);
                self.keep_alive.sent(now);
            }
            Err(_) => self.end(End::Unintelligible("a SUBSCRIBE can't be sent")),
        }
    }

    fn send_requests(&mut self, now: Instant) {
        while self.packets.unwritten() < UNWRITTEN
            && self.packets.has_vacancy()
            && let Some(queued) = self.requests.pop_queued()
        {
            let target = queued.outgoing.target;
            let request = match target.has_answer() {
                true => self.requests.next_request(),
                false => 0,
            };
            let topic = target.topic(request);
            match self.packets.publish(&topic, &queued.outgoing.payload) {
                Ok(packet) => {
                    self.keep_alive.sent(now);
                    self.requests.insert(Sent {
                        id: queued.id,
                        outgoing: queued.outgoing,
                        deadline: queued.deadline,
                        packet,
                        request,
                        sent_at: now,
                        is_acknowledged: false,
                    });
                }
                Err(failed) => {
                    let error = Err(failed.error());
                    self.events.push_back(Event::Finished(queued.id, error));
                }
            }
        }
    }

    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    pub(super) fn poll_event(&mut self) -> Option<Event<I>> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        event
    }

    fn give_back(&mut self, request: Queued<I>) {
        let Queued {
            id,
            outgoing,
            deadline,
        } = request;
        self.events.push_back(Event::Unsent(id, outgoing, deadline));
    }

    fn close_if_idle(&mut self) {
        if matches!(self.phase, Phase::Closing(_)) && !self.requests.has_sent() {
            self.disconnect(End::Closed);
        }
    }

    /// Sends DISCONNECT and ends.
    fn disconnect(&mut self, end: End) {
        if self.packets.disconnect().is_ok() {
            self.end(end);
        } else {
            self.end(End::Lost);
        }
    }

    /// Gives each request the outcome that its fate deserves.
    fn end(&mut self, end: End) {
        let was_up = match self.phase {
            Phase::Ended => return,
            Phase::Connecting(_) => false,
            Phase::Connected | Phase::Closing(_) => true,
        };
        self.phase = Phase::Ended;
        let is_one = self.requests.unacknowledged() == 1 && !self.subscriptions.is_pending();
        for sent in self.requests.take_sent() {
            let pending = Pending {
                target: sent.outgoing.target,
                is_suspect: is_one && !sent.is_acknowledged,
                has_package_error: self.has_package_error,
            };
            let error = Err(outcome::ended(end, pending));
            self.events.push_back(Event::Finished(sent.id, error));
        }
        while let Some(queued) = self.requests.pop_queued() {
            match outcome::unsent(end, was_up) {
                Some(error) => self
                    .events
                    .push_back(Event::Finished(queued.id, Err(error))),
                None => self.give_back(queued),
            }
        }
        self.events.push_back(Event::Ended(end));
    }
}
