//! Hellos, cookies and resumption: the bug classes of a handshake's beginning, by name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic; clippy.toml excepts #[test] functions only"
)]

use dtls_server::alert::{Alert, AlertDescription};
use dtls_server::config::ExtendedMasterSecret;
use dtls_server::cookie::{CookieReply, Cookies};
use dtls_server::crypto::random::{Random, SystemRandom, Unavailable};
use dtls_server::handshake::{Handshake, HandshakeError, Outcome, Start};
use dtls_server::message::client_hello::ClientHello;
use dtls_server::message::key_exchange::ServerKeyExchange;
use dtls_server::message::server_hello::{HelloVerifyRequest, ServerHello};
use dtls_server::message::{HandshakeType, fragments};
use dtls_server::record::{ContentType, DTLS_1_0, DTLS_1_2, records, write_plaintext};
use dtls_server::suite::CipherSuite;
use dtls_test_client::{
    Client, Credentials, KeyType, Move, Options, SeededRandom, Server, builder, connect,
    exchange_data, second_flight,
};
use std::time::Duration;

fn options() -> Options {
    Options::new(Credentials::generate(KeyType::P256))
}

/// The bodies of a flight's plaintext messages, which are not fragmented.
fn messages(datagrams: &[Vec<u8>]) -> Vec<(HandshakeType, Vec<u8>)> {
    let mut messages = Vec::new();
    for datagram in datagrams {
        for record in records(datagram, 0) {
            for fragment in fragments(record.fragment).flatten() {
                messages.push((fragment.header.message_type, fragment.body.to_vec()));
            }
        }
    }
    messages
}

fn is_hello_verify_request(datagrams: &[Vec<u8>]) -> bool {
    let kinds: Vec<_> = messages(datagrams)
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    kinds == [HandshakeType::HELLO_VERIFY_REQUEST]
}

/// The server's first flight, after a client's two hellos.
fn first_flight(server: &mut Server, client: &mut Client) -> Vec<Vec<u8>> {
    let hello = client.start();
    let request = server.receive(&hello[0]);
    let hello = client.receive(&request[0]);
    server.receive(&hello[0])
}

#[test]
fn class_12_a_hello_without_a_cookie_has_one_answer_and_a_hello_with_one_another() {
    let mut server = Server::new();
    let mut client = Client::new(options(), 7);
    let hello = client.start();
    let request = server.receive(&hello[0]);
    assert!(is_hello_verify_request(&request));
    // Nothing is kept: the same again.
    assert_eq!(server.receive(&hello[0]), request);
    let hello = client.receive(&request[0]);
    assert!(!is_hello_verify_request(&server.receive(&hello[0])));
}

/// Changes the body of the only message of a datagram.
fn changed(datagram: &[u8], change: impl FnOnce(&mut ClientHello<'_>)) -> Vec<u8> {
    let record = records(datagram, 0).next().unwrap();
    let fragment = fragments(record.fragment).next().unwrap().unwrap();
    let mut hello = ClientHello::parse(fragment.body).unwrap();
    change(&mut hello);
    let mut body = Vec::new();
    hello.write(&mut body).unwrap();
    let message = dtls_server::message::whole(HandshakeType::CLIENT_HELLO, 1, &body).unwrap();
    let mut changed = Vec::new();
    write_plaintext(&mut changed, ContentType::HANDSHAKE, DTLS_1_2, 5, &message).unwrap();
    changed
}

#[test]
fn class_13_a_cookie_is_bound_to_the_hello() {
    let mut server = Server::new();
    let mut client = Client::new(options(), 7);
    let hello = client.start();
    let request = server.receive(&hello[0]);
    let hello = client.receive(&request[0]);
    let changes: [fn(&mut ClientHello<'_>); 5] = [
        |hello| hello.version = DTLS_1_0,
        |hello| hello.random[31] ^= 1,
        |hello| hello.session_id = b"another",
        |hello| hello.compression_methods = &[1, 0],
        |hello| {
            let one = dtls_server::wire::Reader::new(&[0xc0, 0xae]);
            hello.cipher_suites = dtls_server::message::Numbers::new(one).unwrap();
        },
    ];
    for change in changes {
        assert!(is_hello_verify_request(
            &server.receive(&changed(&hello[0], change))
        ));
    }
    assert!(!is_hello_verify_request(
        &server.receive(&changed(&hello[0], |_| {}))
    ));
}

#[test]
fn class_20_a_resumption_needs_a_cookie_too() {
    let mut server = Server::new();
    let client = connect(&mut server, options());
    let session = client.resumable();
    for is_known in [true, false] {
        server.forget();
        if !is_known {
            server.session = None;
        }
        let options = Options {
            session: session.clone(),
            ..options()
        };
        let mut client = Client::new(options, 9);
        let hello = client.start();
        let answers = server.receive(&hello[0]);
        assert!(is_hello_verify_request(&answers));
        assert!(answers[0].len() <= hello[0].len(), "no amplification");
    }
}

#[test]
fn class_21_and_22_a_failed_handshake_leaves_nothing_behind() {
    let mut server = Server::new();
    let options = options();
    server.verdict = Err(AlertDescription::BAD_CERTIFICATE);
    let refused = connect(&mut server, options.clone());
    assert_eq!(
        refused.alerts(),
        [Alert::fatal(AlertDescription::BAD_CERTIFICATE)]
    );
    assert!(server.handshake.is_none() && server.session.is_none());
    // The same client, with the same certificate.
    server.verdict = Ok(());
    server.failure = None;
    let mut client = connect(&mut server, options);
    assert!(client.is_connected());
    exchange_data(&mut server, &mut client);
}

#[test]
fn class_24_explicit_nonces_are_epoch_and_sequence_number() {
    for suite in [
        CipherSuite::EcdheEcdsaAes128Ccm8,
        CipherSuite::EcdheEcdsaAes128Gcm,
        CipherSuite::EcdheEcdsaAes256Gcm,
    ] {
        let mut server = Server::new();
        let options = Options {
            cipher_suites: vec![suite.number()],
            ..options()
        };
        connect(&mut server, options);
        let mut last = 0;
        for _ in 0..3 {
            let datagram = server.send(b"content");
            let record = records(&datagram, 0).next().unwrap();
            let number = (u64::from(record.epoch) << 48) | record.sequence;
            assert_eq!(record.fragment[..8], number.to_be_bytes(), "{suite}");
            assert!(number > last, "each number is used once");
            last = number;
        }
    }
}

#[test]
fn class_28_nothing_but_a_hello_begins_a_handshake() {
    let now = Server::new().now;
    let cookies = Cookies::new(&mut SeededRandom::new(1), now).unwrap();
    for kind in [20, 21, 22, 23, 25, 99] {
        for content in [&[1][..], &[2, 40], &[0; 60]] {
            let mut datagram = Vec::new();
            let kind = ContentType(kind);
            write_plaintext(&mut datagram, kind, DTLS_1_2, 0, content).unwrap();
            let reply = cookies.reply(now, b"source", &datagram);
            assert!(
                matches!(reply, CookieReply::NotHello),
                "{kind:?} {content:?}"
            );
        }
    }
}

/// Has no random bytes from some point on.
struct RunsOut(usize);

impl Random for RunsOut {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Unavailable> {
        self.0 = self.0.checked_sub(1).ok_or(Unavailable)?;
        SystemRandom.fill(buffer)
    }
}

#[test]
fn class_29_without_random_bytes_there_is_no_handshake() {
    assert!(Cookies::new(&mut RunsOut(0), Server::new().now).is_err());
    let mut server = Server::new();
    let mut client = Client::new(options(), 7);
    let hello = client.start();
    let request = server.receive(&hello[0]);
    let hello = client.receive(&request[0]);
    let record = records(&hello[0], 0).next().unwrap();
    let mut reassembly = dtls_server::reassembly::Reassembly::new(1);
    for fragment in fragments(record.fragment).flatten() {
        reassembly.insert(&fragment, false);
    }
    let message = reassembly.take(&[HandshakeType::CLIENT_HELLO]).unwrap();
    let start = Start {
        config: &server.config,
        hello: &message,
        record_sequence: 1,
        own_connection_id: b"12345678",
        session_id: b"session",
        resumed: None,
    };
    for available in 0..2 {
        let mut handshake = Handshake::new(server.now, &start, &mut RunsOut(available));
        let outcome = handshake.poll_outcome();
        assert!(
            matches!(outcome, Some(Outcome::Failed(HandshakeError::Internal))),
            "{available}"
        );
        let sent: Vec<_> = std::iter::from_fn(|| handshake.poll_transmit()).collect();
        assert_eq!(sent.len(), 1, "an alert");
    }
    let randoms: Vec<_> = (0..2)
        .map(|_| {
            let mut handshake = Handshake::new(server.now, &start, &mut SystemRandom);
            let sent: Vec<_> = std::iter::from_fn(|| handshake.poll_transmit()).collect();
            let (_, body) = messages(&sent).swap_remove(0);
            ServerHello::parse(&body).unwrap().random
        })
        .collect();
    assert_ne!(randoms[0], randoms[1]);
    assert!(randoms.iter().all(|random| *random != [0; 32]));
}

#[test]
fn class_30_a_session_is_resumed_only_with_its_secret_its_extension_and_the_users_consent() {
    let mut server = Server::new();
    let first = options();
    let client = connect(&mut server, first.clone());
    let session = server.session.clone();
    let resumable = client.resumable().unwrap();
    let of = |server: &mut Server, options: Options| {
        server.forget();
        server.is_resumed = false;
        server.session = session.clone();
        connect(server, options)
    };
    // With the secret of another session.
    let mut other = Server::new();
    let with_other_secret = connect(
        &mut other,
        Options {
            extended_master_secret: false,
            ..first.clone()
        },
    );
    let mut wrong = resumable.clone();
    wrong.master_secret = with_other_secret.resumable().unwrap().master_secret;
    let mut resuming = Server::new();
    resuming.session = session.clone();
    let options = Options {
        session: Some(wrong),
        ..first.clone()
    };
    let mut client = Client::new(options, 7);
    let flight = first_flight(&mut resuming, &mut client);
    for datagram in &flight {
        client.receive(datagram);
    }
    assert!(!client.is_connected());
    let forged = client.make(&[Move::ChangeCipherSpec, Move::Finished]);
    for datagram in &forged {
        resuming.receive(datagram);
    }
    assert!(!resuming.is_connected());
    // RFC 7627 §5.3: with the extension before, and without it now.
    let options = Options {
        session: Some(resumable.clone()),
        extended_master_secret: false,
        ..first.clone()
    };
    let client = of(&mut server, options);
    assert_eq!(server.failure, Some(HandshakeError::ExtendedMasterSecret));
    assert_eq!(
        client.alerts(),
        [Alert::fatal(AlertDescription::HANDSHAKE_FAILURE)]
    );
    // The user does not let it in: a full handshake, in which the client is judged.
    server.forget();
    server.session = None;
    server.verdict = Err(AlertDescription::CERTIFICATE_REVOKED);
    let options = Options {
        session: Some(resumable.clone()),
        ..first.clone()
    };
    let client = connect(&mut server, options.clone());
    assert!(!client.is_connected());
    let revoked = HandshakeError::Refused(AlertDescription::CERTIFICATE_REVOKED);
    assert_eq!(server.failure, Some(revoked));
    // And with all of them, it is.
    server.verdict = Ok(());
    let mut client = of(&mut server, options);
    assert!(client.is_resumed() && server.is_resumed);
    exchange_data(&mut server, &mut client);
}

#[test]
fn a_session_without_an_extended_master_secret_is_not_kept() {
    let mut server = Server::new();
    let options = Options {
        extended_master_secret: false,
        ..options()
    };
    let client = connect(&mut server, options.clone());
    assert!(client.is_connected() && server.session.is_none());
    let mut server = Server::with(builder().extended_master_secret(ExtendedMasterSecret::Require));
    let client = connect(&mut server, options);
    assert!(!client.is_connected());
    assert_eq!(
        client.alerts(),
        [Alert::fatal(AlertDescription::HANDSHAKE_FAILURE)]
    );
}

#[test]
fn class_36_a_newer_version_is_answered_with_1_2_and_an_older_one_with_an_alert() {
    for version in [0xfefc, 0xfefb, 0xfe00, 0xfdff] {
        let mut server = Server::new();
        let options = Options {
            version,
            ..options()
        };
        let mut client = connect(&mut server, options);
        assert!(client.is_connected(), "{version:04x}");
        exchange_data(&mut server, &mut client);
    }
    for version in [DTLS_1_0, 0xfefe, 0xffff] {
        let mut server = Server::new();
        let options = Options {
            version,
            ..options()
        };
        let client = connect(&mut server, options);
        let alert = Alert::fatal(AlertDescription::PROTOCOL_VERSION);
        assert_eq!(client.alerts(), [alert], "{version:04x}");
    }
}

#[test]
fn class_37_the_server_signs_only_with_what_the_client_offers() {
    for (schemes, suite) in [
        (vec![0x0403], CipherSuite::EcdheEcdsaAes128Gcm),
        (vec![0x0401], CipherSuite::EcdheRsaAes128Gcm),
        (vec![0x0601, 0x0804], CipherSuite::EcdheRsaAes128Gcm),
        (vec![0x0501], CipherSuite::EcdheRsaAes128Gcm),
    ] {
        let mut server = Server::new();
        let options = Options {
            schemes: Some(schemes.clone()),
            cipher_suites: vec![
                CipherSuite::EcdheEcdsaAes128Gcm.number(),
                CipherSuite::EcdheRsaAes128Gcm.number(),
            ],
            packs: true,
            ..options()
        };
        let mut client = Client::new(options, 7);
        let flight = first_flight(&mut server, &mut client);
        let messages = messages(&flight);
        let (_, hello) = &messages[0];
        assert_eq!(
            ServerHello::parse(hello).unwrap().cipher_suite,
            suite.number()
        );
        let exchange = messages
            .iter()
            .find(|(kind, _)| *kind == HandshakeType::SERVER_KEY_EXCHANGE);
        let exchange = ServerKeyExchange::parse(&exchange.unwrap().1).unwrap();
        assert!(schemes.contains(&exchange.scheme), "{schemes:04x?}");
    }
    // SHA-1, and what the key does not have.
    for schemes in [vec![0x0203, 0x0201], vec![0x0807]] {
        let mut server = Server::new();
        let options = Options {
            schemes: Some(schemes.clone()),
            ..options()
        };
        let client = connect(&mut server, options);
        assert!(
            !client.is_connected() && !client.alerts().is_empty(),
            "{schemes:04x?}"
        );
    }
}

#[test]
fn class_38_an_extension_twice_is_refused() {
    let mut server = Server::new();
    let mut client = Client::new(options(), 7);
    let hello = client.start();
    let request = server.receive(&hello[0]);
    let hello = client.receive(&request[0]);
    // Extended master secret, twice.
    let doubled = changed(&hello[0], |hello| {
        hello.extensions = Some(&[0, 23, 0, 0, 0, 23, 0, 0]);
    });
    for answer in server.receive(&doubled) {
        client.receive(&answer);
    }
    assert!(matches!(server.failure, Some(HandshakeError::Hello(_))));
    assert_eq!(client.alerts().len(), 1);
}

#[test]
fn class_39_a_hello_verify_request_has_no_timer_and_its_cookie_an_end() {
    let mut server = Server::new();
    let mut client = Client::new(options(), 7);
    let hello = client.start();
    let request = server.receive(&hello[0]);
    let (_, body) = messages(&request).swap_remove(0);
    assert_eq!(HelloVerifyRequest::parse(&body).unwrap().version, DTLS_1_0);
    assert!(server.wait(Duration::from_secs(50)).is_empty());
    let hello = client.receive(&request[0]);
    assert!(server.wait(Duration::from_secs(100)).is_empty());
    // The cookie is too old: there is a new one.
    assert!(is_hello_verify_request(&server.receive(&hello[0])));
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
