//! The demo's device: a DTLS client and just enough CoAP to post telemetry (RFC 7252 §4.2).
//!
//! It uses the gateway's own engine and message format. The tests don't: they face other people's.

use super::{credentials, say};
use crate::authority;
use crate::coap::{Code, Message, Token, Type};
use crate::dtls;
use crate::dtls::engine::{Effect, Engine, Settings};
use bytes::Bytes;
use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

/// ACK_TIMEOUT and MAX_RETRANSMIT (RFC 7252 §4.8).
const ACK_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_RETRANSMIT: u32 = 4;
/// A handshake on loopback takes milliseconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The device, and its session if it has one.
pub(super) struct Device {
    settings: Settings,
    /// The gateway's certificate: the device knows it beforehand, and talks to no other.
    gateway: Vec<u8>,
    address: SocketAddr,
    session: Option<Session>,
    message_id: u16,
    started: Instant,
}

struct Session {
    socket: UdpSocket,
    engine: Engine,
    buffer: Vec<u8>,
}

impl Device {
    pub(super) fn new(
        certificates: &authority::Delivery,
        address: SocketAddr,
    ) -> Result<Device, Box<dyn Error>> {
        let own = certificates
            .devices
            .first()
            .ok_or("the device has no certificate")?;
        let own = credentials(&own.certificate, &own.private_key)?;
        let server = &certificates.server;
        Ok(Device {
            settings: Settings::new(&own, &dtls::Parameters::default())?,
            gateway: credentials(&server.certificate, &server.private_key)?.certificate,
            address,
            session: None,
            message_id: fastrand::u16(..),
            started: now(),
        })
    }

    /// Posts telemetry until it can't say so any more. Failures are told, and it goes on.
    pub(super) async fn post_every(&mut self, every: Duration) -> io::Result<()> {
        let mut ticks = tokio::time::interval(every);
        loop {
            ticks.tick().await;
            // A day's temperature in two minutes.
            let phase = self.started.elapsed().as_secs_f64() / 120.0 * std::f64::consts::TAU;
            let body = format!(r#"{{"temperature":{:.1}}}"#, 20.0 + 5.0 * phase.sin());
            let sent = now();
            match self.post(&body).await {
                Ok(code) => say(&format!(
                    "  device ─CoAPs─▶ gateway       POST api/v1/telemetry {body}   {code} in {} ms\n",
                    sent.elapsed().as_millis()
                ))?,
                Err(error) => {
                    self.session = None;
                    say(&format!("  device: {error}; it connects anew\n"))?;
                }
            }
        }
    }

    async fn post(&mut self, body: &str) -> io::Result<Code> {
        if self.session.is_none() {
            let session = Session::connect(self.address, &self.settings, &self.gateway).await?;
            say(&format!(
                "  device ─DTLS {}─▶ gateway     session established with its certificate",
                session.engine.version()
            ))?;
            self.session = Some(session);
        }
        let Some(session) = &mut self.session else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        self.message_id = self.message_id.wrapping_add(1);
        let message = Message {
            kind: Type::Confirmable,
            code: Code::POST,
            message_id: self.message_id,
            token: Token::new(&self.message_id.to_be_bytes()).unwrap_or_default(),
            options: ["api", "v1", "telemetry"]
                .map(|segment| (11, Bytes::from_static(segment.as_bytes())))
                .into(),
            payload: Bytes::copy_from_slice(body.as_bytes()),
        };
        session.request(&message).await
    }
}

impl Session {
    async fn connect(
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
        loop {
            let effects = session.next(deadline).await?;
            let stranger = effects
                .iter()
                .any(|effect| matches!(effect, Effect::PeerCertificate(shown) if shown != gateway));
            if stranger {
                return Err(io::Error::other("what answers there is not the gateway"));
            }
            if effects.contains(&Effect::Connected) {
                return Ok(session);
            }
        }
    }

    /// Sends a Confirmable message, again and again if need be, until its response is there.
    async fn request(&mut self, message: &Message) -> io::Result<Code> {
        let bytes = message.encode(1152).unwrap_or_default();
        for attempt in 0..=MAX_RETRANSMIT {
            self.send(&bytes).await?;
            let deadline = now() + ACK_TIMEOUT * 2u32.pow(attempt);
            while let Ok(effects) = self.next(deadline).await {
                for effect in effects {
                    let Effect::Plaintext(bytes) = effect else {
                        continue;
                    };
                    let Ok(reply) = Message::decode(&bytes) else {
                        continue;
                    };
                    if reply.kind == Type::Confirmable {
                        let acknowledge = Message::empty(Type::Acknowledgement, reply.message_id);
                        self.send(&acknowledge.encode(4).unwrap_or_default())
                            .await?;
                    }
                    if reply.token == message.token && reply.code != Code::EMPTY {
                        return Ok(reply.code);
                    }
                }
            }
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the gateway did not answer",
        ))
    }

    async fn send(&mut self, plaintext: &[u8]) -> io::Result<()> {
        let effects = self
            .engine
            .send(now(), plaintext)
            .map_err(io::Error::other)?;
        self.transmit(&effects).await
    }

    /// The effects of the next datagram or engine timer; an error at the deadline.
    async fn next(&mut self, deadline: Instant) -> io::Result<Vec<Effect>> {
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
                if now() >= deadline {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                self.engine.handle_timeout(now()).map_err(io::Error::other)?
            }
        };
        if effects.contains(&Effect::CloseNotify) {
            return Err(io::Error::other("the gateway has closed the session"));
        }
        self.transmit(&effects).await?;
        Ok(effects)
    }

    async fn transmit(&self, effects: &[Effect]) -> io::Result<()> {
        for effect in effects {
            if let Effect::Transmit(datagram) = effect {
                self.socket.send(datagram).await?;
            }
        }
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the demo's device owns its clock"
)]
fn now() -> Instant {
    Instant::now()
}
