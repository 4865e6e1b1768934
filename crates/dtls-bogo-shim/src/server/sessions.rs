//! What is kept from one connection of a test to the next.

use crate::failure::Failure;
use dtls_server::config::Config;
use dtls_server::crypto::random::SystemRandom;
use dtls_server::reassembly::Message;
use dtls_server::resumption::{Named, Session, Ticket, Tickets};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Longer than any test.
const LIFETIME: Duration = Duration::from_secs(7200);

/// The sessions that can be resumed, by their ids or by tickets.
pub(crate) struct Sessions {
    by_id: HashMap<Vec<u8>, Session>,
    tickets: Tickets,
    /// The clock of tickets stands still: it is not the runner's.
    now: Instant,
}

impl Sessions {
    pub(crate) fn new(now: Instant) -> Result<Sessions, Failure> {
        let tickets = Tickets::new(&mut SystemRandom, now, LIFETIME);
        Ok(Sessions {
            by_id: HashMap::new(),
            tickets: tickets.map_err(|error| Failure::failed(error.to_string()))?,
            now,
        })
    }

    pub(super) fn insert(&mut self, session: Session) {
        self.by_id.insert(session.id().to_vec(), session);
    }

    pub(super) fn seal(&mut self, session: &Session) -> Option<Ticket> {
        self.tickets.seal(self.now, session, &[], &mut SystemRandom)
    }

    /// The session that a hello names.
    pub(super) fn named(&self, hello: &Message, config: &Config) -> Option<Session> {
        match Named::by(hello, config) {
            Named::Ticket(ticket) => Some(self.tickets.open(self.now, ticket)?.session),
            Named::Id(id) => self.by_id.get(id).cloned(),
            Named::Nothing => None,
        }
    }
}
