//! One connection without a socket and without a clock, for a fuzz target.

use super::super::{Operation, Package};
use super::connection::{Connection, Event, Numbers};
use super::encode::Outgoing;
use bytes::{Bytes, BytesMut};
use std::time::{Duration, Instant};

/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(10);

/// A connection, and what a device and the gateway do with it.
pub struct Harness {
    connection: Connection<u32>,
    now: Instant,
    written: BytesMut,
}

/// What the connection reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// ThingsBoard has accepted it.
    Connected,
    /// The outcome of the request with this number. It may be an error.
    Finished(u32),
    /// The request with this number was not sent.
    Unsent(u32),
    /// A message, with the packet id to acknowledge.
    Message(Option<u16>),
    /// Subscriptions that work, or another connection that is wanted.
    Other,
    /// It has ended.
    Ended,
}

impl Harness {
    /// CONNECT waits to be written.
    pub fn new(now: Instant) -> Harness {
        Harness {
            connection: Connection::new(now, "TOKEN", "client"),
            now,
            written: BytesMut::new(),
        }
    }

    /// Starts a request with this number and one of eight kinds. Returns whether it is sent; if not, ThingsBoard would not
    /// answer it, or would close the connection.
    pub fn start(&mut self, number: u32, kind: u8, body: Bytes) -> bool {
        let small = u32::from(kind >> 3);
        let operation = match kind & 7 {
            0 => Operation::PostTelemetry(body),
            1 => Operation::PostAttributes(body),
            2 => Operation::Claim(body),
            3 => Operation::ReplyRpc { id: small, body },
            4 => Operation::CallRpc(body),
            5 => Operation::ReadAttributes,
            6 => Operation::ReadAssignment(Package::Software),
            _ => Operation::GetPackage {
                package: Package::Firmware,
                title: "t".into(),
                version: "v".into(),
                size: small + 1,
                chunk: small.into(),
            },
        };
        match Outgoing::new(&operation) {
            Ok(outgoing) => {
                let deadline = self.now + REQUEST;
                self.connection.start(number, outgoing, deadline);
                true
            }
            Err(_) => false,
        }
    }

    /// Bytes of the server.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.connection.receive(self.now, bytes);
    }

    /// Lets this time pass, at most until the connection has something to do. Returns what is left of it.
    pub fn advance(&mut self, time: Duration) -> Duration {
        let due = self.connection.next_timeout();
        let wait = due.map_or(time, |at| at.saturating_duration_since(self.now).min(time));
        self.now += wait;
        if due.is_some_and(|at| at <= self.now) {
            self.connection.handle_timeout(self.now);
        }
        time.saturating_sub(wait)
    }

    /// Whether there is something to do at a later time.
    pub fn has_timeout(&self) -> bool {
        self.connection.next_timeout().is_some()
    }

    /// Subscribes to changes of attributes and to commands under these numbers, and to nothing else.
    pub fn subscribe(&mut self, attributes: Option<u64>, commands: Option<u64>) {
        self.connection.set_subscriptions(Numbers {
            attributes,
            commands,
        });
    }

    /// The device has a message.
    pub fn acknowledge(&mut self, packet: u16) {
        self.connection.acknowledge(self.now, packet);
    }

    /// The device has sent something, and counts as alive for this time.
    pub fn alive_for(&mut self, time: Duration) {
        self.connection.alive_until(self.now + time);
    }

    /// The device is gone.
    pub fn close(&mut self) {
        self.connection.close(self.now);
    }

    /// The stream has ended.
    pub fn lost(&mut self) {
        self.connection.lost();
    }

    /// What is to be written to the server.
    pub fn written(&mut self) -> Bytes {
        while self.connection.poll_write(self.now, &mut self.written) {}
        self.written.split().freeze()
    }

    /// What has happened next.
    pub fn reported(&mut self) -> Option<Reported> {
        Some(match self.connection.poll_event()? {
            Event::Connected => Reported::Connected,
            Event::Finished(number, _) => Reported::Finished(number),
            Event::Unsent(number, ..) => Reported::Unsent(number),
            Event::Attributes(downlink) | Event::Command(_, downlink) => {
                Reported::Message(downlink.packet)
            }
            Event::Subscribed(_) | Event::RenewalDue => Reported::Other,
            Event::Ended(_) => Reported::Ended,
        })
    }
}
