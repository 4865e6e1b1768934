//! DTLS sessions (RFC 6347, RFC 9147): datagrams from an address in, plaintext from a verified certificate out, at bounded
//! cost.
//!
//! | Part | Owns |
//! |---|---|
//! | [`record`] | parsing of record and handshake headers, before any engine sees a datagram |
//! | [`hello`] | an unfragmented ClientHello, and the reply to it without an engine |
//! | [`cookie`] | stateless cookies that prove an address |
//! | [`demux`] | which session a datagram belongs to; half-open handshakes and their bounds |
//! | [`rate_limit`] | rate limits on hellos and handshakes |
//! | `path`, `supported` | names and addresses of sessions; what the engine supports |
//! | [`session`] | one session and its stages |
//! | [`inbound`] | the filter in front of an engine: which records of a datagram reach it |
//! | [`engine`] | the DTLS engine; it and its submodules are the only files that name `dimpl` |
//!
//! **Why `dimpl`.** It is sans-IO, has no unsafe code, speaks DTLS 1.2 and 1.3, and keeps a session
//! through forged plaintext records, lost final flights and fuzzed datagrams. `webrtc-dtls` was the
//! first choice and was tried: 40,000 tiny handshake fragments, sent before any cookie, overflow its
//! stack and abort the process; two of its parsers panic on crafted input before authentication;
//! records for the next epoch are queued without bound; and one forged plaintext packet ends an
//! established session. It serves as an independent client in the tests.
//!
//! [`inbound`] protects it from what it does not check itself: forged plaintext ended handshakes, a long certificate made it
//! panic, and it queued records that it could never use. A panic is caught and ends one session.
//!
//! **What the engine does not do yet**: TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 (mandatory for CoAP,
//! RFC 7252 §9.1.3.3), connection IDs (RFC 9146), session resumption, RSA or Ed25519 certificates,
//! certificate chains in either direction, clients without extended master secret (RFC 7627).

use std::time::Duration;

mod cipher_suites;
pub(crate) mod cookie;
mod counters;
pub(crate) mod demux;
pub(crate) mod engine;
mod event;
pub(crate) mod hello;
pub(crate) mod inbound;
mod path;
pub(crate) mod rate_limit;
pub(crate) mod record;
pub(crate) mod session;
mod supported;

pub use cipher_suites::CipherSuites;
pub(crate) use cipher_suites::needs_rsa;
pub(crate) use counters::Counters;
pub use demux::Demux;
pub use dtls_server::config::ExtendedMasterSecret;
pub(crate) use dtls_server::suite::CipherSuite;
pub use event::Event;
pub(crate) use event::{EndReason, HandshakeFailure, OFFERED_SUITES_LOGGED, Transmit};
pub use path::{Path, SessionId};

/// Which DTLS versions are offered to devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// DTLS 1.2 alone (RFC 6347).
    Only12,
    /// DTLS 1.3 alone (RFC 9147).
    Only13,
    /// Both; the client decides.
    Both,
}

/// Sizes, deadlines and bounds of the DTLS sessions: `[dtls]` and `[limits]` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// The largest UDP payload we send, in bytes.
    pub mtu: usize,
    /// Versions that a ClientHello may negotiate.
    pub versions: Versions,
    /// How long a handshake may take until the peer's address is proven.
    pub unproven_timeout: Duration,
    /// How long it may take after that.
    pub handshake_timeout: Duration,
    /// Established sessions at once.
    pub sessions: usize,
    /// Half-open handshakes at once.
    pub handshakes: usize,
    /// `limits.hellos`, the unit of these limits a second:
    ///
    /// | ClientHello | limit |
    /// |---|---|
    /// | first of a client, answered with a cookie | 2 × |
    /// | first one that is repeated because it was over that limit | 1 × more |
    /// | fragmented, with a valid cookie | ½ × |
    /// | needs an engine before it has a cookie (fragmented, without a key share of ours, resumption, …) | ½ × |
    /// | repeated, or a further fragment, for an unproven handshake under way | ½ × |
    /// | unfragmented, with a valid cookie | none: it waits until a handshake can start |
    pub hellos: u32,
    /// Handshakes a second of one host with a proven address; those that a registered device completes do not count.
    pub handshakes_per_address: u32,
    /// A session ends after this time without application data from its peer.
    pub session_idle: Duration,
    /// Cipher suites of DTLS 1.2, best first. Empty: all that the server's certificates allow.
    pub cipher_suites: CipherSuites,
    /// Whether clients of DTLS 1.2 must offer it (RFC 7627).
    pub extended_master_secret: ExtendedMasterSecret,
    /// Bytes of the connection IDs that clients get (RFC 9146): 4 to 8, or 0 for none.
    pub connection_id: u8,
    /// Sessions of DTLS 1.2 that can be resumed. 0: none can.
    pub resumable_sessions: usize,
    /// How long they can be.
    pub resumption_lifetime: Duration,
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
            cipher_suites: CipherSuites::default(),
            extended_master_secret: ExtendedMasterSecret::Prefer,
            connection_id: 8,
            resumable_sessions: 10_000,
            resumption_lifetime: Duration::from_secs(24 * 3600),
        }
    }
}
