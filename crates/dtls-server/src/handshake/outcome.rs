//! How a handshake ends.

use super::LastFlight;
use super::flight::Exhausted;
use crate::alert::{Alert, AlertDescription};
use crate::association::Association;
use crate::message::HandshakeType;
use crate::resumption::Session;

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
    /// What to keep so that the session may be resumed by its id. `None`: it has none, or can't be resumed for want of an extended
    /// master secret (RFC 7627 §5.4), or is resumed by the client's ticket.
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
    /// A message of this type is too large, and its fragment is authentic. Others are [dropped](super::Handshake::too_large).
    #[error("{0} is too large")]
    TooLarge(HandshakeType),
    /// The client has ended the handshake, by an authentic alert.
    #[error("the client has sent {}", .0.description)]
    Alert(Alert),
    /// An authentic record has no place in a handshake.
    #[error("a record of another type in the handshake")]
    Record,
    /// An authentic record has more content than was agreed on (RFC 5246 §7.2.2, RFC 6066 §4).
    #[error("a record has too much content")]
    Overflow,
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
            HandshakeError::Overflow => AlertDescription::RECORD_OVERFLOW,
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
