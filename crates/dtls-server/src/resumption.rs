//! Sessions that may be resumed (RFC 5246 §F.1.4, RFC 7627 §5).
//!
//! A session says nothing about whether its client may still come in. Who uses it judges the client again, by what it knows
//! of it, before it passes the session to a handshake.

mod cache;

pub use cache::{SESSION_ID_LENGTH, SessionCache};

use crate::crypto::key_schedule::MasterSecret;
use crate::suite::CipherSuite;

/// What is kept of a session to resume it. Only sessions with an extended master secret are.
#[derive(Debug, Clone)]
pub struct Session {
    id: Vec<u8>,
    suite: CipherSuite,
    master_secret: MasterSecret,
}

impl Session {
    pub(crate) const fn new(
        id: Vec<u8>,
        suite: CipherSuite,
        master_secret: MasterSecret,
    ) -> Session {
        Session {
            id,
            suite,
            master_secret,
        }
    }

    /// The session id. Empty: it has none.
    #[must_use]
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// The cipher suite, with which alone it is resumed.
    #[must_use]
    pub const fn suite(&self) -> CipherSuite {
        self.suite
    }

    pub(crate) const fn master_secret(&self) -> &MasterSecret {
        &self.master_secret
    }
}
