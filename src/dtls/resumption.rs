//! Sessions of DTLS 1.2 that can be resumed by their session ids (RFC 5246 §7.3, RFC 7627 §5).
//!
//! What is kept says nothing about whether the client may still come in: its certificates are judged again before its session is
//! resumed. Their signatures need not be verified again for [`VERIFIED_FOR`] if the policy is still the same.

use super::Parameters;
use crate::credentials::ClientChain;
use dtls_server::cookie::VerifiedHello;
use dtls_server::crypto::random::SystemRandom;
use dtls_server::message::client_hello::ClientHello;
use dtls_server::resumption::{SESSION_ID_LENGTH, Session, SessionCache};
use std::time::{Duration, Instant};

/// Bytes of a client's certificates that are kept to resume its session: with more, it is not resumed.
const LARGEST_CHAIN: usize = 4 * 1024;

/// How long a chain that was verified counts as such, if the policy does not change: an intermediate may expire meanwhile.
pub(super) const VERIFIED_FOR: Duration = Duration::from_secs(3600);

/// The client of a session, to judge it again.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) chain: ClientChain,
    /// The number of the policy by which the chain was verified, and when.
    pub(super) verified_by: u32,
    pub(super) verified_at: Instant,
}

/// The sessions, with their clients.
pub(super) struct Resumption {
    is_on: bool,
    sessions: SessionCache<Known>,
}

impl Resumption {
    pub(super) fn new(parameters: &Parameters) -> Resumption {
        let most = parameters.resumable_sessions;
        Resumption {
            is_on: most > 0,
            sessions: SessionCache::new(most, parameters.resumption_lifetime),
        }
    }

    /// The id of a new session. Empty: it will not be resumed.
    pub(super) fn new_id(&self) -> Vec<u8> {
        match self.is_on {
            true => (self.sessions.new_id(&mut SystemRandom))
                .map_or_else(|_| Vec::new(), |id| id.to_vec()),
            false => Vec::new(),
        }
    }

    /// The session that a hello names.
    pub(super) fn find(&self, now: Instant, hello: &VerifiedHello) -> Option<(Session, Known)> {
        let hello = ClientHello::parse(hello.message.body()).ok()?;
        let (session, known) = self.sessions.get(now, hello.session_id)?;
        Some((session.clone(), known.clone()))
    }

    pub(super) fn insert(&mut self, now: Instant, session: Session, known: Known) {
        let bytes: usize = known.chain.certificates().iter().map(|der| der.len()).sum();
        if bytes <= LARGEST_CHAIN {
            self.sessions.insert(now, session, known);
        }
    }

    pub(super) fn remove(&mut self, id: &[u8; SESSION_ID_LENGTH]) {
        self.sessions.remove(id);
    }
}
