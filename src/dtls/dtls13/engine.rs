//! The DTLS engine: a wrapper of `dimpl`, which is named in this file only. Its submodules take the library's traits from here.
//!
//! An engine serves one peer. It does no I/O and reads no clock; every call returns all outputs of the engine as a list of
//! [`EngineOutput`]s, because a full transmit queue would be fatal to it. Every [`EngineError`] is fatal to its engine.

mod cached_ciphers;
mod keys;
mod plaintext_filter;
mod stand_in;

use super::cookie::Cookie;
use super::inbound::LARGEST_CERTIFICATE_MESSAGE;
use super::supported::Supported;
use crate::credentials::ServerCredentials;
use crate::dtls::Parameters;
use crate::dtls::handshakes::Buffered;
use crate::dtls::record::alert;
use crate::shown::Shown;
#[cfg(test)]
pub(in crate::dtls) use cached_ciphers::tests::opened_as;
use crypto::{CryptoProvider, HashAlgorithm, HmacProvider, aws_lc_rs::default_provider};
use dimpl::{Config, CryptoError, CryptoOperation, Dtls, DtlsCertificate, crypto};
use keys::{Key, KeyRegistry};
use plaintext_filter::PlaintextFilter;
use stand_in::{Hashes, Signatures, StandIn};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Timeout before the first retransmission of a flight. RFC 6347 §4.2.4.1 says one second; NB-IoT round trips take longer,
/// and an unnecessary retransmission costs such a device more than a second.
const FLIGHT_TIMEOUT: Duration = Duration::from_secs(2);
/// More than fit into any handshake deadline, so that the deadline ends a handshake and not this count.
const FLIGHT_RETRIES: usize = 8;
/// Output buffer in bytes: received plaintext may be larger than our MTU.
const BUFFER: usize = 4 * 1024;
/// Records that the engine may queue: two of a Certificate message in three records, two that are out of order
/// (`plaintext_filter` ensures that), and one slot for the record that is due, without which the handshake would fail. Each
/// costs ten kilobytes, however small it is.
const MAX_QUEUED_DATAGRAMS: usize = 5;

/// What all engines of a gateway share.
#[derive(Clone)]
pub(crate) struct Settings {
    config: Arc<Config>,
    certificate: Vec<u8>,
    key: Arc<Key>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The certificate is long, and the key is secret.
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}

/// An output of an engine, to be handled in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EngineOutput {
    /// Send this datagram to the peer.
    Transmit(Vec<u8>),
    /// The peer's leaf certificate (DER). That the peer has its key is not proven yet.
    PeerCertificate(Vec<u8>),
    /// The handshake is complete: the peer has the key.
    Connected,
    /// Application data, authentic and not replayed.
    Plaintext(Vec<u8>),
    /// The peer has closed the session.
    CloseNotify,
}

/// The engine has failed and must be dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct EngineError {
    pub reason: String,
    /// An alert to send in plaintext, if the engine does not send it itself.
    pub alert: Option<u8>,
}

/// The engine does not accept its configuration.
#[derive(Debug, thiserror::Error)]
#[error("the DTLS engine refuses its settings: {0}")]
pub struct SettingsError(String);

impl Settings {
    /// Settings from the configuration.
    pub(crate) fn new(
        credentials: &ServerCredentials,
        parameters: &Parameters,
    ) -> Result<Settings, SettingsError> {
        let rejected = |error: dimpl::Error| SettingsError(error.to_string());
        let config = Config::builder()
            .with_crypto_provider(cached_ciphers::with_cached_ciphers(CryptoProvider {
                key_provider: &KeyRegistry,
                hmac_provider: &CookieHmac,
                hash_provider: &Hashes,
                signature_verification: &Signatures,
                ..default_provider()
            }))
            .mtu(parameters.mtu)
            .require_client_certificate(true)
            .use_server_cookie(true)
            .flight_start_rto(FLIGHT_TIMEOUT)
            .flight_retries(FLIGHT_RETRIES)
            .handshake_timeout(parameters.unproven_timeout + parameters.handshake_timeout)
            .max_queue_rx(MAX_QUEUED_DATAGRAMS)
            .build()
            .map_err(rejected)?;
        let key = Key::parse(&credentials.ecdsa.private_key);
        Ok(Settings {
            config: Arc::new(config),
            certificate: credentials.certificate().to_vec(),
            key: key.map_err(|error| SettingsError(error.to_string()))?,
        })
    }

    /// What the engine supports, by number.
    pub(crate) fn supported(&self) -> Supported {
        let suites = self.config.dtls13_cipher_suites();
        let groups = self.config.kx_groups();
        Supported {
            suites: suites.map(|suite| suite.suite().as_u16()).collect(),
            groups: groups.map(|group| group.name().as_u16()).collect(),
        }
    }
}

/// The server's DTLS state for one client.
pub(crate) struct Engine {
    dtls: Box<Dtls>,
    next_timeout: Option<Instant>,
    /// Kept alive because the engine may load it again, and panics without it.
    _key: Arc<Key>,
    /// The stateless cookie of its client, until the client returns it.
    cookie: Option<Box<Cookie>>,
    /// Filters decrypted records.
    filter: Option<Box<PlaintextFilter>>,
    /// The client's Certificate message, until its certificate is taken.
    stand_in: Option<Box<StandIn>>,
    is_connected: bool,
}

impl Engine {
    /// Waits for a ClientHello.
    pub(crate) fn new(settings: &Settings, now: Instant) -> Result<Engine, EngineError> {
        guarded(|| {
            let certificate = DtlsCertificate {
                certificate: settings.certificate.clone(),
                private_key: settings.key.handle(),
            };
            let dtls = Dtls::new_13(settings.config.clone(), certificate, now);
            Ok(Engine {
                dtls: Box::new(dtls),
                next_timeout: None,
                _key: settings.key.clone(),
                cookie: None,
                filter: Some(Box::default()),
                stand_in: None,
                is_connected: false,
            })
        })
    }

    /// For a client that was sent this cookie for these hellos and returns it next. The engine's replies to them are
    /// discarded: equal ones were sent already.
    pub(crate) fn after_cookie(
        settings: &Settings,
        now: Instant,
        cookie: Cookie,
        hellos: &[Vec<u8>],
    ) -> Result<Engine, EngineError> {
        let mut engine = Engine::new(settings, now)?;
        engine.cookie = Some(Box::new(cookie));
        for hello in hellos {
            engine
                .receive(now, hello)
                .map_err(|(failure, _final_outputs)| failure)?;
        }
        Ok(engine)
    }

    /// Takes the cookie that it was created with, once its client has returned it.
    pub(crate) fn take_cookie(&mut self) -> Option<Cookie> {
        self.cookie.take().map(|cookie| *cookie)
    }

    /// What it buffers of a handshake.
    pub(in crate::dtls) fn buffered(&self) -> Buffered {
        let filter = self.filter.as_ref();
        let mut buffered = filter.map(|filter| filter.buffered()).unwrap_or_default();
        buffered.unfinished += self.stand_in.as_ref().map_or(0, |stand_in| stand_in.held());
        buffered
    }

    /// Handles a datagram of the peer. With an error come outputs that should still be sent. The engine gets one record
    /// at a time, from [`inbound`](super::inbound).
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        datagram: &[u8],
    ) -> Result<Vec<EngineOutput>, (EngineError, Vec<EngineOutput>)> {
        let cookie = CookieOverride::new(self.cookie.as_deref());
        plaintext_filter::activate(self.filter.take());
        let outcome = self.run(|dtls| {
            dtls.handle_timeout(now)?;
            dtls.handle_packet(datagram)
        });
        self.filter = plaintext_filter::deactivate();
        drop(cookie);
        if let Some(reason) = self.filter.as_mut().and_then(|filter| filter.take_fatal()) {
            let alert = Some(alert::BAD_CERTIFICATE);
            return Err((EngineError { reason, alert }, Vec::new()));
        }
        let outputs = guarded(|| Ok(self.drain()));
        match (outcome, outputs) {
            (Ok(()), Ok(outputs)) => Ok(outputs),
            (Ok(()), Err(failure)) => Err((failure, Vec::new())),
            (Err(failure), outputs) => Err((failure, outputs.unwrap_or_default())),
        }
    }

    /// Handles the timeout of [`next_timeout`](Self::next_timeout).
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
    ) -> Result<Vec<EngineOutput>, EngineError> {
        self.run(|dtls| dtls.handle_timeout(now))?;
        guarded(|| Ok(self.drain()))
    }

    /// Drops the client's certificate, if it is stored here. Only after the handshake: that needs it.
    pub(crate) fn drop_certificate(&mut self) {
        self.stand_in = None;
    }

    /// Runs the engine, with the stand-in active for its crypto provider.
    fn run(
        &mut self,
        run: impl FnOnce(&mut Dtls) -> Result<(), dimpl::Error>,
    ) -> Result<(), EngineError> {
        stand_in::activate(self.stand_in.take());
        let outcome = guarded(|| run(&mut self.dtls));
        self.stand_in = stand_in::deactivate();
        outcome
    }

    pub(crate) fn send(
        &mut self,
        now: Instant,
        plaintext: &[u8],
    ) -> Result<Vec<EngineOutput>, EngineError> {
        guarded(|| {
            self.dtls.handle_timeout(now)?;
            self.dtls.send_application_data(plaintext)?;
            Ok(self.drain())
        })
    }

    /// Ends the session with a close_notify.
    pub(crate) fn close(&mut self) -> Result<Vec<EngineOutput>, EngineError> {
        guarded(|| {
            self.dtls.close()?;
            Ok(self.drain())
        })
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.next_timeout
    }

    /// Collects the engine's outputs. The buffers are on the stack: allocations of their size would fragment the heap.
    fn drain(&mut self) -> Vec<EngineOutput> {
        if self.is_connected {
            return self.drain_into(&mut [0; BUFFER]);
        }
        let outputs = self.drain_handshake();
        if outputs.contains(&EngineOutput::Connected) {
            self.is_connected = true;
            if let Some(filter) = &mut self.filter {
                filter.establish();
            }
        }
        outputs
    }

    /// With a larger buffer: the engine panics if its peer's certificate does not fit. A separate function, so that
    /// established sessions don't pay for it.
    #[inline(never)]
    fn drain_handshake(&mut self) -> Vec<EngineOutput> {
        self.drain_into(&mut [0; LARGEST_CERTIFICATE_MESSAGE])
    }

    fn drain_into(&mut self, buffer: &mut [u8]) -> Vec<EngineOutput> {
        let mut outputs = Vec::new();
        let mut larger = Vec::new();
        loop {
            let buffer = if larger.is_empty() {
                &mut *buffer
            } else {
                larger.as_mut_slice()
            };
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "the enum is non-exhaustive; other outputs are ignored"
            )]
            let output = match self.dtls.poll_output(buffer) {
                dimpl::Output::Packet(datagram) => EngineOutput::Transmit(datagram.to_vec()),
                dimpl::Output::PeerCert(der) => {
                    let original = self.stand_in.as_deref().map(StandIn::leaf);
                    EngineOutput::PeerCertificate(original.unwrap_or(der).to_vec())
                }
                dimpl::Output::Connected => EngineOutput::Connected,
                dimpl::Output::ApplicationData(plaintext) => {
                    EngineOutput::Plaintext(plaintext.to_vec())
                }
                dimpl::Output::CloseNotify => EngineOutput::CloseNotify,
                dimpl::Output::BufferTooSmall { needed } => {
                    larger = vec![0; needed];
                    continue;
                }
                dimpl::Output::Timeout(at) => {
                    self.next_timeout = Some(at);
                    return outputs;
                }
                // Keying material for SRTP, which is not used.
                _ => continue,
            };
            outputs.push(output);
        }
    }
}

thread_local! {
    /// The stateless cookie of the engine that is running.
    static COOKIE: Cell<Option<Cookie>> = const { Cell::new(None) };
}

/// Sets [`COOKIE`] until it is dropped.
struct CookieOverride;

impl CookieOverride {
    fn new(cookie: Option<&Cookie>) -> CookieOverride {
        COOKIE.set(cookie.copied());
        CookieOverride
    }
}

impl Drop for CookieOverride {
    fn drop(&mut self) {
        COOKIE.set(None);
    }
}

/// Makes dimpl accept the cookie that we have issued statelessly, by replacing its HMAC while it reads the ClientHello. dimpl
/// uses `hmac_sha256` for its cookies only; it derives keys by `hmac`.
#[derive(Debug)]
struct CookieHmac;

impl HmacProvider for CookieHmac {
    fn hmac_sha256(&self, key: &[u8], data: &[u8]) -> Result<[u8; 32], CryptoError> {
        if let Some(cookie) = COOKIE.get() {
            return Ok(cookie);
        }
        let mut mac = [0; 32];
        self.hmac(HashAlgorithm::SHA256, key, data, &mut mac)?;
        Ok(mac)
    }

    fn hmac(
        &self,
        hash: HashAlgorithm,
        key: &[u8],
        data: &[u8],
        out: &mut [u8],
    ) -> Result<usize, CryptoError> {
        let provider = default_provider().hmac_provider;
        provider.hmac(hash, key, data, out)
    }
}

/// Runs the engine so that a panic in it ends one session and not the loop. The engine has no state outside of its instance,
/// which is dropped. `logging::panics` limits the log lines of panics.
fn guarded<T>(run: impl FnOnce() -> Result<T, dimpl::Error>) -> Result<T, EngineError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => outcome.map_err(engine_error),
        Err(_) => {
            plaintext_filter::deactivate();
            Err(EngineError {
                reason: "the DTLS engine panicked".to_owned(),
                alert: Some(alert::INTERNAL_ERROR),
            })
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is non-exhaustive; for all other errors the engine sends its own alert, or none is due"
)]
fn engine_error(error: dimpl::Error) -> EngineError {
    use dimpl::{Error, SecurityError};
    let alert = match &error {
        // RFC 9147 §5.1. The client may have received a reply to a forged hello.
        Error::SecurityError(SecurityError::InvalidCookieInClientHello) => {
            Some(alert::ILLEGAL_PARAMETER)
        }
        _ => None,
    };
    EngineError {
        reason: Shown::public(&error.to_string()).to_string(),
        alert,
    }
}
