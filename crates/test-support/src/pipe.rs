//! DTLS clients in C, with Mbed TLS and with wolfSSL, which a test drives message by message.
//!
//! Their sources are in `tests/interop/clients`, and `tests/interop/build` builds them. CoAP is [`coap`](crate::coap).

use crate::certificates::Identity;
use crate::coap::{ACK, Message};
use crate::library::Client;
use crate::world::World;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    MbedTls,
    WolfSsl,
}

pub const STACKS: [Stack; 2] = [Stack::MbedTls, Stack::WolfSsl];

impl Stack {
    fn program(self) -> &'static str {
        match self {
            Stack::MbedTls => "mbedtls-client",
            Stack::WolfSsl => "wolfssl-client",
        }
    }

    /// Connects with meter-17's certificate. Returns what was agreed on, too.
    pub fn connect(self, world: &World, options: &[&str]) -> (Pipe, String) {
        self.connect_with(world, world.address, &world.meter, options)
    }

    /// Connects with this certificate to the gateway at this address.
    pub fn connect_with(
        self,
        world: &World,
        gateway: SocketAddr,
        identity: &Identity,
        options: &[&str],
    ) -> (Pipe, String) {
        let mut pipe = self.start(world, gateway, identity, options);
        let agreed = pipe.await_connected();
        (pipe, agreed)
    }

    /// Tries to connect with meter-17's certificate, and returns why it failed.
    pub fn fail(self, world: &World, options: &[&str]) -> String {
        let mut pipe = self.start(world, world.address, &world.meter, options);
        pipe.client.await_line("failed ")
    }

    /// Begins to connect.
    pub fn start(
        self,
        world: &World,
        gateway: SocketAddr,
        identity: &Identity,
        options: &[&str],
    ) -> Pipe {
        let (certificate, key) = identity.write(world.path());
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/interop");
        let program = built.join(self.program());
        assert!(
            program.exists(),
            "there is no {}: tests/interop/build builds it",
            program.display()
        );
        let mut command = Command::new(program);
        command
            .arg(gateway.ip().to_string())
            .arg(gateway.port().to_string())
            .arg(world.path().join("ca.pem"))
            .arg(certificate)
            .arg(key)
            .args(options);
        let client = Client::run(&mut command);
        Pipe { client, next_id: 1 }
    }
}

/// An established session.
pub struct Pipe {
    client: Client,
    next_id: u16,
}

impl Pipe {
    /// Waits until it is connected, and returns what was agreed on.
    pub fn await_connected(&mut self) -> String {
        self.client.await_line("connected ")
    }

    pub fn send(&mut self, message: &Message) {
        let bytes = message.encode();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.client.send(&format!("send {hex}"));
    }

    /// The next message that is not empty. A Confirmable one is acknowledged.
    pub fn receive(&mut self) -> Message {
        loop {
            let (message, _) = self.receive_sized();
            if message.code != 0 {
                return message;
            }
        }
    }

    /// The next message, and its length.
    fn receive_sized(&mut self) -> (Message, usize) {
        let line = self.client.await_line("received ");
        let digits = line.as_bytes().chunks(2);
        let bytes: Vec<u8> = digits
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let message = Message::decode(&bytes);
        if message.kind == crate::coap::CON {
            let acknowledgement = Message {
                kind: ACK,
                id: message.id,
                ..Message::default()
            };
            self.send(&acknowledgement);
        }
        (message, bytes.len())
    }

    /// Makes a request with a Message ID and a token of its own, and returns the response and its length. Notifications in
    /// between are lost.
    pub fn request_sized(&mut self, request: &Message) -> (Message, usize) {
        let request = Message {
            id: self.next_id,
            token: self.next_id.to_be_bytes().to_vec(),
            ..request.clone()
        };
        self.next_id += 1;
        self.send(&request);
        loop {
            let (message, length) = self.receive_sized();
            if message.code != 0 && message.token == request.token {
                return (message, length);
            }
        }
    }

    /// The same without the length.
    pub fn request(&mut self, request: &Message) -> Message {
        self.request_sized(request).0
    }

    /// Goes on from another port, without a handshake. Returns the port.
    pub fn move_port(&mut self) -> u16 {
        self.client.send("move");
        self.client.await_line("moved ").parse().unwrap()
    }

    /// Closes the session, and connects again with it. Returns what was agreed on.
    pub fn resume(&mut self) -> String {
        self.client.send("resume");
        self.client.await_line("connected ")
    }
}
