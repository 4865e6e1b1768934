//! Sessions that are exported, and imported by another endpoint.

use super::moving::{Bench, DATA, options};
use super::*;
use crate::credentials::KnownClient;
use crate::credentials::{Moment, Period};
use crate::device::CertificateId;
use crate::dtls::{Association, ExtendedMasterSecret, ImportError};
use dtls_server::association::Parameters as AssociationParameters;
use dtls_server::crypto::aead::Keys;
use dtls_server::suite::CipherSuite;
use dtls_test_client::Options;
use rcgen::KeyPair;
use std::collections::BTreeSet;

const SUITE: CipherSuite = CipherSuite::EcdheEcdsaAes128Ccm8;

fn id() -> CertificateId {
    CertificateId::of(b"certificate")
}

/// Exports a session, and restores it as a store would.
fn restored(bench: &Bench, session: SessionId) -> (Path, Association, KnownClient, Instant) {
    let exported = bench.endpoint.export(session).unwrap();
    let first = exported.association.send_number() + 1_000;
    let association = Association::restore(&exported.association.export(), first);
    let client = exported.known_client(id());
    (
        exported.path,
        association.unwrap(),
        client,
        exported.deadline,
    )
}

fn import(
    bench: &mut Bench,
    (path, association, client, deadline): (Path, Association, KnownClient, Instant),
) -> Result<SessionId, ImportError> {
    bench
        .endpoint
        .import(bench.now, path, association, client, deadline)
}

/// An association of a session in which nothing was sent.
fn association(connection_id: &[u8], extended_master_secret: bool) -> Association {
    let keys = || Keys::new(SUITE.aead(), &[1; 16], &[2; 4]).unwrap();
    let made = Association::new(AssociationParameters {
        suite: SUITE,
        extended_master_secret,
        return_routability_check: false,
        write: keys(),
        read: keys(),
        own_connection_id: connection_id,
        peer_connection_id: &[],
        send_limit: 1 << 14,
        receive_limit: 1 << 14,
    });
    made.unwrap()
}

fn client() -> KnownClient {
    KnownClient {
        id: id(),
        period: Period {
            not_before: Moment::from_seconds(0),
            not_after: Moment::from_seconds(0),
        },
        verified: None,
    }
}

#[test]
fn a_session_is_exported_and_imported_and_goes_on() {
    let mut bench = Bench::new(Parameters::default());
    let (mut client, session) = bench.connect(1, options());
    let mut another = Bench::new(Parameters {
        sessions: 1,
        ..Parameters::default()
    });
    another.now = bench.now;
    let session = import(&mut another, restored(&bench, session)).unwrap();
    let established = another.endpoint.poll_event();
    assert!(
        matches!(established, Some(Event::Established { certificate, .. }) if certificate == id())
    );
    another.receive(2, &client.send(DATA));
    assert_eq!((another.plaintexts(), another.moves()), (1, vec![path(2)]));
    client.receive(&another.send(session, 1)[0].1);
    assert_eq!(client.take_application_data(), [DATA]);
    let again = restored(&another, session);
    assert_eq!(import(&mut another, again), Err(ImportError::InUse));
    let (other, next) = bench.connect(3, options());
    assert!(other.is_connected());
    assert_eq!(
        import(&mut another, restored(&bench, next)),
        Err(ImportError::Full)
    );
}

#[test]
fn an_imported_session_ends_when_it_would_have_ended() {
    let mut bench = Bench::new(Parameters {
        session_idle: 100 * SECOND,
        ..Parameters::default()
    });
    let start = bench.now;
    let (mut client, session) = bench.connect(1, options());
    bench.now += 10 * SECOND;
    bench.receive(1, &client.send(DATA));
    assert_eq!(bench.endpoint.deadline(session), Some(start + 110 * SECOND));
    for (idle, expected) in [(100, 110), (1_000, 110), (50, 80)] {
        let mut another = Bench::new(Parameters {
            session_idle: idle * SECOND,
            ..Parameters::default()
        });
        another.now = start + 30 * SECOND;
        let session = import(&mut another, restored(&bench, session)).unwrap();
        let expected = start + expected * SECOND;
        assert_eq!(another.endpoint.deadline(session), Some(expected));
        another.endpoint.handle_timeout(expected - SECOND / 1_000);
        assert_eq!(another.endpoint.established(), 1);
        another.endpoint.handle_timeout(expected);
        assert_eq!(another.endpoint.established(), 0);
        // The client learns it.
        assert_eq!(another.sent().len(), 1);
        another.now = start + 110 * SECOND;
        let late = import(&mut another, restored(&bench, SessionId(1)));
        assert_eq!(late, Err(ImportError::Idle));
    }
}

/// A session with a connection ID may have gone to the address of one without: both are stored, and come in any order.
#[test]
fn sessions_of_one_address_are_imported_in_any_order_and_go_on() {
    let mut bench = Bench::new(Parameters::default());
    let without = Options {
        connection_id: None,
        ..options()
    };
    let (by_path, first) = bench.connect(1, without);
    let (mut by_id, second) = bench.connect(2, options());
    bench.receive(1, &by_id.send(DATA));
    // An address that is not proven is not exported.
    assert_eq!(bench.endpoint.export(second).unwrap().path, path(2));
    bench.endpoint.confirm_path(second);
    let mut clients = [by_path, by_id];
    for order in [[first, second], [second, first]] {
        let mut another = Bench::new(Parameters::default());
        another.now = bench.now;
        for id in order {
            let one = restored(&bench, id);
            assert_eq!(one.0, path(1));
            assert!(import(&mut another, one).is_ok(), "{order:?}");
        }
        for client in &mut clients {
            another.receive(1, &client.send(DATA));
        }
        assert_eq!(another.plaintexts(), 2, "{order:?}");
    }
}

/// In whatever order they come: which sessions stay, and which one is found by each path.
#[test]
fn the_order_in_which_sessions_are_imported_does_not_matter() {
    let mut random = fastrand::Rng::with_seed(19);
    for _ in 0..100 {
        // A session: its connection ID, its port, and how long it may be idle, different for all.
        let mut stored: Vec<(Vec<u8>, u16, u32)> = (0..random.u32(2..40))
            .map(|number| {
                let id = match random.u8(..3) {
                    0 => vec![],
                    _ => u64::from(number + 1).to_be_bytes().to_vec(),
                };
                (id, random.u16(1..8), number + 1)
            })
            .collect();
        let mut expected = None;
        for _ in 0..4 {
            random.shuffle(&mut stored);
            let mut bench = Bench::new(Parameters::default());
            for (id, port, idle) in &stored {
                let deadline = bench.now + *idle * SECOND;
                let one = (path(*port), association(id, true), client(), deadline);
                let imported = import(&mut bench, one);
                assert!(matches!(imported, Ok(_) | Err(ImportError::InUse)));
            }
            let mut established = Vec::new();
            while let Some(event) = bench.endpoint.poll_event() {
                match event {
                    Event::Established { session, .. } => established.push(session),
                    Event::Ended { reason, .. } => assert_eq!(reason, EndReason::Replaced),
                    other => panic!("{other:?}"),
                }
            }
            let seconds = |session| {
                let deadline = bench.endpoint.deadline(session)?;
                Some((deadline - bench.now).as_secs())
            };
            let live: BTreeSet<u64> = established.into_iter().filter_map(seconds).collect();
            assert_eq!(live.len(), bench.endpoint.established());
            let found: Vec<Option<u64>> = (0..9)
                .map(|port| {
                    bench
                        .endpoint
                        .session_of(path(port), &[22])
                        .and_then(seconds)
                })
                .collect();
            let load = bench.endpoint.load();
            let paths = found.iter().flatten().count();
            assert_eq!((load.routes, load.timers), (paths, live.len()));
            // Those by their path alone are found, and stayed as the last of their path.
            for (port, found) in (0..).zip(&found) {
                let there = stored.iter().filter(|(_, at, _)| *at == port);
                let last = |has_id: bool| {
                    let those = there.clone().filter(|(id, ..)| id.is_empty() != has_id);
                    those.map(|(_, _, idle)| u64::from(*idle)).max()
                };
                assert_eq!(*found, last(false).or(last(true)));
            }
            let outcome = (live, found);
            assert_eq!(*expected.get_or_insert(outcome.clone()), outcome);
        }
    }
}

#[test]
fn what_the_settings_do_not_allow_any_more_is_not_imported() {
    let allowed = Parameters::default;
    let import_with = |parameters: Parameters, connection_id: &[u8], extended| {
        let mut bench = Bench::new(parameters);
        let deadline = bench.now + SECOND;
        let association = association(connection_id, extended);
        import(&mut bench, (path(1), association, client(), deadline)).map(drop)
    };
    assert_eq!(import_with(allowed(), &[1; 8], false), Ok(()));
    assert_eq!(import_with(allowed(), &[], true), Ok(()));
    // The configured length has changed. Without one a session is found by its path, whatever the length is.
    for (length, id, expected) in [
        (4, &[1; 8][..], Err(ImportError::ConnectionIdLength)),
        (8, &[1; 4], Err(ImportError::ConnectionIdLength)),
        (0, &[1; 8], Err(ImportError::ConnectionIdLength)),
        (4, &[1; 4], Ok(())),
        (0, &[], Ok(())),
    ] {
        let parameters = Parameters {
            connection_id: length,
            ..allowed()
        };
        assert_eq!(import_with(parameters, id, true), expected, "{length}");
    }
    let required = Parameters {
        extended_master_secret: ExtendedMasterSecret::Require,
        ..allowed()
    };
    assert_eq!(
        import_with(required, &[], false),
        Err(ImportError::NotAllowed)
    );
    assert_eq!(import_with(required, &[], true), Ok(()));
    let only13 = Parameters {
        versions: Versions::Only13,
        ..allowed()
    };
    assert_eq!(import_with(only13, &[], true), Err(ImportError::NotAllowed));
    let suites: crate::dtls::CipherSuites =
        [CipherSuite::EcdheEcdsaAes128Gcm].into_iter().collect();
    let others = Parameters {
        cipher_suites: suites,
        ..allowed()
    };
    assert_eq!(import_with(others, &[], true), Err(ImportError::NotAllowed));
}

#[test]
fn a_session_with_the_connection_id_of_a_handshake_is_not_imported() {
    let mut bench = Bench::new(Parameters::default());
    let mut client = dtls_test_client::Client::new(options(), 7);
    // As far as the flight of the server.
    let mut to_server = client.start();
    for _ in 0..2 {
        for datagram in to_server.drain(..) {
            bench.receive(1, &datagram);
        }
        for (_, datagram) in bench.sent() {
            to_server.extend(client.receive(&datagram));
        }
    }
    assert_eq!(bench.endpoint.half_open(), 1);
    let handshake = bench.endpoint.handshakes.iter().next().unwrap();
    let connection_id = handshake.connection_id().to_vec();
    let deadline = bench.now + SECOND;
    let known = self::client();
    let one = (path(2), association(&connection_id, true), known, deadline);
    assert_eq!(import(&mut bench, one), Err(ImportError::InUse));
    bench.exchange(1, &mut client, to_server);
    assert!(client.is_connected());
    bench.receive(1, &client.send(DATA));
    assert_eq!(bench.plaintexts(), 1);
}

#[test]
fn a_session_without_reserved_numbers_ends_when_it_would_need_one() {
    let mut bench = Bench::new(Parameters::default());
    let (mut client, session) = bench.connect(1, options());
    let next = bench.send_number(session).unwrap();
    bench.endpoint.set_send_end(session, next + 2);
    assert_eq!(bench.send(session, 2).len(), 2);
    assert_eq!(bench.send_number(session), Some(next + 2));
    // It still receives.
    bench.receive(1, &client.send(DATA));
    assert_eq!((bench.plaintexts(), bench.endpoint.established()), (1, 1));
    bench.endpoint.set_send_end(session, next + 3);
    assert_eq!(bench.send(session, 1).len(), 1);
    assert_eq!(bench.send(session, 1).len(), 0);
    assert_eq!(
        bench.endpoint.poll_event(),
        Some(Event::Ended {
            session,
            reason: EndReason::NotReserved
        })
    );
    assert_eq!(bench.send_number(session), None);
    assert_eq!(bench.endpoint.next_timeout(), None);
}

/// RFC 6347 §4.1.2.6: after a restart with a receive window of some seconds ago, what was received since is accepted once more,
/// and not twice.
#[test]
fn what_was_received_after_the_window_was_stored_is_accepted_once_more() {
    let mut bench = Bench::new(Parameters::default());
    let (mut client, session) = bench.connect(1, options());
    let (before, after) = (client.send(b"before"), client.send(b"after"));
    let mut another = Bench::new(Parameters::default());
    another.now = bench.now;
    let stored = restored(&bench, session);
    bench.receive(1, &before);
    let window = bench.endpoint.export(session).unwrap();
    let window = window.association.receive_window();
    bench.receive(1, &after);
    let (path_then, mut association, known, deadline) = stored;
    association.renew_receive_window(&window).unwrap();
    let stored = (path_then, association, known, deadline);
    let session = import(&mut another, stored).unwrap();
    for (replayed, received) in [(&before, 0), (&after, 1), (&after, 1)] {
        another.receive(2, replayed);
        assert_eq!(another.plaintexts(), received);
    }
    // From an address that is not proven, which gets little.
    assert_eq!(another.moves(), [path(2)]);
    assert!(another.endpoint.is_path_unproven(session));
    assert_eq!(another.endpoint.export(session).unwrap().path, path(1));
    let sent: usize = another
        .send(session, 20)
        .iter()
        .map(|one| one.1.len())
        .sum();
    assert!(sent <= 3 * after.len());
    // The client is still there.
    another.receive(1, &client.send(DATA));
    assert!(!another.endpoint.is_path_unproven(session));
}

/// As bytes, with the paths of authorities by themselves: who was accepted is, unless it has been revoked since.
#[test]
fn a_client_is_judged_by_its_authorities_after_a_restart() {
    let line = super::chains::Line::new();
    let mut bench = Bench::new(Parameters::default());
    bench.endpoint.set_policy(line.policy());
    bench.endpoint.list_changes();
    let keys = [KeyPair::generate().unwrap(), KeyPair::generate().unwrap()];
    let sessions = [1, 2].map(|port| {
        let key = &keys[usize::from(port) - 1];
        bench.connect(port, line.client(key)).1
    });
    let paths = bench.endpoint.authority_paths().take_changed();
    assert_eq!(paths.len(), 1);
    let clients = sessions.map(|session| {
        let exported = bench.endpoint.export(session).unwrap();
        exported.known_client(id()).encode()
    });
    let restart = |policy: ClientPolicy| {
        let mut another = Bench::new(Parameters::default());
        another.endpoint.set_policy(policy);
        another.endpoint.list_changes();
        another
    };
    let mut another = restart(line.policy());
    let unknown = KnownClient::decode(&clients[0], another.endpoint.authority_paths());
    assert!(unknown.is_none(), "its path has not been read");
    for (policy, expected) in [
        (line.policy(), Ok(())),
        (
            super::chains::Line::new().policy(),
            Err(CertificateError::UnknownIssuer),
        ),
    ] {
        let mut another = restart(policy);
        let encoded = paths[0].encoded.as_ref().unwrap();
        let name = another.endpoint.authority_paths().insert_encoded(encoded);
        assert_eq!(name, Some(paths[0].name));
        for (session, client) in sessions.iter().zip(&clients) {
            let client = KnownClient::decode(client, another.endpoint.authority_paths()).unwrap();
            let never = UnixTime::since_unix_epoch(Duration::ZERO);
            assert_eq!(another.endpoint.judge(&client, never), expected);
            if expected.is_ok() {
                let (at, association, _, deadline) = restored(&bench, *session);
                let session = import(&mut another, (at, association, client, deadline)).unwrap();
                assert_eq!(another.endpoint.verify_again(session), None);
                // What is exported again is the same.
                let exported = another.endpoint.export(session).unwrap();
                assert!(clients.contains(&exported.known_client(id()).encode()));
            }
        }
        let unused = another.endpoint.authority_paths().take_unused();
        assert_eq!(unused.is_empty(), expected.is_ok());
        assert_eq!(another.endpoint.authority_paths().take_changed(), []);
    }
}

#[test]
fn a_clock_that_is_not_set_yet_does_not_make_certificates_not_yet_valid() {
    let seconds = |at| UnixTime::since_unix_epoch(Duration::from_secs(at));
    let mut bench = Bench::new(Parameters::default());
    let policy = ClientPolicy::new(None, Validity::Check).unwrap();
    bench.endpoint.set_policy(policy);
    let client = KnownClient {
        period: Period {
            not_before: Moment::from_seconds(1_000),
            not_after: Moment::from_seconds(2_000),
        },
        ..client()
    };
    for (clock, last_received, expected) in [
        (5, 5, false),
        (5, 1_500, true),
        (1_500, 5, true),
        // It has ended since.
        (2_001, 1_500, false),
        (5, 2_001, false),
    ] {
        bench.endpoint.set_unix_time(seconds(clock));
        let judged = bench.endpoint.judge(&client, seconds(last_received));
        assert_eq!(judged.is_ok(), expected, "{clock}");
    }
}
