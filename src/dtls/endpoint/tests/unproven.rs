//! What waits until a new address is proven, and what proves it.

use super::moving::{Bench, DATA, options};
use super::*;
use dtls_test_client::{Client, Options};

const SECOND: Duration = Duration::from_secs(1);

/// A client that has moved to port 2, where something waits for it, and what was sent there.
fn blocked(routability: bool) -> (Bench, Client, SessionId, Vec<Vec<u8>>) {
    let mut bench = Bench::new(Parameters::default());
    let options = Options {
        return_routability_check: routability,
        ..options()
    };
    let (mut client, session) = bench.connect(1, options);
    bench.receive(2, &client.send(DATA));
    let sent = bench.send(session, 8).into_iter();
    assert!(bench.waiting() > 0);
    let sent = sent.map(|(_, datagram)| datagram).collect();
    (bench, client, session, sent)
}

impl Bench {
    /// Lets time pass, with its timers.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.endpoint.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn waiting(&self) -> usize {
        self.endpoint.load().waiting
    }
}

/// A client can send what follows from its requests without having received anything.
#[test]
fn where_return_routability_checks_are_known_nothing_else_proves_an_address() {
    let (mut bench, _, session, _) = blocked(true);
    assert!(!bench.endpoint.awaits_confirmation(session));
    bench.endpoint.confirm_path(session);
    assert!(bench.endpoint.is_path_unproven(session) && bench.waiting() > 0);
    let (mut bench, _, session, _) = blocked(false);
    assert!(bench.endpoint.awaits_confirmation(session));
    bench.endpoint.confirm_path(session);
    assert!(!bench.endpoint.is_path_unproven(session));
    assert_eq!(bench.waiting(), 0);
}

#[test]
fn a_lost_challenge_is_repeated_while_something_waits_and_when_the_client_sends_something() {
    let (mut bench, mut client, session, mut all) = blocked(true);
    let challenges = |client: &mut Client, sent: Vec<(Path, Vec<u8>)>| {
        sent.iter().for_each(|(_, datagram)| {
            client.receive(datagram);
        });
        client.take_path_messages().len()
    };
    // The first one is lost.
    bench.pass(SECOND);
    let sent = bench.sent();
    assert_eq!(challenges(&mut client, sent), 1);
    // Within the limit.
    bench.pass(60 * SECOND);
    all.extend(bench.sent().into_iter().map(|(_, datagram)| datagram));
    let bytes: usize = all.iter().map(Vec::len).sum();
    let moved_with = DATA.len() + 46;
    assert!(bytes <= 3 * moved_with && bytes > 2 * moved_with, "{bytes}");
    // A record makes room.
    bench.receive(2, &client.send(b"1"));
    let sent = bench.sent();
    assert_eq!(challenges(&mut client, sent), 1);
    bench.receive(2, &client.send(b"2"));
    let sent = bench.sent();
    assert_eq!(challenges(&mut client, sent), 0, "just now there was one");
    bench.pass(SECOND);
    bench.receive(2, &client.send(b"3"));
    let sent = bench.sent();
    let answers = client.receive(&sent.last().unwrap().1);
    assert!(bench.endpoint.is_path_unproven(session));
    for answer in answers {
        bench.receive(2, &answer);
    }
    assert!(!bench.endpoint.is_path_unproven(session));
    assert_eq!(bench.waiting(), 0);
}

#[test]
fn a_response_to_an_earlier_challenge_proves_the_address_too() {
    let (mut bench, mut client, session, sent) = blocked(true);
    let answers: Vec<_> = sent.iter().flat_map(|one| client.receive(one)).collect();
    assert_eq!(answers.len(), 1);
    bench.pass(3 * SECOND);
    assert!(!bench.sent().is_empty(), "there was another one");
    for answer in answers {
        bench.receive(2, &answer);
    }
    assert!(!bench.endpoint.is_path_unproven(session));
}

#[test]
fn what_has_waited_for_93_seconds_is_dropped_and_counted() {
    for routability in [false, true] {
        let (mut bench, _, session, _) = blocked(routability);
        let waiting = bench.waiting();
        bench.pass(92 * SECOND);
        assert_eq!(bench.waiting(), waiting);
        assert_eq!(bench.endpoint.counters().unproven_path_expired, 0);
        bench.pass(SECOND);
        assert_eq!(bench.waiting(), 0);
        let expired = bench.endpoint.counters().unproven_path_expired;
        assert_eq!(expired, u64::try_from(waiting).unwrap());
        assert!(!bench.endpoint.awaits_confirmation(session));
        // There is room again.
        bench.send(session, 8);
        assert!(bench.waiting() > 0);
    }
}

#[test]
fn a_session_that_ends_takes_along_what_waits_for_it() {
    let (mut bench, _, session, _) = blocked(false);
    bench.endpoint.close(session, "test");
    assert_eq!(bench.waiting(), 0);
    assert_eq!(bench.endpoint.next_timeout(), None);
}

/// CoAP does not know that a message waits, and repeats it.
#[test]
fn a_repetition_of_what_waits_does_not_wait_too() {
    let (mut bench, mut client, session, _) = blocked(false);
    let before = bench.waiting();
    for _ in 0..5 {
        bench.endpoint.send(bench.now, session, &[1; 500]);
    }
    assert_eq!(bench.waiting(), before + 1);
    bench.endpoint.confirm_path(session);
    for (_, datagram) in bench.sent() {
        client.receive(&datagram);
    }
    let received = client.take_application_data();
    assert_eq!(received.iter().filter(|one| one.len() == 500).count(), 1);
    assert_eq!(bench.endpoint.counters().unproven_path_dropped, 0);
}

/// A record with a number of before would be dropped by the client: its window has 64.
#[test]
fn what_has_waited_while_many_short_ones_were_sent_is_not_too_old_for_the_client() {
    let (mut bench, mut client, session, _) = blocked(false);
    let long = [1; 1_000];
    bench.endpoint.send(bench.now, session, &long);
    let mut short = 0;
    while short < 100 {
        bench.receive(2, &client.send(b"x"));
        for number in 0..4 {
            bench.endpoint.send(bench.now, session, &[number]);
        }
        for (_, datagram) in bench.sent() {
            client.receive(&datagram);
        }
        let received = client.take_application_data();
        assert!(!received.contains(&long.to_vec()), "after {short}");
        short += received.len();
    }
    bench.endpoint.confirm_path(session);
    for (_, datagram) in bench.sent() {
        client.receive(&datagram);
    }
    assert!(client.take_application_data().contains(&long.to_vec()));
}

/// Otherwise a path of which the client knows nothing would get a challenge for each record.
#[test]
fn a_client_that_moves_on_is_challenged_where_it_is() {
    let (mut bench, mut client, session, _) = blocked(true);
    bench.receive(3, &client.send(DATA));
    let sent = bench.sent();
    assert!(sent.iter().all(|(to, _)| *to == path(3)));
    let answers: Vec<_> = sent
        .iter()
        .flat_map(|(_, datagram)| client.receive(datagram))
        .collect();
    assert_eq!(client.take_path_messages().len(), 1);
    bench.receive(3, &answers[0]);
    assert!(!bench.endpoint.is_path_unproven(session));
    assert!(bench.sent().iter().all(|(to, _)| *to == path(3)));
}

/// 10,000 devices whose NAT forgets all ports at once, each with 8 KiB that wait, would be 80 MB.
#[test]
fn what_waits_for_all_sessions_together_is_bounded_and_the_oldest_is_dropped() {
    let mut bench = Bench::new(Parameters::default());
    bench.endpoint.waiting = WaitingData::new(100_000);
    let mut moved = |port| {
        let (mut client, session) = bench.connect(port, options());
        bench.receive(port + 100, &client.send(b"1"));
        for number in 0..8 {
            bench.endpoint.send(bench.now, session, &[number; 1_100]);
        }
        (client, session, port + 100)
    };
    let mut all: Vec<_> = (1..=20).map(&mut moved).collect();
    let counters = *bench.endpoint.counters();
    let waiting = bench.waiting();
    // Of 8 for each, 7 fit its 8 KiB.
    assert_eq!(counters.unproven_path_dropped, 20);
    let full = 20 * 7 - u64::try_from(waiting).unwrap();
    assert_eq!(counters.unproven_paths_full, full);
    assert!((70..90).contains(&waiting), "{waiting}");
    // Those of the first ones are gone, and there is room for others.
    let (first, last) = (all.remove(0), all.remove(18));
    assert!(!bench.endpoint.awaits_confirmation(first.1));
    bench.endpoint.send(bench.now, first.1, &[0; 1_100]);
    assert!(bench.endpoint.awaits_confirmation(first.1));
    for ((mut client, session, port), expected) in [(first, 1), (last, 7)] {
        bench.sent();
        bench.endpoint.confirm_path(session);
        for (to, datagram) in bench.sent() {
            assert_eq!(to, path(port));
            client.receive(&datagram);
        }
        assert_eq!(client.take_application_data().len(), expected);
    }
}
