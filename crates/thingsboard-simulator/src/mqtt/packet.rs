//! MQTT's packets: from bytes to what a session needs of them, and from its replies to bytes.
//!
//! `mqtt-protocol-core` parses and builds them. Where ThingsBoard sends what MQTT forbids (packet id 0, a DISCONNECT with
//! code 0x86), the bytes are written here.

mod encode;

use bytes::{Buf, Bytes, BytesMut};
use mqtt_protocol_core::mqtt::packet::{Qos, SubEntry, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::MqttError;
use std::sync::Arc;

pub(super) use encode::{Downlink, Reply, encode};

/// `transport.mqtt.netty.max_payload_size`: the largest remaining length.
pub(super) const MAX_REMAINING: usize = 65_536;

/// The version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// MQTT 3.1.1, level 4.
    V311,
    /// MQTT 5.
    V5,
}

/// A packet of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Connect(Connect),
    Publish(Publish),
    PubAck(u16),
    /// Filters with the requested QoS.
    Subscribe(u16, Vec<(String, u8)>),
    Unsubscribe(u16, Vec<String>),
    PingReq,
    Disconnect,
    /// One that ThingsBoard ignores.
    Other,
}

/// CONNECT. Its `Debug` hides the user name, which is an access token.
#[derive(PartialEq, Eq)]
pub(super) struct Connect {
    pub(super) clean_start: bool,
    pub(super) client_id: String,
    pub(super) user_name: Option<String>,
}

impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect").finish_non_exhaustive()
    }
}

/// PUBLISH. The packet id is 0 at QoS 0.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Publish {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: u8,
    pub(super) id: u16,
}

/// Why the bytes are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecodeError {
    /// It is malformed, or longer than [`MAX_REMAINING`].
    Malformed,
    /// A CONNECT of another protocol or level.
    Level,
}

impl From<MqttError> for DecodeError {
    fn from(_: MqttError) -> DecodeError {
        DecodeError::Malformed
    }
}

/// Takes the next packet from the bytes. `level` is set by the CONNECT, and is that of the packets after it.
pub(super) fn decode(
    bytes: &mut BytesMut,
    level: &mut Option<Level>,
) -> Result<Option<Packet>, DecodeError> {
    let Some((header, length)) = remaining_length(bytes)? else {
        return Ok(None);
    };
    if bytes.len() < header + length {
        return Ok(None);
    }
    let first = bytes.first().copied().unwrap_or_default();
    bytes.advance(header);
    let body = bytes.split_to(length);
    let (kind, flags) = (first >> 4, first & 0x0f);
    let packet = match kind {
        1 => Packet::Connect(connect(&body, level)?),
        3 => Packet::Publish(publish(flags, &body, *level)?),
        4 => Packet::PubAck(pub_ack(&body, *level)?),
        8 => subscribe(&body, *level)?,
        10 => unsubscribe(&body, *level)?,
        12 => Packet::PingReq,
        14 => Packet::Disconnect,
        5..=7 | 15 => Packet::Other,
        _ => return Err(DecodeError::Malformed),
    };
    Ok(Some(packet))
}

/// The length of the fixed header, and the remaining length; `None` if more bytes are needed.
fn remaining_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, DecodeError> {
    let mut length = 0;
    for at in 0..4 {
        let Some(byte) = bytes.get(at + 1) else {
            return Ok(None);
        };
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            if length > MAX_REMAINING {
                return Err(DecodeError::Malformed);
            }
            return Ok(Some((at + 2, length)));
        }
    }
    Err(DecodeError::Malformed)
}

fn connect(body: &[u8], level: &mut Option<Level>) -> Result<Connect, DecodeError> {
    match (body.get(..6), body.get(6)) {
        (Some(b"\0\x04MQTT"), Some(4)) => {
            let (connect, _) = v3_1_1::Connect::parse(body)?;
            *level = Some(Level::V311);
            Ok(Connect {
                clean_start: connect.clean_start(),
                client_id: connect.client_id().to_owned(),
                user_name: connect.user_name().map(str::to_owned),
            })
        }
        (Some(b"\0\x04MQTT"), Some(5)) => {
            let (connect, _) = v5_0::Connect::parse(body)?;
            *level = Some(Level::V5);
            Ok(Connect {
                clean_start: connect.clean_start(),
                client_id: connect.client_id().to_owned(),
                user_name: connect.user_name().map(str::to_owned),
            })
        }
        _ => Err(DecodeError::Level),
    }
}

fn publish(flags: u8, body: &[u8], level: Option<Level>) -> Result<Publish, DecodeError> {
    let body: Arc<[u8]> = Arc::from(body);
    let (topic, payload, qos, id) = if level == Some(Level::V311) {
        let (publish, _) = v3_1_1::Publish::parse(flags, body)?;
        let payload = Bytes::copy_from_slice(publish.payload().as_slice());
        let topic = publish.topic_name().to_owned();
        (topic, payload, publish.qos(), publish.packet_id())
    } else {
        let (publish, _) = v5_0::Publish::parse(flags, body)?;
        let payload = Bytes::copy_from_slice(publish.payload().as_slice());
        let topic = publish.topic_name().to_owned();
        (topic, payload, publish.qos(), publish.packet_id())
    };
    if id == Some(0) || topic.contains(['+', '#']) {
        return Err(DecodeError::Malformed);
    }
    Ok(Publish {
        topic,
        payload,
        qos: number(qos),
        id: id.unwrap_or_default(),
    })
}

fn pub_ack(body: &[u8], level: Option<Level>) -> Result<u16, DecodeError> {
    if level == Some(Level::V311) {
        Ok(v3_1_1::Puback::parse(body)?.0.packet_id())
    } else {
        Ok(v5_0::Puback::parse(body)?.0.packet_id())
    }
}

fn subscribe(body: &[u8], level: Option<Level>) -> Result<Packet, DecodeError> {
    let filters = |entries: &[SubEntry]| {
        let filter = |entry: &SubEntry| {
            let qos = number(entry.sub_opts().qos());
            (entry.topic_filter().to_owned(), qos)
        };
        entries.iter().map(filter).collect()
    };
    let (id, filters) = if level == Some(Level::V311) {
        let (subscribe, _) = v3_1_1::Subscribe::parse(body)?;
        (subscribe.packet_id(), filters(subscribe.entries()))
    } else {
        let (subscribe, _) = v5_0::Subscribe::parse(body)?;
        (subscribe.packet_id(), filters(subscribe.entries()))
    };
    if id == 0 {
        return Err(DecodeError::Malformed);
    }
    Ok(Packet::Subscribe(id, filters))
}

fn unsubscribe(body: &[u8], level: Option<Level>) -> Result<Packet, DecodeError> {
    let (id, filters): (u16, Vec<String>) = if level == Some(Level::V311) {
        let (unsubscribe, _) = v3_1_1::Unsubscribe::parse(body)?;
        let filters = unsubscribe.entries().iter();
        let filters = filters.map(|filter| filter.as_str().to_owned());
        (unsubscribe.packet_id(), filters.collect())
    } else {
        let (unsubscribe, _) = v5_0::Unsubscribe::parse(body)?;
        let filters = unsubscribe.entries().iter();
        let filters = filters.map(|filter| filter.as_str().to_owned());
        (unsubscribe.packet_id(), filters.collect())
    };
    if id == 0 {
        return Err(DecodeError::Malformed);
    }
    Ok(Packet::Unsubscribe(id, filters))
}

fn number(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
    }
}

#[cfg(test)]
mod tests;
