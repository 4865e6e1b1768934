//! One DTLS association of a client with an X.509 certificate, over `dimpl`, which no other file of this crate names. Sans-IO.
//!
//! It reports the server's certificate and does not verify it: the caller decides whether to continue.

use dimpl::crypto::aws_lc_rs::default_provider;
use dimpl::{Dtls, DtlsCertificate, ProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The first retransmission of a handshake flight (RFC 6347 §4.2.4.1).
const FLIGHT_TIMEOUT: Duration = Duration::from_secs(1);
/// More than fit into [`HANDSHAKE_TIMEOUT`].
const FLIGHT_RETRIES: usize = 8;
/// As long as a gateway waits by default: whoever has less time gives up by itself.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(70);
/// Records of one flight: a long certificate leaves in many datagrams.
const MAX_QUEUED_RECORDS: usize = 64;
/// Room for one output. During the handshake it must hold the server's certificate: `dimpl` panics where it does not.
const BUFFER: usize = 4 * 1024;
const HANDSHAKE_BUFFER: usize = 20 * 1024;
const DEFAULT_MTU: usize = 1200;

/// A certificate, its key, and how to show them. Clones share them.
#[derive(Clone)]
pub struct Config {
    config: Arc<dimpl::Config>,
    certificate: DtlsCertificate,
    offers_12: bool,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key.
        f.debug_struct("Config")
            .field("offers_12", &self.offers_12)
            .finish_non_exhaustive()
    }
}

/// The association, or its configuration, is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl Config {
    /// The first certificate and the private key of these PEM texts, for both versions of DTLS and datagrams of 1200
    /// bytes.
    ///
    /// # Errors
    /// There is none, or it is not one that `dimpl` takes.
    pub fn from_pem(certificate: &[u8], private_key: &[u8]) -> Result<Config, Error> {
        let certificate = CertificateDer::from_pem_slice(certificate)
            .map_err(|error| Error(format!("certificate: {error}")))?;
        let key = PrivateKeyDer::from_pem_slice(private_key)
            .map_err(|error| Error(format!("private key: {error}")))?;
        Config::new(certificate.to_vec(), key.secret_der().to_vec())
    }

    /// The same, of a certificate and a private key as DER.
    ///
    /// # Errors
    /// The key is not one that `dimpl` takes.
    pub fn new(certificate: Vec<u8>, private_key: Vec<u8>) -> Result<Config, Error> {
        // `dimpl` panics later if it can't use the key.
        let key = default_provider()
            .key_provider
            .load_private_key(&private_key);
        key.map_err(|error| Error(format!("private key: {error}")))?;
        Ok(Config {
            config: Arc::new(config(DEFAULT_MTU)?),
            certificate: DtlsCertificate {
                certificate,
                private_key,
            },
            offers_12: true,
        })
    }

    /// Offers DTLS 1.3 alone.
    pub fn without_dtls12(self) -> Config {
        Config {
            offers_12: false,
            ..self
        }
    }

    /// Sends datagrams of up to `mtu` bytes.
    ///
    /// # Errors
    /// `dimpl` does not take this size.
    pub fn with_mtu(self, mtu: usize) -> Result<Config, Error> {
        let config = Arc::new(config(mtu)?);
        Ok(Config { config, ..self })
    }
}

fn config(mtu: usize) -> Result<dimpl::Config, Error> {
    let config = dimpl::Config::builder()
        .with_crypto_provider(default_provider())
        .mtu(mtu)
        .max_queue_tx(MAX_QUEUED_RECORDS)
        .flight_start_rto(FLIGHT_TIMEOUT)
        .flight_retries(FLIGHT_RETRIES)
        .handshake_timeout(HANDSHAKE_TIMEOUT);
    config.build().map_err(|error| Error(error.to_string()))
}

/// An output of a [`Client`].
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this datagram to the server.
    Transmit(Vec<u8>),
    /// The server's leaf certificate (DER). Possession of its key is not proven yet.
    ServerCertificate(Vec<u8>),
    /// The handshake is complete, and with it the proof.
    Connected,
    /// Application data, authentic and not replayed.
    Plaintext(Vec<u8>),
    /// The server has closed the association.
    CloseNotify,
}

/// A DTLS association. Every error is fatal to it.
pub struct Client {
    dtls: Dtls,
    next_timeout: Option<Instant>,
    is_connected: bool,
}

impl Client {
    /// A new association, and its ClientHello.
    pub fn connect(config: &Config, now: Instant) -> Result<(Client, Vec<Output>), Error> {
        let mut client = guarded(|| {
            let (settings, certificate) = (config.config.clone(), config.certificate.clone());
            let mut dtls = match config.offers_12 {
                true => Dtls::new_auto(settings, certificate, now),
                false => Dtls::new_13(settings, certificate, now),
            };
            dtls.set_active(true);
            Ok(Client {
                dtls,
                next_timeout: None,
                is_connected: false,
            })
        })?;
        let outputs = client.handle_timeout(now)?;
        Ok((client, outputs))
    }

    /// Handles a datagram from the server. An error contains the outputs that are still worth sending.
    pub fn receive(
        &mut self,
        now: Instant,
        datagram: &[u8],
    ) -> Result<Vec<Output>, (Error, Vec<Output>)> {
        let received = guarded(|| {
            self.dtls.handle_timeout(now)?;
            self.dtls.handle_packet(datagram)
        });
        let outputs = guarded(|| Ok(self.poll_outputs()));
        match (received, outputs) {
            (Ok(()), outputs) => outputs.map_err(|error| (error, Vec::new())),
            (Err(error), outputs) => Err((error, outputs.unwrap_or_default())),
        }
    }

    /// Runs the timers; to be called at [`next_timeout`](Self::next_timeout).
    pub fn handle_timeout(&mut self, now: Instant) -> Result<Vec<Output>, Error> {
        guarded(|| {
            self.dtls.handle_timeout(now)?;
            Ok(self.poll_outputs())
        })
    }

    /// When `handle_timeout` is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.next_timeout
    }

    /// Encrypts application data.
    pub fn send(&mut self, now: Instant, plaintext: &[u8]) -> Result<Vec<Output>, Error> {
        guarded(|| {
            self.dtls.handle_timeout(now)?;
            self.dtls.send_application_data(plaintext)?;
            Ok(self.poll_outputs())
        })
    }

    /// Closes the association with a close_notify alert.
    pub fn close(&mut self) -> Result<Vec<Output>, Error> {
        guarded(|| {
            self.dtls.close()?;
            Ok(self.poll_outputs())
        })
    }

    /// "1.2" or "1.3", or "?" before that is negotiated.
    pub fn version(&self) -> &'static str {
        match self.dtls.protocol_version() {
            Some(ProtocolVersion::DTLS1_2) => "1.2",
            Some(ProtocolVersion::DTLS1_3) => "1.3",
            _ => "?",
        }
    }

    fn poll_outputs(&mut self) -> Vec<Output> {
        let room = if self.is_connected {
            BUFFER
        } else {
            HANDSHAKE_BUFFER
        };
        let (mut outputs, mut buffer) = (Vec::new(), vec![0; room]);
        loop {
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "the enum is open, and of what it has today keying material for SRTP is of no use here"
            )]
            outputs.push(match self.dtls.poll_output(&mut buffer) {
                dimpl::Output::Packet(datagram) => Output::Transmit(datagram.to_vec()),
                dimpl::Output::PeerCert(der) => Output::ServerCertificate(der.to_vec()),
                dimpl::Output::Connected => {
                    self.is_connected = true;
                    Output::Connected
                }
                dimpl::Output::ApplicationData(plaintext) => Output::Plaintext(plaintext.to_vec()),
                dimpl::Output::CloseNotify => Output::CloseNotify,
                dimpl::Output::BufferTooSmall { needed } => {
                    buffer = vec![0; needed];
                    continue;
                }
                dimpl::Output::Timeout(at) => {
                    self.next_timeout = Some(at);
                    return outputs;
                }
                _ => continue,
            });
        }
    }
}

/// A panic inside `dimpl` ends one association, and not the task of all.
fn guarded<T>(work: impl FnOnce() -> Result<T, dimpl::Error>) -> Result<T, Error> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome.map_err(|error| Error(error.to_string())),
        Err(_) => Err(Error("dimpl panicked".to_owned())),
    }
}
