//! A walk over the states of a handshake: no sequence of a client's moves but the lawful one yields data.
//!
//! All short sequences are walked, and random longer ones. `WALK_LENGTH` sets the length of the short ones, and `WALK_COUNT`
//! the number of the longer ones.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic; clippy.toml excepts #[test] functions only"
)]

use dtls_test_client::{Client, Credentials, KeyType, Move, Options, Server, second_flight};

/// What a client can send after the server's first flight.
const MOVES: [Move; 9] = [
    Move::Certificate,
    Move::EmptyCertificate,
    Move::ClientKeyExchange,
    Move::CertificateVerify,
    Move::ChangeCipherSpec,
    Move::Finished,
    Move::ApplicationData,
    Move::Alert,
    Move::HelloWithCookie,
];

/// Whether a client that has made these moves is authenticated: the messages are exactly those of the lawful flight, in
/// order, and the ChangeCipherSpec comes after the CertificateVerify. Records can overtake one another.
fn is_lawful(moves: &[Move]) -> bool {
    let is_message = |one: &&Move| {
        !matches!(
            one,
            Move::ChangeCipherSpec | Move::ApplicationData | Move::Alert
        )
    };
    let messages: Vec<Move> = moves.iter().filter(is_message).copied().collect();
    let lawful = [
        Move::Certificate,
        Move::ClientKeyExchange,
        Move::CertificateVerify,
        Move::Finished,
    ];
    let verify = moves.iter().position(|one| *one == Move::CertificateVerify);
    let change = moves.iter().rposition(|one| *one == Move::ChangeCipherSpec);
    messages.starts_with(&lawful) && change > verify
}

fn walk(credentials: &Credentials, moves: &[Move]) -> (Server, Client) {
    let mut server = Server::new();
    let options = Options {
        second_flight: Vec::new(),
        ..Options::new(credentials.clone())
    };
    let (mut client, _) = second_flight(&mut server, options);
    // Without keys, some moves can't be made.
    let mut made = Vec::new();
    for one in moves {
        let datagrams = client.make(&[*one]);
        if !datagrams.is_empty() {
            made.push(*one);
        }
        for datagram in datagrams {
            for answer in server.receive(&datagram) {
                client.receive(&answer);
            }
        }
    }
    if server.is_connected() || server.session.is_some() || !server.data.is_empty() {
        assert!(is_lawful(&made), "{made:?}");
    }
    (server, client)
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |number| number.parse().unwrap())
}

fn walk_all(credentials: &Credentials, moves: &mut Vec<Move>, length: usize) {
    if moves.len() == length {
        // Shorter ones are its beginning: what they yield does not go away.
        walk(credentials, moves);
        return;
    }
    for one in MOVES {
        moves.push(one);
        walk_all(credentials, moves, length);
        moves.pop();
    }
}

#[test]
fn no_short_sequence_yields_data() {
    let credentials = Credentials::generate(KeyType::P256);
    walk_all(&credentials, &mut Vec::new(), number("WALK_LENGTH", 4));
}

#[test]
fn no_random_sequence_but_a_lawful_one_yields_data() {
    let credentials = Credentials::generate(KeyType::P256);
    let mut random = fastrand::Rng::with_seed(18);
    let mut connected = 0;
    for _ in 0..number("WALK_COUNT", 2000) {
        // Lawful moves, of which some are left out, doubled or in another place.
        let mut moves = Move::SECOND_FLIGHT.to_vec();
        moves.push(Move::ApplicationData);
        for _ in 0..random.usize(0..4) {
            let place = random.usize(0..moves.len());
            match random.u8(0..3) {
                0 if moves.len() > 1 => drop(moves.remove(place)),
                1 => moves.insert(place, MOVES[random.usize(0..MOVES.len())]),
                _ => {
                    let other = random.usize(0..moves.len());
                    moves.swap(place, other);
                }
            }
        }
        let (server, _) = walk(&credentials, &moves);
        connected += usize::from(server.is_connected());
    }
    assert!(connected > 0);
}

#[test]
fn the_lawful_sequence_yields_data() {
    let credentials = Credentials::generate(KeyType::P256);
    let lawful = [&Move::SECOND_FLIGHT[..], &[Move::ApplicationData]].concat();
    let (server, client) = walk(&credentials, &lawful);
    assert!(client.is_connected());
    assert_eq!(server.data, [b"data"]);
}
