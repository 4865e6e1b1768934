//! The abbreviated handshake, which resumes a session (RFC 5246 §7.3, RFC 7627 §5.3).

use super::flight::Item;
use super::full::Opening;
use super::state::{Confirmation, State};
use super::{HandshakeError, Start};
use crate::association::Association;
use crate::crypto::transcript::Transcript;
use crate::resumption::{Named, Session};

impl<'a> Opening<'a> {
    /// The session that is resumed. `None`: there is a full handshake.
    pub(super) fn resumed(&self, start: &Start<'a>) -> Result<Option<&'a Session>, HandshakeError> {
        let Some(session) = start.resumed else {
            return Ok(None);
        };
        let hello = self.offer.hello();
        // RFC 5077 §3.4: beside a ticket, a session id names nothing.
        let is_named = match Named::by(start.hello, self.config) {
            Named::Ticket(_) => session.id().is_empty(),
            Named::Id(id) => session.id() == id,
            Named::Nothing => false,
        };
        if !is_named {
            return Ok(None);
        }
        let suite = session.suite();
        // RFC 5246 §7.4.1.2: the hello must offer the session's cipher suite.
        if !hello.cipher_suites.contains(suite.number())
            || !self.config.cipher_suites().contains(&suite)
        {
            return Ok(None);
        }
        // Only sessions with an extended master secret are kept.
        match self.offer.answers().extended_master_secret {
            true => Ok(Some(session)),
            false => Err(HandshakeError::ExtendedMasterSecret),
        }
    }

    /// Answers with ServerHello, ChangeCipherSpec and Finished.
    pub(super) fn resume(
        mut self,
        session: &Session,
    ) -> Result<(Vec<Item>, Association, State), HandshakeError> {
        let suite = session.suite();
        // The client goes on with the ticket that it has: another one would live on without the client being authenticated.
        self.terms.owes_ticket = false;
        let client_random = self.offer.hello().random;
        let transcript = Transcript::without_messages(suite.prf_hash());
        // The same one says that the session is resumed.
        let session_id = self.offer.hello().session_id;
        let messages = self.server_hello(transcript, suite, session_id)?;
        let master_secret = session.master_secret().clone();
        let randoms = (&client_random, &self.server_random);
        let association = self.terms.association(suite, &master_secret, randoms)?;
        let mut confirmation = Box::new(Confirmation {
            transcript: messages.transcript,
            suite,
            master_secret,
            is_resumed: true,
            owes_ticket: false,
            session: Some(session.clone()),
            next_seq: messages.next_seq,
        });
        let finished = confirmation.own_finished()?;
        let mut items = messages.items;
        items.push(Item::ChangeCipherSpec);
        items.push(Item::Protected(finished));
        Ok((items, association, State::ChangeCipherSpec(confirmation)))
    }
}
