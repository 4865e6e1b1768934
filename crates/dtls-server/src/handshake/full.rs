//! Our first flight: what the hello and the configuration lead to.

use super::flight::{Item, PLAINTEXT_OVERHEAD};
use super::state::{KeyExchange, State, Terms};
use super::{HandshakeError, Start};
use crate::alert::AlertDescription;
use crate::config::{ClientCertificate, Config};
use crate::crypto::key_exchange::KeyShare;
use crate::crypto::random::Random;
use crate::crypto::signature::SignatureScheme;
use crate::crypto::transcript::Transcript;
use crate::message::certificate::{CertificateRequest, ClientCertificateType};
use crate::message::client_hello::ClientHello;
use crate::message::key_exchange::{ServerKeyExchange, ServerParameters};
use crate::message::server_hello::{ServerExtensions, ServerHello};
use crate::message::{HandshakeType, HelloRandom, Numbers, whole};
use crate::negotiation::{Answers, Offer, server_random};
use crate::record::{DTLS_1_2, MAX_CONTENT};
use crate::suite::CipherSuite;
use crate::wire::{Malformed, Reader};

/// The keys that a client's certificate may have.
const CERTIFICATE_TYPES: [u8; 2] = [
    ClientCertificateType::ECDSA_SIGN.0,
    ClientCertificateType::RSA_SIGN.0,
];

/// A hello that has been read, and what answers it in any case.
pub(super) struct Opening<'a> {
    pub(super) config: &'a Config,
    pub(super) offer: Offer<'a>,
    /// The ClientHello as in the transcript.
    pub(super) hello: &'a [u8],
    pub(super) server_random: HelloRandom,
    pub(super) terms: Terms,
    /// Of our first message.
    first_seq: u16,
}

/// Collects the messages of a flight.
pub(super) struct Messages {
    pub(super) items: Vec<Item>,
    pub(super) transcript: Transcript,
    pub(super) next_seq: u16,
}

impl Messages {
    /// Adds a message, whose body `write` appends.
    pub(super) fn push(
        &mut self,
        message_type: HandshakeType,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), Malformed>,
    ) -> Result<(), HandshakeError> {
        let mut body = Vec::new();
        let message = write(&mut body).and_then(|()| whole(message_type, self.next_seq, &body));
        // A chain or a key share that does not fit is not ours.
        let message = message.map_err(|_| HandshakeError::Internal)?;
        self.transcript.push(&message);
        self.items.push(Item::Message(message));
        self.next_seq = self.next_seq.saturating_add(1);
        Ok(())
    }
}

impl<'a> Opening<'a> {
    /// Reads the hello.
    pub(super) fn new(
        start: &Start<'a>,
        random: &mut dyn Random,
    ) -> Result<Opening<'a>, HandshakeError> {
        let config = start.config;
        let message = start.hello;
        if message.message_type() != HandshakeType::CLIENT_HELLO {
            return Err(HandshakeError::Unexpected(message.message_type()));
        }
        let hello = ClientHello::parse(message.body())
            .map_err(|_| HandshakeError::Hello(AlertDescription::DECODE_ERROR))?;
        let offer = Offer::read(hello, config).map_err(HandshakeError::Hello)?;
        let server_random = server_random(random, config).map_err(|_| HandshakeError::Internal)?;
        let answers = offer.answers();
        Ok(Opening {
            config,
            offer,
            hello: message.as_bytes(),
            server_random,
            terms: terms(answers, start),
            first_seq: message.message_seq(),
        })
    }

    /// The most bytes of content in a plaintext record. RFC 8449 §4: the other limit is for protected ones only.
    pub(super) fn plaintext_limit(&self) -> usize {
        let negotiated = self.offer.answers().max_fragment_length;
        negotiated.map_or(MAX_CONTENT, |length| usize::from(length.bytes()))
    }

    /// The most bytes of a datagram. A client that asks for short fragments may have no more room for a datagram than for one
    /// record: Californium drops what is longer.
    pub(super) fn datagram_limit(&self) -> usize {
        let offered = self.offer.offered_max_fragment_length();
        offered.map_or(usize::MAX, |length| {
            usize::from(length.bytes()).saturating_add(PLAINTEXT_OVERHEAD)
        })
    }

    /// The messages of a flight, with nothing but the ServerHello.
    pub(super) fn server_hello(
        &self,
        transcript: Transcript,
        suite: CipherSuite,
        session_id: &[u8],
    ) -> Result<Messages, HandshakeError> {
        let mut messages = Messages {
            items: Vec::new(),
            transcript,
            next_seq: self.first_seq,
        };
        messages.transcript.push(self.hello);
        let answers = self.offer.answers();
        let hello = ServerHello {
            version: DTLS_1_2,
            random: self.server_random,
            session_id,
            cipher_suite: suite.number(),
            extensions: ServerExtensions {
                session_ticket: self.terms.owes_ticket,
                ..answers.server_extensions(&self.terms.own_connection_id)
            },
        };
        messages.push(HandshakeType::SERVER_HELLO, |body| hello.write(body))?;
        Ok(messages)
    }

    /// Begins a full handshake.
    pub(super) fn begin(
        self,
        random: &mut dyn Random,
    ) -> Result<(Vec<Item>, State), HandshakeError> {
        let choice = self
            .offer
            .choose(self.config)
            .map_err(HandshakeError::Hello)?;
        let suite = choice.suite;
        let identity = self.config.identity(suite.authentication());
        let identity = identity.ok_or(HandshakeError::Internal)?;
        let client_random = self.offer.hello().random;
        let share = KeyShare::generate(choice.group, random);
        let share = share.map_err(|_| HandshakeError::Internal)?;
        let transcript = Transcript::new(suite.prf_hash());
        let mut messages = self.server_hello(transcript, suite, &self.terms.session_id)?;
        messages.push(HandshakeType::CERTIFICATE, |body| {
            body.extend_from_slice(identity.certificate_message());
            Ok(())
        })?;
        let parameters = ServerParameters {
            group: choice.group.number(),
            public_key: share.public_key(),
        };
        let signed = parameters
            .signed_content(&client_random, &self.server_random)
            .map_err(|_| HandshakeError::Internal)?;
        let signature = identity
            .signer()
            .sign(choice.scheme, &signed)
            .map_err(|_| HandshakeError::Internal)?;
        let exchange = ServerKeyExchange {
            parameters,
            scheme: choice.scheme.number(),
            signature: &signature,
        };
        messages.push(HandshakeType::SERVER_KEY_EXCHANGE, |body| {
            exchange.write(body)
        })?;
        let asks = self.config.client_certificate() != ClientCertificate::NotRequested;
        if asks {
            messages.push(HandshakeType::CERTIFICATE_REQUEST, write_request)?;
        }
        messages.push(HandshakeType::SERVER_HELLO_DONE, |_| Ok(()))?;
        let exchange = Box::new(KeyExchange {
            transcript: messages.transcript,
            suite,
            client_random,
            server_random: self.server_random,
            share,
            terms: self.terms,
            next_seq: messages.next_seq,
        });
        let state = match asks {
            true => State::Certificate(exchange),
            false => State::ClientKeyExchange(exchange, None),
        };
        Ok((messages.items, state))
    }
}

fn terms(answers: &Answers<'_>, start: &Start<'_>) -> Terms {
    let (own, peer) = match answers.peer_connection_id {
        Some(peer) => (start.own_connection_id, peer),
        None => (&[][..], &[][..]),
    };
    Terms {
        extended_master_secret: answers.extended_master_secret,
        return_routability_check: answers.return_routability_check,
        own_connection_id: own.to_vec(),
        peer_connection_id: peer.to_vec(),
        send_limit: answers.send_limit(),
        receive_limit: answers.receive_limit(),
        session_id: match answers.extended_master_secret && !answers.session_ticket {
            true => start.session_id.to_vec(),
            // RFC 7627 §5.4: such a session is not resumed; RFC 5077 §3.4: or by its ticket.
            false => Vec::new(),
        },
        owes_ticket: answers.session_ticket,
    }
}

/// Asks for a certificate of any issuer, with any key that can be verified.
fn write_request(body: &mut Vec<u8>) -> Result<(), Malformed> {
    let schemes: Vec<u8> = SignatureScheme::ALL
        .into_iter()
        .flat_map(|scheme| scheme.number().to_be_bytes())
        .collect();
    CertificateRequest {
        certificate_types: &CERTIFICATE_TYPES,
        signature_algorithms: Numbers::new(Reader::new(&schemes))?,
        authorities: &[],
    }
    .write(body)
}
