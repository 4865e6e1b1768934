//! Any bytes of a server on an MQTT connection, in any pieces, while requests, subscriptions, acknowledgements and time go
//! on. Each request has one outcome, no packet id is used twice at a time, and the last event is the end.

#![no_main]

use bytes::Bytes;
use coaps_gateway::facade::upstream::mqtt::{Harness, Reported};
use core_harness::datagrams;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// More than what may be written at once: 16 KiB, one more packet of 64 KiB, and a PUBACK for each message of an input.
const MOST_WRITTEN: usize = 128 * 1024;
/// The connection does less often something in the time of one step.
const MOST_TIMEOUTS: usize = 2000;

fuzz_target!(|input: &[u8]| {
    let mut run = Run::new();
    for (step, bytes) in datagrams(input) {
        run.step(step, bytes);
        run.settle();
    }
    run.end();
});

struct Run {
    harness: Harness,
    /// Bytes of the server that were not delivered yet.
    held: Vec<u8>,
    last_number: u32,
    pending: BTreeSet<u32>,
    messages: Vec<u16>,
    /// Bytes of the client that are no whole packet yet.
    partial: Vec<u8>,
    used_ids: BTreeSet<u16>,
    is_ended: bool,
}

impl Run {
    fn new() -> Run {
        let mut harness = Harness::new(Instant::now());
        harness.alive_for(Duration::from_secs(1000));
        Run {
            harness,
            held: Vec::new(),
            last_number: 0,
            pending: BTreeSet::new(),
            messages: Vec::new(),
            partial: Vec::new(),
            used_ids: BTreeSet::new(),
            is_ended: false,
        }
    }

    fn step(&mut self, step: u8, bytes: &[u8]) {
        let small = bytes.first().copied().unwrap_or_default();
        let number = u64::from(small);
        match step & 15 {
            0 => self.deliver(small),
            1 => self.held.extend_from_slice(bytes),
            // CONNACK, with these properties.
            2 => {
                let mut body = vec![0, step >> 4];
                body.push(u8::try_from(bytes.len() & 127).expect("seven bits"));
                body.extend_from_slice(&bytes[..bytes.len() & 127]);
                self.hold(0x20, &body);
            }
            3 => self.answer(0x40, small, &[bytes.get(1).copied().unwrap_or_default(), 0]),
            4 => self.answer(
                0x90,
                small,
                &[&[0], bytes.get(1..).unwrap_or_default()].concat(),
            ),
            5 => self.answer(
                0xb0,
                small,
                &[&[0], bytes.get(1..).unwrap_or_default()].concat(),
            ),
            6 | 7 => self.publish(step, bytes),
            8 => self.hold(0xd0, &[]),
            9 => self.hold(0xe0, &[step << 4 | small & 15, 0]),
            // Its owner starts nothing after the end.
            10 | 11 if self.is_ended => {}
            10 | 11 => {
                self.last_number += 1;
                let body = Bytes::copy_from_slice(bytes.get(1..).unwrap_or_default());
                if self.harness.start(self.last_number, small, body) {
                    self.pending.insert(self.last_number);
                }
            }
            12 => {
                let wanted = |bit: u8| (step & bit != 0).then_some(number);
                self.harness.subscribe(wanted(16), wanted(32));
            }
            13 => {
                if let Some(at) = usize::from(small).checked_rem(self.messages.len()) {
                    let packet = self.messages.remove(at);
                    self.harness.acknowledge(packet);
                }
            }
            14 => self.advance(Duration::from_millis(number * 40)),
            _ => match step >> 4 {
                0 => self.harness.close(),
                1 => self.harness.lost(),
                2 => self.harness.alive_for(Duration::from_secs(number * 10)),
                _ => self.advance(Duration::from_secs(number * 5)),
            },
        }
    }

    /// A message of ThingsBoard's, on one of its topics or another.
    fn publish(&mut self, step: u8, bytes: &[u8]) {
        let [id, topic, payload @ ..] = bytes else {
            return;
        };
        let number = topic >> 4;
        let topic = match topic & 7 {
            0 => "v2/a/j".to_owned(),
            1 => format!("v2/r/req/j/{number}"),
            2 => format!("v2/a/res/j/{number}"),
            3 => format!("v2/r/res/j/{number}"),
            4 => format!("v2/fw/response/{number}/chunk/{}", topic >> 5),
            5 => "v2/fw/error".to_owned(),
            6 => "/provision/response".to_owned(),
            _ => String::from_utf8_lossy(payload).into_owned(),
        };
        let length = u16::try_from(topic.len()).expect("a short topic");
        let mut body = length.to_be_bytes().to_vec();
        body.extend_from_slice(topic.as_bytes());
        let first = match step & 15 {
            6 => 0x30,
            _ => {
                // Ids at both ends.
                let id = match step >> 4 {
                    15 => 60_000 + u16::from(*id) * 21,
                    _ => u16::from(*id),
                };
                body.extend_from_slice(&id.to_be_bytes());
                0x32
            }
        };
        body.push(0);
        body.extend_from_slice(payload);
        self.hold(first, &body);
    }

    /// A PUBACK, SUBACK or UNSUBACK.
    fn answer(&mut self, first: u8, id: u8, rest: &[u8]) {
        self.used_ids.remove(&u16::from(id));
        self.hold(first, &[&[0, id], rest].concat());
    }

    fn hold(&mut self, first: u8, body: &[u8]) {
        self.held.push(first);
        let mut length = body.len();
        while length > 127 {
            self.held
                .push(u8::try_from(length & 127).expect("seven bits") | 128);
            length >>= 7;
        }
        self.held.push(u8::try_from(length).expect("seven bits"));
        self.held.extend_from_slice(body);
    }

    /// Delivers what is held, in pieces of this size; all at once if it is 0.
    fn deliver(&mut self, size: u8) {
        let held = std::mem::take(&mut self.held);
        let size = match size {
            0 => held.len().max(1),
            size => size.into(),
        };
        for piece in held.chunks(size) {
            self.harness.receive(piece);
            self.settle();
        }
    }

    fn advance(&mut self, mut time: Duration) {
        for _ in 0..MOST_TIMEOUTS {
            if time.is_zero() {
                return;
            }
            time = self.harness.advance(time);
            self.settle();
        }
        panic!("its next timeout does not pass");
    }

    fn settle(&mut self) {
        let written = self.harness.written();
        assert!(written.len() < MOST_WRITTEN, "{}", written.len());
        self.partial.extend_from_slice(&written);
        while let Some(length) = whole_packet(&self.partial) {
            let packet: Vec<u8> = self.partial.drain(..length).collect();
            self.sent(&packet);
        }
        while let Some(reported) = self.harness.reported() {
            assert!(!self.is_ended, "{reported:?} after the end");
            match reported {
                Reported::Finished(number) | Reported::Unsent(number) => {
                    assert!(self.pending.remove(&number), "a second outcome");
                }
                Reported::Message(Some(packet)) => {
                    assert_ne!(packet, 0);
                    self.messages.push(packet);
                }
                Reported::Ended => self.is_ended = true,
                Reported::Connected | Reported::Message(None) | Reported::Other => {}
            }
        }
    }

    /// A packet of the client's.
    fn sent(&mut self, packet: &[u8]) {
        let header = packet
            .iter()
            .skip(1)
            .take_while(|byte| **byte > 127)
            .count()
            + 2;
        let body = &packet[header..];
        let at = match packet[0] {
            // PUBLISH at QoS 1: after the topic.
            0x32 => usize::from(u16::from_be_bytes([body[0], body[1]])) + 2,
            // SUBSCRIBE, UNSUBSCRIBE
            0x82 | 0xa2 => 0,
            // CONNECT, PUBACK, PINGREQ, DISCONNECT
            0x10 | 0x40 | 0xc0 | 0xe0 => return,
            other => panic!("packet {other:#x}"),
        };
        let id = u16::from_be_bytes([body[at], body[at + 1]]);
        assert_ne!(id, 0);
        assert!(self.used_ids.insert(id), "the id {id} is used twice");
    }

    fn end(mut self) {
        // Longer than every request, a SUBACK, and a device's being alive.
        self.advance(Duration::from_secs(3000));
        self.harness.lost();
        self.settle();
        assert!(
            self.is_ended && self.pending.is_empty(),
            "{:?}",
            self.pending
        );
        assert!(!self.harness.has_timeout());
        assert!(self.partial.is_empty());
    }
}

/// The length of the first packet, if it is whole.
fn whole_packet(bytes: &[u8]) -> Option<usize> {
    let mut length = 0;
    for at in 1.. {
        let byte = usize::from(*bytes.get(at)?);
        length += (byte & 127) << (7 * (at - 1));
        if byte < 128 {
            let whole = at + 1 + length;
            return (bytes.len() >= whole).then_some(whole);
        }
    }
    None
}
