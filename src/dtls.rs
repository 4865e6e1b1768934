//! DTLS sessions (RFC 6347, RFC 9147): datagrams from an address in, plaintext from a verified certificate out, at bounded
//! cost.
//!
//! | Part | Owns |
//! |---|---|
//! | [`endpoint`] | all sessions and handshakes of one socket: where a datagram goes, what is sent, timers, events |
//! | [`index`] | path or connection ID → session or handshake |
//! | [`admission`] | which ClientHellos begin a handshake, and what is answered to the others; no sessions |
//! | [`handshakes`] | half-open handshakes and their bounds |
//! | [`sessions`], [`connection`] | established sessions: a slot each, with keys, path, and what the user keeps |
//! | [`waiting`] | application data for clients that have moved, until it may be sent |
//! | [`used`] | which sessions were used, for who stores them |
//! | [`resumption`] | sessions that can be resumed |
//! | [`settings`] | what all handshakes share |
//! | [`record`] | parsing of record and handshake headers, before any engine sees a datagram |
//! | `path`, `event`, `counters`, `cipher_suites` | names and addresses of sessions; what is reported, counted, configured |
//! | [`dtls13`] | everything that DTLS 1.3 needs besides |
//!
//! DTLS 1.2 is served by the crate `dtls_server` of this workspace. A client that offers 1.3, where `dtls.versions` has it, is
//! served by another library, whose gaps are filled in [`dtls13`].

use std::time::Duration;

mod admission;
mod cipher_suites;
mod connection;
mod counters;
pub(crate) mod dtls13;
pub(crate) mod endpoint;
mod event;
mod handshakes;
mod index;
mod path;
pub(crate) mod record;
mod resumption;
mod sessions;
mod settings;
#[cfg(test)]
pub(crate) mod tests;
mod used;
mod waiting;

pub use cipher_suites::CipherSuites;
pub(crate) use cipher_suites::needs_rsa;
pub(crate) use counters::Counters;
pub(crate) use dtls_server::association::Association;
pub use dtls_server::config::ExtendedMasterSecret;
pub(crate) use dtls_server::suite::CipherSuite;
pub use endpoint::Endpoint;
pub(crate) use endpoint::Found;
pub use endpoint::stored::{Exported, ImportError};
pub use event::Event;
pub(crate) use event::{EndReason, HandshakeFailure, Transmit};
pub(crate) use index::MakeConnectionId;
pub(crate) use path::Via;
pub use path::{Path, SessionId};
pub use settings::Settings;
pub(crate) use settings::SettingsError;

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
    /// Sessions of DTLS 1.2 that can be resumed by their ids. 0: none can, by tickets neither.
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
