//! Whole handshakes, with a lawful client.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by a panic, and owns its clock; clippy.toml excepts #[test] functions only"
)]

use dtls_server::alert::AlertDescription;
use dtls_server::association::Association;
use dtls_server::config::{Config, Identity};
use dtls_server::cookie::{CookieReply, Cookies};
use dtls_server::established::{Incoming, Received, receive};
use dtls_server::handshake::{Complete, Handshake, HandshakeError, LastFlight, Outcome, Start};
use dtls_server::record::records;
use dtls_server::resumption::Session;
use dtls_server::suite::CipherSuite;
use dtls_test_client::{Client, Credentials, KeyType, Options, SeededRandom};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const OWN_CONNECTION_ID: [u8; 8] = *b"12345678";

/// A server for one client.
struct Server {
    config: Arc<Config>,
    cookies: Cookies,
    random: SeededRandom,
    now: Instant,
    handshake: Option<Handshake>,
    association: Option<Association>,
    last_flight: Option<LastFlight>,
    session: Option<Session>,
    failure: Option<HandshakeError>,
    verdict: Result<(), AlertDescription>,
    is_resumed: bool,
    data: Vec<Vec<u8>>,
}

fn config() -> Arc<Config> {
    static CONFIG: OnceLock<Arc<Config>> = OnceLock::new();
    let identity = |key| {
        let credentials = Credentials::generate(key);
        Identity::new(&credentials.chain, credentials.signer).unwrap()
    };
    let build = || {
        let builder = Config::builder()
            .identity(identity(KeyType::P256))
            .identity(identity(KeyType::Rsa2048));
        Arc::new(builder.build().unwrap())
    };
    CONFIG.get_or_init(build).clone()
}

impl Server {
    fn new() -> Server {
        let now = Instant::now();
        let mut random = SeededRandom::new(1);
        Server {
            config: config(),
            cookies: Cookies::new(&mut random, now).unwrap(),
            random,
            now,
            handshake: None,
            association: None,
            last_flight: None,
            session: None,
            failure: None,
            verdict: Ok(()),
            is_resumed: false,
            data: Vec::new(),
        }
    }

    fn receive(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        if let Some(association) = &mut self.association {
            let mut answers = Vec::new();
            for record in records(datagram, OWN_CONNECTION_ID.len()) {
                let incoming = receive(association, self.last_flight.as_mut(), &record);
                match incoming.map(|Incoming { received, .. }| received) {
                    Ok(Received::ApplicationData(data)) => self.data.push(data),
                    Ok(Received::Repeat(datagrams)) => answers.extend(datagrams),
                    _ => {}
                }
            }
            return answers;
        }
        if self.handshake.is_none() {
            return match self.cookies.reply(self.now, b"source", datagram) {
                CookieReply::Verify(reply) => vec![reply],
                CookieReply::Verified(hello) => {
                    let start = Start {
                        config: &self.config,
                        hello: &hello.message,
                        record_sequence: hello.record_sequence,
                        own_connection_id: &OWN_CONNECTION_ID,
                        session_id: b"session",
                        resumed: self.session.as_ref(),
                    };
                    self.handshake = Some(Handshake::new(self.now, &start, &mut self.random));
                    self.drain()
                }
                _ => Vec::new(),
            };
        }
        let verdict = self.verdict;
        if let Some(handshake) = &mut self.handshake {
            handshake.receive(self.now, datagram, &mut |_: &[&[u8]]| verdict);
        }
        self.drain()
    }

    fn drain(&mut self) -> Vec<Vec<u8>> {
        let handshake = self.handshake.as_mut().unwrap();
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
}

/// Exchanges datagrams until there are none.
fn pump(server: &mut Server, client: &mut Client, first: Vec<Vec<u8>>) {
    let mut to_server = first;
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

fn connect(server: &mut Server, options: Options) -> Client {
    let mut client = Client::new(options, 7);
    let first = client.start();
    pump(server, &mut client, first);
    client
}

fn exchange_data(server: &mut Server, client: &mut Client) {
    let datagram = client.send(b"request");
    server.receive(&datagram);
    assert_eq!(server.data.pop().unwrap(), b"request");
    let mut datagram = Vec::new();
    let kind = dtls_server::record::ContentType::APPLICATION_DATA;
    let association = server.association.as_mut().unwrap();
    association
        .protect(kind, b"response", &mut datagram)
        .unwrap();
    client.receive(&datagram);
    assert_eq!(client.take_application_data(), [b"response"]);
}

#[test]
fn every_cipher_suite_and_kind_of_key_completes() {
    for key in [
        KeyType::P256,
        KeyType::P384,
        KeyType::P521,
        KeyType::Rsa2048,
    ] {
        let credentials = Credentials::generate(key);
        for suite in CipherSuite::ALL {
            for extended_master_secret in [true, false] {
                for connection_id in [None, Some(Vec::new()), Some(b"abc".to_vec())] {
                    let mut server = Server::new();
                    let mut client = connect(
                        &mut server,
                        Options {
                            cipher_suites: vec![suite.number()],
                            extended_master_secret,
                            connection_id,
                            ..Options::new(credentials.clone())
                        },
                    );
                    assert_eq!(server.failure, None, "{suite} {key:?}");
                    assert!(client.is_connected(), "{suite} {key:?}");
                    assert_eq!(client.suite(), Some(suite));
                    assert_eq!(server.session.is_some(), extended_master_secret);
                    exchange_data(&mut server, &mut client);
                }
            }
        }
    }
}

#[test]
fn a_session_is_resumed_without_certificates() {
    let mut server = Server::new();
    let options = Options::new(Credentials::generate(KeyType::P256));
    let mut client = connect(&mut server, options.clone());
    exchange_data(&mut server, &mut client);
    let session = client.resumable();
    server.association = None;
    let mut client = connect(&mut server, Options { session, ..options });
    assert!(client.is_connected() && client.is_resumed());
    assert!(server.is_resumed);
    exchange_data(&mut server, &mut client);
}

#[test]
fn a_client_that_is_refused_gets_the_alert() {
    let mut server = Server::new();
    server.verdict = Err(AlertDescription::CERTIFICATE_REVOKED);
    let options = Options::new(Credentials::generate(KeyType::P256));
    let client = connect(&mut server, options);
    assert!(!client.is_connected());
    let refused = HandshakeError::Refused(AlertDescription::CERTIFICATE_REVOKED);
    assert_eq!(server.failure, Some(refused));
    assert_eq!(
        client.alerts()[0].description,
        AlertDescription::CERTIFICATE_REVOKED
    );
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let mut server = Server::new();
    let mut options = Options::new(Credentials::generate(KeyType::P256));
    options.credentials = None;
    let client = connect(&mut server, options);
    assert!(!client.is_connected());
    assert_eq!(server.failure, Some(HandshakeError::NoCertificate));
    assert_eq!(
        client.alerts()[0].description,
        AlertDescription::HANDSHAKE_FAILURE
    );
}

/// Loss of each datagram of each flight, by the client's and the server's timers.
#[test]
fn the_loss_of_any_datagram_is_made_up_for() {
    let credentials = Credentials::generate(KeyType::P256);
    let identities = config();
    for packs in [true, false] {
        for lost in 0..16 {
            let mut server = Server::new();
            server.config = identities.clone();
            let options = Options {
                packs,
                ..Options::new(credentials.clone())
            };
            let mut client = Client::new(options, 7);
            let mut to_server = client.start();
            let mut count = 0;
            let mut is_lost = || {
                count += 1;
                count - 1 == lost
            };
            for _round in 0..12 {
                let mut to_client = Vec::new();
                for datagram in to_server.drain(..) {
                    if !is_lost() {
                        to_client.extend(server.receive(&datagram));
                    }
                }
                for datagram in to_client {
                    if !is_lost() {
                        to_server.extend(client.receive(&datagram));
                    }
                }
                if to_server.is_empty() && !(client.is_connected() && server.association.is_some())
                {
                    server.now += Duration::from_secs(3);
                    to_server = client.retransmit();
                    let now = server.now;
                    if let Some(handshake) = &mut server.handshake {
                        handshake.handle_timeout(now);
                        for datagram in server.drain() {
                            to_server.extend(client.receive(&datagram));
                        }
                    }
                }
            }
            assert!(client.is_connected(), "{lost} {packs}");
            exchange_data(&mut server, &mut client);
        }
    }
}
