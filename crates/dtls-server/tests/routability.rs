//! Return routability checks (RFC 9853), after a client's address has changed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic; clippy.toml excepts #[test] functions only"
)]

use dtls_server::association::Association;
use dtls_server::config::ConfigBuilder;
use dtls_server::record::ContentType;
use dtls_server::routability::{ChallengeError, PathMessage};
use dtls_test_client::{
    Client, Credentials, KeyType, Move, Options, Server, builder, connect, exchange, exchange_data,
    second_flight,
};

const CHECK: ContentType = ContentType::RETURN_ROUTABILITY_CHECK;

fn options() -> Options {
    Options::new(Credentials::generate(KeyType::P256))
}

fn config() -> ConfigBuilder {
    builder().return_routability_check(true)
}

fn connected() -> (Server, Client) {
    let mut server = Server::with(config());
    let client = connect(&mut server, options());
    assert!(client.is_connected());
    (server, client)
}

#[test]
fn a_challenge_is_answered_with_its_cookie() {
    let (mut server, mut client) = connected();
    for _ in 0..3 {
        let (cookie, challenge) = server.challenge().unwrap();
        let responses = client.receive(&challenge);
        assert_eq!(
            client.take_path_messages(),
            [PathMessage::Challenge(cookie)]
        );
        for response in &responses {
            assert!(server.receive(response).is_empty());
            assert!(server.is_newest);
        }
        assert_eq!(server.responses.drain(..).collect::<Vec<_>>(), [cookie]);
        // A copy of the response is none.
        server.receive(&responses[0]);
        assert!(server.responses.is_empty());
    }
    exchange_data(&mut server, &mut client);
}

#[test]
fn each_challenge_has_its_own_cookie() {
    let (mut server, _) = connected();
    let mut cookies: Vec<_> = (0..50).map(|_| server.challenge().unwrap().0).collect();
    while let Some(cookie) = cookies.pop() {
        assert!(!cookies.contains(&cookie));
    }
}

#[test]
fn the_clients_challenge_is_answered_at_once_and_once() {
    let (mut server, mut client) = connected();
    let (cookie, _) = server.challenge().unwrap();
    let challenge = client.protect(CHECK, &PathMessage::Challenge(cookie).encode());
    let responses = server.receive(&challenge);
    assert_eq!(responses.len(), 1);
    assert!(responses[0].len() <= challenge.len());
    assert!(client.receive(&responses[0]).is_empty());
    assert_eq!(client.take_path_messages(), [PathMessage::Response(cookie)]);
    assert!(server.receive(&challenge).is_empty(), "a copy");
    exchange_data(&mut server, &mut client);
}

/// RFC 9853 §4, §5.4.
#[test]
fn what_is_malformed_unknown_or_unasked_for_changes_nothing() {
    let (mut server, mut client) = connected();
    let (cookie, _) = server.challenge().unwrap();
    let unasked = PathMessage::Drop(cookie).encode();
    for content in [
        &[][..],
        &[0],
        &[0; 8],
        &[0; 10],
        &[3; 9],
        &[255; 9],
        &unasked,
    ] {
        let datagram = client.protect(CHECK, content);
        assert!(server.receive(&datagram).is_empty(), "{content:?}");
        assert!(server.responses.is_empty());
    }
    assert_eq!(server.ended, None);
    exchange_data(&mut server, &mut client);
}

#[test]
fn there_are_no_checks_unless_both_want_them_and_have_connection_ids() {
    let with_check = options();
    let without_check = Options {
        return_routability_check: false,
        ..options()
    };
    let without_connection_id = Options {
        connection_id: None,
        ..options()
    };
    let not_configured = builder();
    let no_ids = config().connection_id_length(None);
    for (config, options, has_checks) in [
        (config(), with_check.clone(), true),
        (config(), without_check, false),
        (config(), without_connection_id, false),
        (not_configured, with_check.clone(), false),
        (no_ids, with_check, false),
    ] {
        let mut server = Server::with(config);
        let mut client = connect(&mut server, options);
        assert!(client.is_connected());
        let challenge = server.challenge().map(|_| ());
        let expected = match has_checks {
            true => Ok(()),
            false => Err(ChallengeError::NotNegotiated),
        };
        assert_eq!(challenge, expected);
        // A client that asks all the same gets no answer, and keeps its session.
        let datagram = client.protect(CHECK, &[0; 9]);
        assert_eq!(server.receive(&datagram).is_empty(), !has_checks);
        assert_eq!(server.ended, None);
        exchange_data(&mut server, &mut client);
    }
}

#[test]
fn a_restored_session_has_checks() {
    let (mut server, mut client) = connected();
    let export = server.association.take().unwrap().export();
    server.association = Some(Association::restore(&export, 100).unwrap());
    let (cookie, challenge) = server.challenge().unwrap();
    for response in client.receive(&challenge) {
        server.receive(&response);
    }
    assert_eq!(server.responses, [cookie]);
}

#[test]
fn a_check_does_not_end_a_handshake() {
    let mut server = Server::with(config());
    let options = Options {
        second_flight: Move::SECOND_FLIGHT[..4].to_vec(),
        ..options()
    };
    let (mut client, flight) = second_flight(&mut server, options);
    exchange(&mut server, &mut client, flight);
    let early = client.protect(CHECK, &[0; 9]);
    assert!(server.receive(&early).is_empty());
    let finished = client.make(&[Move::Finished]);
    exchange(&mut server, &mut client, finished);
    assert!(client.is_connected());
    exchange_data(&mut server, &mut client);
}
