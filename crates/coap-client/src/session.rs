//! A DTLS association with a UDP socket and a clock.

use super::dtls::{Client, Config, Output};
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

/// Larger than any datagram of a server that keeps to a path's MTU.
const DATAGRAM: usize = 2048;
/// How long to sleep when no timer is set.
const NO_TIMER: Duration = Duration::from_secs(3600);

/// Why a session can't be had, or is over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants' names say it")]
pub enum Error {
    Socket(String),
    Handshake(String),
    /// Closed by the server, or by a fatal error.
    Closed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Socket(reason) => write!(f, "no socket: {reason}"),
            Error::Handshake(reason) => write!(f, "the handshake failed: {reason}"),
            Error::Closed => f.write_str("the session is closed"),
        }
    }
}

impl std::error::Error for Error {}

/// An established session.
pub struct Session {
    client: Client,
    socket: UdpSocket,
    server_certificate: Vec<u8>,
    is_connected: bool,
    is_closed: bool,
    /// One datagram may hold several records; these are returned before the next is received.
    received: VecDeque<Vec<u8>>,
}

impl Session {
    /// Performs a handshake over a connected socket. It ends with success, or with an error after 30 seconds at most.
    pub async fn connect(socket: UdpSocket, config: &Config) -> Result<Session, Error> {
        let started = Client::connect(config, now());
        let (client, outputs) = started.map_err(|error| Error::Handshake(error.to_string()))?;
        let mut session = Session {
            client,
            socket,
            server_certificate: Vec::new(),
            is_connected: false,
            is_closed: false,
            received: VecDeque::new(),
        };
        // From here on sending does not wait, so that a future that is dropped loses nothing.
        let writable = session.socket.writable().await;
        writable.map_err(|error| Error::Socket(error.to_string()))?;
        session.apply(outputs);
        while !session.is_connected {
            if session.is_closed {
                return Err(Error::Handshake("closed by the server".to_owned()));
            }
            let step = session.step().await;
            step.map_err(|error| Error::Handshake(error.to_string()))?;
        }
        Ok(session)
    }

    /// The leaf certificate that the server has proven to hold (DER). The caller judges it.
    pub fn server_certificate(&self) -> &[u8] {
        &self.server_certificate
    }

    /// The version of DTLS: "1.2" or "1.3".
    pub fn version(&self) -> &'static str {
        self.client.version()
    }

    /// Encrypts application data and sends it in one datagram.
    pub fn send(&mut self, plaintext: &[u8]) -> Result<(), Error> {
        let outputs = self.client.send(now(), plaintext);
        self.apply(outputs.map_err(|_| Error::Closed)?);
        Ok(())
    }

    /// The next datagram's plaintext. Dropping the future loses nothing.
    pub async fn receive(&mut self) -> Result<Vec<u8>, Error> {
        loop {
            if let Some(plaintext) = self.received.pop_front() {
                return Ok(plaintext);
            }
            if self.is_closed {
                return Err(Error::Closed);
            }
            self.step().await.map_err(|_| Error::Closed)?;
        }
    }

    /// Sends close_notify.
    pub fn close(mut self) {
        if let Ok(outputs) = self.client.close() {
            self.apply(outputs);
        }
    }

    /// Handles one datagram or one timeout.
    async fn step(&mut self) -> Result<(), super::dtls::Error> {
        let mut datagram = [0; DATAGRAM];
        let timeout = self.client.next_timeout();
        let timeout: Instant = timeout.unwrap_or_else(|| now() + NO_TIMER);
        let received = self.socket.recv(&mut datagram);
        let outcome = match tokio::time::timeout_at(timeout.into(), received).await {
            Ok(Ok(length)) => {
                let datagram = datagram.get(..length).unwrap_or_default();
                self.client.receive(now(), datagram)
            }
            // An ICMP error (no socket on that port) counts as a lost datagram: a timer repeats it.
            Ok(Err(_)) => Ok(Vec::new()),
            Err(_) => (self.client.handle_timeout(now())).map_err(|error| (error, Vec::new())),
        };
        match outcome {
            Ok(outputs) => {
                self.apply(outputs);
                Ok(())
            }
            Err((error, outputs)) => {
                // An alert, for the server.
                self.apply(outputs);
                Err(error)
            }
        }
    }

    fn apply(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                // What can't be sent is lost, as any datagram may be.
                Output::Transmit(datagram) => drop(self.socket.try_send(&datagram)),
                Output::ServerCertificate(der) => self.server_certificate = der,
                Output::Connected => self.is_connected = true,
                Output::Plaintext(plaintext) => self.received.push_back(plaintext),
                Output::CloseNotify => self.is_closed = true,
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a session has a socket, and so a clock"
)]
fn now() -> Instant {
    Instant::now()
}
