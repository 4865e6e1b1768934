//! Numbers and lengths at their ends.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic; clippy.toml excepts #[test] functions only"
)]

use dtls_server::record::{MAX_SEQUENCE, records};
use dtls_test_client::{Client, Credentials, KeyType, Options, Server, builder, second_flight};
use std::time::Duration;

fn options() -> Options {
    Options::new(Credentials::generate(KeyType::P256))
}

/// Where the number of a record is, and that of a message in it.
const RECORD_SEQUENCE: std::ops::Range<usize> = 5..11;
const MESSAGE_SEQ: std::ops::Range<usize> = 17..19;

/// The answers to a hello with its cookie and these numbers.
fn answers(record_sequence: u64, message_seq: u16) -> (Server, Vec<Vec<u8>>) {
    let mut server = Server::new();
    let mut client = Client::new(options(), 7);
    let hello = client.start();
    let request = server.receive(&hello[0]);
    let mut hello = client.receive(&request[0]);
    hello[0][RECORD_SEQUENCE].copy_from_slice(&record_sequence.to_be_bytes()[2..]);
    hello[0][MESSAGE_SEQ].copy_from_slice(&message_seq.to_be_bytes());
    let answers = server.receive(&hello[0]);
    (server, answers)
}

#[test]
fn a_hello_whose_numbers_leave_none_for_the_answer_begins_nothing() {
    for (record_sequence, message_seq) in [
        (MAX_SEQUENCE, 1),
        (MAX_SEQUENCE - 3, 1),
        (1, u16::MAX),
        (1, u16::MAX - 3),
    ] {
        let (server, answers) = answers(record_sequence, message_seq);
        assert!(answers.is_empty() && server.handshake.is_none());
        assert_eq!(server.failure, None, "it is not the server's fault");
    }
}

#[test]
fn a_hello_may_have_high_numbers() {
    let (mut server, first) = answers(MAX_SEQUENCE - (1 << 20), 50_000);
    assert!(server.handshake.is_some() && !first.is_empty());
    // Each repetition has record numbers of its own, until the user's deadline.
    let mut last = MAX_SEQUENCE - (1 << 20) - 1;
    let repeated = (0..20).flat_map(|_| server.wait(Duration::from_secs(60)));
    for datagram in first.into_iter().chain(repeated.collect::<Vec<_>>()) {
        for record in records(&datagram, 0) {
            assert!(record.sequence > last);
            last = record.sequence;
        }
    }
    assert_eq!(server.failure, None);
}

/// The connection ID of a client is part of each of our records.
#[test]
fn the_longest_connection_id_of_a_client_leaves_datagrams_within_their_size() {
    const LENGTH: usize = 255;
    for mtu in [600, 1200] {
        let mut server = Server::with(builder().mtu(mtu));
        let options = Options {
            connection_id: Some(vec![9; LENGTH]),
            record_size_limit: Some(64),
            ..options()
        };
        let (mut client, flight) = second_flight(&mut server, options);
        let mut sent: Vec<Vec<u8>> = Vec::new();
        for datagram in flight {
            sent.extend(server.receive(&datagram));
        }
        assert!(server.is_connected());
        // The client's Finished again.
        let finished = client.retransmit().pop().unwrap();
        sent.extend(server.receive(&finished));
        assert!(sent.len() >= 2, "the last flight, twice");
        let association = server.association.as_ref().unwrap();
        assert_eq!(association.peer_connection_id(), [9; LENGTH]);
        // 64 bytes of plaintext, of which one is the type.
        assert_eq!(association.max_content(), 63);
        let overhead = association.overhead();
        let largest = vec![1; association.max_content()];
        sent.push(server.send(&largest));
        assert_eq!(sent.last().unwrap().len(), largest.len() + overhead);
        for datagram in &sent {
            assert!(datagram.len() <= mtu, "{} bytes", datagram.len());
            let protected = records(datagram, LENGTH).filter(|record| record.epoch == 1);
            for record in protected {
                assert_eq!(record.connection_id, [9; LENGTH]);
            }
        }
    }
}
