//! Sessions by the client of the gateway's own engine, which costs the driver least.
//!
//! It verifies nothing of the server, neither its certificate nor its signature. It shares records and keys with the
//! gateway, so what it shows is cost, not conformance.

use super::Failure;
use crate::args::Args;
use crate::now;
use dtls_server::alert::{Alert, AlertDescription, AlertLevel};
use dtls_server::association::Association;
use dtls_server::crypto::key_exchange::NamedGroup;
use dtls_server::crypto::random::SystemRandom;
use dtls_server::crypto::signing_key::SigningKey;
use dtls_server::record::{ContentType, records};
use dtls_server::suite::CipherSuite;
use dtls_test_client::{Client, Credentials};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::time::timeout_at;

pub(crate) use dtls_server::suite::CipherSuite as Suite;
pub(crate) use dtls_test_client::{Options, Resumable};

/// Larger than any datagram of a server that keeps to a path's MTU.
const DATAGRAM: usize = 4096;

/// Parses the value of `--suite`.
pub(crate) fn suite(name: &str) -> Result<Suite, String> {
    let mut all = CipherSuite::ALL.into_iter();
    all.find(|suite| suite.name() == name).ok_or_else(|| {
        let names = CipherSuite::ALL.map(CipherSuite::name);
        format!("none of {}", names.join(", "))
    })
}

/// What a client with this certificate and key offers: of groups only P-256, which every server has.
pub(super) fn options(args: &Args, chain: &[u8], key: &[u8]) -> Result<Options, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain)
        .map(|certificate| certificate.map(|der| der.to_vec()))
        .collect();
    let chain = chain.map_err(|error| format!("certificate: {error}"))?;
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("private key: {error}"))?;
    let signer = SigningKey::from_der(key.secret_der()).map_err(|error| error.to_string())?;
    let mut options = Options::new(Credentials {
        chain,
        signer: Arc::new(signer),
    });
    options.groups = Some(vec![NamedGroup::Secp256r1.number()]);
    options.packs = true;
    if let Some(suite) = args.suite {
        options.cipher_suites = vec![suite.number()];
    }
    if args.no_connection_id {
        options.connection_id = None;
    }
    Ok(options)
}

/// An established session.
pub(crate) struct Session {
    socket: UdpSocket,
    association: Association,
    is_closed: bool,
    pub(super) is_resumed: bool,
    pub(super) resumable: Option<Resumable>,
    /// One datagram may hold several records; these are returned before the next is received.
    received: VecDeque<Vec<u8>>,
}

impl Session {
    /// Performs a handshake over a connected socket. The caller limits its time.
    pub(super) async fn connect(
        socket: UdpSocket,
        options: &Options,
        session: Option<Resumable>,
    ) -> Result<Session, Failure> {
        let no_socket = |error: io::Error| Failure::Socket(error.to_string());
        let mut options = options.clone();
        options.session = session;
        let mut client = Client::with_random(options, SystemRandom);
        send(&socket, &client.start());
        let mut timeout = super::FLIGHT_TIMEOUT;
        let mut deadline = now() + timeout;
        while !client.is_connected() {
            match timeout_at(deadline.into(), socket.readable()).await {
                Ok(readable) => readable.map_err(no_socket)?,
                Err(_) => {
                    send(&socket, &client.retransmit());
                    // RFC 6347 §4.2.4.1: the timeout is doubled.
                    timeout *= 2;
                    deadline = now() + timeout;
                    continue;
                }
            }
            let mut buffer = [0; DATAGRAM];
            // An ICMP error (no socket on that port) counts as a lost datagram.
            let Ok(length) = socket.try_recv(&mut buffer) else {
                continue;
            };
            let flight = client.receive(buffer.get(..length).unwrap_or_default());
            if !flight.is_empty() {
                timeout = super::FLIGHT_TIMEOUT;
                deadline = now() + timeout;
            }
            send(&socket, &flight);
            let mut alerts = client.alerts().iter();
            if let Some(alert) = alerts.find(|alert| alert.level == AlertLevel::Fatal) {
                return Err(Failure::Handshake(alert.description.to_string()));
            }
        }
        // A server that does not resume sessions gives none an id (RFC 5246 §7.4.1.3).
        let resumable = client.resumable().filter(|one| !one.id.is_empty());
        let is_resumed = client.is_resumed();
        let association = client.into_association();
        Ok(Session {
            socket,
            association: association
                .ok_or_else(|| Failure::Handshake("it has yielded no keys".to_owned()))?,
            is_closed: false,
            is_resumed,
            resumable,
            received: VecDeque::new(),
        })
    }

    /// What is sent from now on comes from another address or port, and only what is sent there is received.
    pub(super) fn replace_socket(&mut self, socket: UdpSocket) {
        self.socket = socket;
    }

    pub(super) fn send(&mut self, plaintext: &[u8]) -> Result<(), Failure> {
        self.protect(ContentType::APPLICATION_DATA, plaintext)
    }

    /// The next record's plaintext. Dropping the future loses nothing.
    pub(super) async fn receive(&mut self) -> Result<Vec<u8>, Failure> {
        loop {
            if let Some(plaintext) = self.received.pop_front() {
                return Ok(plaintext);
            }
            if self.is_closed {
                return Err(Failure::Closed);
            }
            // An ICMP error counts as a lost datagram.
            let _ = self.socket.readable().await;
            self.receive_datagram();
        }
    }

    fn receive_datagram(&mut self) {
        let mut buffer = [0; DATAGRAM];
        let Ok(length) = self.socket.try_recv(&mut buffer) else {
            return;
        };
        // Its own connection ID is of zero length.
        for record in records(buffer.get(..length).unwrap_or_default(), 0) {
            let Ok(unprotected) = self.association.unprotect(&record) else {
                continue;
            };
            match unprotected.content_type {
                ContentType::APPLICATION_DATA => self.received.push_back(unprotected.content),
                ContentType::ALERT => {
                    let alert = Alert::parse(&unprotected.content);
                    self.is_closed |= alert.is_some_and(|alert| {
                        alert.level == AlertLevel::Fatal
                            || alert.description == AlertDescription::CLOSE_NOTIFY
                    });
                }
                _ => {}
            }
        }
    }

    /// Sends close_notify.
    pub(super) fn close(mut self) {
        let close_notify = Alert::warning(AlertDescription::CLOSE_NOTIFY);
        let _ = self.protect(ContentType::ALERT, &close_notify.encode());
    }

    fn protect(&mut self, content_type: ContentType, content: &[u8]) -> Result<(), Failure> {
        let mut datagram = Vec::new();
        (self.association)
            .protect(content_type, content, &mut datagram)
            .map_err(|_| Failure::Closed)?;
        send(&self.socket, &[datagram]);
        Ok(())
    }
}

/// Sends datagrams. What can't be sent is lost, as any datagram may be.
fn send(socket: &UdpSocket, datagrams: &[Vec<u8>]) {
    for datagram in datagrams {
        let _ = socket.try_send(datagram);
    }
}
