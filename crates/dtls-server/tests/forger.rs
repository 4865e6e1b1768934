//! A forger beside the path, who sends at random from a client's address while the client shakes hands.
//!
//! `FORGER_COUNT` sets the number of handshakes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic; clippy.toml excepts #[test] functions only"
)]

use dtls_server::message::{HandshakeType, Header};
use dtls_server::record::{ContentType, DTLS_1_2, write_plaintext};
use dtls_test_client::{
    Credentials, KeyType, Move, OWN_CONNECTION_ID, Options, Server, exchange, exchange_data,
    second_flight,
};

/// No fragment of the forger covers one of the client's: it could stand in for it.
const SHORTEST: usize = 40;
const LONGEST_FORGED: u32 = 12;

/// The client's messages: their types, numbers and lengths, which a forger may know or guess.
fn header(random: &mut fastrand::Rng, lengths: &[u32]) -> Header {
    let known = [
        HandshakeType::CERTIFICATE,
        HandshakeType::CLIENT_KEY_EXCHANGE,
        HandshakeType::CERTIFICATE_VERIFY,
        HandshakeType::FINISHED,
    ];
    let place = random.usize(..known.len());
    let message_type = match random.u8(..4) {
        0 => HandshakeType(random.u8(..)),
        _ => known[place],
    };
    let length = match random.u8(..3) {
        0 => random.u32(LONGEST_FORGED + 2..20_000),
        _ => lengths[place].max(LONGEST_FORGED + 2),
    };
    let fragment_length = random.u32(..=LONGEST_FORGED.min(length - 1));
    Header {
        message_type,
        length,
        message_seq: match random.u8(..4) {
            0 => random.u16(..12),
            1 => random.u16(..),
            _ => u16::try_from(place).unwrap() + 2,
        },
        // The client's last fragment may be short.
        fragment_offset: random.u32(..length - fragment_length),
        fragment_length,
    }
}

fn forged(random: &mut fastrand::Rng, lengths: &[u32]) -> Vec<u8> {
    let mut datagram = Vec::new();
    let mut bytes = |length: usize| -> Vec<u8> { (0..length).map(|_| random.u8(..)).collect() };
    let (content, kind) = (bytes(40), bytes(1)[0]);
    match random.u8(..8) {
        0 => {
            let kind = ContentType(kind);
            let kind = match kind {
                // A whole message could be among it.
                ContentType::HANDSHAKE => ContentType::ALERT,
                kind => kind,
            };
            write_plaintext(
                &mut datagram,
                kind,
                DTLS_1_2,
                random.u64(..1 << 48),
                &content,
            )
            .unwrap();
        }
        1 => {
            write_plaintext(
                &mut datagram,
                [ContentType::CHANGE_CIPHER_SPEC, ContentType::ALERT][random.usize(..2)],
                DTLS_1_2,
                0,
                [&[1][..], &[2, 40], &[1, 0]][random.usize(..3)],
            )
            .unwrap();
        }
        2 => {
            // A record of epoch 1, with or without a connection ID.
            let has_id = random.bool();
            datagram.extend_from_slice(&[if has_id { 25 } else { 22 }, 0xfe, 0xfd, 0, 1, 0, 0, 0]);
            datagram.extend_from_slice(&[0, 0, random.u8(..4)]);
            if has_id {
                datagram.extend_from_slice(&OWN_CONNECTION_ID);
            }
            datagram.extend_from_slice(&[0, 40]);
            datagram.extend_from_slice(&content);
        }
        _ => {
            let header = header(random, lengths);
            let mut message = Vec::new();
            header.write(&mut message);
            let end = usize::try_from(header.fragment_length).unwrap();
            message.extend_from_slice(&content[..end]);
            write_plaintext(&mut datagram, ContentType::HANDSHAKE, DTLS_1_2, 3, &message).unwrap();
        }
    }
    datagram
}

#[test]
fn a_forger_without_whole_messages_stops_no_handshake() {
    let count = std::env::var("FORGER_COUNT").map_or(300, |count| count.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(34);
    for key in [KeyType::P256, KeyType::Rsa2048] {
        let credentials = Credentials::generate(key);
        let certificate = u32::try_from(credentials.chain[0].len()).unwrap() + 6;
        let signature = if key == KeyType::P256 { 75 } else { 260 };
        let lengths = [certificate, 66, signature, 12];
        for round in 0..count {
            let mut server = Server::new();
            let options = Options {
                second_flight: Vec::new(),
                ..Options::new(credentials.clone())
            };
            let (mut client, _) = second_flight(&mut server, options);
            let cuts = [SHORTEST, 100, 300, usize::MAX];
            client.pack(random.bool(), cuts[random.usize(..cuts.len())]);
            // A flood before the client's flight, and a little between its datagrams.
            for _ in 0..random.usize(..200) {
                server.receive(&forged(&mut random, &lengths));
            }
            let mut flight = client.make(&Move::SECOND_FLIGHT);
            for _ in 0..20 {
                for datagram in &flight {
                    if random.bool() {
                        server.receive(&forged(&mut random, &lengths));
                    }
                    let answers = server.receive(datagram);
                    for answer in answers {
                        client.receive(&answer);
                    }
                }
                assert_eq!(server.failure, None, "{key:?} {round}");
                if server.is_connected() {
                    break;
                }
                flight = client.retransmit();
            }
            assert!(
                server.is_connected(),
                "{key:?} {round} {:?} {flight:02x?}",
                server.handshake
            );
            exchange(&mut server, &mut client, Vec::new());
            exchange_data(&mut server, &mut client);
        }
    }
}
