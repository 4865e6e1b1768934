//! Datagrams from an address on one side, plaintext from a verified certificate on the other, at
//! bounded cost (RFC 6347, RFC 9147).
//!
//! | Part | Owns |
//! |---|---|
//! | [`record`] | a look at headers: what a datagram is before any engine sees it |
//! | [`hello`] | a whole ClientHello, and its answer without an engine |
//! | [`cookie`] | cookies that prove an address, of which nothing is kept |
//! | [`demux`] | which session a datagram belongs to; half-open handshakes and their bounds |
//! | [`budget`] | how much handshaking strangers may cause |
//! | [`session`] | one session and its stages |
//! | [`inbound`] | which records of a datagram reach a session's engine |
//! | [`engine`] | the DTLS engine; it and its submodules are the only files that name `dimpl` |
//! | [`credentials`] | what we show devices, and which certificates are let in |
//!
//! **Why `dimpl`.** It is sans-IO, has no unsafe code, speaks DTLS 1.2 and 1.3, and keeps a session
//! through forged plaintext records, lost final flights and fuzzed datagrams. `webrtc-dtls` was the
//! first choice and was tried: 40,000 tiny handshake fragments, sent before any cookie, overflow its
//! stack and abort the process; two of its parsers panic on crafted input before authentication;
//! records for the next epoch are queued without bound; and one forged plaintext packet ends an
//! established session. It serves as an independent client in the tests.
//!
//! Where `dimpl` believes too much, [`inbound`] stands before it: forged plaintext ended handshakes, a long certificate
//! made it panic, and it queued what it could never use. Should it panic all the same, that is caught and ends one session.
//!
//! **What the engine does not do yet**: TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 (mandatory for CoAP,
//! RFC 7252 §9.1.3.3), connection IDs (RFC 9146), session resumption, RSA or Ed25519 certificates,
//! certificate chains in either direction, clients without extended master secret (RFC 7627).

use std::time::Duration;

pub mod budget;
pub mod cookie;
mod counters;
pub mod credentials;
pub mod demux;
pub mod engine;
mod event;
pub mod hello;
pub mod inbound;
pub mod record;
pub mod session;

pub use counters::Counters;
pub use credentials::{ClientPolicy, CredentialsError, Refusal, ServerCredentials, Validity};
pub use demux::Demux;
pub use event::{EndReason, Event, HandshakeFailure, OFFERED_SHOWN, Transmit};
pub use session::{Path, SessionId};

/// Which DTLS versions are offered to devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// DTLS 1.2 alone (RFC 6347).
    Only12,
    /// DTLS 1.3 alone (RFC 9147).
    Only13,
    /// Whichever the client prefers.
    Both,
}

/// Sizes, deadlines and bounds of the secure sessions, as `[dtls]` and `[limits]` give them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// The largest UDP payload we send, in bytes.
    pub mtu: usize,
    /// Protocol versions offered.
    pub versions: Versions,
    /// How long a handshake may stay half open while the peer's address is not proven.
    pub unproven_timeout: Duration,
    /// How long a handshake may take once the address is proven.
    pub handshake_timeout: Duration,
    /// Established sessions at once.
    pub sessions: usize,
    /// Half-open handshakes at once.
    pub handshakes: usize,
    /// ClientHellos a second. Twice as many are answered with a cookie, and once more as many of those that had to come
    /// again. Half as many whose hello with the cookie comes in pieces, and as many that an engine must see before there is
    /// a cookie, get one. A whole hello with its cookie has no such limit: a handshake begins when it can be made.
    pub hellos: u32,
    /// Handshakes a second from one proven source address, but for those that a registered device completes.
    pub handshakes_per_address: u32,
    /// A session without application data from its peer for this long ends.
    pub session_idle: Duration,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters {
            mtu: 1200,
            versions: Versions::Both,
            unproven_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(60),
            sessions: 100_000,
            handshakes: 1_000,
            hellos: 2_000,
            handshakes_per_address: 256,
            session_idle: Duration::from_secs(24 * 3600),
        }
    }
}
