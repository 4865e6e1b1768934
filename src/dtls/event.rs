//! What the secure sessions tell, and what they want sent.

use super::{Path, SessionId};
use crate::credentials::Refusal;
use std::fmt;

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// To where, and from which of our addresses.
    pub path: Path,
    /// Its bytes, at most [`Parameters::mtu`](super::Parameters::mtu).
    pub datagram: Vec<u8>,
}

/// What the secure sessions tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A handshake is complete: the peer owns the key of this certificate, and the policy accepts it.
    Established {
        /// The new session.
        session: SessionId,
        /// Where its peer is.
        path: Path,
        /// The peer's leaf certificate, DER.
        certificate: Vec<u8>,
        /// "1.2" or "1.3".
        version: &'static str,
    },
    /// Application data of an established session.
    Plaintext {
        /// The session.
        session: SessionId,
        /// The decrypted bytes.
        bytes: Vec<u8>,
    },
    /// An established session has ended.
    Ended {
        /// The session.
        session: SessionId,
        /// Why.
        reason: EndReason,
    },
    /// A handshake has come to nothing. The peer's address is proven, but for
    /// [`HandshakeFailure::NoCommonCipherSuite`] and [`HandshakeFailure::SessionsFull`].
    HandshakeFailed {
        /// Who it was.
        path: Path,
        /// Why.
        failure: HandshakeFailure,
    },
}

/// Why an established session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// The peer said so.
    CloseNotify,
    /// No application data came for `limits.session_idle`.
    Idle,
    /// A new session was established from the same address.
    Replaced,
    /// We closed it, for this reason.
    Closed(&'static str),
    /// The engine gave up.
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
            EndReason::Failed(reason) => write!(f, "failed: {reason}"),
        }
    }
}

/// Cipher suites told of a peer that offers none of ours: enough to see what it is.
pub const OFFERED_SUITES_LOGGED: usize = 16;

/// Why a handshake came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// The policy refuses the certificate the peer has shown. Whether it owns the key is not known.
    CertificateRefused {
        /// The leaf, DER.
        certificate: Vec<u8>,
        /// Why.
        refusal: Refusal,
    },
    /// None of the peer's cipher suites is ours.
    NoCommonCipherSuite {
        /// What it offered, its first [`OFFERED_SUITES_LOGGED`].
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
    /// The engine gave up.
    Engine(String),
}
