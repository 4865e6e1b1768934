//! Clients and datagrams that are refused.

use super::*;
use dtls_server::alert::AlertDescription;
use dtls_server::handshake::HandshakeError;

#[test]
fn invalid_datagrams_are_counted_and_leave_no_state() {
    let mut bench = Bench::new(Parameters::default());
    bench
        .endpoint
        .receive(bench.now, path(1), b"GET / HTTP/1.1\r\n");
    bench
        .endpoint
        .receive(bench.now, path(1), &record::fatal_alert(0, 40));
    bench.endpoint.receive(bench.now, path(1), &[0x2f, 1, 2, 3]);
    bench.endpoint.receive(bench.now, path(1), &[]);
    let counters = *bench.endpoint.counters();
    assert_eq!((counters.not_dtls, counters.no_session), (2, 2));
    bench.assert_empty();
    assert_eq!(bench.sent(path(1)), Vec::<Vec<u8>>::new());
}

#[test]
fn a_client_without_a_common_cipher_suite_gets_an_alert_unless_the_path_has_a_session() {
    let mut bench = Bench::new(Parameters::default());
    let mut device = bench.client(1);
    let mut hello = device.outbox[0].clone();
    bench.established(&mut device);
    // Renames every suite offered, in place: record header 13, handshake header 12, version 2,
    // random 32, no session id, no cookie.
    let length = usize::from(u16::from_be_bytes([hello[61], hello[62]]));
    for suite in hello[63..63 + length].chunks_exact_mut(2) {
        suite.copy_from_slice(&[0xc0, 0xae]);
    }
    bench.endpoint.receive(bench.now, path(2), &hello);
    assert_eq!(bench.sent(path(2)), [record::fatal_alert(0, 40)]);
    let failure = bench.endpoint.poll_event();
    assert!(
        matches!(
            &failure,
            Some(Event::HandshakeFailed { failure: HandshakeFailure::NoCommonCipherSuite { offered, more: 0 }, .. })
                if offered.contains(&0xc0ae)
        ),
        "{failure:?}"
    );
    assert_eq!(bench.endpoint.half_open(), 0);
    bench.endpoint.receive(bench.now, path(1), &hello);
    assert_eq!(bench.sent(path(1)), Vec::<Vec<u8>>::new());
}

/// A handshake of DTLS 1.2 that fails, with what the client is sent.
fn failure(options: dtls_test_client::Options) -> (HandshakeFailure, Vec<AlertDescription>) {
    let mut bench = moving::Bench::new(Parameters::default());
    let mut client = dtls_test_client::Client::new(options, 1);
    let hello = client.start();
    bench.exchange(1, &mut client, hello);
    assert!(!client.is_connected());
    assert_eq!(
        (bench.endpoint.half_open(), bench.endpoint.load().routes),
        (0, 0)
    );
    let alerts = client.alerts().iter().map(|alert| alert.description);
    let Some(Event::HandshakeFailed { failure, .. }) = bench.events.pop() else {
        panic!("no failure");
    };
    (failure, alerts.collect())
}

#[test]
fn a_client_of_dtls_12_that_is_refused_gets_an_alert_and_the_log_says_why() {
    let options = moving::options;
    let (none_in_common, alerts) = failure(dtls_test_client::Options {
        cipher_suites: vec![0xc0a8, 0x1301],
        ..options()
    });
    let offered = vec![0xc0a8, 0x1301];
    let expected = HandshakeFailure::NoCommonCipherSuite { offered, more: 0 };
    assert_eq!(
        (none_in_common, alerts),
        (expected, vec![AlertDescription::HANDSHAKE_FAILURE])
    );
    let (anonymous, alerts) = failure(dtls_test_client::Options {
        credentials: None,
        ..options()
    });
    assert_eq!(anonymous, HandshakeFailure::NoCertificate);
    assert_eq!(alerts, [AlertDescription::HANDSHAKE_FAILURE]);
    let (old, alerts) = failure(dtls_test_client::Options {
        version: 0xfeff,
        ..options()
    });
    let version = AlertDescription::PROTOCOL_VERSION;
    assert_eq!(
        old,
        HandshakeFailure::Handshake(HandshakeError::Hello(version))
    );
    assert_eq!(alerts, [version]);
}
