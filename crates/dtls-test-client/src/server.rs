//! A server for one client, as a user of the engine would have many.

use crate::client::Client;
use crate::credentials::{Credentials, KeyType};
use crate::options::Options;
use crate::random::SeededRandom;
use dtls_server::alert::AlertDescription;
use dtls_server::association::{Association, Discard};
use dtls_server::config::{Config, ConfigBuilder, Identity};
use dtls_server::cookie::{CookieReply, Cookies};
use dtls_server::crypto::random::Random;
use dtls_server::established::{self, Incoming, Reason, Received};
use dtls_server::handshake::{
    ClientVerifier, Complete, Handshake, HandshakeError, LastFlight, Outcome, Start,
};
use dtls_server::reassembly::Message;
use dtls_server::record::{ContentType, records};
use dtls_server::resumption::{Named, Opened, Session, Ticket, Tickets};
use dtls_server::routability::{ChallengeError, Cookie};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// A server, and what became of its client.
pub struct Server {
    /// The configuration.
    pub config: Arc<Config>,
    /// The clock.
    pub now: Instant,
    /// What the user answers when asked about the client.
    pub verdict: Result<(), AlertDescription>,
    /// The session that is resumed if a client names it.
    pub session: Option<Session>,
    /// The session that is resumed whatever a client names: a user's mistake.
    pub mistaken: Option<Session>,
    /// Issues and opens tickets, where the configuration has them.
    pub tickets: Tickets,
    /// By what clients are known in tickets.
    pub peer: Vec<u8>,
    /// By what clients of tickets that were opened were known.
    pub opened: Vec<Vec<u8>>,
    /// Whether such clients may come in.
    pub resumes: bool,
    /// The handshake under way.
    pub handshake: Option<Handshake>,
    /// The keys of the session.
    pub association: Option<Association>,
    /// What is sent again when the client's Finished comes again.
    pub last_flight: Option<LastFlight>,
    /// Why the handshake failed.
    pub failure: Option<HandshakeError>,
    /// Whether the session is a resumed one.
    pub is_resumed: bool,
    /// Application data, in order.
    pub data: Vec<Vec<u8>>,
    /// Why the session has ended.
    pub ended: Option<Reason>,
    /// Cookies of responses to return routability checks.
    pub responses: Vec<Cookie>,
    /// Why records of the session were discarded.
    pub discarded: Vec<Discard>,
    /// Whether the last record was newer than all before.
    pub is_newest: bool,
    cookies: Cookies,
    random: Box<dyn Random>,
}

/// How long tickets are valid.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Judges clients, and gives tickets to them.
struct Verifier<'a> {
    now: Instant,
    verdict: Result<(), AlertDescription>,
    tickets: &'a mut Tickets,
    peer: &'a [u8],
    random: &'a mut dyn Random,
}

impl ClientVerifier for Verifier<'_> {
    fn verify(&mut self, _: &[&[u8]]) -> Result<(), AlertDescription> {
        self.verdict
    }

    fn ticket(&mut self, session: &Session) -> Option<Ticket> {
        self.tickets.seal(self.now, session, self.peer, self.random)
    }
}

/// What clients put into their records.
pub const OWN_CONNECTION_ID: [u8; 8] = *b"12345678";

/// The session's name. Mbed TLS's client ignores ids of less than 16 bytes.
pub const SESSION_ID: [u8; 32] = *b"a session id has up to 32 bytes.";

/// A configuration with an EC key and an RSA key.
#[must_use]
pub fn builder() -> ConfigBuilder {
    static IDENTITIES: OnceLock<[Identity; 2]> = OnceLock::new();
    let identity = |key| {
        let credentials = Credentials::generate(key);
        Identity::new(&credentials.chain, credentials.signer).unwrap()
    };
    let [ecdsa, rsa] =
        IDENTITIES.get_or_init(|| [identity(KeyType::P256), identity(KeyType::Rsa2048)]);
    Config::builder()
        .identity(ecdsa.clone())
        .identity(rsa.clone())
}

impl Server {
    /// A server with the default configuration.
    #[must_use]
    pub fn new() -> Server {
        Server::with(builder())
    }

    /// A server with this configuration.
    ///
    /// # Panics
    /// The configuration can't work.
    #[must_use]
    pub fn with(builder: ConfigBuilder) -> Server {
        Server::with_random(builder, Box::new(SeededRandom::new(1)))
    }

    /// A server with this configuration and these random bytes.
    ///
    /// # Panics
    /// The configuration can't work, or there are no random bytes.
    #[must_use]
    pub fn with_random(builder: ConfigBuilder, mut random: Box<dyn Random>) -> Server {
        #[expect(
            clippy::disallowed_methods,
            reason = "where the clock begins is of no importance"
        )]
        let now = Instant::now();
        Server {
            config: Arc::new(builder.build().unwrap()),
            now,
            verdict: Ok(()),
            session: None,
            mistaken: None,
            tickets: Tickets::new(&mut *random, now, TICKET_LIFETIME).unwrap(),
            peer: b"peer".to_vec(),
            opened: Vec::new(),
            resumes: true,
            handshake: None,
            association: None,
            last_flight: None,
            failure: None,
            is_resumed: false,
            data: Vec::new(),
            ended: None,
            responses: Vec::new(),
            discarded: Vec::new(),
            is_newest: false,
            cookies: Cookies::new(&mut *random, now).unwrap(),
            random,
        }
    }

    /// Whether the handshake is complete.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.association.is_some()
    }

    /// Forgets the client, but neither its session nor the cookies.
    pub fn forget(&mut self) {
        self.handshake = None;
        self.association = None;
        self.last_flight = None;
        self.failure = None;
    }

    /// Takes in a datagram, and returns the answers.
    pub fn receive(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        if self.association.is_some() {
            return self.receive_established(datagram);
        }
        if self.handshake.is_none() {
            return self.receive_first(datagram);
        }
        let mut verifier = Verifier {
            now: self.now,
            verdict: self.verdict,
            tickets: &mut self.tickets,
            peer: &self.peer,
            random: &mut *self.random,
        };
        if let Some(handshake) = &mut self.handshake {
            let discarded = handshake.receive(self.now, datagram, &mut verifier);
            self.discarded.extend(discarded);
        }
        self.drain()
    }

    fn receive_first(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        match self.cookies.reply(self.now, b"source", datagram) {
            CookieReply::Verify(reply) => vec![reply],
            CookieReply::Verified(hello) => {
                let resumed = self.named(&hello.message);
                let start = Start {
                    config: &self.config,
                    hello: &hello.message,
                    record_sequence: hello.record_sequence,
                    own_connection_id: &OWN_CONNECTION_ID,
                    session_id: &SESSION_ID,
                    resumed: resumed.as_ref(),
                };
                self.handshake = Some(Handshake::new(self.now, &start, &mut *self.random));
                self.drain()
            }
            CookieReply::FirstFragment(_)
            | CookieReply::LaterFragment
            | CookieReply::NotHello
            | CookieReply::Malformed => Vec::new(),
        }
    }

    /// The session that the hello names, if its client may come in.
    fn named(&mut self, hello: &Message) -> Option<Session> {
        if self.mistaken.is_some() {
            return self.mistaken.clone();
        }
        let ticket = match Named::by(hello, &self.config) {
            Named::Ticket(ticket) => ticket,
            Named::Id(_) => return self.session.clone(),
            Named::Nothing => return None,
        };
        let Opened { session, peer } = self.tickets.open(self.now, ticket)?;
        self.opened.push(peer);
        self.resumes.then_some(session)
    }

    fn receive_established(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let mut answers = Vec::new();
        for record in records(datagram, OWN_CONNECTION_ID.len()) {
            let Some(association) = &mut self.association else {
                break;
            };
            match established::receive(association, self.last_flight.as_mut(), &record) {
                Ok(Incoming {
                    received,
                    is_newest,
                }) => {
                    self.is_newest = is_newest;
                    match received {
                        Received::ApplicationData(data) => self.data.push(data),
                        Received::Repeat(datagrams) => answers.extend(datagrams),
                        Received::PathResponse(cookie) => self.responses.push(cookie),
                        Received::PathChallenge(datagram) | Received::Warn(datagram) => {
                            answers.push(datagram)
                        }
                        Received::Ended(reason, datagram) => {
                            answers.extend(datagram);
                            self.ended = Some(reason);
                            self.association = None;
                        }
                        Received::PathDrop(_) | Received::Nothing => {}
                    }
                }
                Err(discard) => self.discarded.push(discard),
            }
        }
        answers
    }

    /// A datagram that asks whether the client receives where it is sent.
    ///
    /// # Errors
    /// It was not negotiated.
    ///
    /// # Panics
    /// There is no session.
    pub fn challenge(&mut self) -> Result<(Cookie, Vec<u8>), ChallengeError> {
        let mut datagram = Vec::new();
        let association = self.association.as_mut().expect("a session");
        let cookie = association.challenge(&mut *self.random, &mut datagram)?;
        Ok((cookie, datagram))
    }

    fn drain(&mut self) -> Vec<Vec<u8>> {
        let Some(handshake) = &mut self.handshake else {
            return Vec::new();
        };
        let datagrams = std::iter::from_fn(|| handshake.poll_transmit()).collect();
        match handshake.poll_outcome() {
            Some(Outcome::Complete(complete)) => {
                let Complete {
                    association,
                    last_flight,
                    session,
                    is_resumed,
                    application_data,
                } = *complete;
                self.association = Some(association);
                self.last_flight = last_flight;
                self.session = session;
                self.is_resumed = is_resumed;
                self.data.extend(application_data);
                self.handshake = None;
            }
            Some(Outcome::Failed(error)) => {
                self.failure = Some(error);
                self.handshake = None;
            }
            None => {}
        }
        datagrams
    }

    /// Lets time pass, and returns what is sent then.
    pub fn wait(&mut self, time: Duration) -> Vec<Vec<u8>> {
        self.now += time;
        if let Some(handshake) = &mut self.handshake {
            handshake.handle_timeout(self.now);
        }
        self.drain()
    }

    /// A datagram with application data.
    ///
    /// # Panics
    /// There is no session.
    pub fn send(&mut self, content: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::new();
        let association = self.association.as_mut().expect("a session");
        let kind = ContentType::APPLICATION_DATA;
        association.protect(kind, content, &mut datagram).unwrap();
        datagram
    }
}

impl Default for Server {
    fn default() -> Server {
        Server::new()
    }
}

/// Exchanges datagrams until there are none, with these first.
pub fn exchange(server: &mut Server, client: &mut Client, to_server: Vec<Vec<u8>>) {
    let mut to_server = to_server;
    while !to_server.is_empty() {
        let mut to_client = Vec::new();
        for datagram in to_server.drain(..) {
            to_client.extend(server.receive(&datagram));
        }
        for datagram in to_client {
            to_server.extend(client.receive(&datagram));
        }
    }
}

/// A client that has exchanged datagrams with the server until there were none.
pub fn connect(server: &mut Server, options: Options) -> Client {
    let mut client = Client::new(options, 7);
    let first = client.start();
    exchange(server, &mut client, first);
    client
}

/// A client that has the server's first flight, and what it sends then.
///
/// # Panics
/// The server does not answer.
pub fn second_flight(server: &mut Server, options: Options) -> (Client, Vec<Vec<u8>>) {
    let mut client = Client::new(options, 7);
    let mut to_server = client.start();
    let mut to_client = Vec::new();
    // The hello without a cookie, and the one with it.
    for _ in 0..2 {
        to_client = to_server
            .iter()
            .flat_map(|one| server.receive(one))
            .collect();
        assert!(!to_client.is_empty(), "no answer");
        to_server = to_client
            .iter()
            .flat_map(|one| client.receive(one))
            .collect();
    }
    drop(to_client);
    (client, to_server)
}

/// Exchanges application data both ways.
///
/// # Panics
/// It does not arrive.
pub fn exchange_data(server: &mut Server, client: &mut Client) {
    let datagram = client.send(b"request");
    server.receive(&datagram);
    assert_eq!(server.data.pop().expect("a request"), b"request");
    let datagram = server.send(b"response");
    client.receive(&datagram);
    assert_eq!(client.take_application_data(), [b"response"]);
}
