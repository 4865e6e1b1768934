//! Sessions that are resumed by tickets (RFC 5077).

use super::chains::Line;
use super::moving::{Bench, options};
use super::*;
use crate::device::CertificateId;
use dtls_test_client::{Client, Options};
use rcgen::KeyPair;

const LIFETIME: Duration = Duration::from_secs(100);

fn bench() -> Bench {
    Bench::new(Parameters {
        resumable_sessions: 1,
        resumption_lifetime: LIFETIME,
        ..Parameters::default()
    })
}

/// Connects with a client that takes tickets, and returns what resumes its session by the one that it got.
fn issued(bench: &mut Bench, port: u16, options: Options) -> Options {
    let options = Options {
        tickets: true,
        ..options
    };
    let (client, _) = bench.connect(port, options.clone());
    let session = client.resumable().unwrap();
    assert!(!client.is_resumed() && !session.ticket.is_empty() && session.id.is_empty());
    Options {
        session: Some(session),
        ..options
    }
}

fn is_resumed(bench: &mut Bench, port: u16, options: &Options) -> bool {
    bench.connect(port, options.clone()).0.is_resumed()
}

/// A handshake that is refused.
fn assert_refused(bench: &mut Bench, options: Options) {
    let established = bench.endpoint.established();
    let mut client = Client::new(options, 99);
    let hello = client.start();
    bench.exchange(99, &mut client, hello);
    assert!(!client.is_resumed() && !client.is_connected());
    assert_eq!(bench.endpoint.established(), established);
}

#[test]
fn tickets_take_no_room_and_are_each_for_one_client() {
    let mut bench = bench();
    let all: Vec<_> = (1..=5)
        .map(|port| issued(&mut bench, port, options()))
        .collect();
    let certificates = |bench: &Bench| -> Vec<CertificateId> {
        let all = bench.events.iter().filter_map(|event| match event {
            Event::Established { certificate, .. } => Some(*certificate),
            _ => None,
        });
        all.collect()
    };
    for (port, options) in (11..).zip(&all) {
        // As often as it is shown.
        assert!(is_resumed(&mut bench, port, options) && is_resumed(&mut bench, port, options));
    }
    let certificates = certificates(&bench);
    assert_eq!(certificates.len(), 15);
    for (index, first) in certificates.iter().take(5).enumerate() {
        assert_eq!(certificates[5 + 2 * index], *first);
        assert_eq!(certificates[6 + 2 * index], *first);
    }
}

#[test]
fn a_ticket_that_is_changed_or_of_another_process_leads_to_a_full_handshake() {
    let mut bench = bench();
    let ours = issued(&mut bench, 1, options());
    assert!(is_resumed(&mut bench, 2, &ours));
    for place in [0, 20, 100, 180] {
        let mut changed = ours.clone();
        changed.session.as_mut().unwrap().ticket[place] ^= 1;
        assert!(!is_resumed(&mut bench, 3, &changed));
    }
    // As after a restart.
    let mut another = self::bench();
    assert!(!is_resumed(&mut another, 1, &ours));
    issued(&mut another, 2, options());
    assert!(!is_resumed(&mut another, 3, &ours));
}

#[test]
fn a_ticket_is_valid_for_its_lifetime_through_a_rotation_of_the_key() {
    let mut bench = bench();
    let first = issued(&mut bench, 1, options());
    bench.now += LIFETIME - SECOND;
    let second = issued(&mut bench, 2, options());
    assert!(is_resumed(&mut bench, 3, &first));
    bench.now += SECOND;
    assert!(!is_resumed(&mut bench, 4, &first), "its time is over");
    // By another key.
    let third = issued(&mut bench, 5, options());
    bench.now += LIFETIME - 2 * SECOND;
    assert!(is_resumed(&mut bench, 6, &second) && is_resumed(&mut bench, 7, &third));
    bench.now += 2 * SECOND;
    assert!(!is_resumed(&mut bench, 8, &second) && !is_resumed(&mut bench, 9, &third));
}

#[test]
fn clients_without_tickets_or_extended_master_secret_and_gateways_without_resumption_have_none() {
    let mut bench = bench();
    let (client, session) = bench.connect(1, options());
    bench.endpoint.mark_registered(bench.now, session);
    assert_eq!(client.ticket(), None);
    let by_id = Options {
        session: client.resumable(),
        ..options()
    };
    assert!(is_resumed(&mut bench, 2, &by_id));
    let without = Options {
        tickets: true,
        extended_master_secret: false,
        ..options()
    };
    assert_eq!(bench.connect(3, without).0.ticket(), None);
    let mut off = Bench::new(Parameters {
        resumable_sessions: 0,
        ..Parameters::default()
    });
    let asking = Options {
        tickets: true,
        ..options()
    };
    assert_eq!(off.connect(1, asking).0.ticket(), None);
}

#[test]
fn a_client_with_a_ticket_is_judged_again() {
    let line = Line::new();
    let mut bench = bench();
    bench.endpoint.set_policy(line.policy());
    let client = issued(&mut bench, 1, line.client(&KeyPair::generate().unwrap()));
    // Nothing but the ticket is left of it.
    bench.endpoint.close(SessionId(1), "it sleeps");
    while bench.endpoint.poll_transmit().is_some() {}
    assert_eq!(bench.endpoint.established(), 0);
    assert!(is_resumed(&mut bench, 2, &client));
    bench.endpoint.set_policy(line.policy());
    assert!(is_resumed(&mut bench, 3, &client));
    bench.endpoint.set_policy(Line::new().policy());
    assert_refused(&mut bench, client.clone());
    // One that was accepted when there were no anchors.
    let any = ClientPolicy::new(None, Validity::Ignore).unwrap();
    bench.endpoint.set_policy(any.clone());
    let unverified = issued(&mut bench, 4, options());
    assert!(is_resumed(&mut bench, 5, &unverified) && is_resumed(&mut bench, 6, &client));
    bench.endpoint.set_policy(line.policy());
    assert!(is_resumed(&mut bench, 7, &client));
    assert_refused(&mut bench, unverified);
}

#[test]
fn a_client_whose_certificate_has_expired_gets_a_full_handshake_for_its_ticket() {
    let mut bench = bench();
    let policy = ClientPolicy::new(None, Validity::Check).unwrap();
    bench.endpoint.set_policy(policy);
    let years = |years: u64| UnixTime::since_unix_epoch(Duration::from_secs(years * 31_557_600));
    // The certificate is valid from 1975 to the end of 4095.
    bench.endpoint.set_unix_time(years(50));
    let client = issued(&mut bench, 1, options());
    assert!(is_resumed(&mut bench, 2, &client));
    bench.endpoint.set_unix_time(years(2200));
    assert_refused(&mut bench, client);
}
