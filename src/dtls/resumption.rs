//! Sessions of DTLS 1.2 that can be resumed by their session ids (RFC 5246 §7.3, RFC 7627 §5).
//!
//! What is kept says nothing about whether the client may still come in: it is judged again before its session is resumed.

use super::Parameters;
use super::connection::CertificateTag;
use crate::credentials::KnownClient;
use dtls_server::cookie::VerifiedHello;
use dtls_server::crypto::random::SystemRandom;
use dtls_server::message::client_hello::ClientHello;
use dtls_server::resumption::{SESSION_ID_LENGTH, Session, SessionCache};
use std::time::Instant;

/// The sessions, with their clients.
pub(super) struct Resumption {
    is_on: bool,
    sessions: SessionCache<CertificateTag, KnownClient>,
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
    pub(super) fn find(
        &self,
        now: Instant,
        hello: &VerifiedHello,
    ) -> Option<(Session, KnownClient)> {
        let hello = ClientHello::parse(hello.message.body()).ok()?;
        let (session, client) = self.sessions.get(now, hello.session_id)?;
        Some((session.clone(), client.clone()))
    }

    pub(super) fn insert(&mut self, now: Instant, session: Session, client: KnownClient) {
        let tag = CertificateTag::of(&client.id);
        self.sessions.insert(now, tag, session, client);
    }

    pub(super) fn remove(&mut self, id: &[u8; SESSION_ID_LENGTH]) {
        self.sessions.remove(id);
    }
}
