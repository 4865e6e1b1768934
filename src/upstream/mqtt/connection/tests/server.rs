//! The server's side: parses what the client sends, and makes packets.

use mqtt_protocol_core::mqtt::packet::Qos;
use mqtt_protocol_core::mqtt::packet::v5_0;
use std::collections::VecDeque;
use std::sync::Arc;

/// A packet of the client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sent {
    /// With its user name.
    Connect(String),
    Publish {
        id: u16,
        topic: String,
        payload: Vec<u8>,
    },
    Puback(u16),
    Subscribe(u16, Vec<String>),
    Unsubscribe(u16),
    Ping,
    Disconnect,
}

#[derive(Default)]
pub(crate) struct Server {
    partial: Vec<u8>,
    packets: VecDeque<Sent>,
    /// Bytes received.
    pub(crate) received: usize,
}

impl Server {
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.received += bytes.len();
        self.partial.extend_from_slice(bytes);
        while let Some((first, body, rest)) = split(&self.partial) {
            self.packets.push_back(parse(first, &body));
            self.partial = rest;
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Sent> {
        self.packets.pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }
}

/// First byte, body and rest of a whole packet.
fn split(bytes: &[u8]) -> Option<(u8, Vec<u8>, Vec<u8>)> {
    let (mut length, mut at) = (0, 1);
    loop {
        let byte = usize::from(*bytes.get(at)?);
        length += (byte & 127) << (7 * (at - 1));
        at += 1;
        if byte < 128 {
            break;
        }
    }
    let body = bytes.get(at..at + length)?.to_vec();
    Some((bytes[0], body, bytes[at + length..].to_vec()))
}

fn parse(first: u8, body: &[u8]) -> Sent {
    match first >> 4 {
        1 => {
            let (packet, _) = v5_0::Connect::parse(body).unwrap();
            assert!(packet.clean_start() && packet.keep_alive() == 0);
            Sent::Connect(packet.user_name().unwrap().to_owned())
        }
        3 => {
            let (packet, _) = v5_0::Publish::parse(first & 15, Arc::from(body)).unwrap();
            assert_eq!(packet.qos(), Qos::AtLeastOnce);
            Sent::Publish {
                id: packet.packet_id().unwrap(),
                topic: packet.topic_name().to_owned(),
                payload: packet.payload().as_slice().to_vec(),
            }
        }
        4 => Sent::Puback(v5_0::Puback::parse(body).unwrap().0.packet_id()),
        8 => {
            let (packet, _) = v5_0::Subscribe::parse(body).unwrap();
            let filters = packet.entries().iter();
            let filters = filters.map(|entry| entry.topic_filter().to_owned());
            Sent::Subscribe(packet.packet_id(), filters.collect())
        }
        10 => Sent::Unsubscribe(v5_0::Unsubscribe::parse(body).unwrap().0.packet_id()),
        12 => Sent::Ping,
        14 => Sent::Disconnect,
        other => panic!("packet type {other}"),
    }
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut length = body.len();
    loop {
        let byte = u8::try_from(length % 128).unwrap();
        length /= 128;
        bytes.push(if length > 0 { byte | 128 } else { byte });
        if length == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

pub(crate) fn connack(code: u8) -> Vec<u8> {
    packet(0x20, &[0, code, 0])
}

/// As ThingsBoard sends it: with a code even if it is 0.
pub(crate) fn puback(id: u16, code: u8) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    packet(0x40, &[high, low, code, 0])
}

pub(crate) fn suback(id: u16, codes: &[u8]) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    packet(0x90, &[&[high, low, 0], codes].concat())
}

pub(crate) fn unsuback(id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    packet(0xb0, &[high, low, 0, 0])
}

pub(crate) fn disconnect(code: u8) -> Vec<u8> {
    packet(0xe0, &[code, 0])
}

pub(crate) fn pong() -> Vec<u8> {
    packet(0xd0, &[])
}

/// At QoS 1.
pub(crate) fn publish(id: u16, topic: &str, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(topic.len()).unwrap();
    let body = [
        &length.to_be_bytes()[..],
        topic.as_bytes(),
        &id.to_be_bytes(),
        &[0],
        payload,
    ];
    packet(0x32, &body.concat())
}

/// At QoS 0.
pub(crate) fn publish_at_most_once(topic: &str, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(topic.len()).unwrap();
    let body = [&length.to_be_bytes()[..], topic.as_bytes(), &[0], payload];
    packet(0x30, &body.concat())
}
