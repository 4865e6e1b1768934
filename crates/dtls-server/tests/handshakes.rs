//! Whole handshakes, with a lawful client.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by a panic, and owns its clock; clippy.toml excepts #[test] functions only"
)]

use dtls_server::alert::AlertDescription;
use dtls_server::handshake::HandshakeError;
use dtls_server::suite::CipherSuite;
use dtls_test_client::{Client, Credentials, KeyType, Options, Server, connect, exchange_data};
use std::time::Duration;

#[test]
fn every_cipher_suite_and_kind_of_key_completes() {
    for key in [
        KeyType::P256,
        KeyType::P384,
        KeyType::P521,
        KeyType::Rsa2048,
        KeyType::Ed25519,
    ] {
        let credentials = Credentials::generate(key);
        for suite in CipherSuite::ALL {
            for extended_master_secret in [true, false] {
                for connection_id in [None, Some(Vec::new()), Some(b"abc".to_vec())] {
                    let mut server = Server::new();
                    let mut client = connect(
                        &mut server,
                        Options {
                            cipher_suites: vec![suite.number()],
                            extended_master_secret,
                            connection_id,
                            ..Options::new(credentials.clone())
                        },
                    );
                    assert_eq!(server.failure, None, "{suite} {key:?}");
                    assert!(client.is_connected(), "{suite} {key:?}");
                    assert_eq!(client.suite(), Some(suite));
                    assert_eq!(server.session.is_some(), extended_master_secret);
                    exchange_data(&mut server, &mut client);
                }
            }
        }
    }
}

#[test]
fn a_session_is_resumed_without_certificates() {
    let mut server = Server::new();
    let options = Options::new(Credentials::generate(KeyType::P256));
    let mut client = connect(&mut server, options.clone());
    exchange_data(&mut server, &mut client);
    let session = client.resumable();
    server.association = None;
    let mut client = connect(&mut server, Options { session, ..options });
    assert!(client.is_connected() && client.is_resumed());
    assert!(server.is_resumed);
    exchange_data(&mut server, &mut client);
}

#[test]
fn a_client_that_is_refused_gets_the_alert() {
    let mut server = Server::new();
    server.verdict = Err(AlertDescription::CERTIFICATE_REVOKED);
    let options = Options::new(Credentials::generate(KeyType::P256));
    let client = connect(&mut server, options);
    assert!(!client.is_connected());
    let refused = HandshakeError::Refused(AlertDescription::CERTIFICATE_REVOKED);
    assert_eq!(server.failure, Some(refused));
    assert_eq!(
        client.alerts()[0].description,
        AlertDescription::CERTIFICATE_REVOKED
    );
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let mut server = Server::new();
    let mut options = Options::new(Credentials::generate(KeyType::P256));
    options.credentials = None;
    let client = connect(&mut server, options);
    assert!(!client.is_connected());
    assert_eq!(server.failure, Some(HandshakeError::NoCertificate));
    assert_eq!(
        client.alerts()[0].description,
        AlertDescription::HANDSHAKE_FAILURE
    );
}

/// Loss of each datagram of each flight, by the client's and the server's timers.
#[test]
fn the_loss_of_any_datagram_is_made_up_for() {
    let credentials = Credentials::generate(KeyType::P256);
    for packs in [true, false] {
        for lost in 0..16 {
            let mut server = Server::new();
            let options = Options {
                packs,
                ..Options::new(credentials.clone())
            };
            let mut client = Client::new(options, 7);
            let mut to_server = client.start();
            let mut count = 0;
            let mut is_lost = || {
                count += 1;
                count - 1 == lost
            };
            for _round in 0..12 {
                let mut to_client = Vec::new();
                for datagram in to_server.drain(..) {
                    if !is_lost() {
                        to_client.extend(server.receive(&datagram));
                    }
                }
                for datagram in to_client {
                    if !is_lost() {
                        to_server.extend(client.receive(&datagram));
                    }
                }
                if to_server.is_empty() && !(client.is_connected() && server.association.is_some())
                {
                    to_server = client.retransmit();
                    for datagram in server.wait(Duration::from_secs(3)) {
                        to_server.extend(client.receive(&datagram));
                    }
                }
            }
            assert!(client.is_connected(), "{lost} {packs}");
            exchange_data(&mut server, &mut client);
        }
    }
}
