//! The client's side of a handshake and of a session: what it sends.

mod receiving;

use crate::moves::Move;
use crate::options::{Options, Resumable};
use crate::random::SeededRandom;
use dtls_server::alert::{Alert, AlertDescription};
use dtls_server::association::{Association, MAX_OWN_CONNECTION_ID, Parameters};
use dtls_server::crypto::key_exchange::{KeyShare, NamedGroup, SharedSecret};
use dtls_server::crypto::key_schedule::{MasterSecret, Sender};
use dtls_server::crypto::random::Random;
use dtls_server::crypto::transcript::Transcript;
use dtls_server::message::certificate::{CertificateVerify, write_chain};
use dtls_server::message::client_hello::{ClientHello, NULL_COMPRESSION};
use dtls_server::message::extension::ClientExtensions;
use dtls_server::message::key_exchange::ClientKeyExchange;
use dtls_server::message::{HandshakeType, Numbers, whole};
use dtls_server::reassembly::Reassembly;
use dtls_server::record::{ContentType, DTLS_1_2, write_plaintext};
use dtls_server::routability::PathMessage;
use dtls_server::suite::{CipherSuite, PrfHash};
use dtls_server::wire::Reader;

/// Something to send, kept so that it can be sent again.
#[derive(Debug, Clone)]
enum Part {
    Message(Vec<u8>),
    ChangeCipherSpec,
    Protected(ContentType, Vec<u8>),
}

/// What the client knows of a handshake after the ServerHello.
struct Chosen {
    suite: CipherSuite,
    server_random: [u8; 32],
    session_id: Vec<u8>,
    extended_master_secret: bool,
    return_routability_check: bool,
    /// A NewSessionTicket was announced, and has not come.
    owes_ticket: bool,
    server_connection_id: Option<Vec<u8>>,
    group: Option<NamedGroup>,
    server_key: Vec<u8>,
}

/// A client.
pub struct Client {
    options: Options,
    random: Box<dyn Random + Send>,
    client_random: [u8; 32],
    cookie: Vec<u8>,
    next_seq: u16,
    plaintext_number: u64,
    received: Reassembly,
    /// All messages so far, in order.
    messages: Vec<u8>,
    chosen: Option<Chosen>,
    shared: Option<SharedSecret>,
    master_secret: Option<MasterSecret>,
    association: Option<Association>,
    /// Of a NewSessionTicket, or the one that was shown.
    ticket: Option<Vec<u8>>,
    flight: Vec<Part>,
    is_resumed: bool,
    is_connected: bool,
    /// Alerts of the server.
    alerts: Vec<Alert>,
    application_data: Vec<Vec<u8>>,
    /// Return routability checks of the server.
    path_messages: Vec<PathMessage>,
}

impl Client {
    /// A client that has sent nothing. The seed decides about its randoms and keys.
    #[must_use]
    pub fn new(options: Options, seed: u64) -> Client {
        Client::with_random(options, SeededRandom::new(seed))
    }

    /// A client with another source of randoms and keys.
    ///
    /// # Panics
    /// There are no random bytes.
    #[must_use]
    pub fn with_random(options: Options, mut random: impl Random + Send + 'static) -> Client {
        let mut client_random = [0; 32];
        random.fill(&mut client_random).unwrap();
        Client {
            options,
            random: Box::new(random),
            client_random,
            cookie: Vec::new(),
            next_seq: 0,
            plaintext_number: 0,
            received: Reassembly::new(0),
            messages: Vec::new(),
            chosen: None,
            shared: None,
            master_secret: None,
            association: None,
            ticket: None,
            flight: Vec::new(),
            is_resumed: false,
            is_connected: false,
            alerts: Vec::new(),
            application_data: Vec::new(),
            path_messages: Vec::new(),
        }
    }

    /// The first ClientHello.
    pub fn start(&mut self) -> Vec<Vec<u8>> {
        self.make(&[Move::Hello])
    }

    /// Whether the server's Finished was right.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// Whether the server has resumed the session.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// Alerts that came.
    #[must_use]
    pub fn alerts(&self) -> &[Alert] {
        &self.alerts
    }

    /// The cipher suite.
    #[must_use]
    pub fn suite(&self) -> Option<CipherSuite> {
        self.chosen.as_ref().map(|chosen| chosen.suite)
    }

    /// The keys.
    pub fn association(&mut self) -> Option<&mut Association> {
        self.association.as_mut()
    }

    /// The keys, without what only the handshake needs.
    #[must_use]
    pub fn into_association(self) -> Option<Association> {
        self.association
    }

    /// The session, to resume it.
    #[must_use]
    pub fn resumable(&self) -> Option<Resumable> {
        Some(Resumable {
            id: self.chosen.as_ref()?.session_id.clone(),
            ticket: self.ticket.clone().unwrap_or_default(),
            master_secret: self.master_secret.clone()?,
        })
    }

    /// The ticket of a NewSessionTicket that came. It may be empty.
    #[must_use]
    pub fn ticket(&self) -> Option<&[u8]> {
        self.ticket.as_deref()
    }

    /// Takes application data that came.
    pub fn take_application_data(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.application_data)
    }

    /// Takes return routability checks that came. Challenges have been answered.
    pub fn take_path_messages(&mut self) -> Vec<PathMessage> {
        std::mem::take(&mut self.path_messages)
    }

    /// A datagram with application data.
    ///
    /// # Panics
    /// There are no keys.
    pub fn send(&mut self, content: &[u8]) -> Vec<u8> {
        self.protect(ContentType::APPLICATION_DATA, content)
    }

    /// A datagram with one protected record.
    ///
    /// # Panics
    /// There are no keys.
    pub fn protect(&mut self, content_type: ContentType, content: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::new();
        let association = self.association.as_mut().expect("keys");
        association
            .protect(content_type, content, &mut datagram)
            .unwrap();
        datagram
    }

    /// A datagram with one plaintext record.
    pub fn plaintext(&mut self, content_type: ContentType, content: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::new();
        let number = self.plaintext_number;
        self.plaintext_number += 1;
        write_plaintext(&mut datagram, content_type, DTLS_1_2, number, content).unwrap();
        datagram
    }

    /// Makes moves in this order, whatever has come so far. What can't be made for want of keys is left out.
    pub fn make(&mut self, moves: &[Move]) -> Vec<Vec<u8>> {
        self.flight = Vec::new();
        for &one in moves {
            if let Some(part) = self.part(one) {
                self.flight.push(part);
            }
        }
        self.retransmit()
    }

    /// From now on, flights are packed and messages are cut otherwise.
    pub fn pack(&mut self, packs: bool, fragment_length: usize) {
        self.options.packs = packs;
        self.options.fragment_length = fragment_length;
    }

    /// The last flight again, with new record numbers.
    pub fn retransmit(&mut self) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        for part in self.flight.clone() {
            match part {
                Part::Message(message) => {
                    for fragment in cut(&message, self.options.fragment_length) {
                        datagrams.push(self.plaintext(ContentType::HANDSHAKE, &fragment));
                    }
                }
                Part::ChangeCipherSpec => {
                    datagrams.push(self.plaintext(ContentType::CHANGE_CIPHER_SPEC, &[1]));
                }
                // The keys are gone if the server has not resumed the session after all.
                Part::Protected(content_type, content) if self.association.is_some() => {
                    datagrams.push(self.protect(content_type, &content));
                }
                Part::Protected(..) => {}
            }
        }
        match self.options.packs {
            true if !datagrams.is_empty() => vec![datagrams.concat()],
            _ => datagrams,
        }
    }

    fn part(&mut self, one: Move) -> Option<Part> {
        Some(match one {
            Move::Hello => {
                self.forget();
                let body = self.hello(&[]);
                self.message(HandshakeType::CLIENT_HELLO, &body)
            }
            Move::HelloWithCookie => {
                self.messages = Vec::new();
                let cookie = self.cookie.clone();
                let body = self.hello(&cookie);
                self.message(HandshakeType::CLIENT_HELLO, &body)
            }
            Move::Certificate => {
                let mut body = Vec::new();
                let credentials = self.options.credentials.clone()?;
                write_chain(&mut body, credentials.chain.iter().map(Vec::as_slice)).unwrap();
                self.message(HandshakeType::CERTIFICATE, &body)
            }
            Move::EmptyCertificate => self.message(HandshakeType::CERTIFICATE, &[0, 0, 0]),
            Move::ClientKeyExchange => self.client_key_exchange()?,
            Move::CertificateVerify => self.certificate_verify()?,
            Move::ChangeCipherSpec => Part::ChangeCipherSpec,
            Move::Finished => {
                self.association.as_ref()?;
                let verify_data = self.verify_data(Sender::Client)?;
                let seq = self.next_seq;
                self.next_seq += 1;
                let message = whole(HandshakeType::FINISHED, seq, &verify_data).unwrap();
                self.messages.extend_from_slice(&message);
                Part::Protected(ContentType::HANDSHAKE, message)
            }
            Move::ApplicationData => {
                self.association.as_ref()?;
                Part::Protected(ContentType::APPLICATION_DATA, b"data".to_vec())
            }
            Move::Alert => {
                self.association.as_ref()?;
                let alert = Alert::fatal(AlertDescription::USER_CANCELED);
                Part::Protected(ContentType::ALERT, alert.encode().to_vec())
            }
            Move::PathChallenge => {
                self.association.as_ref()?;
                Part::Protected(ContentType::RETURN_ROUTABILITY_CHECK, vec![0; 9])
            }
        })
    }

    /// Begins again.
    fn forget(&mut self) {
        self.next_seq = 0;
        self.received = Reassembly::new(0);
        self.messages = Vec::new();
        self.chosen = None;
        self.shared = None;
        self.master_secret = None;
        self.association = None;
        self.ticket = None;
        self.is_resumed = false;
        self.is_connected = false;
    }

    fn message(&mut self, message_type: HandshakeType, body: &[u8]) -> Part {
        let seq = self.next_seq;
        self.next_seq += 1;
        let message = whole(message_type, seq, body).unwrap();
        self.messages.extend_from_slice(&message);
        Part::Message(message)
    }

    fn hello(&self, cookie: &[u8]) -> Vec<u8> {
        let options = &self.options;
        let bytes = |numbers: &[u16]| -> Vec<u8> {
            numbers
                .iter()
                .flat_map(|number| number.to_be_bytes())
                .collect()
        };
        let suites = bytes(&options.cipher_suites);
        let groups = options.groups.as_deref().map(bytes);
        let schemes = options.schemes.as_deref().map(bytes);
        let extensions = ClientExtensions {
            max_fragment_length: options.max_fragment_length,
            supported_groups: groups.as_deref().map(as_numbers),
            ec_point_formats: groups.is_some(),
            signature_algorithms: schemes.as_deref().map(as_numbers),
            extended_master_secret: options.extended_master_secret,
            record_size_limit: options.record_size_limit,
            connection_id: options.connection_id.as_deref(),
            return_routability_check: options.return_routability_check,
            renegotiation_info: options.renegotiation_info.then_some(&[][..]),
            ..ClientExtensions::default()
        };
        let session = options.session.as_ref();
        let ticket = session.map_or(&[][..], |session| &session.ticket);
        let extensions = ClientExtensions {
            session_ticket: options.tickets.then_some(ticket),
            ..extensions
        };
        let mut written = Vec::new();
        extensions.write(&mut written).unwrap();
        let mut body = Vec::new();
        ClientHello {
            version: options.version,
            random: self.client_random,
            session_id: session.map_or(&[], |session| &session.id),
            cookie,
            cipher_suites: as_numbers(&suites),
            compression_methods: &[NULL_COMPRESSION],
            extensions: (!written.is_empty()).then_some(&written[..]),
        }
        .write(&mut body)
        .unwrap();
        body
    }

    fn client_key_exchange(&mut self) -> Option<Part> {
        let chosen = self.chosen.as_ref()?;
        let share = KeyShare::generate(chosen.group?, self.random.as_mut()).unwrap();
        let mut body = Vec::new();
        ClientKeyExchange {
            public_key: share.public_key(),
        }
        .write(&mut body)
        .unwrap();
        let secret = share.agree(&chosen.server_key).ok()?;
        let (suite, extended) = (chosen.suite, chosen.extended_master_secret);
        let server_random = chosen.server_random;
        let part = self.message(HandshakeType::CLIENT_KEY_EXCHANGE, &body);
        let hash = suite.prf_hash();
        let master_secret = match extended {
            true => {
                MasterSecret::derive_extended(hash, &secret, self.transcript(hash).hash().as_ref())
            }
            false => MasterSecret::derive(hash, &secret, &self.client_random, &server_random),
        };
        self.shared = Some(secret);
        self.use_secret(master_secret.unwrap());
        Some(part)
    }

    fn use_secret(&mut self, master_secret: MasterSecret) {
        let chosen = self.chosen.as_ref().unwrap();
        let keys = master_secret
            .key_block(chosen.suite, &self.client_random, &chosen.server_random)
            .unwrap();
        let (own, peer) = match (&self.options.connection_id, &chosen.server_connection_id) {
            // The engine's own can't be as long as a client's: what comes with a longer one is not read.
            (Some(own), Some(peer)) if own.len() > MAX_OWN_CONNECTION_ID => (&[][..], &peer[..]),
            (Some(own), Some(peer)) => (&own[..], &peer[..]),
            _ => (&[][..], &[][..]),
        };
        let association = Association::new(Parameters {
            suite: chosen.suite,
            extended_master_secret: chosen.extended_master_secret,
            return_routability_check: chosen.return_routability_check,
            write: keys.client,
            read: keys.server,
            own_connection_id: own,
            peer_connection_id: peer,
            send_limit: 1 << 14,
            receive_limit: 1 << 14,
        });
        self.association = Some(association.unwrap());
        self.master_secret = Some(master_secret);
    }

    fn certificate_verify(&mut self) -> Option<Part> {
        let credentials = self.options.credentials.clone()?;
        let first = *credentials.signer.schemes().first()?;
        let scheme = self.options.signs_with.unwrap_or(first);
        let signature = credentials.signer.sign(scheme, &self.messages).unwrap();
        let mut body = Vec::new();
        CertificateVerify {
            scheme: scheme.number(),
            signature: &signature,
        }
        .write(&mut body)
        .unwrap();
        Some(self.message(HandshakeType::CERTIFICATE_VERIFY, &body))
    }

    fn transcript(&self, hash: PrfHash) -> Transcript {
        let mut transcript = Transcript::without_messages(hash);
        transcript.push(&self.messages);
        transcript
    }

    fn verify_data(&self, sender: Sender) -> Option<Vec<u8>> {
        let hash = self.chosen.as_ref()?.suite.prf_hash();
        let so_far = self.transcript(hash).hash();
        let master_secret = self.master_secret.as_ref()?;
        let data = master_secret.verify_data(hash, sender, so_far.as_ref());
        Some(data.ok()?.to_vec())
    }
}

/// The fragments of a message, of at most `length` bytes of its body.
fn cut(message: &[u8], length: usize) -> Vec<Vec<u8>> {
    let (header, body) = message.split_at(HEADER);
    if body.len() <= length {
        return vec![message.to_vec()];
    }
    let mut fragments = Vec::new();
    for (number, part) in body.chunks(length).enumerate() {
        let offset = u32::try_from(number * length).unwrap();
        let part_length = u32::try_from(part.len()).unwrap();
        // Type, length and number of the message stay.
        let mut fragment = header[..6].to_vec();
        fragment.extend_from_slice(&offset.to_be_bytes()[1..]);
        fragment.extend_from_slice(&part_length.to_be_bytes()[1..]);
        fragment.extend_from_slice(part);
        fragments.push(fragment);
    }
    fragments
}

/// Bytes of a message's header.
const HEADER: usize = 12;

fn as_numbers(bytes: &[u8]) -> Numbers<'_> {
    Numbers::new(Reader::new(bytes)).unwrap()
}
