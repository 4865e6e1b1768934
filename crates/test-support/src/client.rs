//! A device with a session of the gateway's own engine: cheap, where a hundred or five thousand are wanted.

use crate::certificates::Identity;
use crate::coap::{ACK, CON, Message};
use crate::process::now;
use coaps_gateway::credentials::ServerCredentials;
use coaps_gateway::dtls;
use coaps_gateway::dtls::engine::{Engine, EngineOutput, Settings};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// Its session.
pub struct Client {
    engine: Engine,
    socket: UdpSocket,
}

impl Client {
    pub fn connect(gateway: SocketAddr, identity: &Identity) -> Client {
        let (certificate, key) = (&identity.certificate_pem, &identity.key_pem);
        let own = ServerCredentials::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        let settings = Settings::new(&own, &dtls::Parameters::default()).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(gateway).unwrap();
        let half_a_second = Some(Duration::from_millis(500));
        socket.set_read_timeout(half_a_second).unwrap();
        let (engine, effects) = Engine::client(&settings, now()).unwrap();
        let mut client = Client { engine, socket };
        client.transmit(&effects);
        for _ in 0..100 {
            if client.next().contains(&EngineOutput::Connected) {
                return client;
            }
        }
        panic!("no handshake");
    }

    fn transmit(&self, effects: &[EngineOutput]) {
        for effect in effects {
            if let EngineOutput::Transmit(datagram) = effect {
                self.socket.send(datagram).unwrap();
            }
        }
    }

    /// What comes of the next datagram, or of half a second without one.
    fn next(&mut self) -> Vec<EngineOutput> {
        let mut buffer = [0; 2048];
        let effects = match self.socket.recv(&mut buffer) {
            Ok(length) => self.engine.receive(now(), &buffer[..length]).unwrap(),
            Err(_) => self.engine.handle_timeout(now()).unwrap(),
        };
        self.transmit(&effects);
        effects
    }

    pub fn send(&mut self, message: &Message) {
        // The engine's own timers may be long overdue: its turn comes once in a while here.
        let overdue = self.engine.handle_timeout(now()).unwrap();
        self.transmit(&overdue);
        let effects = self.engine.send(now(), &message.encode()).unwrap();
        self.transmit(&effects);
    }

    /// The next message with a code, acknowledged if it wants to be.
    pub fn hear(&mut self) -> Message {
        self.hear_or_end().expect("the session goes on")
    }

    /// The same; or `None` if the gateway has closed the session.
    pub fn hear_or_end(&mut self) -> Option<Message> {
        for _ in 0..60 {
            for effect in self.next() {
                if effect == EngineOutput::CloseNotify {
                    return None;
                }
                let EngineOutput::Plaintext(bytes) = effect else {
                    continue;
                };
                let message = Message::decode(&bytes);
                if message.kind == CON {
                    let id = message.id;
                    self.send(&Message {
                        kind: ACK,
                        id,
                        ..Message::default()
                    });
                }
                if message.code != 0 {
                    return Some(message);
                }
            }
        }
        panic!("nothing heard for half a minute");
    }
}
