//! The DTLS engine behind one door: `dimpl` is named in this file and what belongs to it, and nowhere else.
//!
//! An engine serves one peer. It never does I/O and never reads a clock; every call drains all it
//! wants to say into a list of [`EngineOutput`]s, because a full transmit queue would be fatal to it.
//! Every [`EngineError`] is fatal to its engine.

mod cached_ciphers;
mod keys;
mod plaintext_filter;
mod stand_in;

use super::cookie::Cookie;
use super::inbound::{CERTIFICATE, LARGEST_CERTIFICATE_MESSAGE, message};
use super::record::alert;
use super::supported::Supported;
use super::{Parameters, Versions};
use crate::credentials::ServerCredentials;
use crate::shown::Shown;
use dimpl::crypto::{CryptoProvider, HmacProvider, aws_lc_rs::default_provider};
use dimpl::{Config, CryptoError, Dtls, DtlsCertificate, HashAlgorithm};
use keys::{Key, KeyRegistry};
use plaintext_filter::PlaintextFilter;
use stand_in::{Hashes, Signatures, StandIn};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// First retransmission of a handshake flight. RFC 6347 §4.2.4.1 says one second; NB-IoT round trips
/// take longer than that, and a flight sent twice for nothing costs such a device more than a second.
const FLIGHT_TIMEOUT: Duration = Duration::from_secs(2);
/// More than fit into any handshake deadline: the deadline ends a handshake, not this count.
const FLIGHT_RETRIES: usize = 8;
/// Reassembled records may be larger than a datagram of ours.
const BUFFER: usize = 4 * 1024;
/// Records that the engine may queue, of DTLS 1.3: two of a Certificate message that comes in three, two that are ahead of
/// their turn (`plaintext_filter` sees to that), and a place for the one that is due, without which the handshake would end. Each
/// costs ten kilobytes, however small it is.
const QUEUED: usize = 5;

/// What every engine of one gateway shares.
#[derive(Clone)]
pub struct Settings {
    config: Arc<Config>,
    /// A client's: what a server shows it may come in many datagrams.
    of_client: Arc<Config>,
    certificate: Vec<u8>,
    key: Arc<Key>,
    versions: Versions,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The certificate is long, and its key nobody's business.
        f.debug_struct("Settings")
            .field("versions", &self.versions)
            .finish_non_exhaustive()
    }
}

/// What an engine wants done, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum EngineOutput {
    /// Send this datagram to the peer.
    Transmit(Vec<u8>),
    /// The leaf certificate (DER) the peer has shown; possession of its key is not proven yet.
    PeerCertificate(Vec<u8>),
    /// The handshake is complete, and with it the proof.
    Connected,
    /// Application data, authentic and not replayed.
    Plaintext(Vec<u8>),
    /// The peer has closed the session.
    CloseNotify,
}

/// The engine is of no use any more; drop it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct EngineError {
    /// For people.
    pub reason: String,
    /// A plaintext alert the engine does not send itself, but the peer should see.
    pub alert: Option<u8>,
}

/// The engine can't be set up this way.
#[derive(Debug, thiserror::Error)]
#[error("the DTLS engine refuses its settings: {0}")]
pub struct SettingsError(String);

impl Settings {
    /// Settings for the server side.
    pub fn new(
        credentials: &ServerCredentials,
        parameters: &Parameters,
    ) -> Result<Settings, SettingsError> {
        let config = || {
            Config::builder()
                .with_crypto_provider(cached_ciphers::with_cached_ciphers(CryptoProvider {
                    key_provider: &KeyRegistry,
                    hmac_provider: &CookieSource,
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
        };
        let refused = |error: dimpl::Error| SettingsError(error.to_string());
        // What a client shows may be long, and leaves in as many datagrams.
        let of_client = config().max_queue_tx(64).build().map_err(refused)?;
        let config = config().max_queue_rx(QUEUED).build().map_err(refused)?;
        let key = Key::parse(&credentials.private_key);
        Ok(Settings {
            config: Arc::new(config),
            of_client: Arc::new(of_client),
            certificate: credentials.certificate.clone(),
            key: key.map_err(|error| SettingsError(error.to_string()))?,
            versions: parameters.versions,
        })
    }

    /// What we take, by number.
    pub fn terms(&self) -> Supported {
        let dtls12 = self.config.dtls12_cipher_suites();
        let dtls13 = self.config.dtls13_cipher_suites();
        let groups = self.config.kx_groups();
        Supported {
            versions: self.versions,
            dtls12: match self.versions {
                Versions::Only13 => Vec::new(),
                Versions::Only12 | Versions::Both => {
                    dtls12.map(|suite| suite.suite().as_u16()).collect()
                }
            },
            dtls13: match self.versions {
                Versions::Only12 => Vec::new(),
                Versions::Only13 | Versions::Both => {
                    dtls13.map(|suite| suite.suite().as_u16()).collect()
                }
            },
            groups: groups.map(|group| group.name().as_u16()).collect(),
        }
    }
}

/// One peer's DTLS state.
pub struct Engine {
    dtls: Box<Dtls>,
    next_timeout: Option<Instant>,
    /// The engine may look for it once more when it learns which version its client speaks, and panics without.
    _key: Arc<Key>,
    /// The cookie its client has been given already.
    cookie: Option<Box<Cookie>>,
    /// A server's account of what it is given.
    ledger: Option<Box<PlaintextFilter>>,
    /// The client's Certificate message, until its certificate is taken.
    stand_in: Option<Box<StandIn>>,
    is_connected: bool,
}

impl Engine {
    /// A server that waits for a ClientHello.
    pub fn server(settings: &Settings, now: Instant) -> Result<Engine, EngineError> {
        guarded(|| {
            let mut engine = Engine::new(settings, settings.config.clone(), now);
            engine.ledger = Some(Box::default());
            Ok(engine)
        })
    }

    /// A server whose client was given this cookie for these hellos, and returns it next. What the engine says to them
    /// has been said.
    pub fn server_after_cookie(
        settings: &Settings,
        now: Instant,
        cookie: Cookie,
        hellos: &[Vec<u8>],
    ) -> Result<Engine, EngineError> {
        let mut engine = Engine::server(settings, now)?;
        engine.cookie = Some(Box::new(cookie));
        for hello in hellos {
            engine
                .receive(now, hello)
                .map_err(|(failure, _last_words)| failure)?;
        }
        Ok(engine)
    }

    /// Whether its client was given a cookie before, and has yet to return it whole.
    pub fn has_cookie(&self) -> bool {
        self.cookie.is_some()
    }

    /// Its client has returned the cookie, and it is asked for once. Says whether there was one.
    pub fn forget_cookie(&mut self) -> bool {
        self.cookie.take().is_some()
    }

    /// A client, and its ClientHello. For the demo's device and for tests.
    pub fn client(
        settings: &Settings,
        now: Instant,
    ) -> Result<(Engine, Vec<EngineOutput>), EngineError> {
        guarded(|| {
            let mut engine = Engine::new(settings, settings.of_client.clone(), now);
            engine.dtls.set_active(true);
            Ok(engine)
        })
        .and_then(|mut engine| {
            let effects = engine.handle_timeout(now)?;
            Ok((engine, effects))
        })
    }

    fn new(settings: &Settings, config: Arc<Config>, now: Instant) -> Engine {
        let certificate = DtlsCertificate {
            certificate: settings.certificate.clone(),
            private_key: settings.key.name(),
        };
        let dtls = match settings.versions {
            Versions::Only12 => Dtls::new_12(config, certificate, now),
            Versions::Only13 => Dtls::new_13(config, certificate, now),
            Versions::Both => Dtls::new_auto(config, certificate, now),
        };
        Engine {
            dtls: Box::new(dtls),
            next_timeout: None,
            _key: settings.key.clone(),
            cookie: None,
            ledger: None,
            stand_in: None,
            is_connected: false,
        }
    }

    /// Bytes of a Certificate message, whole or (in DTLS 1.3) not yet; then, in DTLS 1.3, records that may be queued, and
    /// bytes of theirs.
    pub fn held(&self) -> (usize, usize, usize) {
        let ledger = self.ledger.as_ref();
        let (gathered, records, bytes) = ledger.map(|ledger| ledger.held()).unwrap_or_default();
        let kept = self.stand_in.as_ref().map_or(0, |stand_in| stand_in.held());
        (gathered + kept, records, bytes)
    }

    /// A datagram came from the peer. On failure the effects are what is still worth sending. A server's engine is given
    /// one record at a time, as [`inbound`](super::inbound) lets it through.
    pub fn receive(
        &mut self,
        now: Instant,
        datagram: &[u8],
    ) -> Result<Vec<EngineOutput>, (EngineError, Vec<EngineOutput>)> {
        let given = Given::new(self.cookie.as_deref());
        plaintext_filter::put_to_work(self.ledger.take());
        let mut outcome = self.work(|dtls| {
            dtls.handle_timeout(now)?;
            dtls.handle_packet(datagram)
        });
        self.ledger = plaintext_filter::take_back();
        drop(given);
        if let Some(ledger) = &mut self.ledger {
            let was_refused = ledger.take_refused();
            if let Some(reason) = ledger.take_excess() {
                let alert = Some(alert::BAD_CERTIFICATE);
                return Err((EngineError { reason, alert }, Vec::new()));
            }
            // RFC 6347 §4.1.2.7: a record that is not authentic is dropped. Between a client's ChangeCipherSpec and its
            // Finished the engine reports an error instead; it has returned the record's buffer, and nothing else of it
            // has changed.
            if was_refused && self.version() == "1.2" {
                outcome = Ok(());
            }
        }
        let effects = guarded(|| Ok(self.drain()));
        match (outcome, effects) {
            (Ok(()), Ok(effects)) => Ok(effects),
            (Ok(()), Err(failure)) => Err((failure, Vec::new())),
            (Err(failure), effects) => Err((failure, effects.unwrap_or_default())),
        }
    }

    /// The time of [`next_timeout`](Self::next_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<Vec<EngineOutput>, EngineError> {
        self.work(|dtls| dtls.handle_timeout(now))?;
        guarded(|| Ok(self.drain()))
    }

    /// A client's whole Certificate message came, in DTLS 1.2. It is kept here, and the engine has a shorter one.
    pub fn receive_certificates(
        &mut self,
        now: Instant,
        number: u16,
        body: &[u8],
    ) -> Result<Vec<EngineOutput>, (EngineError, Vec<EngineOutput>)> {
        match StandIn::new(number, body) {
            Some((stand_in, record)) => {
                self.stand_in = Some(Box::new(stand_in));
                self.receive(now, &record)
            }
            None => self.receive(now, &message(CERTIFICATE, number, body)),
        }
    }

    /// Whether the client's certificate is kept here, and need not be elsewhere.
    pub fn keeps_certificate(&self) -> bool {
        self.stand_in.is_some()
    }

    /// The client's certificate, if it is kept here. Once the handshake is complete: it can't be completed without.
    pub fn take_certificate(&mut self) -> Option<Vec<u8>> {
        self.stand_in
            .take()
            .map(|stand_in| stand_in.leaf().to_vec())
    }

    /// The engine at work, with what its providers need to know.
    fn work(
        &mut self,
        work: impl FnOnce(&mut Dtls) -> Result<(), dimpl::Error>,
    ) -> Result<(), EngineError> {
        stand_in::put_to_work(self.stand_in.take());
        let outcome = guarded(|| work(&mut self.dtls));
        self.stand_in = stand_in::take_back();
        outcome
    }

    /// Encrypts application data.
    pub fn send(
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

    /// Authentic records of any content type, as a peer that does its worst would send them.
    #[cfg(test)]
    pub(in crate::dtls) fn send_as(
        &mut self,
        now: Instant,
        content_type: u8,
        content: &[u8],
    ) -> Vec<Vec<u8>> {
        cached_ciphers::tests::SEALED_AS.set(Some(content_type));
        let effects = self.send(now, content);
        cached_ciphers::tests::SEALED_AS.set(None);
        let of_12 = |datagram: &mut Vec<u8>| {
            if datagram[0] >> 5 == 0 {
                datagram[0] = content_type;
            }
        };
        let effects = effects.unwrap().into_iter();
        effects
            .filter_map(|effect| match effect {
                EngineOutput::Transmit(mut datagram) => {
                    of_12(&mut datagram);
                    Some(datagram)
                }
                _ => None,
            })
            .collect()
    }

    /// Ends the session with a close_notify.
    pub fn close(&mut self) -> Result<Vec<EngineOutput>, EngineError> {
        guarded(|| {
            self.dtls.close()?;
            Ok(self.drain())
        })
    }

    /// When the engine wants [`handle_timeout`](Self::handle_timeout).
    pub fn next_timeout(&self) -> Option<Instant> {
        self.next_timeout
    }

    /// "1.2", "1.3", or "?" before that is decided.
    pub fn version(&self) -> &'static str {
        match self.dtls.protocol_version() {
            Some(dimpl::ProtocolVersion::DTLS1_2) => "1.2",
            Some(dimpl::ProtocolVersion::DTLS1_3) => "1.3",
            _ => "?",
        }
    }

    /// On the stack: an allocation of this size, made and freed between those that stay, tears holes into the heap.
    fn drain(&mut self) -> Vec<EngineOutput> {
        if self.is_connected {
            return self.drain_by(&mut [0; BUFFER]);
        }
        let effects = self.drain_handshake();
        if effects.contains(&EngineOutput::Connected) {
            self.is_connected = true;
            if let Some(ledger) = &mut self.ledger {
                ledger.establish();
            }
        }
        effects
    }

    /// The engine panics where the buffer is too small for its peer's certificate. A function of its own, so that sessions
    /// don't pay for the larger one.
    #[inline(never)]
    fn drain_handshake(&mut self) -> Vec<EngineOutput> {
        self.drain_by(&mut [0; LARGEST_CERTIFICATE_MESSAGE])
    }

    fn drain_by(&mut self, usual: &mut [u8]) -> Vec<EngineOutput> {
        let mut effects = Vec::new();
        let mut larger = Vec::new();
        loop {
            let buffer = if larger.is_empty() {
                &mut *usual
            } else {
                larger.as_mut_slice()
            };
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "the enum is open; what later versions add is not for us"
            )]
            let effect = match self.dtls.poll_output(buffer) {
                dimpl::Output::Packet(datagram) => EngineOutput::Transmit(datagram.to_vec()),
                dimpl::Output::PeerCert(der) => {
                    let theirs = self.stand_in.as_deref().map(StandIn::leaf);
                    EngineOutput::PeerCertificate(theirs.unwrap_or(der).to_vec())
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
                    return effects;
                }
                // Keying material for SRTP.
                _ => continue,
            };
            effects.push(effect);
        }
    }
}

thread_local! {
    /// The cookie of the engine that is at work.
    static GIVEN: Cell<Option<Cookie>> = const { Cell::new(None) };
}

/// While it lives, the engine's cookie is this one.
struct Given;

impl Given {
    fn new(cookie: Option<&Cookie>) -> Given {
        GIVEN.set(cookie.copied());
        Given
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        GIVEN.set(None);
    }
}

/// Lets an engine know its client by a cookie that was given before there was an engine. The engine makes its cookies by
/// `hmac_sha256`, under a key of its own, and uses that for nothing else: keys are derived by `hmac`.
#[derive(Debug)]
struct CookieSource;

impl HmacProvider for CookieSource {
    fn hmac_sha256(&self, key: &[u8], data: &[u8]) -> Result<[u8; 32], CryptoError> {
        if let Some(cookie) = GIVEN.get() {
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

/// Runs the engine so that a panic inside it ends one session and not the loop that serves all. The engine holds no state
/// outside the instance, which is dropped. What the process says of a panic is `logging::panics`' to bound.
fn guarded<T>(work: impl FnOnce() -> Result<T, dimpl::Error>) -> Result<T, EngineError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome.map_err(failure),
        Err(_) => {
            plaintext_filter::take_back();
            Err(EngineError {
                reason: "the DTLS engine panicked".to_owned(),
                alert: Some(alert::INTERNAL_ERROR),
            })
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is open; for all that is not named the engine sends its own alert, or none is due"
)]
fn failure(error: dimpl::Error) -> EngineError {
    use dimpl::{Error, SecurityError};
    let alert = match &error {
        // RFC 7627 §5.3: the engine insists on extended master secret, and says so only to us.
        Error::SecurityError(
            SecurityError::ExtendedMasterSecretNotNegotiated
            | SecurityError::NoMutuallyAcceptableCipherSuite,
        ) => Some(alert::HANDSHAKE_FAILURE),
        // RFC 9147 §5.1. The client may have taken an answer to someone else's hello for its own.
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
