//! The states of a handshake between our flight and the client's Finished. Each takes itself and one message.

use super::flight::Item;
use super::{ClientVerifier, HandshakeError};
use crate::association::{Association, Parameters};
use crate::config::{ClientCertificate, Config};
use crate::crypto::certificate_key::CertificateKey;
use crate::crypto::key_exchange::KeyShare;
use crate::crypto::key_schedule::{MasterSecret, Sender};
use crate::crypto::signature::SignatureScheme;
use crate::crypto::transcript::Transcript;
use crate::message::certificate::{Certificate, CertificateVerify};
use crate::message::key_exchange::ClientKeyExchange;
use crate::message::server_hello::NewSessionTicket;
use crate::message::{HandshakeType, HelloRandom, whole};
use crate::reassembly::Message;
use crate::resumption::{MAX_TICKET, Session, Ticket};
use crate::suite::CipherSuite;
use std::fmt;

/// Where a handshake is.
pub(super) enum State {
    /// The client's certificates are due.
    Certificate(Box<KeyExchange>),
    /// Its public key is due. Without a certificate, the client stays anonymous.
    ClientKeyExchange(Box<KeyExchange>, Option<CertificateKey>),
    /// The proof of its certificate's key is due.
    CertificateVerify(Box<Confirmation>, CertificateKey),
    /// Its ChangeCipherSpec is due.
    ChangeCipherSpec(Box<Confirmation>),
    /// Its Finished is due.
    Finished(Box<Confirmation>),
    /// Complete, or failed.
    Ended,
}

/// What the key exchange needs.
pub(super) struct KeyExchange {
    pub(super) transcript: Transcript,
    pub(super) suite: CipherSuite,
    pub(super) client_random: HelloRandom,
    pub(super) server_random: HelloRandom,
    pub(super) share: KeyShare,
    pub(super) terms: Terms,
    /// Of our next message.
    pub(super) next_seq: u16,
}

/// What else both sides have agreed on.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) extended_master_secret: bool,
    pub(super) return_routability_check: bool,
    pub(super) own_connection_id: Vec<u8>,
    pub(super) peer_connection_id: Vec<u8>,
    pub(super) send_limit: u16,
    pub(super) receive_limit: u16,
    /// To resume the session by. Empty: it isn't.
    pub(super) session_id: Vec<u8>,
    /// Whether a NewSessionTicket is announced.
    pub(super) owes_ticket: bool,
}

/// What the confirmation of the keys needs.
pub(super) struct Confirmation {
    pub(super) transcript: Transcript,
    pub(super) suite: CipherSuite,
    pub(super) master_secret: MasterSecret,
    pub(super) is_resumed: bool,
    pub(super) session: Option<Session>,
    /// Whether a NewSessionTicket was announced.
    pub(super) owes_ticket: bool,
    /// Of our next message.
    pub(super) next_seq: u16,
}

/// What follows a message.
pub(super) enum Next {
    /// Another one.
    State(State),
    /// Another one, and from now on there are keys.
    Keys(State, Box<Association>),
    /// Nothing: the client's Finished was right.
    Finished(Finished),
}

/// The client's Finished was right.
pub(super) struct Finished {
    /// Our last flight, if we owe one.
    pub(super) answer: Option<Vec<Item>>,
    pub(super) session: Option<Session>,
}

impl State {
    /// The types of the message that is due. `None`: no message is.
    pub(super) const fn expected(&self) -> Option<&'static [HandshakeType]> {
        Some(match self {
            State::Certificate(_) => &[HandshakeType::CERTIFICATE],
            State::ClientKeyExchange(..) => &[HandshakeType::CLIENT_KEY_EXCHANGE],
            State::CertificateVerify(..) => &[HandshakeType::CERTIFICATE_VERIFY],
            State::Finished(_) => &[HandshakeType::FINISHED],
            State::ChangeCipherSpec(_) | State::Ended => return None,
        })
    }

    /// Whether authentic records can only have overtaken the ChangeCipherSpec.
    pub(super) const fn is_before_change_cipher_spec(&self) -> bool {
        match self {
            State::Finished(_) | State::Ended => false,
            State::Certificate(_)
            | State::ClientKeyExchange(..)
            | State::CertificateVerify(..)
            | State::ChangeCipherSpec(_) => true,
        }
    }

    /// Whether an earlier session is resumed.
    pub(super) const fn is_resumed(&self) -> bool {
        match self {
            State::ChangeCipherSpec(confirmation) | State::Finished(confirmation) => {
                confirmation.is_resumed
            }
            State::Certificate(_)
            | State::ClientKeyExchange(..)
            | State::CertificateVerify(..)
            | State::Ended => false,
        }
    }

    /// The cipher suite.
    pub(super) const fn suite(&self) -> Option<CipherSuite> {
        match self {
            State::Certificate(exchange) | State::ClientKeyExchange(exchange, _) => {
                Some(exchange.suite)
            }
            State::CertificateVerify(confirmation, _)
            | State::ChangeCipherSpec(confirmation)
            | State::Finished(confirmation) => Some(confirmation.suite),
            State::Ended => None,
        }
    }

    /// The messages so far.
    pub(super) const fn transcript(&self) -> Option<&Transcript> {
        match self {
            State::Certificate(exchange) | State::ClientKeyExchange(exchange, _) => {
                Some(&exchange.transcript)
            }
            State::CertificateVerify(confirmation, _)
            | State::ChangeCipherSpec(confirmation)
            | State::Finished(confirmation) => Some(&confirmation.transcript),
            State::Ended => None,
        }
    }

    /// Takes a ChangeCipherSpec. Returns whether it was due: otherwise it changes nothing.
    pub(super) fn take_change_cipher_spec(&mut self) -> bool {
        if let State::ChangeCipherSpec(_) = self
            && let State::ChangeCipherSpec(confirmation) = std::mem::replace(self, State::Ended)
        {
            *self = State::Finished(confirmation);
            return true;
        }
        false
    }

    /// Takes the next message.
    pub(super) fn receive(
        self,
        message: &Message,
        config: &Config,
        verifier: &mut dyn ClientVerifier,
    ) -> Result<Next, HandshakeError> {
        match (self, message.message_type()) {
            (State::Certificate(exchange), HandshakeType::CERTIFICATE) => {
                exchange.certificate(message, config, verifier)
            }
            // Mbed TLS sends no Certificate at all if it has none that fits.
            (State::Certificate(_), HandshakeType::CLIENT_KEY_EXCHANGE)
                if config.client_certificate() == ClientCertificate::Required =>
            {
                Err(HandshakeError::NoCertificate)
            }
            (State::ClientKeyExchange(exchange, key), HandshakeType::CLIENT_KEY_EXCHANGE) => {
                exchange.client_key_exchange(message, key)
            }
            (State::CertificateVerify(confirmation, key), HandshakeType::CERTIFICATE_VERIFY) => {
                confirmation.certificate_verify(message, &key)
            }
            (State::Finished(confirmation), HandshakeType::FINISHED) => {
                confirmation.finished(message, verifier)
            }
            (_, other) => Err(HandshakeError::Unexpected(other)),
        }
    }
}

impl KeyExchange {
    fn certificate(
        mut self: Box<Self>,
        message: &Message,
        config: &Config,
        verifier: &mut dyn ClientVerifier,
    ) -> Result<Next, HandshakeError> {
        let certificate =
            Certificate::parse(message.body()).map_err(HandshakeError::Certificate)?;
        self.transcript.push(message.as_bytes());
        let Some(own) = certificate.chain.first() else {
            return match config.client_certificate() {
                ClientCertificate::Required => Err(HandshakeError::NoCertificate),
                ClientCertificate::Requested | ClientCertificate::NotRequested => {
                    Ok(Next::State(State::ClientKeyExchange(self, None)))
                }
            };
        };
        let key = CertificateKey::from_certificate(own).map_err(HandshakeError::Certificate)?;
        verifier
            .verify(&certificate.chain)
            .map_err(HandshakeError::Refused)?;
        Ok(Next::State(State::ClientKeyExchange(self, Some(key))))
    }

    fn client_key_exchange(
        self: Box<Self>,
        message: &Message,
        key: Option<CertificateKey>,
    ) -> Result<Next, HandshakeError> {
        let KeyExchange {
            mut transcript,
            suite,
            client_random,
            server_random,
            share,
            terms,
            next_seq,
        } = *self;
        let malformed = HandshakeError::Malformed(message.message_type());
        let exchange = ClientKeyExchange::parse(message.body()).map_err(|_| malformed)?;
        let secret = share
            .agree(exchange.public_key)
            .map_err(HandshakeError::PublicKey)?;
        transcript.push(message.as_bytes());
        let hash = suite.prf_hash();
        let master_secret = match terms.extended_master_secret {
            // RFC 7627 §4: over all messages up to this one.
            true => MasterSecret::derive_extended(hash, &secret, transcript.hash().as_ref()),
            false => MasterSecret::derive(hash, &secret, &client_random, &server_random),
        };
        let master_secret = master_secret.map_err(|_| HandshakeError::Internal)?;
        let randoms = (&client_random, &server_random);
        let association = terms.association(suite, &master_secret, randoms)?;
        let confirmation = Box::new(Confirmation {
            transcript,
            suite,
            session: terms.session(suite, &master_secret),
            master_secret,
            is_resumed: false,
            owes_ticket: terms.owes_ticket,
            next_seq,
        });
        let state = match key {
            Some(key) => State::CertificateVerify(confirmation, key),
            None => State::ChangeCipherSpec(confirmation),
        };
        Ok(Next::Keys(state, Box::new(association)))
    }
}

impl Terms {
    /// The keys of a session.
    pub(super) fn association(
        &self,
        suite: CipherSuite,
        master_secret: &MasterSecret,
        (client_random, server_random): (&HelloRandom, &HelloRandom),
    ) -> Result<Association, HandshakeError> {
        let keys = master_secret
            .key_block(suite, client_random, server_random)
            .map_err(|_| HandshakeError::Internal)?;
        Association::new(Parameters {
            suite,
            extended_master_secret: self.extended_master_secret,
            return_routability_check: self.return_routability_check,
            write: keys.server,
            read: keys.client,
            own_connection_id: &self.own_connection_id,
            peer_connection_id: &self.peer_connection_id,
            send_limit: self.send_limit,
            receive_limit: self.receive_limit,
        })
        .map_err(|_| HandshakeError::Internal)
    }

    /// What to keep of the session, if it may be resumed.
    fn session(&self, suite: CipherSuite, master_secret: &MasterSecret) -> Option<Session> {
        // RFC 7627 §5.4: without it, a session is not bound to its certificates.
        self.extended_master_secret
            .then(|| Session::new(self.session_id.clone(), suite, master_secret.clone()))
    }
}

impl Confirmation {
    fn certificate_verify(
        mut self: Box<Self>,
        message: &Message,
        key: &CertificateKey,
    ) -> Result<Next, HandshakeError> {
        let malformed = HandshakeError::Malformed(message.message_type());
        let verify = CertificateVerify::parse(message.body()).map_err(|_| malformed)?;
        let scheme = SignatureScheme::from_number(verify.scheme).ok_or(
            HandshakeError::CertificateVerify(crate::alert::AlertDescription::ILLEGAL_PARAMETER),
        )?;
        let messages = self.transcript.messages().ok_or(HandshakeError::Internal)?;
        key.verify(scheme, messages, verify.signature)
            .map_err(HandshakeError::CertificateVerify)?;
        self.transcript.release_messages();
        self.transcript.push(message.as_bytes());
        Ok(Next::State(State::ChangeCipherSpec(self)))
    }

    fn finished(
        mut self: Box<Self>,
        message: &Message,
        verifier: &mut dyn ClientVerifier,
    ) -> Result<Next, HandshakeError> {
        let hash = self.suite.prf_hash();
        let so_far = self.transcript.hash();
        let is_right =
            self.master_secret
                .is_finished(hash, Sender::Client, so_far.as_ref(), message.body());
        if !is_right {
            return Err(HandshakeError::Finished);
        }
        let answer = match self.is_resumed {
            true => None,
            false => {
                self.transcript.push(message.as_bytes());
                Some(self.last_flight(verifier)?)
            }
        };
        Ok(Next::Finished(Finished {
            answer,
            session: self.session,
        }))
    }

    fn last_flight(
        &mut self,
        verifier: &mut dyn ClientVerifier,
    ) -> Result<Vec<Item>, HandshakeError> {
        let mut items = Vec::new();
        if self.owes_ticket {
            let session = self.session.as_ref();
            let ticket = session.and_then(|session| verifier.ticket(session));
            items.push(Item::Message(self.new_session_ticket(ticket)?));
        }
        items.push(Item::ChangeCipherSpec);
        items.push(Item::Protected(self.own_finished()?));
        Ok(items)
    }

    /// RFC 5077 §3.3: an announced ticket that is not there after all is an empty one.
    fn new_session_ticket(&mut self, ticket: Option<Ticket>) -> Result<Vec<u8>, HandshakeError> {
        let ticket = ticket.filter(|ticket| ticket.bytes.len() <= MAX_TICKET);
        let mut body = Vec::new();
        NewSessionTicket {
            lifetime_hint: ticket.as_ref().map_or(0, |ticket| ticket.lifetime_hint),
            ticket: ticket.as_ref().map_or(&[], |ticket| &ticket.bytes),
        }
        .write(&mut body)
        .map_err(|_| HandshakeError::Internal)?;
        let message = whole(HandshakeType::NEW_SESSION_TICKET, self.next_seq, &body)
            .map_err(|_| HandshakeError::Internal)?;
        self.transcript.push(&message);
        self.next_seq = self.next_seq.saturating_add(1);
        Ok(message)
    }

    /// Our Finished, over all messages so far.
    pub(super) fn own_finished(&mut self) -> Result<Vec<u8>, HandshakeError> {
        let hash = self.suite.prf_hash();
        let so_far = self.transcript.hash();
        let verify_data = self
            .master_secret
            .verify_data(hash, Sender::Server, so_far.as_ref())
            .map_err(|_| HandshakeError::Internal)?;
        let finished = whole(HandshakeType::FINISHED, self.next_seq, &verify_data)
            .map_err(|_| HandshakeError::Internal)?;
        self.transcript.push(&finished);
        Ok(finished)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Certificate(_) => "Certificate",
            State::ClientKeyExchange(..) => "ClientKeyExchange",
            State::CertificateVerify(..) => "CertificateVerify",
            State::ChangeCipherSpec(_) => "ChangeCipherSpec",
            State::Finished(_) => "Finished",
            State::Ended => "Ended",
        })
    }
}
