//! Messages, ChangeCipherSpecs and alerts in places where they must not be: the bug classes of state machines, by name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic; clippy.toml excepts #[test] functions only"
)]

use dtls_server::alert::{Alert, AlertDescription};
use dtls_server::association::Discard;
use dtls_server::established::Reason;
use dtls_server::handshake::HandshakeError;
use dtls_server::message::{HandshakeType, whole};
use dtls_server::record::ContentType;
use dtls_test_client::{
    Client, Credentials, KeyType, Move, Options, Server, connect, exchange, exchange_data,
    second_flight,
};

fn options(second_flight: &[Move]) -> Options {
    Options {
        second_flight: second_flight.to_vec(),
        ..Options::new(Credentials::generate(KeyType::P256))
    }
}

/// A server, and a client that has made these moves after the ServerHelloDone.
fn after(moves: &[Move]) -> (Server, Client) {
    let mut server = Server::new();
    let client = connect(&mut server, options(moves));
    (server, client)
}

fn assert_fails(moves: &[Move], error: HandshakeError) {
    let (mut server, mut client) = after(moves);
    assert_eq!(server.failure, Some(error), "{moves:?}");
    assert!(!server.is_connected() && !client.is_connected());
    let alert = client.alerts().first().copied();
    assert_eq!(alert, error.alert().map(Alert::fatal), "{moves:?}");
    // It does not come back to life.
    let rest = client.make(&[
        Move::ChangeCipherSpec,
        Move::Finished,
        Move::ApplicationData,
    ]);
    exchange(&mut server, &mut client, rest);
    assert!(!server.is_connected() && server.data.is_empty());
}

/// Nothing completes until the ChangeCipherSpec comes in its turn.
fn assert_waits_for_change_cipher_spec(moves: &[Move]) {
    let (mut server, mut client) = after(moves);
    assert_eq!(server.failure, None, "{moves:?}");
    assert!(
        !server.is_connected() && !client.is_connected(),
        "{moves:?}"
    );
    let rest = client.make(&[Move::ChangeCipherSpec]);
    exchange(&mut server, &mut client, rest);
    assert!(server.is_connected() && client.is_connected(), "{moves:?}");
    exchange_data(&mut server, &mut client);
}

use Move::{
    Certificate, CertificateVerify, ChangeCipherSpec, ClientKeyExchange, EmptyCertificate, Finished,
};

#[test]
fn class_1_a_handshake_does_not_complete_without_a_change_cipher_spec() {
    assert_waits_for_change_cipher_spec(&[
        Certificate,
        ClientKeyExchange,
        CertificateVerify,
        Finished,
    ]);
}

#[test]
fn class_2_a_client_is_not_authenticated_without_a_certificate_verify() {
    let moves = [Certificate, ClientKeyExchange, ChangeCipherSpec, Finished];
    let (mut server, mut client) = after(&moves);
    assert!(!server.is_connected() && !client.is_connected());
    let rest = client.make(&[ChangeCipherSpec, Finished, Move::ApplicationData]);
    exchange(&mut server, &mut client, rest);
    assert!(!server.is_connected() && server.data.is_empty());
}

#[test]
fn class_3_a_client_without_a_certificate_is_refused() {
    let none = [ClientKeyExchange, ChangeCipherSpec, Finished];
    assert_fails(&none, HandshakeError::NoCertificate);
    let empty = [
        EmptyCertificate,
        ClientKeyExchange,
        ChangeCipherSpec,
        Finished,
    ];
    assert_fails(&empty, HandshakeError::NoCertificate);
}

#[test]
fn class_4_the_key_exchange_does_not_come_before_the_certificate() {
    assert_fails(
        &[
            ClientKeyExchange,
            Certificate,
            CertificateVerify,
            ChangeCipherSpec,
            Finished,
        ],
        HandshakeError::NoCertificate,
    );
}

#[test]
fn class_5_the_key_exchange_does_not_come_after_the_certificate_verify() {
    assert_fails(
        &[
            Certificate,
            CertificateVerify,
            ClientKeyExchange,
            ChangeCipherSpec,
            Finished,
        ],
        HandshakeError::Unexpected(HandshakeType::CERTIFICATE_VERIFY),
    );
}

#[test]
fn class_6_a_change_cipher_spec_before_the_certificate_verify_counts_for_nothing() {
    assert_waits_for_change_cipher_spec(&[
        Certificate,
        ClientKeyExchange,
        ChangeCipherSpec,
        CertificateVerify,
        Finished,
    ]);
}

#[test]
fn class_7_a_finished_that_overtakes_the_change_cipher_spec_waits_for_it() {
    let (mut server, mut client) = after(&[
        Certificate,
        ClientKeyExchange,
        CertificateVerify,
        Finished,
        ChangeCipherSpec,
    ]);
    assert!(server.is_connected() && client.is_connected());
    exchange_data(&mut server, &mut client);
}

#[test]
fn class_8_further_change_cipher_specs_change_nothing() {
    let (mut server, mut client) = after(&[
        ChangeCipherSpec,
        Certificate,
        ClientKeyExchange,
        CertificateVerify,
        ChangeCipherSpec,
        ChangeCipherSpec,
        Finished,
        ChangeCipherSpec,
    ]);
    assert!(server.is_connected() && client.is_connected());
    exchange_data(&mut server, &mut client);
}

#[test]
fn class_9_there_is_one_certificate_message() {
    let unexpected = HandshakeError::Unexpected(HandshakeType::CERTIFICATE);
    let then = [
        ClientKeyExchange,
        CertificateVerify,
        ChangeCipherSpec,
        Finished,
    ];
    assert_fails(
        &[&[Certificate, Certificate], &then[..]].concat(),
        unexpected,
    );
}

#[test]
fn class_10_a_session_ends_with_close_notify_which_is_answered_once() {
    let (mut server, mut client) = after(&Move::SECOND_FLIGHT);
    let close = Alert::warning(AlertDescription::CLOSE_NOTIFY);
    let datagram = client.protect(ContentType::ALERT, &close.encode());
    let answers = server.receive(&datagram);
    assert_eq!(answers.len(), 1);
    assert_eq!(server.ended, Some(Reason::CloseNotify));
    client.receive(&answers[0]);
    assert_eq!(client.alerts(), [close]);
    assert!(server.receive(&datagram).is_empty());
}

#[test]
fn class_11_a_handshake_and_a_session_end_with_a_fatal_alert() {
    let fatal = Alert::fatal(AlertDescription::USER_CANCELED);
    assert_fails(
        &[
            Certificate,
            ClientKeyExchange,
            CertificateVerify,
            ChangeCipherSpec,
            Move::Alert,
            Finished,
        ],
        HandshakeError::Alert(fatal),
    );
    let (mut server, mut client) = after(&Move::SECOND_FLIGHT);
    let datagram = client.protect(ContentType::ALERT, &fatal.encode());
    // An alert is not answered by another one.
    assert!(server.receive(&datagram).is_empty());
    assert_eq!(server.ended, Some(Reason::Alert(fatal.description)));
}

#[test]
fn class_10_and_11_an_alert_in_one_datagram_with_the_finished_counts() {
    for alert in [
        Alert::warning(AlertDescription::CLOSE_NOTIFY),
        Alert::fatal(AlertDescription::USER_CANCELED),
    ] {
        let mut server = Server::new();
        let options = Options {
            packs: true,
            ..options(&Move::SECOND_FLIGHT)
        };
        let (mut client, mut flight) = second_flight(&mut server, options);
        let datagram = client.protect(ContentType::ALERT, &alert.encode());
        flight[0].extend_from_slice(&datagram);
        exchange(&mut server, &mut client, flight);
        assert!(!server.is_connected(), "{alert:?}");
        assert_eq!(server.failure, Some(HandshakeError::Alert(alert)));
    }
}

#[test]
fn an_alert_that_is_malformed_ends_a_session() {
    let close = Alert::warning(AlertDescription::CLOSE_NOTIFY).encode();
    for malformed in [&[][..], &[2], &[3, 0], &[close, close].concat()] {
        let (mut server, mut client) = after(&Move::SECOND_FLIGHT);
        let datagram = client.protect(ContentType::ALERT, malformed);
        for answer in server.receive(&datagram) {
            client.receive(&answer);
        }
        assert_eq!(server.ended, Some(Reason::Malformed), "{malformed:?}");
        let alert = Alert::fatal(AlertDescription::DECODE_ERROR);
        assert_eq!(client.alerts(), [alert], "{malformed:?}");
    }
}

#[test]
fn class_14_a_finished_out_of_order_is_unexpected_and_no_internal_error() {
    let mut server = Server::new();
    let (mut client, _) = second_flight(&mut server, options(&[]));
    let finished = whole(HandshakeType::FINISHED, 2, &[0; 12]).unwrap();
    let datagram = client.plaintext(ContentType::HANDSHAKE, &finished);
    for answer in server.receive(&datagram) {
        client.receive(&answer);
    }
    let unexpected = HandshakeError::Unexpected(HandshakeType::FINISHED);
    assert_eq!(server.failure, Some(unexpected));
    let alert = Alert::fatal(AlertDescription::UNEXPECTED_MESSAGE);
    assert_eq!(client.alerts(), [alert]);
}

#[test]
fn a_protected_message_that_is_too_large_ends_the_handshake() {
    let (mut server, mut client) = after(&[
        Certificate,
        ClientKeyExchange,
        CertificateVerify,
        ChangeCipherSpec,
    ]);
    let finished = whole(HandshakeType::FINISHED, 5, &[0; 2000]).unwrap();
    let datagram = client.protect(ContentType::HANDSHAKE, &finished);
    for answer in server.receive(&datagram) {
        client.receive(&answer);
    }
    let error = HandshakeError::TooLarge(HandshakeType::FINISHED);
    assert_eq!(server.failure, Some(error));
    let alert = Alert::fatal(AlertDescription::ILLEGAL_PARAMETER);
    assert_eq!(client.alerts(), [alert]);
}

#[test]
fn class_15_a_plaintext_finished_is_dropped_in_silence() {
    let (mut server, mut client) = after(&[
        Certificate,
        ClientKeyExchange,
        CertificateVerify,
        ChangeCipherSpec,
    ]);
    let finished = whole(HandshakeType::FINISHED, 5, &[0; 12]).unwrap();
    let datagram = client.plaintext(ContentType::HANDSHAKE, &finished);
    assert!(server.receive(&datagram).is_empty());
    assert_eq!(server.failure, None);
    let rest = client.make(&[Finished]);
    exchange(&mut server, &mut client, rest);
    assert!(server.is_connected() && client.is_connected());
}

#[test]
fn class_16_only_the_same_finished_again_repeats_the_last_flight() {
    let (mut server, mut client) = after(&Move::SECOND_FLIGHT);
    for other in [[0; 12], [1; 12]] {
        let finished = whole(HandshakeType::FINISHED, 5, &other).unwrap();
        let datagram = client.protect(ContentType::HANDSHAKE, &finished);
        assert!(server.receive(&datagram).is_empty());
    }
    let again = client.retransmit();
    let answers: Vec<_> = again.iter().flat_map(|one| server.receive(one)).collect();
    assert_eq!(answers.len(), 1, "one flight");
    exchange_data(&mut server, &mut client);
}

#[test]
fn class_17_renegotiation_is_refused_and_the_session_goes_on() {
    let (mut server, mut client) = after(&Move::SECOND_FLIGHT);
    let hello = whole(HandshakeType::CLIENT_HELLO, 6, &[0; 50]).unwrap();
    let datagram = client.protect(ContentType::HANDSHAKE, &hello);
    for answer in server.receive(&datagram) {
        client.receive(&answer);
    }
    let alert = Alert::warning(AlertDescription::NO_RENEGOTIATION);
    assert_eq!(client.alerts(), [alert]);
    exchange_data(&mut server, &mut client);
}

#[test]
fn class_18_plaintext_application_data_is_never_accepted() {
    for count in 0..=Move::SECOND_FLIGHT.len() {
        let (mut server, mut client) = after(&Move::SECOND_FLIGHT[..count]);
        let datagram = client.plaintext(ContentType::APPLICATION_DATA, b"data");
        assert!(server.receive(&datagram).is_empty());
        assert_eq!(server.failure, None, "{count}");
        let rest = client.make(&Move::SECOND_FLIGHT[count..]);
        exchange(&mut server, &mut client, rest);
        assert!(server.is_connected() && server.data.is_empty(), "{count}");
    }
}

#[test]
fn class_19_nothing_in_plaintext_concerns_a_session() {
    let (mut server, mut client) = after(&Move::SECOND_FLIGHT);
    let hello = whole(HandshakeType::CLIENT_HELLO, 0, &[0; 50]).unwrap();
    for (kind, content) in [
        (ContentType::APPLICATION_DATA, &b"data"[..]),
        (ContentType::ALERT, &[2, 0]),
        (ContentType::ALERT, &[1, 0]),
        (ContentType::CHANGE_CIPHER_SPEC, &[1]),
        (ContentType::HANDSHAKE, &hello),
    ] {
        let datagram = client.plaintext(kind, content);
        assert!(server.receive(&datagram).is_empty());
        assert_eq!(server.discarded.pop(), Some(Discard::Epoch));
    }
    assert_eq!(server.ended, None);
    exchange_data(&mut server, &mut client);
}
