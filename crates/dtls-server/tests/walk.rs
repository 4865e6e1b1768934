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

use dtls_server::resumption::Session;
use dtls_test_client::{
    Client, Credentials, KeyType, Move, Options, Resumable, Server, builder, connect, second_flight,
};

/// What a client can send after the server's first flight.
const MOVES: [Move; 10] = [
    Move::Certificate,
    Move::EmptyCertificate,
    Move::ClientKeyExchange,
    Move::CertificateVerify,
    Move::ChangeCipherSpec,
    Move::Finished,
    Move::ApplicationData,
    Move::Alert,
    Move::HelloWithCookie,
    Move::PathChallenge,
];

/// A client before the walk.
struct Start {
    credentials: Credentials,
    /// An earlier session, by its id or by a ticket.
    earlier: Option<(Option<Session>, Resumable)>,
}

impl Start {
    fn full() -> Start {
        Start {
            credentials: Credentials::generate(KeyType::P256),
            earlier: None,
        }
    }

    fn resumed(tickets: bool) -> Start {
        let credentials = Credentials::generate(KeyType::P256);
        let options = Options {
            tickets,
            ..Options::new(credentials.clone())
        };
        let mut server = server();
        let resumable = connect(&mut server, options).resumable().unwrap();
        assert_eq!(resumable.ticket.is_empty(), !tickets);
        Start {
            credentials,
            earlier: Some((server.session, resumable)),
        }
    }

    /// The moves of a lawful client.
    fn lawful(&self) -> &'static [Move] {
        match self.earlier {
            None => &Move::SECOND_FLIGHT,
            Some(_) => &Move::RESUMED_FLIGHT,
        }
    }

    /// Whether a client that has made these moves is or was authenticated.
    fn is_lawful(&self, moves: &[Move]) -> bool {
        let handshakes = self.handshakes(moves);
        handshakes
            .iter()
            .any(|moves| self.is_lawful_handshake(moves))
    }

    /// Whether the messages are exactly those of the lawful flight, in order, and the ChangeCipherSpec comes after the
    /// CertificateVerify, if there is one. Records can overtake one another.
    fn is_lawful_handshake(&self, moves: &[Move]) -> bool {
        let is_message = |one: &&Move| {
            !matches!(
                one,
                Move::ChangeCipherSpec | Move::ApplicationData | Move::Alert | Move::PathChallenge
            )
        };
        let messages: Vec<Move> = moves.iter().filter(is_message).copied().collect();
        let lawful: Vec<Move> = self.lawful().iter().filter(is_message).copied().collect();
        let verify = match self.earlier {
            None => moves.iter().position(|one| *one == Move::CertificateVerify),
            Some(_) => None,
        };
        let change = moves.iter().rposition(|one| *one == Move::ChangeCipherSpec);
        messages.starts_with(&lawful) && change > verify
    }

    /// The moves of each handshake. A ticket can be used again, so a hello begins another handshake after an alert has ended
    /// one: an alert under the session's keys, which count from the ChangeCipherSpec on. The two can overtake one another.
    fn handshakes<'a>(&self, moves: &'a [Move]) -> Vec<&'a [Move]> {
        let earlier = self.earlier.as_ref();
        let has_ticket = earlier.is_some_and(|(_, resumable)| !resumable.ticket.is_empty());
        let (mut handshakes, mut begun) = (Vec::new(), 0);
        for (at, one) in moves.iter().enumerate() {
            let before = &moves[begun..at];
            if has_ticket
                && *one == Move::HelloWithCookie
                && before.contains(&Move::ChangeCipherSpec)
                && before.contains(&Move::Alert)
            {
                handshakes.push(before);
                begun = at + 1;
            }
        }
        handshakes.push(&moves[begun..]);
        handshakes
    }

    fn walk(&self, moves: &[Move]) -> (Server, Client) {
        let mut server = server();
        let (session, resumable) = self.earlier.clone().unzip();
        server.session = session.flatten();
        let tickets = resumable.as_ref().is_some_and(|one| !one.ticket.is_empty());
        let options = Options {
            second_flight: Vec::new(),
            resumed_flight: Vec::new(),
            tickets,
            session: resumable,
            ..Options::new(self.credentials.clone())
        };
        let (mut client, _) = second_flight(&mut server, options);
        assert_eq!(client.is_resumed(), self.earlier.is_some());
        // Of the earlier one.
        server.session = None;
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
        let yields = server.is_connected() || server.session.is_some() || !server.data.is_empty();
        if yields || !client.take_path_messages().is_empty() {
            assert!(self.is_lawful(&made), "{made:?}");
        }
        (server, client)
    }

    fn walk_all(&self, moves: &mut Vec<Move>, length: usize) {
        if moves.len() == length {
            // Shorter ones are its beginning: what they yield does not go away.
            self.walk(moves);
            return;
        }
        for one in MOVES {
            moves.push(one);
            self.walk_all(moves, length);
            moves.pop();
        }
    }

    /// Lawful moves, of which some are left out, doubled or in another place.
    fn walk_at_random(&self, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut connected = 0;
        for _ in 0..number("WALK_COUNT", 2000) {
            let mut moves = self.lawful().to_vec();
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
            let (server, _) = self.walk(&moves);
            connected += usize::from(server.is_connected());
        }
        assert!(connected > 0);
    }
}

fn server() -> Server {
    Server::with(
        builder()
            .session_tickets(true)
            .return_routability_check(true),
    )
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |number| number.parse().unwrap())
}

#[test]
fn no_short_sequence_yields_data() {
    Start::full().walk_all(&mut Vec::new(), number("WALK_LENGTH", 4));
}

#[test]
fn no_short_sequence_but_a_lawful_one_resumes_a_session_by_its_id() {
    Start::resumed(false).walk_all(&mut Vec::new(), number("WALK_LENGTH", 3));
}

#[test]
fn no_short_sequence_but_a_lawful_one_resumes_a_session_by_a_ticket() {
    Start::resumed(true).walk_all(&mut Vec::new(), number("WALK_LENGTH", 3));
}

/// The server numbers its second flight from the second hello's number on, and this client expects it to go on from the first:
/// the Certificate, which is not lawful here, makes the two agree.
#[test]
fn a_ticket_resumes_a_session_again_after_an_alert_has_ended_the_first_handshake() {
    let start = Start::resumed(true);
    let again = [
        Move::Certificate,
        Move::ChangeCipherSpec,
        Move::Alert,
        Move::HelloWithCookie,
        Move::ChangeCipherSpec,
        Move::Finished,
    ];
    assert!(start.walk(&again).0.is_connected());
    // Nothing but an alert ends it.
    for left_out in [1, 2] {
        let mut moves = again.to_vec();
        moves.remove(left_out);
        assert!(!start.walk(&moves).0.is_connected(), "{moves:?}");
    }
}

#[test]
fn no_random_sequence_but_a_lawful_one_yields_data() {
    Start::full().walk_at_random(18);
}

#[test]
fn no_random_sequence_but_a_lawful_one_resumes_a_session() {
    for tickets in [false, true] {
        Start::resumed(tickets).walk_at_random(19);
    }
}

#[test]
fn the_lawful_sequence_yields_data() {
    for start in [Start::full(), Start::resumed(false), Start::resumed(true)] {
        let then = [Move::PathChallenge, Move::ApplicationData];
        let lawful = [start.lawful(), &then[..]].concat();
        let (server, client) = start.walk(&lawful);
        assert!(client.is_connected());
        assert_eq!(server.data, [b"data"]);
        assert_eq!(server.is_resumed, start.earlier.is_some());
    }
}
