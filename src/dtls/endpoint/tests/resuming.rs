//! Sessions that are resumed by their session ids.

use super::moving::{Bench, options};
use super::*;
use crate::device::CertificateId;
use dtls_server::record::ContentType;
use dtls_test_client::{Client, Options};

/// Connects, and returns what resumes the session, with its id.
fn resumable(bench: &mut Bench, port: u16) -> (Client, Options, SessionId) {
    let options = options();
    let (client, session) = bench.connect(port, options.clone());
    bench.endpoint.mark_registered(bench.now, session);
    let again = Options {
        session: client.resumable(),
        ..options
    };
    (client, again, session)
}

fn certificates(bench: &Bench) -> Vec<CertificateId> {
    let all = bench.events.iter().filter_map(|event| match event {
        Event::Established { certificate, .. } => Some(*certificate),
        _ => None,
    });
    all.collect()
}

#[test]
fn a_session_is_resumed_from_another_address_and_has_its_certificate() {
    let mut bench = Bench::new(Parameters::default());
    let (_, again, session) = resumable(&mut bench, 1);
    bench.endpoint.close(session, "it sleeps");
    while bench.endpoint.poll_transmit().is_some() {}
    let (mut client, _) = bench.connect(2, again);
    assert!(client.is_resumed());
    let certificates = certificates(&bench);
    assert_eq!(certificates.len(), 2);
    assert_eq!(certificates[0], certificates[1]);
    let data = client.send(b"up");
    bench.exchange(2, &mut client, vec![data]);
    assert!(matches!(bench.events.last(), Some(Event::Plaintext { .. })));
}

#[test]
fn a_client_that_is_no_longer_accepted_does_not_resume_its_session() {
    let mut bench = Bench::new(Parameters::default());
    let (_, again, _) = resumable(&mut bench, 1);
    bench.endpoint.set_policy(trusting_another());
    let mut client = Client::new(again, 9);
    let hello = client.start();
    bench.exchange(2, &mut client, hello);
    assert!(!client.is_resumed() && !client.is_connected());
    assert!(matches!(
        bench.events.last(),
        Some(Event::HandshakeFailed {
            failure: HandshakeFailure::CertificateRefused { .. },
            ..
        })
    ));
}

#[test]
fn a_client_whose_certificate_has_expired_does_not_resume_its_session_though_the_policy_is_the_same()
 {
    let mut bench = Bench::new(Parameters::default());
    let policy = ClientPolicy::new(None, Validity::Check).unwrap();
    bench.endpoint.set_policy(policy);
    let years = |years: u64| UnixTime::since_unix_epoch(Duration::from_secs(years * 31_557_600));
    // The certificate is valid from 1975 to the end of 4095.
    bench.endpoint.set_unix_time(years(50));
    let (_, again, _) = resumable(&mut bench, 1);
    assert!(bench.connect(2, again.clone()).0.is_resumed());
    bench.endpoint.set_unix_time(years(2200));
    let mut client = Client::new(again, 9);
    let hello = client.start();
    bench.exchange(3, &mut client, hello);
    assert!(!client.is_resumed() && !client.is_connected());
}

#[test]
fn a_client_that_is_refused_while_it_resumes_is_not_let_in() {
    let mut bench = Bench::new(Parameters::default());
    let (_, again, _) = resumable(&mut bench, 1);
    let mut client = Client::new(again, 9);
    // Up to the client's Finished, which is still on its way.
    let mut to_server = client.start();
    for _ in 0..2 {
        let mut answers = Vec::new();
        for datagram in to_server.drain(..) {
            bench.endpoint.receive(bench.now, path(2), &datagram);
            bench.endpoint.handle_timeout(bench.now);
            while let Some(transmit) = bench.endpoint.poll_transmit() {
                answers.extend(client.receive(&transmit.datagram));
            }
        }
        to_server = answers;
    }
    assert!(client.is_resumed());
    bench.endpoint.set_policy(trusting_another());
    bench.exchange(2, &mut client, to_server);
    assert_eq!(bench.endpoint.established(), 1, "the first one");
    assert_eq!(client.alerts().len(), 1);
}

#[test]
fn a_fatal_alert_and_a_revocation_end_the_resumption_and_a_close_notify_does_not() {
    for (alert, is_resumed) in [([2, 80], false), ([1, 0], true)] {
        let mut bench = Bench::new(Parameters::default());
        let (mut client, again, _) = resumable(&mut bench, 1);
        let alert = client.protect(ContentType::ALERT, &alert);
        bench.exchange(1, &mut client, vec![alert]);
        assert_eq!(bench.ends().len(), 1);
        let (client, _) = bench.connect(2, again);
        assert_eq!(client.is_resumed(), is_resumed);
    }
    let mut bench = Bench::new(Parameters::default());
    let (_, again, session) = resumable(&mut bench, 1);
    bench.endpoint.revoke(session, "test");
    while bench.endpoint.poll_transmit().is_some() {}
    assert!(!bench.connect(2, again).0.is_resumed());
}

#[test]
fn resumable_sessions_are_bounded_expire_and_can_be_off() {
    let mut bench = Bench::new(Parameters {
        resumable_sessions: 2,
        resumption_lifetime: 100 * SECOND,
        ..Parameters::default()
    });
    let all: Vec<_> = (1..=3).map(|port| resumable(&mut bench, port).1).collect();
    let is_resumed = |bench: &mut Bench, port, options: &Options| {
        bench.connect(port, options.clone()).0.is_resumed()
    };
    assert!(is_resumed(&mut bench, 12, &all[1]) && is_resumed(&mut bench, 13, &all[2]));
    bench.now += 100 * SECOND;
    assert!(!is_resumed(&mut bench, 13, &all[2]));
    let mut off = Bench::new(Parameters {
        resumable_sessions: 0,
        ..Parameters::default()
    });
    let (client, again, _) = resumable(&mut off, 1);
    assert!(client.resumable().unwrap().id.is_empty());
    assert!(!is_resumed(&mut off, 2, &again));
}

/// Where there are no anchors, they are anyone's.
#[test]
fn sessions_of_unregistered_certificates_push_out_none_and_are_not_resumed() {
    let mut bench = Bench::new(Parameters {
        resumable_sessions: 2,
        resumption_lifetime: 100 * SECOND,
        ..Parameters::default()
    });
    let (_, again, _) = resumable(&mut bench, 1);
    for port in 2..6 {
        let options = options();
        let (client, _) = bench.connect(port, options.clone());
        let stranger = Options {
            session: client.resumable(),
            ..options
        };
        assert!(!bench.connect(port, stranger).0.is_resumed());
    }
    let (client, session) = bench.connect(6, again.clone());
    assert!(client.is_resumed());
    // Its time does not begin again.
    bench.endpoint.mark_registered(bench.now, session);
    bench.now += 100 * SECOND;
    assert!(!bench.connect(7, again).0.is_resumed());
}

#[test]
fn a_device_that_makes_handshake_after_handshake_pushes_out_its_own_sessions_alone() {
    let mut bench = Bench::new(Parameters {
        resumable_sessions: 6,
        ..Parameters::default()
    });
    let (_, another, _) = resumable(&mut bench, 1);
    let own = options();
    let mut all = Vec::new();
    for port in 2..22 {
        let (client, session) = bench.connect(port, own.clone());
        bench.endpoint.mark_registered(bench.now, session);
        all.push(Options {
            session: client.resumable(),
            ..own.clone()
        });
    }
    assert!(bench.connect(30, another).0.is_resumed());
    let mut is_resumed = |options: &Options| bench.connect(31, options.clone()).0.is_resumed();
    assert!(is_resumed(&all[19]) && is_resumed(&all[16]) && !is_resumed(&all[15]));
}
