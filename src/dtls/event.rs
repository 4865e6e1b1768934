//! Events of the DTLS sessions, and datagrams to send.

use super::{Path, SessionId};
use crate::credentials::CertificateError;
use crate::device::CertificateId;
use dtls_server::alert::AlertDescription;
use dtls_server::handshake::HandshakeError;
use dtls_server::message::HandshakeType;
use std::fmt;

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// The destination, and our address to send from.
    pub path: Path,
    /// The payload, at most [`Parameters::mtu`](super::Parameters::mtu).
    pub datagram: Vec<u8>,
}

/// An event of a session or handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields' names and types say it")]
pub enum Event {
    /// A handshake is complete: the peer has this certificate's key, and the policy accepts the certificate.
    Established {
        session: SessionId,
        path: Path,
        /// The peer's leaf certificate.
        certificate: CertificateId,
        /// "1.2" or "1.3".
        version: &'static str,
    },
    /// The client of an established session has another address. What is sent waits, beyond three times what came from there,
    /// until [`Endpoint::confirm_path`](super::Endpoint::confirm_path).
    Moved { session: SessionId, path: Path },
    /// Application data of an established session.
    Plaintext { session: SessionId, bytes: Vec<u8> },
    /// An established session has ended.
    Ended {
        session: SessionId,
        reason: EndReason,
    },
    /// A handshake has failed. The peer's address is proven, except for
    /// [`HandshakeFailure::NoCommonCipherSuite`] and [`HandshakeFailure::SessionsFull`].
    HandshakeFailed {
        /// The path of the peer.
        path: Path,
        failure: HandshakeFailure,
    },
}

/// Why an established session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// The peer sent a close_notify.
    CloseNotify,
    /// No application data came for `limits.session_idle`.
    Idle,
    /// A new session was established from the same address.
    Replaced,
    /// The gateway closed it, for this reason.
    Closed(&'static str),
    /// Sessions are stored, and no more record numbers were reserved for it: see [`Endpoint::set_send_end`](super::Endpoint::set_send_end).
    NotReserved,
    /// Another gateway serves it.
    ServedElsewhere,
    Failed(String),
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndReason::CloseNotify => f.write_str("closed by the device"),
            EndReason::Idle => f.write_str("silent for limits.session_idle"),
            EndReason::Replaced => {
                f.write_str("a new session from the same address took its place")
            }
            EndReason::Closed(why) => write!(f, "closed by the gateway: {why}"),
            EndReason::NotReserved => f.write_str(
                "no more record numbers could be reserved for it where sessions are stored",
            ),
            EndReason::ServedElsewhere => f.write_str("another gateway serves it"),
            EndReason::Failed(reason) => write!(f, "failed: {reason}"),
        }
    }
}

/// How many cipher suites of a client without a common one are logged: enough to recognise its kind.
pub(crate) const OFFERED_SUITES_LOGGED: usize = 16;

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// The policy rejects the peer's certificate. Whether the peer has its key is not known.
    CertificateRefused {
        /// The leaf's SHA-256.
        certificate: [u8; 32],
        /// What is wrong with it.
        refusal: CertificateError,
    },
    /// There is no common cipher suite.
    NoCommonCipherSuite {
        /// The first [`OFFERED_SUITES_LOGGED`] that the client offered.
        offered: Vec<u16>,
        /// How many more it offered.
        more: usize,
    },
    /// The handshake completed without a client certificate.
    NoCertificate,
    /// `limits.sessions` are established.
    SessionsFull,
    /// `dtls.handshake_timeout` has passed.
    TimedOut,
    /// `dtls.handshake_timeout` has passed, and the client had sent this alert. It may be forged, so that it ended nothing, but
    /// it is the likely reason.
    GivenUp(AlertDescription),
    /// It buffered more than there was room for.
    TooMuchBuffered,
    /// Something is wrong with it (DTLS 1.2).
    Handshake(HandshakeError),
    /// The engine of DTLS 1.3 failed, for this reason.
    Engine(String),
}

impl HandshakeFailure {
    /// What went wrong, for those that have no log line of their own.
    pub(crate) fn reason(&self) -> Option<String> {
        Some(match self {
            HandshakeFailure::GivenUp(alert) => {
                format!("the client has sent {alert}, and not gone on with the handshake")
            }
            HandshakeFailure::TooMuchBuffered => {
                "it keeps more unfinished messages waiting than there is room for".to_owned()
            }
            HandshakeFailure::Handshake(HandshakeError::TooLarge(HandshakeType::CERTIFICATE)) => {
                "the client's certificates are too large; at most 16 KiB are accepted".to_owned()
            }
            HandshakeFailure::Handshake(error) => error.to_string(),
            HandshakeFailure::Engine(reason) => reason.clone(),
            HandshakeFailure::CertificateRefused { .. }
            | HandshakeFailure::NoCommonCipherSuite { .. }
            | HandshakeFailure::NoCertificate
            | HandshakeFailure::SessionsFull
            | HandshakeFailure::TimedOut => return None,
        })
    }

    /// The client has offered these.
    pub(crate) fn no_common_cipher_suite(offered: &[u16]) -> HandshakeFailure {
        HandshakeFailure::NoCommonCipherSuite {
            offered: offered
                .iter()
                .take(OFFERED_SUITES_LOGGED)
                .copied()
                .collect(),
            more: offered.len().saturating_sub(OFFERED_SUITES_LOGGED),
        }
    }
}
