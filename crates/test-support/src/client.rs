//! A device with a DTLS session by `coap_client`: cheap enough for thousands of sessions.

use crate::TIMEOUT;
use crate::certificates::Identity;
use crate::coap::{ACK, CON, Message};
use crate::process::now;
use coap_client::dtls::{self, Config, Output};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// How many Confirmable messages are remembered.
const REMEMBERED: usize = 64;

/// An established session.
pub struct Client {
    dtls: dtls::Client,
    socket: UdpSocket,
    /// The Message IDs of the latest Confirmable messages, oldest first. On a busy machine the gateway sends one again before
    /// it has read the acknowledgement.
    received: VecDeque<u16>,
}

impl Client {
    pub fn connect(gateway: SocketAddr, identity: &Identity) -> Client {
        let (certificate, key) = (&identity.certificate_pem, &identity.key_pem);
        let config = Config::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(gateway).unwrap();
        let half_a_second = Some(Duration::from_millis(500));
        socket.set_read_timeout(half_a_second).unwrap();
        let (dtls, outputs) = dtls::Client::connect(&config, now()).unwrap();
        let mut client = Client {
            dtls,
            socket,
            received: VecDeque::new(),
        };
        client.transmit(&outputs);
        for _ in 0..100 {
            if client.next().contains(&Output::Connected) {
                return client;
            }
        }
        panic!("no handshake");
    }

    fn transmit(&self, outputs: &[Output]) {
        for output in outputs {
            if let Output::Transmit(datagram) = output
                && let Err(error) = self.socket.send(datagram)
            {
                // The gateway has ended. What it has sent before is still to be read.
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
            }
        }
    }

    /// The outputs of the next datagram, or of half a second without one.
    fn next(&mut self) -> Vec<Output> {
        let mut buffer = [0; 2048];
        let outputs = match self.socket.recv(&mut buffer) {
            Ok(length) => self.dtls.receive(now(), &buffer[..length]).unwrap(),
            Err(_) => self.dtls.handle_timeout(now()).unwrap(),
        };
        self.transmit(&outputs);
        outputs
    }

    pub fn send(&mut self, message: &Message) {
        // Its timers may be long overdue: they run only when this client is used.
        let overdue = self.dtls.handle_timeout(now()).unwrap();
        self.transmit(&overdue);
        let outputs = self.dtls.send(now(), &message.encode()).unwrap();
        self.transmit(&outputs);
    }

    /// The next message with a code. A Confirmable one is acknowledged; one that comes again is acknowledged again, and not
    /// returned (RFC 7252 §4.5).
    pub fn receive(&mut self) -> Message {
        self.receive_or_close().expect("an open session")
    }

    /// The same, or `None` if the gateway has closed the session.
    pub fn receive_or_close(&mut self) -> Option<Message> {
        let deadline = now() + TIMEOUT;
        while now() < deadline {
            for output in self.next() {
                if output == Output::CloseNotify {
                    return None;
                }
                let Output::Plaintext(bytes) = output else {
                    continue;
                };
                let message = Message::decode(&bytes);
                if message.kind == CON && !self.acknowledge(message.id) {
                    continue;
                }
                if message.code != 0 {
                    return Some(message);
                }
            }
        }
        panic!("no message in {TIMEOUT:?}");
    }

    /// Acknowledges a Confirmable message. Returns whether it is a new one.
    fn acknowledge(&mut self, id: u16) -> bool {
        self.send(&Message {
            kind: ACK,
            id,
            ..Message::default()
        });
        if self.received.contains(&id) {
            return false;
        }
        self.received.push_back(id);
        if self.received.len() > REMEMBERED {
            self.received.pop_front();
        }
        true
    }
}
