//! Loss, doubling and reordering of each datagram and of each pair, in every form of handshake (bug class 33).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic; clippy.toml excepts #[test] functions only"
)]

use dtls_server::message::extension::MaxFragmentLength;
use dtls_server::suite::CipherSuite;
use dtls_test_client::{Client, Credentials, KeyType, Options, Server, builder, exchange_data};
use std::time::Duration;

/// What the network does to a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Lose,
    Double,
    /// It comes after all others that are under way.
    Delay,
}

const FATES: [Fate; 3] = [Fate::Lose, Fate::Double, Fate::Delay];
/// Longer than the server's first timeout.
const TIMEOUT: Duration = Duration::from_secs(3);
/// So many timeouts are enough for two losses.
const ROUNDS: usize = 24;

/// Disturbs datagrams by their place in the order in which they are sent.
struct Network<'a> {
    disturbed: &'a [(usize, Fate)],
    sent: usize,
}

impl Network<'_> {
    /// What arrives of these, in this order.
    fn deliver(&mut self, datagrams: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let mut arrived = Vec::new();
        let mut delayed = Vec::new();
        for datagram in datagrams {
            let place = self.sent;
            self.sent += 1;
            let fate = self.disturbed.iter().find(|(other, _)| *other == place);
            match fate.map(|(_, fate)| fate) {
                Some(Fate::Lose) => {}
                Some(Fate::Double) => arrived.extend([datagram.clone(), datagram]),
                Some(Fate::Delay) => delayed.push(datagram),
                None => arrived.push(datagram),
            }
        }
        arrived.extend(delayed);
        arrived
    }
}

/// Makes a handshake, and returns how many datagrams it took.
fn run(server: &mut Server, options: Options, disturbed: &[(usize, Fate)]) -> usize {
    let mut network = Network { disturbed, sent: 0 };
    let mut client = Client::new(options, 7);
    let mut to_server = client.start();
    for _ in 0..ROUNDS {
        let mut to_client = Vec::new();
        for datagram in network.deliver(to_server) {
            to_client.extend(server.receive(&datagram));
        }
        to_server = Vec::new();
        for datagram in network.deliver(to_client) {
            to_server.extend(client.receive(&datagram));
        }
        assert_eq!(server.failure, None, "{disturbed:?}");
        assert!(client.alerts().is_empty(), "{disturbed:?}");
        if !to_server.is_empty() {
            continue;
        }
        if client.is_connected() && server.is_connected() {
            let count = network.sent;
            exchange_data(server, &mut client);
            return count;
        }
        to_server = client.retransmit();
        for datagram in network.deliver(server.wait(TIMEOUT)) {
            to_server.extend(client.receive(&datagram));
        }
    }
    panic!("not connected: {disturbed:?}");
}

/// A handshake, undisturbed, and with each datagram and each pair disturbed in every way.
fn disturb(new: impl Fn() -> Server, options: &Options) {
    let run = |disturbed: &[(usize, Fate)]| run(&mut new(), options.clone(), disturbed);
    let count = run(&[]);
    for first in 0..count {
        for fate in FATES {
            run(&[(first, fate)]);
            for second in first + 1..count {
                for other in FATES {
                    run(&[(first, fate), (second, other)]);
                }
            }
        }
    }
}

fn options(key: KeyType) -> Options {
    Options::new(Credentials::generate(key))
}

#[test]
fn class_33_with_an_ec_key() {
    disturb(Server::new, &options(KeyType::P256));
}

#[test]
fn class_33_with_flights_in_one_datagram() {
    let options = Options {
        packs: true,
        ..options(KeyType::P256)
    };
    disturb(Server::new, &options);
}

#[test]
fn class_33_with_an_rsa_key() {
    let options = Options {
        cipher_suites: vec![CipherSuite::EcdheRsaAes128Gcm.number()],
        packs: true,
        ..options(KeyType::Rsa2048)
    };
    disturb(Server::new, &options);
}

#[test]
fn class_33_without_an_extended_master_secret_and_connection_ids() {
    let options = Options {
        extended_master_secret: false,
        connection_id: None,
        ..options(KeyType::P256)
    };
    disturb(Server::new, &options);
}

#[test]
fn class_33_with_messages_in_fragments() {
    let options = Options {
        fragment_length: 200,
        ..options(KeyType::P256)
    };
    disturb(|| Server::with(builder().mtu(256)), &options);
}

#[test]
fn class_33_with_a_max_fragment_length() {
    let options = Options {
        max_fragment_length: Some(MaxFragmentLength::Bytes512),
        ..options(KeyType::P256)
    };
    disturb(Server::new, &options);
}

#[test]
fn class_33_with_a_session_that_is_resumed() {
    let first = options(KeyType::P256);
    let mut server = Server::new();
    let client = dtls_test_client::connect(&mut server, first.clone());
    let session = server.session.clone();
    let resumable = client.resumable();
    let new = || {
        let mut server = Server::new();
        server.session = session.clone();
        server
    };
    let options = Options {
        session: resumable,
        ..first
    };
    let mut resuming = new();
    run(&mut resuming, options.clone(), &[]);
    assert!(resuming.is_resumed);
    disturb(new, &options);
}

#[test]
fn class_33_with_a_ticket_that_is_issued() {
    let options = Options {
        tickets: true,
        ..options(KeyType::P256)
    };
    disturb(|| Server::with(builder().session_tickets(true)), &options);
}

#[test]
fn class_33_with_a_ticket_that_is_shown() {
    let new = || Server::with(builder().session_tickets(true));
    let first = Options {
        tickets: true,
        ..options(KeyType::P256)
    };
    // Servers with the same random bytes have the same keys.
    let session = dtls_test_client::connect(&mut new(), first.clone()).resumable();
    let options = Options { session, ..first };
    let mut resuming = new();
    run(&mut resuming, options.clone(), &[]);
    assert!(resuming.is_resumed);
    disturb(new, &options);
}
