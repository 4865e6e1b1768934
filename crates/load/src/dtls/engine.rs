//! A session by the gateway's engine, which is sans-IO: this lends it a socket and a clock.

use super::super::now;
use super::Failure;
use coaps_gateway::dtls::engine::{self, Engine, EngineOutput};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

pub(crate) use coaps_gateway::dtls::engine::Settings;

/// Larger than any datagram of a server that keeps to a path's MTU.
const DATAGRAM: usize = 2048;
/// An engine without a timer of its own is looked after this often.
const SELDOM: Duration = Duration::from_secs(3600);

pub(crate) struct Session {
    engine: Engine,
    socket: UdpSocket,
    connected: bool,
    closed: bool,
    /// What one datagram may hold in several records; taken out before the next is received.
    received: VecDeque<Vec<u8>>,
}

impl Session {
    pub(crate) async fn connect(
        socket: UdpSocket,
        settings: &Settings,
    ) -> Result<Session, Failure> {
        let started = Engine::client(settings, now());
        let (engine, effects) = started.map_err(|failure| Failure::Handshake(failure.reason))?;
        let mut session = Session {
            engine,
            socket,
            connected: false,
            closed: false,
            received: VecDeque::new(),
        };
        // Sending is without waiting from here on, so that a future that is dropped has lost nothing.
        let writable = session.socket.writable().await;
        writable.map_err(|error| Failure::Socket(error.to_string()))?;
        session.apply(effects);
        while !session.connected {
            if session.closed {
                return Err(Failure::Handshake("closed by the server".to_owned()));
            }
            let step = session.step().await;
            step.map_err(|failure| Failure::Handshake(failure.reason))?;
        }
        Ok(session)
    }

    pub(crate) async fn send(&mut self, plaintext: &[u8]) -> Result<(), Failure> {
        let effects = self
            .engine
            .send(now(), plaintext)
            .map_err(|_| Failure::Closed)?;
        self.apply(effects);
        Ok(())
    }

    pub(crate) async fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        loop {
            if let Some(plaintext) = self.received.pop_front() {
                let Some(room) = buffer.get_mut(..plaintext.len()) else {
                    return Ok(0);
                };
                room.copy_from_slice(&plaintext);
                return Ok(plaintext.len());
            }
            if self.closed {
                return Err(Failure::Closed);
            }
            self.step().await.map_err(|_| Failure::Closed)?;
        }
    }

    pub(crate) async fn close(mut self) {
        if let Ok(effects) = self.engine.close() {
            self.apply(effects);
        }
    }

    /// One datagram, or one timeout.
    async fn step(&mut self) -> Result<(), engine::EngineError> {
        let mut datagram = [0; DATAGRAM];
        let timeout: Instant = self.engine.next_timeout().unwrap_or_else(|| now() + SELDOM);
        let heard = tokio::time::timeout_at(timeout.into(), self.socket.recv(&mut datagram)).await;
        let outcome = match heard {
            Ok(Ok(length)) => {
                let datagram = datagram.get(..length).unwrap_or_default();
                // What it wants to say before it fails is an alert, for the server to know.
                self.engine.receive(now(), datagram)
            }
            // An ICMP error (nobody listens there) is no more than a lost datagram: the timers see to it.
            Ok(Err(_)) => Ok(Vec::new()),
            Err(_) => (self.engine.handle_timeout(now())).map_err(|failure| (failure, Vec::new())),
        };
        match outcome {
            Ok(effects) => {
                self.apply(effects);
                Ok(())
            }
            Err((failure, last)) => {
                self.apply(last);
                Err(failure)
            }
        }
    }

    fn apply(&mut self, effects: Vec<EngineOutput>) {
        for effect in effects {
            match effect {
                // What can't be sent is lost, as any datagram may be.
                EngineOutput::Transmit(datagram) => drop(self.socket.try_send(&datagram)),
                EngineOutput::PeerCertificate(_) => {}
                EngineOutput::Connected => self.connected = true,
                EngineOutput::Plaintext(plaintext) => self.received.push_back(plaintext),
                EngineOutput::CloseNotify => self.closed = true,
            }
        }
    }
}
