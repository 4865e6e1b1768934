//! The device's DTLS session with the gateway, on a socket of its own.

use super::now;
use coaps_gateway::dtls::engine::{Engine, EngineOutput, Settings};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

/// A handshake on loopback takes milliseconds; on a link that loses packets, some retransmissions.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// An established session.
pub(super) struct Session {
    socket: UdpSocket,
    engine: Engine,
    buffer: Vec<u8>,
}

impl Session {
    pub(super) async fn connect(
        address: SocketAddr,
        settings: &Settings,
        gateway: &[u8],
    ) -> io::Result<Session> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(address).await?;
        let (engine, effects) = Engine::client(settings, now()).map_err(io::Error::other)?;
        let mut session = Session {
            socket,
            engine,
            buffer: vec![0; 4096],
        };
        session.transmit(&effects).await?;
        let deadline = now() + HANDSHAKE_TIMEOUT;
        while now() < deadline {
            let effects = session.effects(deadline).await?;
            let stranger = effects.iter().any(
                |effect| matches!(effect, EngineOutput::PeerCertificate(shown) if shown != gateway),
            );
            if stranger {
                return Err(io::Error::other("what answers there is not the gateway"));
            }
            if effects.contains(&EngineOutput::Connected) {
                return Ok(session);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the handshake was not answered",
        ))
    }

    /// Of DTLS.
    pub(super) fn version(&self) -> &'static str {
        self.engine.version()
    }

    pub(super) async fn send(&mut self, plaintext: &[u8]) -> io::Result<()> {
        let effects = self
            .engine
            .send(now(), plaintext)
            .map_err(io::Error::other)?;
        self.transmit(&effects).await
    }

    /// The messages of the next datagram; none at the deadline.
    pub(super) async fn next(&mut self, deadline: Instant) -> io::Result<Vec<Vec<u8>>> {
        let effects = self.effects(deadline).await?;
        let messages = effects.into_iter().filter_map(|effect| match effect {
            EngineOutput::Plaintext(bytes) => Some(bytes),
            EngineOutput::Transmit(_)
            | EngineOutput::PeerCertificate(_)
            | EngineOutput::Connected
            | EngineOutput::CloseNotify => None,
        });
        Ok(messages.collect())
    }

    /// The effects of the next datagram or engine timer; none at the deadline.
    async fn effects(&mut self, deadline: Instant) -> io::Result<Vec<EngineOutput>> {
        let wake = self
            .engine
            .next_timeout()
            .map_or(deadline, |at| at.min(deadline));
        let effects = tokio::select! {
            received = self.socket.recv(&mut self.buffer) => {
                let datagram = self.buffer.get(..received?).unwrap_or_default();
                let outcome = self.engine.receive(now(), datagram);
                outcome.map_err(|(failure, _)| io::Error::other(failure))?
            }
            () = tokio::time::sleep_until(wake.into()) => {
                self.engine.handle_timeout(now()).map_err(io::Error::other)?
            }
        };
        if effects.contains(&EngineOutput::CloseNotify) {
            return Err(io::Error::other("the gateway has closed the session"));
        }
        self.transmit(&effects).await?;
        Ok(effects)
    }

    async fn transmit(&self, effects: &[EngineOutput]) -> io::Result<()> {
        for effect in effects {
            if let EngineOutput::Transmit(datagram) = effect {
                self.socket.send(datagram).await?;
            }
        }
        Ok(())
    }
}
