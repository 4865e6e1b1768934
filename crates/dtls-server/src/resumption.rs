//! Sessions that may be resumed (RFC 5246 §F.1.4, RFC 7627 §5): by their ids ([`SessionCache`]), or by tickets ([`Tickets`]).
//!
//! A session says nothing about whether its client may still come in. Who uses it judges the client again, by what it knows
//! of it, before it passes the session to a handshake. What can't be resumed, for whatever reason, gets a full handshake.

mod cache;
mod tickets;

pub use cache::{MAX_OF_A_CLIENT, SESSION_ID_LENGTH, SessionCache};
pub use tickets::{MAX_PEER, MAX_TICKET, Opened, Ticket, Tickets};

use crate::config::Config;
use crate::crypto::key_schedule::MasterSecret;
use crate::message::client_hello::ClientHello;
use crate::reassembly::Message;
use crate::suite::CipherSuite;

/// By what a client asks to resume a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named<'a> {
    /// A ticket. The session id beside it is the client's own, and names nothing (RFC 5077 §3.4).
    Ticket(&'a [u8]),
    /// A session id.
    Id(&'a [u8]),
    /// Nothing: it wants a new session. So does a hello that can't be read, which a handshake then refuses.
    Nothing,
}

impl<'a> Named<'a> {
    /// What a ClientHello names. Tickets count only where the configuration has them.
    #[must_use]
    pub fn by(hello: &'a Message, config: &Config) -> Named<'a> {
        let Ok(hello) = ClientHello::parse(hello.body()) else {
            return Named::Nothing;
        };
        let Ok(extensions) = hello.client_extensions() else {
            return Named::Nothing;
        };
        match (extensions.session_ticket, hello.session_id) {
            (Some(ticket), _) if config.session_tickets() && !ticket.is_empty() => {
                Named::Ticket(ticket)
            }
            (_, []) => Named::Nothing,
            (_, id) => Named::Id(id),
        }
    }
}

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
