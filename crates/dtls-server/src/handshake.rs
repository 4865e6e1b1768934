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
mod outcome;
mod receiving;
mod resumed;
mod state;

pub use last_flight::LastFlight;
pub use outcome::{Complete, HandshakeError, Outcome};

use crate::alert::{Alert, AlertDescription};
use crate::association::{Association, Unprotected};
use crate::config::Config;
use crate::crypto::random::Random;
use crate::crypto::transcript::Transcript;
use crate::message::HandshakeType;
use crate::reassembly::{Message, Reassembly};
use crate::record::ContentType;
use crate::resumption::{Session, Ticket};
use crate::suite::CipherSuite;
use flight::{Flight, Item, RecordWriter};
use state::{Next, State};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Judges clients by their certificates.
pub trait ClientVerifier {
    /// Judges a client: once for each handshake, before it has proven that it has the key.
    ///
    /// `chain`: the client's own certificate first, in DER, as received. None is parsed but the first one's key.
    ///
    /// # Errors
    /// The client is refused, with this alert.
    fn verify(&mut self, chain: &[&[u8]]) -> Result<(), AlertDescription>;

    /// A ticket for the client, which has proven that it has the key, asks for one, and is about to get the last flight. `None`:
    /// it gets none. Is called only where the [configuration](Config::session_tickets) has tickets.
    fn ticket(&mut self, _session: &Session) -> Option<Ticket> {
        None
    }
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
    /// The session that the hello [names](crate::resumption::Named), if its client may still come in.
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
        let datagram = opening.datagram_limit();
        self.writer.limit(opening.plaintext_limit(), datagram);
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
            self.send(now, answer, false)?;
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
            session: finished.session.filter(|session| !session.id().is_empty()),
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
        let has_changed = flight.items().contains(&Item::ChangeCipherSpec);
        // The client drops what is plaintext after our ChangeCipherSpec, which a session that is resumed begins with.
        let association = match self.outcome.take() {
            Some(Outcome::Complete(complete)) => Some(complete.association),
            Some(Outcome::Failed(_)) | None => self.association.take().filter(|_| has_changed),
        };
        if let Some(description) = error.alert() {
            let mut datagram = Vec::new();
            let alert = Alert::fatal(description).encode();
            let kind = ContentType::ALERT;
            let is_sent = match association {
                Some(mut association) => association.protect(kind, &alert, &mut datagram).is_ok(),
                None => self.writer.plaintext(kind, &alert, &mut datagram).is_ok(),
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

    /// Ends the handshake because its user waits no longer. If a message was too large, the client gets the alert for that:
    /// not before, because the message may have been anyone's.
    pub fn expire(&mut self) {
        if self.outcome.is_none()
            && let Some(kind) = self.too_large
        {
            self.fail(HandshakeError::TooLarge(kind));
        }
    }

    /// The cipher suite, once it is chosen.
    #[must_use]
    pub fn suite(&self) -> Option<CipherSuite> {
        self.state.suite()
    }

    /// Bytes that are kept of what has come: messages that are not complete, the messages that the client's signature is over
    /// (among them its certificates, and ours), and records that came too early.
    #[must_use]
    pub fn buffered(&self) -> usize {
        let held: usize = self.held.iter().map(|held| held.content.len()).sum();
        let signed = self.state.transcript().and_then(Transcript::messages);
        let sizes = [self.reassembly.size(), held, signed.map_or(0, <[u8]>::len)];
        sizes.into_iter().fold(0, usize::saturating_add)
    }
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
