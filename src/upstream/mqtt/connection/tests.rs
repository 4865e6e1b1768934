//! A connection in simulated time, against a scripted server that speaks bytes.

mod ends;
mod hostile;
mod requests;
pub(in crate::upstream::mqtt) mod server;
mod subscriptions;
mod timing;

use super::super::encode::Outgoing;
use super::super::outcome::End;
use super::*;
use crate::upstream::{Operation, Package};
use server::{Sent as FromClient, Server};

/// A connection and its server, with all events so far in a readable form.
pub(super) struct World {
    pub(super) connection: Connection<u32>,
    pub(super) now: Instant,
    pub(super) server: Server,
    pub(super) events: Vec<Seen>,
    last_id: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Connected,
    Finished(u32, Result<Bytes, Error>),
    Unsent(u32),
    Subscribed(Numbers),
    Attributes(Bytes, Option<u16>),
    Command(u32, Bytes, Option<u16>),
    RenewalDue,
    Ended(End),
}

pub(super) const BOTH: Numbers = Numbers {
    attributes: Some(1),
    commands: Some(1),
};
const REQUEST_TIME: Duration = Duration::from_secs(10);

impl World {
    pub(super) fn new() -> World {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let mut connection = Connection::new(now, "TOKEN", "client");
        connection.alive_until(now + Duration::from_secs(3600));
        World {
            connection,
            now,
            server: Server::default(),
            events: Vec::new(),
            last_id: 0,
        }
    }

    /// A connection that the server has accepted.
    pub(super) fn connected() -> World {
        let mut world = World::new();
        world.exchange();
        assert!(matches!(
            world.server.pop(),
            Some(FromClient::Connect(token)) if token == "TOKEN"
        ));
        world.receive(&server::connack(0));
        assert_eq!(world.pop_events(), [Seen::Connected]);
        world
    }

    /// Starts a request and returns its id.
    pub(super) fn start(&mut self, operation: &Operation) -> u32 {
        self.last_id += 1;
        let outgoing = Outgoing::new(operation).unwrap();
        self.connection
            .start(self.last_id, outgoing, self.now + REQUEST_TIME);
        self.last_id
    }

    pub(super) fn post(&mut self) -> u32 {
        self.start(&telemetry("{a:1}"))
    }

    /// Moves all that the client sends to the server, and collects the events.
    pub(super) fn exchange(&mut self) {
        let mut written = BytesMut::new();
        while self.connection.poll_write(self.now, &mut written) {}
        self.server.receive(&written);
        self.collect();
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.connection.receive(self.now, bytes);
        self.exchange();
    }

    /// Advances the time, stopping at each timeout of the connection.
    pub(super) fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        for _ in 0..10_000 {
            match self.connection.next_timeout() {
                Some(at) if at <= end => {
                    self.now = self.now.max(at);
                    self.connection.handle_timeout(self.now);
                    self.exchange();
                }
                _ => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("its next timeout never passes");
    }

    fn collect(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            self.events.push(match event {
                Event::Connected => Seen::Connected,
                Event::Finished(id, outcome) => {
                    Seen::Finished(id, outcome.map(|answer| answer.body))
                }
                Event::Unsent(id, _, _) => Seen::Unsent(id),
                Event::Subscribed(numbers) => Seen::Subscribed(numbers),
                Event::Attributes(downlink) => Seen::Attributes(downlink.payload, downlink.packet),
                Event::Command(id, downlink) => {
                    Seen::Command(id, downlink.payload, downlink.packet)
                }
                Event::RenewalDue => Seen::RenewalDue,
                Event::Ended(end) => Seen::Ended(end),
            });
        }
    }

    pub(super) fn pop_events(&mut self) -> Vec<Seen> {
        self.collect();
        std::mem::take(&mut self.events)
    }

    /// The packet id and topic of the next packet, which is a PUBLISH.
    pub(super) fn next_publish(&mut self) -> (u16, String) {
        match self.server.pop() {
            Some(FromClient::Publish { id, topic, .. }) => (id, topic),
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn telemetry(body: &str) -> Operation {
    Operation::PostTelemetry(Bytes::from(body.to_owned()))
}

pub(super) fn firmware(chunk: u64) -> Operation {
    Operation::GetPackage {
        package: Package::Firmware,
        title: "t".into(),
        version: "v".into(),
        size: 1024,
        chunk,
    }
}

/// One operation of each kind that a device or the gateway has.
pub(super) fn all_operations() -> Vec<Operation> {
    vec![
        telemetry("{a:1}"),
        Operation::PostAttributes("{a:1}".into()),
        Operation::Claim(Bytes::new()),
        Operation::ReplyRpc {
            id: 5,
            body: "{}".into(),
        },
        Operation::CallRpc("{method:m,params:{}}".into()),
        Operation::ReadAttributes,
        Operation::ReadAssignment(Package::Software),
        firmware(0),
    ]
}

pub(super) fn ok(body: &'static str) -> Result<Bytes, Error> {
    Ok(Bytes::from_static(body.as_bytes()))
}
