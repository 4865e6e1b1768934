//! The library's packets: builds those that are sent, and reads those that are received. The only file that knows the
//! library's state machine.
//!
//! What the library leaves to its user, and is done here:
//! * A PUBLISH with packet id 0 passes; ThingsBoard sends one after 65,535 downlinks. It ends the connection.
//! * A second CONNACK passes, and may make a counter overflow at the next PUBACK. Nothing more is read.
//! * After a refusing CONNACK nothing more is read: the DISCONNECT that ThingsBoard sends then has a code that MQTT 5 does
//!   not allow there.
//! * Each error ends the connection, with or without a request to close it.

use super::super::super::{Error, Rejection};
use super::super::encode::LARGEST_ANSWER;
use super::super::outcome::End;
use super::super::topics;
use super::in_flight::{MOST_GIVEN_UP, MOST_REQUESTS};
use super::subscriptions::Kinds;
use bytes::BytesMut;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{ConnectionOptions, Event};
use mqtt_protocol_core::mqtt::packet::v5_0::{
    Connack, Connect, Disconnect, Pingreq, Puback, Publish, Subscribe, Unsubscribe,
};
use mqtt_protocol_core::mqtt::packet::{
    GenericPacketTrait, Packet, Property, Qos, SubEntry, SubOpts,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, DisconnectReasonCode, MqttError, PubackReasonCode, SubackReasonCode,
};
use mqtt_protocol_core::mqtt::{self, Version};
use std::time::Duration;

type Client = mqtt::Connection<mqtt::role::Client>;

/// The largest packet that is read, in bytes: the longest answer and its topic. The library refuses a larger one when it
/// reads its length, and reserves the room of a smaller one at once.
const LARGEST_PACKET: u32 = 257 * 1024;
const _: () = assert!(LARGEST_ANSWER < 257 * 1024);

/// What was received.
#[derive(Debug)]
pub(super) enum Received {
    /// With the Server Keep Alive, if there is one.
    Connected(Option<Duration>),
    Acknowledged(u16, PubackReasonCode),
    /// How many filters were granted. `None`: one was refused.
    Subscribed(u16, Option<usize>),
    Unsubscribed(u16),
    Published(Published),
    Pong,
    End(End),
}

/// A PUBLISH. Its payload is shared with the packet, so it is to be copied if it is kept.
pub(super) struct Published {
    pub(super) packet: mqtt::packet::v5_0::Publish,
    /// `None` at QoS 0.
    pub(super) id: Option<u16>,
}

impl std::fmt::Debug for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let length = self.packet.payload().len();
        write!(f, "Published({:?}, {length} bytes)", self.id)
    }
}

/// The library's connection, and the bytes to send.
pub(super) struct Packets {
    client: Box<Client>,
    output: BytesMut,
    last_id: u16,
    is_connected: bool,
    is_ended: bool,
}

impl Packets {
    pub(super) fn new() -> Packets {
        let options = ConnectionOptions::new().maximum_packet_size_recv(LARGEST_PACKET);
        Packets {
            client: Box::new(Client::with_options(Version::V5_0, options)),
            output: BytesMut::new(),
            last_id: 0,
            is_connected: false,
            is_ended: false,
        }
    }

    /// Sends CONNECT. `user_name`: an access token, or `provision`. Keep Alive is zero: the owner decides about pings.
    pub(super) fn connect(&mut self, user_name: &str, client_id: &str) -> Result<(), Failed> {
        let packet = Connect::builder()
            .client_id(client_id)
            .and_then(|connect| connect.user_name(user_name))
            .and_then(|connect| connect.clean_start(true).keep_alive(0).build());
        let events = self
            .client
            .checked_send(packet.map_err(|_| Failed::Invalid)?);
        self.sent(events)
    }

    /// Sends a PUBLISH at QoS 1 and returns its packet id.
    pub(super) fn publish(&mut self, topic: &str, payload: &[u8]) -> Result<u16, Failed> {
        let id = self.next_id()?;
        let packet = Publish::builder().topic_name(topic).and_then(|publish| {
            let publish = publish.qos(Qos::AtLeastOnce).packet_id(id);
            publish.payload(payload).build()
        });
        let packet = packet.map_err(|_| Failed::Invalid)?;
        let events = self.client.checked_send(packet);
        let sent = self.sent(events);
        if sent.is_err() {
            // The library keeps the id of a packet that is too large for this server.
            let _ = self.client.release_packet_id(id);
        }
        sent.map(|()| id)
    }

    pub(super) fn subscribe(&mut self, kinds: Kinds) -> Result<u16, Failed> {
        let id = self.next_id()?;
        let options = SubOpts::new().set_qos(Qos::AtLeastOnce);
        let entries: Result<Vec<SubEntry>, MqttError> = filters(kinds)
            .map(|filter| SubEntry::new(filter, options))
            .collect();
        let entries = entries.map_err(|_| Failed::Invalid)?;
        let packet = Subscribe::builder().packet_id(id).entries(entries).build();
        let events = self
            .client
            .checked_send(packet.map_err(|_| Failed::Invalid)?);
        self.sent(events).map(|()| id)
    }

    pub(super) fn unsubscribe(&mut self, kinds: Kinds) -> Result<u16, Failed> {
        let id = self.next_id()?;
        let packet = Unsubscribe::builder()
            .packet_id(id)
            .entries(filters(kinds))
            .and_then(|unsubscribe| unsubscribe.build());
        let events = self
            .client
            .checked_send(packet.map_err(|_| Failed::Invalid)?);
        self.sent(events).map(|()| id)
    }

    /// Acknowledges a PUBLISH that was received.
    pub(super) fn acknowledge(&mut self, id: u16) -> Result<(), Failed> {
        let packet = Puback::builder().packet_id(id).build();
        let events = self
            .client
            .checked_send(packet.map_err(|_| Failed::Invalid)?);
        self.sent(events)
    }

    pub(super) fn ping(&mut self) -> Result<(), Failed> {
        let events = self.client.checked_send(Pingreq::new());
        self.sent(events)
    }

    pub(super) fn disconnect(&mut self) -> Result<(), Failed> {
        let code = DisconnectReasonCode::NormalDisconnection;
        let packet = Disconnect::builder().reason_code(code).build();
        let events = self
            .client
            .checked_send(packet.map_err(|_| Failed::Invalid)?);
        self.sent(events)
    }

    /// Whether the server takes another PUBLISH (its Receive Maximum).
    pub(super) fn has_vacancy(&self) -> bool {
        self.client.get_receive_maximum_vacancy_for_send() != Some(0)
    }

    /// Bytes that wait to be written.
    pub(super) fn unwritten(&self) -> usize {
        self.output.len()
    }

    /// Moves the bytes that wait to be written to the end of `buffer`.
    pub(super) fn write_to(&mut self, buffer: &mut BytesMut) {
        match buffer.is_empty() {
            true => *buffer = std::mem::take(&mut self.output),
            false => {
                buffer.extend_from_slice(&self.output);
                // Its memory is not kept while nothing is sent.
                self.output = BytesMut::new();
            }
        }
    }

    /// Reads one packet, and moves the cursor behind it. `None`: there is no whole packet, or none that matters.
    pub(super) fn receive(&mut self, cursor: &mut Cursor<&[u8]>) -> Option<Received> {
        let mut received = None;
        for event in self.client.recv(cursor) {
            let next = match event {
                Event::NotifyPacketReceived(packet) => self.packet(packet),
                // An answer to an error, before the connection ends.
                Event::RequestSendPacket { packet, .. } => {
                    self.append(&packet);
                    None
                }
                Event::NotifyError(_) => Some(Received::End(NO_MQTT)),
                Event::RequestClose => Some(Received::End(End::Lost)),
                Event::NotifyPacketIdReleased(_)
                | Event::RequestTimerReset { .. }
                | Event::RequestTimerCancel(_) => None,
            };
            // An error says more than the request to close that comes with it.
            let is_better = match (&received, &next) {
                (None, _) => true,
                (Some(Received::End(End::Lost)), Some(Received::End(_))) => true,
                (Some(_), Some(Received::End(End::Unintelligible(_)))) => true,
                (Some(_), _) => false,
            };
            if is_better && next.is_some() {
                received = next;
            }
        }
        self.is_ended |= matches!(received, Some(Received::End(_)));
        received
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a server sends no other packets, of 25 that the library knows"
    )]
    fn packet(&mut self, packet: Packet) -> Option<Received> {
        Some(match packet {
            Packet::V5_0Connack(packet) => match (packet.reason_code(), self.is_connected) {
                (_, true) => Received::End(End::Unintelligible("it sent a second CONNACK")),
                (ConnectReasonCode::Success, false) => {
                    self.is_connected = true;
                    Received::Connected(server_keep_alive(&packet))
                }
                (refused, false) => Received::End(End::of_connack(refused)),
            },
            // Before CONNACK only AUTH may come, if CONNECT has an authentication method.
            _ if !self.is_connected => Received::End(NO_MQTT),
            Packet::V5_0Puback(packet) => {
                let code = packet.reason_code().unwrap_or(PubackReasonCode::Success);
                Received::Acknowledged(packet.packet_id(), code)
            }
            Packet::V5_0Suback(packet) => {
                let codes = packet.reason_codes();
                let is_granted = codes.iter().all(SubackReasonCode::is_success);
                Received::Subscribed(packet.packet_id(), is_granted.then_some(codes.len()))
            }
            Packet::V5_0Unsuback(packet) => Received::Unsubscribed(packet.packet_id()),
            Packet::V5_0Publish(packet) => match (packet.qos(), packet.packet_id()) {
                (_, Some(0)) => Received::End(End::Unintelligible("it sent the packet id 0")),
                (Qos::ExactlyOnce, _) => Received::End(NO_MQTT),
                (_, id) => Received::Published(Published { packet, id }),
            },
            Packet::V5_0Pingresp(_) => Received::Pong,
            Packet::V5_0Disconnect(packet) => {
                Received::End(End::of_disconnect(packet.reason_code()))
            }
            _ => Received::End(NO_MQTT),
        })
    }

    /// The next id that no unanswered packet has. The library keeps ids of unanswered packets, also those whose
    /// deadline has passed, so a late answer is never taken for that to another packet.
    fn next_id(&mut self) -> Result<u16, Failed> {
        for _ in 0..MOST_USED_IDS {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.client.register_packet_id(self.last_id).is_ok() {
                return Ok(self.last_id);
            }
        }
        Err(Failed::Invalid)
    }

    fn sent(&mut self, events: Vec<Event>) -> Result<(), Failed> {
        let mut outcome = Ok(());
        for event in events {
            match event {
                Event::RequestSendPacket { packet, .. } => self.append(&packet),
                Event::NotifyError(MqttError::PacketTooLarge) => outcome = Err(Failed::TooLarge),
                Event::NotifyError(_) => outcome = Err(Failed::Invalid),
                Event::NotifyPacketReceived(_)
                | Event::NotifyPacketIdReleased(_)
                | Event::RequestTimerReset { .. }
                | Event::RequestTimerCancel(_)
                | Event::RequestClose => {}
            }
        }
        outcome
    }

    fn append(&mut self, packet: &Packet) {
        if !self.is_ended {
            for piece in packet.to_buffers() {
                self.output.extend_from_slice(&piece);
            }
        }
    }
}

/// More ids than packets can be unanswered: with fewer the owner wants a new connection.
const MOST_USED_IDS: usize = 1024;
const _: () = assert!(MOST_REQUESTS + MOST_GIVEN_UP < MOST_USED_IDS);

const NO_MQTT: End = End::Unintelligible("it is not MQTT");

/// The library does not send a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// It is larger than this server's Maximum Packet Size.
    TooLarge,
    Invalid,
}

impl Failed {
    /// The error of a request that could not be sent.
    pub(super) fn error(self) -> Error {
        match self {
            Failed::TooLarge => Error::Rejected(Rejection::TooLarge),
            Failed::Invalid => Error::Overloaded,
        }
    }
}

/// How often the server wants a packet (MQTT 5 §3.2.2.3.14). ThingsBoard does not say; a proxy before it may.
fn server_keep_alive(packet: &Connack) -> Option<Duration> {
    packet.props().iter().find_map(|property| {
        if let Property::ServerKeepAlive(seconds) = property {
            return Some(Duration::from_secs(seconds.val().into()));
        }
        None
    })
}

fn filters(kinds: Kinds) -> impl Iterator<Item = &'static str> {
    [
        (kinds.attributes, topics::ATTRIBUTES),
        (kinds.commands, topics::COMMANDS),
    ]
    .into_iter()
    .filter_map(|(is_in, filter)| is_in.then_some(filter))
}
