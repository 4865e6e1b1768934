//! What anyone can send from a client's address: it neither stops a handshake nor ends or moves a session.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic; clippy.toml excepts #[test] functions only"
)]

use dtls_server::alert::{Alert, AlertDescription};
use dtls_server::association::Discard;
use dtls_server::handshake::{HandshakeError, Outcome};
use dtls_server::message::{HandshakeType, fragments};
use dtls_server::reassembly;
use dtls_server::record::{ContentType, DTLS_1_2, MAX_CONTENT, records, write_plaintext};
use dtls_test_client::{
    Client, Credentials, KeyType, Move, OWN_CONNECTION_ID, Options, Server, connect, exchange,
    exchange_data, second_flight,
};

/// Numbers of forged records begin here.
const FORGED: u64 = 1 << 40;

fn options() -> Options {
    Options::new(Credentials::generate(KeyType::P256))
}

fn plaintext(content_type: ContentType, content: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    write_plaintext(&mut datagram, content_type, DTLS_1_2, FORGED, content).unwrap();
    datagram
}

/// A record of epoch 1 that was made without the keys, without a connection ID or with the server's.
fn protected(number: u64, connection_id: Option<&[u8]>) -> Vec<u8> {
    let kind = match connection_id {
        Some(_) => ContentType::TLS12_CID,
        None => ContentType::HANDSHAKE,
    };
    let mut datagram = vec![kind.0, 0xfe, 0xfd, 0, 1];
    datagram.extend_from_slice(&number.to_be_bytes()[2..]);
    datagram.extend_from_slice(connection_id.unwrap_or_default());
    datagram.extend_from_slice(&[0, 40]);
    datagram.extend_from_slice(&[7; 40]);
    datagram
}

/// A record with one fragment.
fn fragment(
    message_type: HandshakeType,
    seq: u16,
    length: u32,
    offset: u32,
    body: &[u8],
) -> Vec<u8> {
    let mut content = vec![message_type.0];
    content.extend_from_slice(&length.to_be_bytes()[1..]);
    content.extend_from_slice(&seq.to_be_bytes());
    content.extend_from_slice(&offset.to_be_bytes()[1..]);
    content.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
    content.extend_from_slice(body);
    plaintext(ContentType::HANDSHAKE, &content)
}

/// These come before each datagram of the client's second flight, and after the last one. The handshake completes, with the
/// client's repetition if need be, and none of them is answered.
fn assert_completes_in_spite_of(forged: &[Vec<u8>]) {
    for packs in [false, true] {
        let mut server = Server::new();
        let options = Options { packs, ..options() };
        let (mut client, flight) = second_flight(&mut server, options);
        let mut answers = Vec::new();
        for datagram in &flight {
            for one in forged {
                assert!(server.receive(one).is_empty());
            }
            answers.extend(server.receive(datagram));
        }
        if !server.is_connected() {
            for datagram in client.retransmit() {
                answers.extend(server.receive(&datagram));
            }
        }
        for one in forged {
            assert!(server.receive(one).is_empty());
        }
        exchange(&mut server, &mut client, Vec::new());
        for answer in answers {
            client.receive(&answer);
        }
        assert_eq!(server.failure, None);
        assert!(server.is_connected() && client.is_connected());
        exchange_data(&mut server, &mut client);
    }
}

#[test]
fn class_34_fragments_of_later_messages_do_not_stop_a_handshake() {
    let mut forged = Vec::new();
    for kind in [
        HandshakeType::CERTIFICATE,
        HandshakeType::CLIENT_KEY_EXCHANGE,
        HandshakeType::CERTIFICATE_VERIFY,
        HandshakeType::FINISHED,
        HandshakeType::CLIENT_HELLO,
        HandshakeType::SERVER_HELLO,
        HandshakeType(99),
    ] {
        for seq in [3, 4, 5, 6, 9, 100, u16::MAX] {
            forged.push(fragment(kind, seq, 60, 20, &[0; 20]));
        }
    }
    assert_completes_in_spite_of(&forged);
}

#[test]
fn class_34_parts_of_messages_that_come_as_a_whole_do_not_stop_a_handshake() {
    let mut server = Server::new();
    let (mut client, flight) = second_flight(&mut server, options());
    let records: Vec<_> = flight.iter().flat_map(|one| records(one, 0)).collect();
    let messages = records
        .iter()
        .filter(|record| record.epoch == 0 && record.content_type == ContentType::HANDSHAKE);
    let messages = messages.flat_map(|record| fragments(record.fragment).flatten());
    let mut count = 0;
    for header in messages.map(|message| message.header) {
        for offset in [0, 5] {
            let (kind, seq, length) = (header.message_type, header.message_seq, header.length);
            let part = fragment(kind, seq, length, offset, &[0xff; 3]);
            assert!(server.receive(&part).is_empty());
            count += 1;
        }
    }
    assert_eq!(count, 6);
    exchange(&mut server, &mut client, flight);
    assert_eq!(server.failure, None);
    assert!(server.is_connected() && client.is_connected());
    exchange_data(&mut server, &mut client);
}

#[test]
fn class_34_empty_fragments_do_not_stop_a_handshake() {
    let mut forged = Vec::new();
    for seq in 2..8 {
        for (length, offset) in [(60, 0), (60, 60), (60, 61), (0, 1), (1 << 20, 0)] {
            forged.push(fragment(
                HandshakeType::CERTIFICATE,
                seq,
                length,
                offset,
                &[],
            ));
        }
        forged.push(fragment(HandshakeType::FINISHED, seq, 12, 0, &[]));
    }
    assert_completes_in_spite_of(&forged);
}

#[test]
fn class_34_fragments_of_messages_that_are_too_large_do_not_stop_a_handshake() {
    let mut forged = Vec::new();
    for kind in [
        HandshakeType::CERTIFICATE,
        HandshakeType::CLIENT_KEY_EXCHANGE,
        HandshakeType::CERTIFICATE_VERIFY,
        HandshakeType::FINISHED,
        HandshakeType(99),
    ] {
        for seq in 2..6 {
            forged.push(fragment(kind, seq, 20_000, 0, &[0; 20]));
            forged.push(fragment(kind, seq, (1 << 24) - 1, 70, &[0; 20]));
        }
    }
    assert_completes_in_spite_of(&forged);
    // If nothing follows, its user can say why.
    let mut server = Server::new();
    second_flight(&mut server, options());
    let handshake = |server: &Server| server.handshake.as_ref().unwrap().too_large();
    assert_eq!(handshake(&server), None);
    server.receive(&forged[0]);
    assert_eq!(handshake(&server), Some(HandshakeType::CERTIFICATE));
    // The client gets an alert, but only when the time is over.
    let handshake = server.handshake.as_mut().unwrap();
    while handshake.poll_transmit().is_some() {}
    handshake.expire();
    let alert = handshake.poll_transmit().unwrap();
    let expected = Alert::fatal(AlertDescription::ILLEGAL_PARAMETER);
    assert!(alert.ends_with(&expected.encode()), "{alert:02x?}");
    assert!(matches!(
        handshake.poll_outcome(),
        Some(Outcome::Failed(HandshakeError::TooLarge(
            HandshakeType::CERTIFICATE
        )))
    ));
}

#[test]
fn class_34_records_of_epoch_1_do_not_stop_a_handshake() {
    let mut forged = Vec::new();
    for number in [0, 1, 2, 63, 64, FORGED] {
        forged.push(protected(number, None));
        forged.push(protected(number, Some(&OWN_CONNECTION_ID)));
        forged.push(protected(number, Some(b"87654321")));
    }
    assert_completes_in_spite_of(&forged);
}

#[test]
fn class_34_alerts_and_change_cipher_specs_and_data_do_not_stop_a_handshake() {
    let fatal = Alert::fatal(AlertDescription::HANDSHAKE_FAILURE);
    assert_completes_in_spite_of(&[
        plaintext(ContentType::ALERT, &fatal.encode()),
        plaintext(ContentType::ALERT, &[1, 0]),
        plaintext(ContentType::ALERT, &[]),
        plaintext(ContentType::APPLICATION_DATA, b"data"),
        plaintext(ContentType(99), b"data"),
        // Bug class 38: its content is wrong.
        plaintext(ContentType::CHANGE_CIPHER_SPEC, &[]),
        plaintext(ContentType::CHANGE_CIPHER_SPEC, &[0]),
        plaintext(ContentType::CHANGE_CIPHER_SPEC, &[1, 1]),
        b"\x16\xfe\xfd".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        Vec::new(),
    ]);
}

#[test]
fn class_23_a_flood_of_fragments_takes_bounded_memory_and_stops_no_handshake() {
    let mut server = Server::new();
    let (mut client, flight) = second_flight(&mut server, options());
    for seq in (2..10).rev() {
        for length in [500, 1000, 16_000] {
            for offset in (0..length).step_by(17) {
                let kind = HandshakeType::CERTIFICATE;
                server.receive(&fragment(kind, seq, length, offset, &[0]));
                server.receive(&fragment(kind, seq, length, offset, &[]));
                let handshake = server.handshake.as_ref().unwrap();
                // Beside the fragments, the messages of both hellos' flights.
                assert!(handshake.buffered() <= reassembly::MAX_BYTES + 2048);
            }
        }
    }
    exchange(&mut server, &mut client, flight);
    let again = client.retransmit();
    exchange(&mut server, &mut client, again);
    assert!(server.is_connected() && client.is_connected());
}

#[test]
fn class_25_fragments_of_other_lengths_or_types_do_not_touch_a_message() {
    let mut forged = Vec::new();
    for seq in 2..6 {
        for length in [30, 60, 10_000] {
            forged.push(fragment(
                HandshakeType::CERTIFICATE,
                seq,
                length,
                3,
                &[0; 9],
            ));
        }
    }
    assert_completes_in_spite_of(&forged);
}

/// The length of a ClientKeyExchange is that of the group's public keys, so that a forger knows it.
#[test]
fn class_25_fragments_with_other_bytes_do_not_touch_a_message() {
    let kind = HandshakeType::CLIENT_KEY_EXCHANGE;
    let mut forged = Vec::new();
    for offset in [0, 30] {
        forged.push(fragment(kind, 3, 66, offset, &[7]));
    }
    // All but one byte.
    forged.push(fragment(kind, 3, 66, 0, &[7; 65]));
    assert_completes_in_spite_of(&forged);
}

#[test]
fn class_35_a_flight_that_is_repeated_in_other_fragments_and_packed_otherwise_completes() {
    for (first, then) in [(200, 61), (61, 200), (50, usize::MAX), (usize::MAX, 50)] {
        for lost in 0..4 {
            let mut server = Server::new();
            let options = Options {
                second_flight: Vec::new(),
                ..options()
            };
            let (mut client, _) = second_flight(&mut server, options);
            client.pack(false, first);
            let flight = client.make(&Move::SECOND_FLIGHT);
            // A part of the first transmission arrives.
            let arrived = flight.into_iter().enumerate();
            let arrived = arrived.filter(|(number, _)| number % 4 != lost);
            let arrived = arrived.map(|(_, datagram)| datagram).collect();
            exchange(&mut server, &mut client, arrived);
            client.pack(true, then);
            let again = client.retransmit();
            exchange(&mut server, &mut client, again);
            assert_eq!(server.failure, None);
            assert!(
                server.is_connected() && client.is_connected(),
                "{first} {then}"
            );
            exchange_data(&mut server, &mut client);
        }
    }
}

#[test]
fn class_26_records_that_are_not_authentic_do_not_move_the_window() {
    for connection_id in [None, Some(Vec::new())] {
        let mut server = Server::new();
        let options = Options {
            connection_id: connection_id.clone(),
            ..options()
        };
        let mut client = connect(&mut server, options);
        let own = connection_id.map(|_| &OWN_CONNECTION_ID[..]);
        for number in [2, 70, 1 << 20, (1 << 48) - 1] {
            assert!(server.receive(&protected(number, own)).is_empty());
            assert_eq!(server.discarded.pop(), Some(Discard::NotAuthentic));
        }
        exchange_data(&mut server, &mut client);
        assert!(server.is_newest);
    }
}

#[test]
fn class_27_a_connection_id_of_another_length_is_discarded() {
    let mut server = Server::new();
    let mut client = connect(&mut server, options());
    for other in [&b""[..], b"1234567", b"123456789", &[b'1'; 200]] {
        server.receive(&protected(5, Some(other)));
    }
    assert!(server.data.is_empty());
    exchange_data(&mut server, &mut client);
    // That of a client can be as long as it likes.
    for length in [1, 8, 9, 32, 255] {
        let mut server = Server::new();
        let options = Options {
            connection_id: Some(vec![9; length]),
            second_flight: Vec::new(),
            ..options()
        };
        let (_, _) = second_flight(&mut server, options);
        assert_eq!(server.failure, None, "{length}");
    }
}

#[test]
fn class_31_a_device_that_has_restarted_gets_in_beside_its_old_session() {
    let mut server = Server::new();
    let mut old = connect(&mut server, options());
    // Perhaps the device has restarted, and perhaps someone else sends this.
    let hello = Client::new(options(), 9).start();
    let fatal = Alert::fatal(AlertDescription::CLOSE_NOTIFY);
    for datagram in [&hello[0], &plaintext(ContentType::ALERT, &fatal.encode())] {
        assert!(server.receive(datagram).is_empty());
    }
    let mut candidate = Server::new();
    candidate.config = server.config.clone();
    let mut new = connect(&mut candidate, options());
    assert!(candidate.is_connected() && new.is_connected());
    // Neither session has disturbed the other.
    exchange_data(&mut server, &mut old);
    exchange_data(&mut candidate, &mut new);
}

#[test]
fn class_32_only_a_newer_record_may_move_the_address() {
    let mut server = Server::new();
    let mut client = connect(&mut server, options());
    let first = client.send(b"first");
    let second = client.send(b"second");
    server.receive(&second);
    assert!(server.is_newest);
    server.receive(&first);
    assert!(
        !server.is_newest,
        "an older one is delivered, and changes nothing"
    );
    assert_eq!(server.data, [&b"second"[..], b"first"]);
    for replayed in [&first, &second] {
        server.receive(replayed);
        assert_eq!(server.discarded.pop(), Some(Discard::Replayed));
    }
    assert_eq!(server.data.len(), 2);
}

#[test]
fn class_38_records_with_too_much_content_are_refused() {
    // More than RFC 5246 §6.2.1 allows, in plaintext: it is not read at all.
    let mut too_long = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9];
    let length = MAX_CONTENT + 1;
    too_long.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
    too_long.extend_from_slice(&vec![0; length]);
    assert_eq!(records(&too_long, 0).count(), 0);
    assert_completes_in_spite_of(&[too_long]);
}

#[test]
fn a_flight_that_comes_backwards_completes() {
    let mut server = Server::new();
    let (mut client, mut flight) = second_flight(&mut server, options());
    flight.reverse();
    exchange(&mut server, &mut client, flight);
    let mut again = client.retransmit();
    again.reverse();
    exchange(&mut server, &mut client, again);
    assert!(server.is_connected() && client.is_connected());
    exchange_data(&mut server, &mut client);
}

#[test]
fn a_finished_that_begins_in_plaintext_is_not_completed_by_what_is_protected() {
    let mut server = Server::new();
    let options = Options {
        second_flight: Move::SECOND_FLIGHT[..3].to_vec(),
        ..options()
    };
    let (mut client, flight) = second_flight(&mut server, options);
    exchange(&mut server, &mut client, flight);
    // Of the right number and length: only the ChangeCipherSpec tells it from the client's.
    for body in [&[7; 12][..], &[7; 6]] {
        server.receive(&fragment(HandshakeType::FINISHED, 5, 12, 0, body));
    }
    let rest = client.make(&[Move::ChangeCipherSpec, Move::Finished]);
    exchange(&mut server, &mut client, rest);
    assert_eq!(server.failure, None);
    assert!(server.is_connected() && client.is_connected());
}

/// What a client's flight would be if it were another's.
#[test]
fn a_flight_of_another_handshake_completes_nothing() {
    let mut server = Server::new();
    let (mut client, _) = second_flight(&mut server, options());
    let mut other_server = Server::new();
    let mut other = Client::new(options(), 8);
    let hello = other.start();
    let request = other_server.receive(&hello[0]);
    let hello = other.receive(&request[0]);
    let first = other_server.receive(&hello[0]);
    let flight: Vec<_> = first.iter().flat_map(|one| other.receive(one)).collect();
    exchange(&mut server, &mut client, flight);
    assert!(!server.is_connected());
    assert!(matches!(
        server.failure,
        Some(HandshakeError::CertificateVerify(_))
    ));
}
