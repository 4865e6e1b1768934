//! What a handshake does with the records of its client.

use super::flight::CHANGE_CIPHER_SPEC;
use super::{ClientVerifier, Handshake, HandshakeError, Outcome};
use crate::alert::{Alert, AlertDescription, AlertLevel};
use crate::association::{Discard, Unprotected};
use crate::message::fragments;
use crate::reassembly::{Insertion, Reason};
use crate::record::{ContentType, Record, records};
use std::time::Instant;

/// Authentic records that came before the ChangeCipherSpec are kept up to this number …
const MAX_HELD: usize = 8;
/// … and up to so many bytes of content.
const MAX_HELD_BYTES: usize = 4 * 1024;

impl Handshake {
    /// Takes in a datagram of the client. `verifier` judges the client when its certificates are there. Returns why records
    /// were discarded, for a counter: each of them was as if it had not come.
    pub fn receive(
        &mut self,
        now: Instant,
        datagram: &[u8],
        verifier: &mut dyn ClientVerifier,
    ) -> Vec<Discard> {
        let connection_id = usize::from(self.config.connection_id_length().unwrap_or(0));
        let mut discarded = Vec::new();
        for record in records(datagram, connection_id) {
            let received = match self.outcome {
                Some(_) => self.receive_after_completion(&record),
                None => self.receive_record(now, &record, verifier),
            };
            match received {
                Ok(()) => {}
                Err(Failure::Discarded(discard)) => discarded.push(discard),
                Err(Failure::Failed(error)) => self.fail(error),
            }
        }
        discarded
    }

    /// Takes in the rest of a datagram that has completed the handshake.
    fn receive_after_completion(&mut self, record: &Record<'_>) -> Result<(), Failure> {
        let Some(Outcome::Complete(complete)) = &mut self.outcome else {
            return Ok(());
        };
        let received = complete.association.unprotect(record)?;
        self.keep_after_completion(&received);
        Ok(())
    }

    fn receive_record(
        &mut self,
        now: Instant,
        record: &Record<'_>,
        verifier: &mut dyn ClientVerifier,
    ) -> Result<(), Failure> {
        if record.epoch == 0 {
            return Ok(self.receive_plaintext(now, record, verifier)?);
        }
        // There is no such epoch yet: the client's record was faster than its ClientKeyExchange, or is not the client's.
        let association = self.association.as_mut().ok_or(Discard::Epoch)?;
        let received = association.unprotect(record)?;
        if self.state.is_before_change_cipher_spec() {
            self.hold(received);
            return Ok(());
        }
        Ok(self.receive_protected(now, &received, verifier)?)
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
                    self.receive_protected(now, &received, verifier)?;
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
        verifier: &mut dyn ClientVerifier,
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
                    self.advance(now, verifier)?;
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
            // The user learns of no address before the handshake is complete, so nothing is checked before.
            ContentType::CHANGE_CIPHER_SPEC | ContentType::RETURN_ROUTABILITY_CHECK => Ok(()),
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
}

/// Why a record got no further.
enum Failure {
    /// It is as if it had not come.
    Discarded(Discard),
    /// It ends the handshake.
    Failed(HandshakeError),
}

impl From<Discard> for Failure {
    fn from(discard: Discard) -> Failure {
        match discard {
            // Authentic, and never in order.
            Discard::Overflow => Failure::Failed(HandshakeError::Overflow),
            Discard::Epoch
            | Discard::Version
            | Discard::NoConnectionId
            | Discard::OtherConnectionId
            | Discard::Replayed
            | Discard::TooShort
            | Discard::NotAuthentic
            | Discard::InnerType
            | Discard::Failed => Failure::Discarded(discard),
        }
    }
}

impl From<HandshakeError> for Failure {
    fn from(error: HandshakeError) -> Failure {
        Failure::Failed(error)
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
