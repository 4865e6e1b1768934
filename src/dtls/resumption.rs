//! Sessions of DTLS 1.2 that can be resumed by their session ids (RFC 5246 §7.3, RFC 7627 §5), or by tickets (RFC 5077).
//!
//! A client that sends the SessionTicket extension gets a ticket, with what its session is resumed by; any other gets a session
//! id, and that is in a table here.
//!
//! What is kept says nothing about whether the client may still come in: it is judged again before its session is resumed.
//!
//! The table has sessions of registered devices alone, because its room is limited. Tickets need no room, and are sent in the last
//! flight of a handshake, before the gateway looks for a device. So each client has one whose certificate the policy has
//! accepted: with it an unregistered client gets no more than it would by a full handshake, at less cost for both.

use super::Parameters;
use super::connection::CertificateTag;
use crate::credentials::{AuthorityPaths, KnownClient};
use dtls_server::config::Config;
use dtls_server::cookie::VerifiedHello;
use dtls_server::crypto::random::SystemRandom;
use dtls_server::resumption::{
    Named, Opened, SESSION_ID_LENGTH, Session, SessionCache, Ticket, Tickets,
};
use std::time::{Duration, Instant};

/// The sessions, with their clients.
pub(super) struct Resumption {
    is_on: bool,
    lifetime: Duration,
    sessions: SessionCache<CertificateTag, KnownClient>,
    /// `None`: none has been issued yet. Its keys are nowhere else, so that a restart ends all tickets.
    tickets: Option<Tickets>,
}

impl Resumption {
    pub(super) fn new(parameters: &Parameters) -> Resumption {
        let most = parameters.resumable_sessions;
        Resumption {
            is_on: most > 0,
            lifetime: parameters.resumption_lifetime,
            sessions: SessionCache::new(most, parameters.resumption_lifetime),
            tickets: None,
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
        config: &Config,
        paths: &AuthorityPaths,
    ) -> Option<(Session, KnownClient)> {
        match Named::by(&hello.message, config) {
            Named::Id(id) => {
                let (session, client) = self.sessions.get(now, id)?;
                Some((session.clone(), client.clone()))
            }
            Named::Ticket(ticket) => {
                let Opened { session, peer } = self.tickets.as_ref()?.open(now, ticket)?;
                Some((session, KnownClient::decode(&peer, paths)?))
            }
            Named::Nothing => None,
        }
    }

    /// A ticket for the session of a client. `None`: there are no random bytes, or the cryptographic library failed.
    pub(super) fn ticket(
        &mut self,
        now: Instant,
        session: &Session,
        client: &KnownClient,
        paths: &mut AuthorityPaths,
    ) -> Option<Ticket> {
        if !self.is_on {
            return None;
        }
        let tickets = match &mut self.tickets {
            Some(tickets) => tickets,
            none => none.insert(Tickets::new(&mut SystemRandom, now, self.lifetime).ok()?),
        };
        paths.keep_for_ticket(client);
        tickets.seal(now, session, &client.encode(), &mut SystemRandom)
    }

    pub(super) fn insert(&mut self, now: Instant, session: Session, client: KnownClient) {
        let tag = CertificateTag::of(&client.id);
        self.sessions.insert(now, tag, session, client);
    }

    pub(super) fn remove(&mut self, id: &[u8; SESSION_ID_LENGTH]) {
        self.sessions.remove(id);
    }
}
