//! A handshake, from a ClientHello with a valid cookie to an [`Association`] (RFC 5246 §7.3, RFC 6347 §4.2).
//!
//! ```text
//!   ClientHello ──▶ ServerHello … ServerHelloDone          ClientHello, resumed ──▶ ServerHello, [CCS], Finished
//!        │                                                      │
//!   Certificate            the user judges the chain            │
//!   ClientKeyExchange      keys                                 │
//!   CertificateVerify      the client has its key               │
//!        └──────────────────────────┬───────────────────────────┘
//!                          ChangeCipherSpec
//!                          Finished ──▶ [CCS], Finished if not resumed ──▶ Complete
//! ```
//!
//! Each state takes itself and the one message that it expects ([`state`]); a message in another place has no code that could
//! handle it. Plaintext that could be forged is dropped wherever the handshake can go on without it: fragments that don't fit or
//! are too large, what is too early, and alerts, which are only remembered. What is undecryptable is dropped at all times. The
//! crate's documentation says [what a forger can still do](crate#what-a-forger-can-do).
//!
//! A handshake has no deadline of its own: its user drops it.

mod flight;
mod full;
mod last_flight;
mod resumed;
mod state;

pub use last_flight::LastFlight;

use crate::alert::{Alert, AlertDescription, AlertLevel};
use crate::association::{Association, Unprotected};
use crate::config::Config;
use crate::crypto::random::Random;
use crate::message::{HandshakeType, fragments};
use crate::reassembly::{Insertion, Message, Reason, Reassembly};
use crate::record::{ContentType, Record, records};
use crate::resumption::Session;
use crate::suite::CipherSuite;
use flight::{CHANGE_CIPHER_SPEC, Exhausted, Flight, Item, RecordWriter};
use state::{Next, State};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Authentic records that came before the ChangeCipherSpec are kept up to this number …
const MAX_HELD: usize = 8;
/// … and up to so many bytes of content.
const MAX_HELD_BYTES: usize = 4 * 1024;

/// Judges clients by their certificates. Asked once for each handshake, before the client has proven that it has the key.
pub trait ClientVerifier {
    /// `chain`: the client's own certificate first, in DER, as received. None is parsed but the first one's key.
    ///
    /// # Errors
    /// The client is refused, with this alert.
    fn verify(&mut self, chain: &[&[u8]]) -> Result<(), AlertDescription>;
}

impl<F: FnMut(&[&[u8]]) -> Result<(), AlertDescription>> ClientVerifier for F {
    fn verify(&mut self, chain: &[&[u8]]) -> Result<(), AlertDescription> {
        self(chain)
    }
}

/// What a handshake begins with.
#[derive(Debug)]
pub struct Start<'a> {
    /// The server's configuration.
    pub config: &'a Arc<Config>,
    /// The ClientHello, whose cookie was valid.
    pub hello: &'a Message,
    /// The number of the hello's record: the first records of the answer go on from it (RFC 6347 §4.2.1).
    pub record_sequence: u64,
    /// What shall go into records from the client, if it knows connection IDs: of the configured length, and unique.
    pub own_connection_id: &'a [u8],
    /// Names the new session, to resume it by; up to 32 bytes. Empty: it is not resumed by a session id.
    pub session_id: &'a [u8],
    /// The session that the hello names, if its client may still come in.
    pub resumed: Option<&'a Session>,
}

/// A handshake under way.
pub struct Handshake {
    config: Arc<Config>,
    state: State,
    reassembly: Reassembly,
    writer: RecordWriter,
    flight: Flight,
    /// The keys, as soon as there are some.
    association: Option<Association>,
    /// Authentic records that came too early.
    held: Vec<Unprotected>,
    peer_alert: Option<Alert>,
    too_large: Option<HandshakeType>,
    transmits: VecDeque<Vec<u8>>,
    outcome: Option<Outcome>,
}

/// How a handshake has ended.
#[derive(Debug)]
pub enum Outcome {
    /// The client has its certificate's key, and both sides have the same keys.
    Complete(Box<Complete>),
    /// It has failed. The alert, if there is one, is among the datagrams.
    Failed(HandshakeError),
}

/// What remains of a complete handshake.
#[derive(Debug)]
pub struct Complete {
    /// The session.
    pub association: Association,
    /// What to send again when the client's Finished comes again. `None`: the client's flight was the last (it has resumed).
    pub last_flight: Option<LastFlight>,
    /// What to keep if the session may be resumed. `None`: it can't be, for want of an extended master secret (RFC 7627 §5.4).
    pub session: Option<Session>,
    /// Whether it has resumed an earlier session.
    pub is_resumed: bool,
    /// Contents of application data that came with the last flight.
    pub application_data: Vec<Vec<u8>>,
}

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The hello is malformed, or has nothing in common with the configuration.
    #[error("the ClientHello is refused: {0}")]
    Hello(AlertDescription),
    /// The client has resumed a session in another way than it had begun (RFC 7627 §5.3).
    #[error("a session with an extended master secret is resumed without it")]
    ExtendedMasterSecret,
    /// RFC 5246 §7.4.6.
    #[error("the client has no certificate")]
    NoCertificate,
    /// Its key is of no use here, or it is malformed.
    #[error("the client's certificate is unusable: {0}")]
    Certificate(AlertDescription),
    /// The user refused it.
    #[error("the client's certificate is refused: {0}")]
    Refused(AlertDescription),
    /// RFC 8422 §5.11.
    #[error("the client's public key is invalid")]
    PublicKey(AlertDescription),
    /// RFC 5246 §7.4.8: the client does not have its certificate's key.
    #[error("the client's CertificateVerify is wrong: {0}")]
    CertificateVerify(AlertDescription),
    /// RFC 5246 §7.4.9: somebody has changed messages, or both sides have other keys.
    #[error("the client's Finished is wrong")]
    Finished,
    /// A message of this type was not expected.
    #[error("{0} was not expected")]
    Unexpected(HandshakeType),
    /// A message of this type is malformed.
    #[error("{0} is malformed")]
    Malformed(HandshakeType),
    /// A message of this type is too large, and its fragment is authentic. Others are [dropped](Handshake::too_large).
    #[error("{0} is too large")]
    TooLarge(HandshakeType),
    /// The client has ended the handshake, by an authentic alert.
    #[error("the client has sent {}", .0.description)]
    Alert(Alert),
    /// An authentic record has no place in a handshake.
    #[error("a record of another type in the handshake")]
    Record,
    /// There are no random bytes, the private key did not sign, or the cryptographic library failed.
    #[error("an operation of the server failed")]
    Internal,
}

impl HandshakeError {
    /// The alert that is sent (RFC 5246 §7.2.2).
    #[must_use]
    pub const fn alert(&self) -> Option<AlertDescription> {
        Some(match self {
            HandshakeError::Hello(alert)
            | HandshakeError::Certificate(alert)
            | HandshakeError::Refused(alert)
            | HandshakeError::PublicKey(alert)
            | HandshakeError::CertificateVerify(alert) => *alert,
            HandshakeError::ExtendedMasterSecret | HandshakeError::NoCertificate => {
                AlertDescription::HANDSHAKE_FAILURE
            }
            HandshakeError::Finished => AlertDescription::DECRYPT_ERROR,
            HandshakeError::Unexpected(_) | HandshakeError::Record => {
                AlertDescription::UNEXPECTED_MESSAGE
            }
            HandshakeError::Malformed(_) => AlertDescription::DECODE_ERROR,
            HandshakeError::TooLarge(_) => AlertDescription::ILLEGAL_PARAMETER,
            HandshakeError::Internal => AlertDescription::INTERNAL_ERROR,
            HandshakeError::Alert(_) => return None,
        })
    }
}

impl From<Exhausted> for HandshakeError {
    fn from(_: Exhausted) -> HandshakeError {
        HandshakeError::Internal
    }
}

impl Handshake {
    /// Answers the hello. It may fail at once: see [`poll_outcome`](Self::poll_outcome).
    #[must_use]
    pub fn new(now: Instant, start: &Start<'_>, random: &mut dyn Random) -> Handshake {
        let mut handshake = Handshake {
            config: start.config.clone(),
            state: State::Ended,
            reassembly: Reassembly::new(start.hello.message_seq().saturating_add(1)),
            writer: RecordWriter::new(start.record_sequence, start.config.mtu()),
            flight: Flight::default(),
            association: None,
            held: Vec::new(),
            peer_alert: None,
            too_large: None,
            transmits: VecDeque::new(),
            outcome: None,
        };
        if let Err(error) = handshake.answer(now, start, random) {
            handshake.fail(error);
        }
        handshake
    }

    fn answer(
        &mut self,
        now: Instant,
        start: &Start<'_>,
        random: &mut dyn Random,
    ) -> Result<(), HandshakeError> {
        let opening = full::Opening::new(start, random)?;
        self.writer.limit(opening.plaintext_limit());
        let (items, state) = match opening.resumed(start)? {
            Some(session) => {
                let (items, association, state) = opening.resume(session)?;
                self.association = Some(association);
                (items, state)
            }
            None => opening.begin(random)?,
        };
        self.state = state;
        self.send(now, items, true)
    }

    /// Takes in a datagram of the client. `verifier` judges the client when its certificates are there.
    pub fn receive(&mut self, now: Instant, datagram: &[u8], verifier: &mut dyn ClientVerifier) {
        let connection_id = usize::from(self.config.connection_id_length().unwrap_or(0));
        for record in records(datagram, connection_id) {
            if self.outcome.is_some() {
                self.receive_after_completion(&record);
            } else if let Err(error) = self.receive_record(now, &record, verifier) {
                self.fail(error);
            }
        }
    }

    /// Takes in the rest of a datagram that has completed the handshake.
    fn receive_after_completion(&mut self, record: &Record<'_>) {
        if let Some(Outcome::Complete(complete)) = &mut self.outcome
            && let Ok(received) = complete.association.unprotect(record)
        {
            self.keep_after_completion(&received);
        }
    }

    fn receive_record(
        &mut self,
        now: Instant,
        record: &Record<'_>,
        verifier: &mut dyn ClientVerifier,
    ) -> Result<(), HandshakeError> {
        if record.epoch == 0 {
            return self.receive_plaintext(now, record, verifier);
        }
        let Some(association) = &mut self.association else {
            return Ok(());
        };
        let Ok(received) = association.unprotect(record) else {
            return Ok(());
        };
        if self.state.is_before_change_cipher_spec() {
            self.hold(received);
            return Ok(());
        }
        self.receive_protected(now, &received)
    }

    fn receive_plaintext(
        &mut self,
        now: Instant,
        record: &Record<'_>,
        verifier: &mut dyn ClientVerifier,
    ) -> Result<(), HandshakeError> {
        match record.content_type {
            ContentType::HANDSHAKE => {
                for fragment in fragments(record.fragment).map_while(Result::ok) {
                    let insertion = self.reassembly.insert(&fragment, false);
                    // Anyone can send it. The client's own message may follow.
                    if let Insertion::Dropped(Reason::TooLarge(kind)) = insertion {
                        self.too_large = Some(kind);
                    }
                    self.advance(now, verifier)?;
                }
                Ok(())
            }
            ContentType::CHANGE_CIPHER_SPEC if record.fragment == CHANGE_CIPHER_SPEC => {
                if !self.state.take_change_cipher_spec() {
                    return Ok(());
                }
                self.reassembly.discard_plaintext();
                for received in std::mem::take(&mut self.held) {
                    self.receive_protected(now, &received)?;
                }
                Ok(())
            }
            ContentType::ALERT => {
                // Anyone can send it. A client that has really given up is not heard of again.
                let alert = Alert::parse(record.fragment);
                self.peer_alert = alert.or(self.peer_alert);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes in an authentic record, after the ChangeCipherSpec.
    fn receive_protected(
        &mut self,
        now: Instant,
        received: &Unprotected,
    ) -> Result<(), HandshakeError> {
        match received.content_type {
            _ if self.outcome.is_some() => {
                self.keep_after_completion(received);
                Ok(())
            }
            ContentType::HANDSHAKE => {
                for fragment in fragments(&received.content).map_while(Result::ok) {
                    let insertion = self.reassembly.insert(&fragment, true);
                    if let Insertion::Dropped(Reason::TooLarge(kind)) = insertion {
                        return Err(HandshakeError::TooLarge(kind));
                    }
                    // Nobody is judged any more.
                    self.advance(now, &mut |_: &[&[u8]]| Ok(()))?;
                }
                Ok(())
            }
            ContentType::ALERT => match ending_alert(received) {
                Some(alert) => Err(HandshakeError::Alert(alert)),
                None => Ok(()),
            },
            // Its datagram was faster than that of the Finished.
            ContentType::APPLICATION_DATA if self.state.is_resumed() => {
                self.hold(received.clone());
                Ok(())
            }
            ContentType::CHANGE_CIPHER_SPEC => Ok(()),
            _ => Err(HandshakeError::Record),
        }
    }

    fn hold(&mut self, received: Unprotected) {
        let bytes: usize = self.held.iter().map(|held| held.content.len()).sum();
        if self.held.len() < MAX_HELD
            && bytes.saturating_add(received.content.len()) <= MAX_HELD_BYTES
        {
            self.held.push(received);
        }
    }

    /// Takes in an authentic record that came in one datagram with the client's Finished, or before it.
    fn keep_after_completion(&mut self, received: &Unprotected) {
        let Some(Outcome::Complete(complete)) = &mut self.outcome else {
            return;
        };
        if received.content_type == ContentType::APPLICATION_DATA {
            complete.application_data.push(received.content.clone());
        }
        if let Some(alert) = ending_alert(received) {
            self.outcome = Some(Outcome::Failed(HandshakeError::Alert(alert)));
        }
    }

    /// Handles the messages that are due.
    fn advance(
        &mut self,
        now: Instant,
        verifier: &mut dyn ClientVerifier,
    ) -> Result<(), HandshakeError> {
        while let Some(expected) = self.state.expected() {
            let Some(message) = self.reassembly.take(expected) else {
                return Ok(());
            };
            let state = std::mem::replace(&mut self.state, State::Ended);
            match state.receive(&message, &self.config, verifier)? {
                Next::State(state) => self.state = state,
                Next::Keys(state, association) => {
                    self.state = state;
                    self.association = Some(*association);
                }
                Next::Finished(finished) => return self.complete(now, finished, &message),
            }
        }
        Ok(())
    }

    fn complete(
        &mut self,
        now: Instant,
        finished: state::Finished,
        message: &Message,
    ) -> Result<(), HandshakeError> {
        let is_resumed = finished.answer.is_none();
        if let Some(answer) = finished.answer {
            self.send(
                now,
                vec![Item::ChangeCipherSpec, Item::Protected(answer)],
                false,
            )?;
        }
        let association = self.association.take().ok_or(HandshakeError::Internal)?;
        let writer = std::mem::replace(&mut self.writer, RecordWriter::new(0, 0));
        let flight = std::mem::take(&mut self.flight);
        let last_flight =
            (!is_resumed).then(|| LastFlight::new(flight.into_items(), writer, message));
        let held = std::mem::take(&mut self.held);
        self.outcome = Some(Outcome::Complete(Box::new(Complete {
            association,
            last_flight,
            session: finished.session,
            is_resumed,
            application_data: held.into_iter().map(|received| received.content).collect(),
        })));
        Ok(())
    }

    /// Sends a flight. `is_answered`: it is sent again until the next flight of the client is there.
    fn send(
        &mut self,
        now: Instant,
        items: Vec<Item>,
        is_answered: bool,
    ) -> Result<(), HandshakeError> {
        let timeout = is_answered.then(|| self.config.first_timeout());
        self.flight = Flight::new(items, now, timeout);
        self.transmit()
    }

    fn transmit(&mut self) -> Result<(), HandshakeError> {
        let datagrams = self.writer.datagrams(
            self.flight.items(),
            self.association.as_mut(),
            self.flight.is_small(),
        )?;
        self.transmits.extend(datagrams);
        Ok(())
    }

    fn fail(&mut self, error: HandshakeError) {
        self.state = State::Ended;
        self.held = Vec::new();
        let flight = std::mem::take(&mut self.flight);
        let association = self.association.take();
        if let Some(description) = error.alert() {
            let mut datagram = Vec::new();
            let alert = Alert::fatal(description).encode();
            let kind = ContentType::ALERT;
            let is_sent = match association {
                // A session that is resumed: the client drops what is plaintext after our ChangeCipherSpec.
                Some(mut association) if flight.items().contains(&Item::ChangeCipherSpec) => {
                    association.protect(kind, &alert, &mut datagram).is_ok()
                }
                _ => self.writer.plaintext(kind, &alert, &mut datagram).is_ok(),
            };
            // Without a number, there is no alert either.
            if is_sent {
                self.transmits.push_back(datagram);
            }
        }
        self.outcome = Some(Outcome::Failed(error));
    }

    /// Sends the last flight again, if its time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.outcome.is_none()
            && self.flight.is_due(now, self.config.longest_timeout())
            && let Err(error) = self.transmit()
        {
            self.fail(error);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        match self.outcome {
            None => self.flight.due(),
            Some(_) => None,
        }
    }

    /// Takes the next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// Takes the outcome, once there is one. The handshake can then be dropped.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        self.outcome.take()
    }

    /// The last alert that came in plaintext, from the client or from anyone else: if nothing follows, probably the reason.
    #[must_use]
    pub const fn peer_alert(&self) -> Option<Alert> {
        self.peer_alert
    }

    /// A message of this type was larger than the server takes, and was dropped. It came in plaintext, from the client or from
    /// anyone else: if nothing follows, probably the reason.
    #[must_use]
    pub const fn too_large(&self) -> Option<HandshakeType> {
        self.too_large
    }

    /// The cipher suite, once it is chosen.
    #[must_use]
    pub fn suite(&self) -> Option<CipherSuite> {
        self.state.suite()
    }

    /// Bytes that are kept of messages that are not complete.
    #[must_use]
    pub fn buffered(&self) -> usize {
        let held: usize = self.held.iter().map(|held| held.content.len()).sum();
        self.reassembly.size().saturating_add(held)
    }
}

/// The alert of an authentic record, if it ends the session.
fn ending_alert(received: &Unprotected) -> Option<Alert> {
    if received.content_type != ContentType::ALERT {
        return None;
    }
    let alert = Alert::parse(&received.content)?;
    let ends =
        alert.level == AlertLevel::Fatal || alert.description == AlertDescription::CLOSE_NOTIFY;
    ends.then_some(alert)
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
