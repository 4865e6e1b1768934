//! What a client does with the records of its server.

use super::{Chosen, Client};
use crate::moves::Move;
use dtls_server::alert::Alert;
use dtls_server::association::Unprotected;
use dtls_server::crypto::key_exchange::NamedGroup;
use dtls_server::crypto::key_schedule::Sender;
use dtls_server::message::key_exchange::ServerKeyExchange;
use dtls_server::message::server_hello::{HelloVerifyRequest, NewSessionTicket, ServerHello};
use dtls_server::message::{HandshakeType, fragments};
use dtls_server::reassembly::Message;
use dtls_server::record::{ContentType, records};
use dtls_server::routability::PathMessage;
use dtls_server::suite::CipherSuite;
use dtls_server::wire::Malformed;

/// What a server sends.
const SERVER_MESSAGES: [HandshakeType; 8] = [
    HandshakeType::HELLO_VERIFY_REQUEST,
    HandshakeType::SERVER_HELLO,
    HandshakeType::CERTIFICATE,
    HandshakeType::SERVER_KEY_EXCHANGE,
    HandshakeType::CERTIFICATE_REQUEST,
    HandshakeType::SERVER_HELLO_DONE,
    HandshakeType::NEW_SESSION_TICKET,
    HandshakeType::FINISHED,
];

impl Client {
    /// Takes in a datagram, and returns what a lawful client sends then.
    pub fn receive(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let own = self.options.connection_id.as_ref().map_or(0, Vec::len);
        let mut answer = Vec::new();
        for record in records(datagram, own) {
            if record.epoch == 0 {
                match record.content_type {
                    ContentType::HANDSHAKE => {
                        for fragment in fragments(record.fragment).flatten() {
                            if fragment.header.message_seq > 40 {
                                continue;
                            }
                            self.received.insert(&fragment, false);
                            answer.extend(self.advance());
                        }
                    }
                    ContentType::ALERT => self.alerts.extend(Alert::parse(record.fragment)),
                    _ => {}
                }
                continue;
            }
            let Some(association) = &mut self.association else {
                continue;
            };
            let Ok(received) = association.unprotect(&record) else {
                continue;
            };
            answer.extend(self.receive_protected(&received));
        }
        answer
    }

    fn receive_protected(&mut self, received: &Unprotected) -> Vec<Vec<u8>> {
        match received.content_type {
            ContentType::APPLICATION_DATA => self.application_data.push(received.content.clone()),
            ContentType::ALERT => self.alerts.extend(Alert::parse(&received.content)),
            ContentType::HANDSHAKE => {
                let mut answer = Vec::new();
                for fragment in fragments(&received.content).flatten() {
                    self.received.insert(&fragment, true);
                    answer.extend(self.advance());
                }
                return answer;
            }
            ContentType::RETURN_ROUTABILITY_CHECK => {
                let Some(message) = PathMessage::parse(&received.content) else {
                    return Vec::new();
                };
                self.path_messages.push(message);
                if let PathMessage::Challenge(cookie) = message {
                    let response = PathMessage::Response(cookie).encode();
                    return vec![self.protect(ContentType::RETURN_ROUTABILITY_CHECK, &response)];
                }
            }
            _ => {}
        }
        Vec::new()
    }

    fn advance(&mut self) -> Vec<Vec<u8>> {
        let mut answer = Vec::new();
        while let Some(message) = self.received.take(&SERVER_MESSAGES) {
            answer.extend(self.handle(&message).unwrap_or_default());
        }
        answer
    }

    fn handle(&mut self, message: &Message) -> Result<Vec<Vec<u8>>, Malformed> {
        let body = message.body();
        match message.message_type() {
            HandshakeType::HELLO_VERIFY_REQUEST => {
                self.cookie = HelloVerifyRequest::parse(body)?.cookie.to_vec();
                return Ok(self.make(&[Move::HelloWithCookie]));
            }
            HandshakeType::SERVER_HELLO => {
                self.messages.extend_from_slice(message.as_bytes());
                self.server_hello(body)?;
            }
            HandshakeType::SERVER_KEY_EXCHANGE => {
                self.messages.extend_from_slice(message.as_bytes());
                let exchange = ServerKeyExchange::parse(body)?;
                if let Some(chosen) = &mut self.chosen {
                    chosen.group = NamedGroup::from_number(exchange.parameters.group);
                    chosen.server_key = exchange.parameters.public_key.to_vec();
                }
            }
            HandshakeType::SERVER_HELLO_DONE => {
                self.messages.extend_from_slice(message.as_bytes());
                return Ok(match self.options.credentials {
                    Some(_) => self.make(&self.options.second_flight.clone()),
                    None => self.make(&[
                        Move::EmptyCertificate,
                        Move::ClientKeyExchange,
                        Move::ChangeCipherSpec,
                        Move::Finished,
                    ]),
                });
            }
            HandshakeType::NEW_SESSION_TICKET => {
                self.messages.extend_from_slice(message.as_bytes());
                self.ticket = Some(NewSessionTicket::parse(body)?.ticket.to_vec());
                let chosen = self.chosen.as_mut().ok_or(Malformed)?;
                // One that was not announced is unlawful (RFC 5077 §3.3).
                if !std::mem::replace(&mut chosen.owes_ticket, false) {
                    return Err(Malformed);
                }
            }
            HandshakeType::CERTIFICATE => {
                self.messages.extend_from_slice(message.as_bytes());
                // The ticket is not taken.
                self.is_resumed = false;
                self.association = None;
                self.ticket = None;
            }
            HandshakeType::FINISHED => {
                let is_right = self
                    .verify_data(Sender::Server)
                    .is_some_and(|data| data == body);
                let owes_ticket = self
                    .chosen
                    .as_ref()
                    .is_some_and(|chosen| chosen.owes_ticket);
                if !is_right || owes_ticket {
                    return Err(Malformed);
                }
                self.messages.extend_from_slice(message.as_bytes());
                self.is_connected = true;
                if self.is_resumed {
                    return Ok(self.make(&self.options.resumed_flight.clone()));
                }
            }
            _ => self.messages.extend_from_slice(message.as_bytes()),
        }
        Ok(Vec::new())
    }

    fn server_hello(&mut self, body: &[u8]) -> Result<(), Malformed> {
        let hello = ServerHello::parse(body).map_err(|_| Malformed)?;
        let session = self.options.session.clone();
        self.chosen = Some(Chosen {
            suite: CipherSuite::from_number(hello.cipher_suite).ok_or(Malformed)?,
            server_random: hello.random,
            session_id: hello.session_id.to_vec(),
            extended_master_secret: hello.extensions.extended_master_secret,
            return_routability_check: hello.extensions.return_routability_check,
            owes_ticket: hello.extensions.session_ticket,
            server_connection_id: hello.extensions.connection_id.map(<[u8]>::to_vec),
            group: None,
            server_key: Vec::new(),
        });
        if let Some(session) = session
            && session.id == hello.session_id
        {
            // Without an id, it is seen by whether a Certificate follows (RFC 5077 §3.4).
            self.is_resumed = true;
            self.ticket = Some(session.ticket).filter(|ticket| !ticket.is_empty());
            self.use_secret(session.master_secret);
        }
        Ok(())
    }
}
