//! Flights and their repetition (RFC 6347 §4.2.4).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic; clippy.toml excepts #[test] functions only"
)]

use dtls_server::handshake::LastFlight;
use dtls_server::message::fragments;
use dtls_server::record::{ContentType, records};
use dtls_test_client::{
    Credentials, KeyType, Options, Server, connect, exchange_data, second_flight,
};
use std::time::Duration;

fn options() -> Options {
    Options::new(Credentials::generate(KeyType::P256))
}

/// The record numbers and the message numbers of plaintext datagrams.
fn numbers(datagrams: &[Vec<u8>]) -> (Vec<u64>, Vec<u16>) {
    let mut of_records = Vec::new();
    let mut of_messages = Vec::new();
    for record in datagrams.iter().flat_map(|one| records(one, 0)) {
        of_records.push(record.sequence);
        let fragments = fragments(record.fragment).flatten();
        of_messages.extend(fragments.map(|fragment| fragment.header.message_seq));
    }
    of_messages.dedup();
    (of_records, of_messages)
}

#[test]
fn a_flight_is_repeated_after_a_timeout_that_doubles_until_it_is_the_longest() {
    let mut server = Server::new();
    let (_, _) = second_flight(&mut server, options());
    let mut expected = 2;
    for _ in 0..9 {
        let next = server.handshake.as_ref().unwrap().next_timeout().unwrap();
        assert_eq!(next - server.now, Duration::from_secs(expected));
        assert!(
            server
                .wait(Duration::from_millis(expected * 1000 - 1))
                .is_empty()
        );
        assert!(!server.wait(Duration::from_millis(1)).is_empty());
        expected = (expected * 2).min(60);
    }
}

#[test]
fn a_repetition_has_the_same_message_numbers_and_new_record_numbers() {
    let mut server = Server::new();
    second_flight(&mut server, options());
    let mut last_number = None;
    let mut messages = None;
    for _ in 0..5 {
        let flight = server.wait(Duration::from_secs(60));
        let (of_records, of_messages) = numbers(&flight);
        for number in of_records {
            assert!(Some(number) > last_number);
            last_number = Some(number);
        }
        assert_eq!(*messages.get_or_insert(of_messages.clone()), of_messages);
    }
    assert_eq!(messages, Some(vec![1, 2, 3, 4, 5]));
}

#[test]
fn after_two_repetitions_a_datagram_is_small_and_has_one_message() {
    let mut server = Server::new();
    second_flight(&mut server, options());
    for repetition in 1..6 {
        let flight = server.wait(Duration::from_secs(60));
        let per_datagram = flight.iter().map(|one| records(one, 0).count());
        let are_small = flight.iter().all(|one| one.len() <= 512) && per_datagram.max() == Some(1);
        assert_eq!(are_small, repetition > 2, "{repetition}");
    }
}

#[test]
fn no_flight_is_repeated_once_the_handshake_is_complete() {
    let mut server = Server::new();
    let mut client = connect(&mut server, options());
    assert!(server.handshake.is_none());
    assert!(server.wait(LastFlight::LIFETIME).is_empty());
    // Whoever has dropped the last flight does not repeat it either.
    server.last_flight = None;
    for datagram in client.retransmit() {
        assert!(server.receive(&datagram).is_empty());
    }
    exchange_data(&mut server, &mut client);
}

#[test]
fn the_last_flight_is_repeated_with_new_numbers_as_often_as_the_finished() {
    let mut server = Server::new();
    let mut client = connect(&mut server, options());
    let mut last = 0;
    for _ in 0..3 {
        let again = client.retransmit();
        let answers: Vec<_> = again.iter().flat_map(|one| server.receive(one)).collect();
        let answers: Vec<_> = answers.iter().flat_map(|one| records(one, 0)).collect();
        let kinds: Vec<_> = answers.iter().map(|record| record.content_type).collect();
        assert_eq!(
            kinds,
            [ContentType::CHANGE_CIPHER_SPEC, ContentType::HANDSHAKE]
        );
        assert!(answers[1].epoch == 1 && answers[1].sequence > last);
        last = answers[1].sequence;
    }
    exchange_data(&mut server, &mut client);
}
