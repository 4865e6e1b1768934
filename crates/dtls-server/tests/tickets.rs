//! Tickets (RFC 5077), from the handshake that issues one to the one that it resumes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic; clippy.toml excepts #[test] functions only"
)]

use dtls_server::alert::{Alert, AlertDescription};
use dtls_server::config::ConfigBuilder;
use dtls_server::handshake::HandshakeError;
use dtls_server::resumption::{MAX_PEER, MAX_TICKET};
use dtls_server::suite::CipherSuite;
use dtls_test_client::{
    Client, Credentials, KeyType, Options, Resumable, SESSION_ID, Server, TICKET_LIFETIME, builder,
    connect, exchange_data,
};
use std::time::Duration;

fn config() -> ConfigBuilder {
    builder().session_tickets(true)
}

fn options() -> Options {
    Options {
        tickets: true,
        ..Options::new(Credentials::generate(KeyType::P256))
    }
}

/// A server, and a client with a ticket of it.
fn issued() -> (Server, Options) {
    let mut server = Server::with(config());
    let options = options();
    let mut client = connect(&mut server, options.clone());
    assert!(!client.ticket().unwrap().is_empty());
    exchange_data(&mut server, &mut client);
    let session = client.resumable();
    assert_eq!(session.as_ref().unwrap().id, [0; 0], "RFC 5077 §3.4");
    server.forget();
    (server, Options { session, ..options })
}

fn session(options: &mut Options) -> &mut Resumable {
    options.session.as_mut().unwrap()
}

fn assert_resumes(server: &mut Server, options: Options) -> Client {
    let mut client = connect(server, options);
    assert_eq!(server.failure, None);
    assert!(server.is_resumed && client.is_resumed() && client.is_connected());
    exchange_data(server, &mut client);
    server.forget();
    client
}

/// A full handshake in silence, in which the client gets a new ticket.
fn assert_does_not_resume(server: &mut Server, options: Options) {
    let mut client = connect(server, options);
    assert_eq!(server.failure, None);
    assert!(!server.is_resumed && !client.is_resumed() && client.is_connected());
    assert!(client.alerts().is_empty());
    assert!(!client.ticket().unwrap().is_empty());
    exchange_data(server, &mut client);
    server.forget();
}

#[test]
fn a_ticket_resumes_its_session_as_often_as_it_is_shown() {
    let (mut server, options) = issued();
    server.session = None;
    for _ in 0..3 {
        let client = assert_resumes(&mut server, options.clone());
        // It is not replaced.
        let before = &options.session.as_ref().unwrap().ticket;
        assert_eq!(client.ticket(), Some(&before[..]));
    }
    assert_eq!(server.opened, [b"peer"; 3]);
}

/// RFC 5077 §3.4: the client's own session id says whether the ticket was taken, and names nothing.
#[test]
fn a_session_id_beside_a_ticket_is_returned_and_names_nothing() {
    let (mut server, mut options) = issued();
    session(&mut options).id = vec![5; 32];
    assert_resumes(&mut server, options.clone());

    // The id of a session that is there, and a ticket that is of no use.
    let mut by_id = Server::with(builder());
    let without_tickets = Options {
        session: None,
        ..options.clone()
    };
    let id = connect(&mut by_id, without_tickets).resumable().unwrap().id;
    server.session = by_id.session;
    assert!(server.session.is_some() && id == SESSION_ID);
    session(&mut options).id = id;
    *session(&mut options).ticket.last_mut().unwrap() ^= 1;
    assert_does_not_resume(&mut server, options);
}

#[test]
fn a_ticket_that_is_forged_cut_foreign_or_expired_leads_to_a_full_handshake() {
    let (mut server, options) = issued();
    server.session = None;
    let ticket = options.session.clone().unwrap().ticket;
    let mut forged = Vec::new();
    for place in [0, 15, 16, 23, 24, 40, ticket.len() - 1] {
        let mut changed = ticket.clone();
        changed[place] ^= 0x10;
        forged.push(changed);
    }
    for length in [1, 16, 24, 40, ticket.len() - 1] {
        forged.push(ticket[..length].to_vec());
    }
    forged.push([&ticket[..], &[0]].concat());
    forged.push(vec![7; 2000]);
    for id in [Vec::new(), vec![5; 32]] {
        for ticket in forged.clone() {
            let mut options = options.clone();
            *session(&mut options) = Resumable {
                id: id.clone(),
                ticket,
                ..options.session.clone().unwrap()
            };
            assert_does_not_resume(&mut server, options);
        }
    }
    assert!(server.opened.is_empty());

    let mut other = Server::with(config());
    // Servers of tests have the same random bytes.
    other.tickets = dtls_server::resumption::Tickets::new(
        &mut dtls_server::crypto::random::SystemRandom,
        other.now,
        TICKET_LIFETIME,
    )
    .unwrap();
    assert_does_not_resume(&mut other, options.clone());

    server.now += TICKET_LIFETIME - Duration::from_secs(1);
    assert_resumes(&mut server, options.clone());
    server.now += Duration::from_secs(1);
    assert_does_not_resume(&mut server, options);
}

/// Bug class 30: the user judges the client again.
#[test]
fn class_30_a_ticket_of_a_client_that_may_not_come_in_any_more_does_not_resume() {
    let (mut server, options) = issued();
    server.session = None;
    server.resumes = false;
    assert_does_not_resume(&mut server, options.clone());
    assert_eq!(server.opened, [b"peer"]);
    // The full handshake judges its certificate.
    server.verdict = Err(AlertDescription::CERTIFICATE_REVOKED);
    let client = connect(&mut server, options);
    let refused = HandshakeError::Refused(AlertDescription::CERTIFICATE_REVOKED);
    assert_eq!(server.failure, Some(refused));
    assert_eq!(client.ticket(), None);
}

#[test]
fn no_ticket_is_issued_without_an_extended_master_secret() {
    let mut server = Server::with(config());
    let options = Options {
        extended_master_secret: false,
        ..options()
    };
    let mut client = connect(&mut server, options);
    assert!(client.is_connected());
    assert_eq!(client.ticket(), None);
    exchange_data(&mut server, &mut client);
}

/// RFC 7627 §5.3.
#[test]
fn a_ticket_is_not_shown_without_an_extended_master_secret() {
    let (mut server, options) = issued();
    let options = Options {
        extended_master_secret: false,
        ..options
    };
    let client = connect(&mut server, options);
    assert_eq!(server.failure, Some(HandshakeError::ExtendedMasterSecret));
    let alert = Alert::fatal(AlertDescription::HANDSHAKE_FAILURE);
    assert_eq!(client.alerts(), [alert]);
}

#[test]
fn a_session_is_resumed_with_its_cipher_suite_only() {
    let (mut server, options) = issued();
    server.session = None;
    let others = CipherSuite::ALL[1..].iter().map(|suite| suite.number());
    let options = Options {
        cipher_suites: others.collect(),
        ..options
    };
    assert_does_not_resume(&mut server, options);
}

#[test]
fn only_clients_that_ask_get_a_ticket_and_only_where_there_are_some() {
    for (config, tickets) in [(config(), false), (builder(), true)] {
        let mut server = Server::with(config);
        let options = Options {
            tickets,
            ..options()
        };
        let client = connect(&mut server, options);
        assert!(client.is_connected());
        assert_eq!(client.ticket(), None);
        assert_eq!(client.resumable().unwrap().id, SESSION_ID);
    }
}

/// A client of a server that has tickets no more is resumed by its id.
#[test]
fn without_tickets_the_extension_is_ignored() {
    let mut server = Server::new();
    let client = connect(&mut server, options());
    let mut resumable = client.resumable().unwrap();
    resumable.ticket = vec![7; 100];
    server.forget();
    let options = Options {
        session: Some(resumable),
        ..options()
    };
    assert_resumes(&mut server, options);
}

#[test]
fn a_session_that_the_hello_does_not_name_is_not_resumed() {
    let mut server = Server::new();
    let options = options();
    let by_id = connect(&mut server, options.clone()).resumable().unwrap();
    let session = server.session.take();
    let mut server = Server::with(config());
    server.mistaken = session;
    assert!(server.mistaken.is_some());
    let named = |id: &[u8], ticket: &[u8]| {
        Some(Resumable {
            id: id.to_vec(),
            ticket: ticket.to_vec(),
            ..by_id.clone()
        })
    };
    for session in [None, named(b"another", b""), named(&by_id.id, b"a ticket")] {
        let options = Options {
            session,
            ..options.clone()
        };
        assert_does_not_resume(&mut server, options);
    }
    let session = named(&by_id.id, b"");
    assert_resumes(&mut server, Options { session, ..options });
}

/// RFC 5077 §3.3.
#[test]
fn a_ticket_that_there_is_not_after_all_is_empty() {
    let mut server = Server::with(config());
    server.peer = vec![1; MAX_PEER + 1];
    let options = options();
    let mut client = connect(&mut server, options.clone());
    assert_eq!(client.ticket(), Some(&[][..]));
    exchange_data(&mut server, &mut client);
    server.forget();
    server.peer.pop();
    let client = connect(&mut server, options);
    assert!((MAX_PEER..=MAX_TICKET).contains(&client.ticket().unwrap().len()));
}
