//! One connection's session: packets in, packets out, and the time as a parameter.

mod connect;
mod downlink;
mod downloads;
mod provision;
mod publish;
mod subscriptions;
#[cfg(test)]
mod tests;

use super::packet::{Connect, DecodeError, Level, Packet, Reply, decode, encode};
use super::topic::Form;
use crate::clock::Clock;
use crate::downlink::{Push, PushId};
use crate::state::State;
use bytes::BytesMut;
use downloads::Downloads;
use publish::AttributesRequest;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc;

/// `transport.mqtt.msg_queue_size_per_device_limit`: more packets than this before CONNACK close the connection.
const MAX_QUEUED: usize = 100;
/// The bytes that wait to be sent to a client that does not read. ThingsBoard has no such limit.
const MAX_OUTPUT: usize = 32 * 1024 * 1024;
/// The filters of one connection, and the downloads: the simulator's own limit.
const MAX_ENTRIES: usize = 1000;

/// Reason codes of MQTT 5, as ThingsBoard uses them.
mod code {
    pub(super) const SUCCESS: u8 = 0;
    pub(super) const NO_SUBSCRIPTION: u8 = 0x11;
    pub(super) const MALFORMED: u8 = 0x81;
    /// A rate limit, used up API usage, a failed download, ten minutes of silence, or an internal error.
    pub(super) const IMPLEMENTATION: u8 = 0x83;
    pub(super) const CLIENT_ID: u8 = 0x85;
    pub(super) const BAD_CREDENTIALS: u8 = 0x86;
    pub(super) const NOT_AUTHORIZED: u8 = 0x87;
    /// An exception that the handler does not expect.
    pub(super) const SHUTTING_DOWN: u8 = 0x8b;
    pub(super) const TAKEN_OVER: u8 = 0x8e;
    pub(super) const FILTER: u8 = 0x8f;
    pub(super) const TOPIC: u8 = 0x90;
    pub(super) const MESSAGE_RATE: u8 = 0x96;
    pub(super) const QUOTA: u8 = 0x97;
    pub(super) const ADMINISTRATIVE: u8 = 0x98;
    pub(super) const PAYLOAD: u8 = 0x99;
    pub(super) const CONNECTION_RATE: u8 = 0x9f;
}

/// What a session works on: the simulator's state, and the time.
pub(super) struct Context<'a> {
    pub(super) state: &'a mut State,
    /// On the simulator's clock.
    pub(super) now_ms: u64,
    /// Measures how long PUBACKs take. Nothing else depends on it.
    pub(super) clock: Clock,
    /// Since the Unix epoch.
    pub(super) epoch_ms: u64,
}

/// How far a connection is.
enum Phase {
    /// Before CONNECT.
    New,
    /// Between CONNECT and CONNACK.
    Connecting(Connect),
    /// With the user name or client id `provision`.
    Provisioning,
    Device(DeviceSession),
    /// Nothing is read any more.
    Closed,
}

/// The session of a device.
struct DeviceSession {
    name: Arc<str>,
    push: PushId,
    /// The form of the last SUBSCRIBE for attributes, which is that of their changes.
    attributes: Option<Form>,
    /// That of the last one for RPC.
    rpc: Option<Form>,
    /// The PUBLISHes without a PUBACK, by packet id.
    in_flight: BTreeMap<u16, InFlight>,
    downloads: Downloads,
}

/// A PUBLISH to the client that has no PUBACK yet.
struct InFlight {
    /// Distinguishes uses of the packet id.
    number: u64,
    /// The id of the command, if it is one.
    command: Option<i32>,
    /// When it was sent, in microseconds.
    sent_us: u64,
}

/// What is due at a time.
enum Timed {
    ConnAck,
    Reply(Reply),
    Attributes(AttributesRequest),
    /// A client-side RPC has had no answer.
    RpcTimeout(String),
    /// A PUBLISH has had no PUBACK.
    AckTimeout(u16, u64),
    /// Close with this code.
    Close(u8),
}

/// One connection's session.
pub(super) struct Session {
    level: Option<Level>,
    phase: Phase,
    input: BytesMut,
    output: BytesMut,
    /// Packets that wait for CONNACK.
    queue: VecDeque<Packet>,
    /// The granted QoS by filter.
    granted: HashMap<String, u8>,
    next_id: u16,
    timed: BTreeMap<(u64, u64), Timed>,
    last_number: u64,
    last_packet_ms: u64,
    idle_timeout_ms: u64,
    mailbox: Option<mpsc::Sender<Push>>,
}

impl Session {
    /// A session of a new connection. Messages of the downlink for it are sent to the mailbox.
    pub(super) fn new(cx: &Context<'_>, mailbox: mpsc::Sender<Push>) -> Session {
        let settings = cx.state.mqtt.settings;
        Session {
            level: None,
            phase: Phase::New,
            input: BytesMut::new(),
            output: BytesMut::new(),
            queue: VecDeque::new(),
            granted: HashMap::new(),
            next_id: settings.first_packet_id,
            timed: BTreeMap::new(),
            last_number: 0,
            last_packet_ms: cx.now_ms,
            idle_timeout_ms: crate::clock::in_ms(settings.idle_timeout),
            mailbox: Some(mailbox),
        }
    }

    /// Takes bytes of the client.
    pub(super) fn receive(&mut self, cx: &mut Context<'_>, bytes: &[u8]) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        self.input.extend_from_slice(bytes);
        loop {
            let packet = match decode(&mut self.input, &mut self.level) {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(DecodeError::Malformed) => {
                    self.close(cx, code::MALFORMED);
                    break;
                }
                Err(DecodeError::Level) => {
                    self.level = None;
                    self.close(cx, code::MALFORMED);
                    break;
                }
            };
            self.last_packet_ms = cx.now_ms;
            self.handle_packet(cx, packet);
            if matches!(self.phase, Phase::Closed) {
                break;
            }
        }
        if self.input.is_empty() {
            // An idle connection keeps no buffer.
            self.input = BytesMut::new();
        }
    }

    fn handle_packet(&mut self, cx: &mut Context<'_>, packet: Packet) {
        match (&self.phase, packet) {
            (Phase::Closed, _) => {}
            (Phase::New, Packet::Connect(connect)) => {
                self.phase = Phase::Connecting(connect);
                let delay_ms = crate::clock::in_ms(cx.state.mqtt.settings.connack_delay);
                self.at(cx.now_ms.saturating_add(delay_ms), Timed::ConnAck);
                self.handle_timeout(cx);
            }
            (_, Packet::Connect(connect)) => {
                // Accepted without effect.
                let session_present = !connect.clean_start;
                self.send(Reply::ConnAck {
                    session_present,
                    code: code::SUCCESS,
                });
            }
            (Phase::New | Phase::Connecting(_), packet) => {
                if self.queue.len() >= MAX_QUEUED {
                    self.close(cx, code::QUOTA);
                } else {
                    self.queue.push_back(packet);
                }
            }
            (Phase::Provisioning, packet) => self.handle_provisioning(cx, packet),
            (Phase::Device(_), packet) => {
                while let Some(queued) = self.queue.pop_front() {
                    self.handle_device_packet(cx, queued);
                }
                self.handle_device_packet(cx, packet);
            }
        }
    }

    fn handle_device_packet(&mut self, cx: &mut Context<'_>, packet: Packet) {
        match packet {
            Packet::Publish(publish) => self.handle_publish(cx, publish),
            Packet::PubAck(id) => self.handle_pub_ack(cx, id),
            Packet::Subscribe(id, filters) => self.handle_subscribe(cx, id, filters),
            Packet::Unsubscribe(id, filters) => self.handle_unsubscribe(cx, id, &filters),
            Packet::PingReq => {
                let Phase::Device(device) = &self.phase else {
                    return;
                };
                cx.state.mqtt.counts_mut(&device.name).pings += 1;
                cx.state
                    .directory
                    .record_activity(&device.name, cx.epoch_ms);
                self.send(Reply::PingResp);
            }
            Packet::Disconnect => {
                if let Phase::Device(device) = &self.phase {
                    cx.state.mqtt.counts_mut(&device.name).disconnects += 1;
                }
                self.close_silently(cx);
            }
            Packet::Connect(_) | Packet::Other => {}
        }
    }

    /// When [`handle_timeout`](Session::handle_timeout) must be called next.
    pub(super) fn next_timeout(&self) -> Option<u64> {
        if matches!(self.phase, Phase::Closed) {
            return None;
        }
        let idle = self.last_packet_ms.saturating_add(self.idle_timeout_ms);
        let timed = self.timed.first_key_value().map(|((at, _), _)| *at);
        Some(timed.map_or(idle, |timed| timed.min(idle)))
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        while let Some(entry) = self.timed.first_entry() {
            if entry.key().0 > cx.now_ms || matches!(self.phase, Phase::Closed) {
                break;
            }
            match entry.remove() {
                Timed::ConnAck => self.finish_connect(cx),
                Timed::Reply(reply) => self.send(reply),
                Timed::Attributes(request) => self.answer_attributes(cx, &request),
                Timed::RpcTimeout(topic) => {
                    self.publish_answer(cx, topic, "{\"error\":\"timeout\"}".into());
                }
                Timed::AckTimeout(id, number) => self.handle_ack_timeout(cx, id, number),
                Timed::Close(code) => self.close(cx, code),
            }
        }
        let idle_ms = cx.now_ms.saturating_sub(self.last_packet_ms);
        if idle_ms >= self.idle_timeout_ms {
            self.close(cx, code::IMPLEMENTATION);
        }
    }

    /// The bytes to send. They are taken away from the front as they are written.
    pub(super) fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Whether the connection is to be closed once the output is written.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// The connection ends. If it is cut, nothing more is sent.
    pub(super) fn handle_end(&mut self, cx: &mut Context<'_>, is_cut: bool) {
        if is_cut {
            self.output = BytesMut::new();
        }
        self.close_silently(cx);
    }

    /// Closes with a DISCONNECT in MQTT 5, without a word in 3.1.1.
    fn close(&mut self, cx: &mut Context<'_>, code: u8) {
        if !matches!(self.phase, Phase::Closed) {
            self.send(Reply::Disconnect(code));
        }
        self.close_silently(cx);
    }

    fn close_silently(&mut self, cx: &mut Context<'_>) {
        if let Phase::Device(device) = std::mem::replace(&mut self.phase, Phase::Closed) {
            device.end(cx);
        }
        self.mailbox = None;
        self.input = BytesMut::new();
        self.queue.clear();
        self.timed.clear();
    }

    fn send(&mut self, reply: Reply) {
        let Some(level) = self.level else {
            return;
        };
        if self.output.is_empty() {
            // Not the old buffer, which may be large.
            self.output = BytesMut::new();
        }
        encode(level, &reply, &mut self.output);
        if self.output.len() > MAX_OUTPUT && !matches!(self.phase, Phase::Closed) {
            tracing::warn!(
                "an MQTT client does not read {MAX_OUTPUT} bytes: its connection is closed"
            );
            self.output = BytesMut::new();
            self.timed
                .insert((0, 0), Timed::Close(code::IMPLEMENTATION));
        }
    }

    /// Sends a reply after the delay of PUBACKs.
    fn send_later(&mut self, cx: &Context<'_>, reply: Reply) {
        let delay_ms = crate::clock::in_ms(cx.state.mqtt.settings.puback_delay);
        if delay_ms == 0 {
            self.send(reply);
        } else {
            self.at(cx.now_ms.saturating_add(delay_ms), Timed::Reply(reply));
        }
    }

    fn at(&mut self, at_ms: u64, timed: Timed) {
        let number = self.number();
        self.timed.insert((at_ms, number), timed);
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}
