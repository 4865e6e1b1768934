//! The stateless cookie exchange, also with fragmented hellos.

use super::*;
use crate::dtls::dtls13::hello::tests::Written;

#[test]
fn a_first_hello_leaves_no_state_and_its_cookie_is_valid_for_at_least_a_minute() {
    for versions in [Versions::Only12, Versions::Only13, Versions::Both] {
        let mut bench = in_version(versions);
        let mut device = bench.client(1);
        bench.step(&mut device);
        bench.assert_empty();
        assert_eq!(
            (bench.endpoint.half_open(), bench.endpoint.next_timeout()),
            (0, None)
        );
        bench.pass(59 * SECOND);
        bench.established(&mut device);
        assert_eq!(bench.endpoint.counters().cookies_sent, 1);
    }
}

#[test]
fn an_expired_cookie_costs_no_engine_and_its_client_is_answered() {
    for versions in [Versions::Only12, Versions::Only13] {
        let mut bench = in_version(versions);
        let mut device = bench.client(1);
        bench.step(&mut device);
        let continuation = device.outbox[0].clone();
        bench.pass(121 * SECOND);
        bench
            .endpoint
            .receive(bench.now, device.path, &continuation);
        bench.assert_empty();
        assert_eq!(bench.endpoint.counters().unknown_cookies, 1);
        if versions == Versions::Only13 {
            let illegal_parameter = record::fatal_alert(1, 47);
            assert_eq!(bench.sent(device.path), [illegal_parameter]);
            // But not on a path with a session: the address may be forged.
            let mut device = bench.client(2);
            bench.established(&mut device);
            bench
                .endpoint
                .receive(bench.now, device.path, &continuation);
            assert_eq!(bench.endpoint.counters().unknown_cookies, 2);
            assert_eq!(bench.sent(device.path), Vec::<Vec<u8>>::new());
        } else {
            // In DTLS 1.2 it gets another cookie (RFC 6347 §4.2.1), and continues with that.
            let answer = bench.sent(device.path).remove(0);
            let mut third = continuation.clone();
            let cookie = cookie_of(&answer);
            let at = 13 + 12 + 2 + 32 + 2;
            assert_eq!((usize::from(third[at - 1]), answer[18]), (cookie.len(), 1));
            third[at..at + cookie.len()].copy_from_slice(&cookie);
            third[18] = 2;
            bench.endpoint.receive(bench.now, device.path, &third);
            bench.pass(SECOND / 100);
            let server_hello = bench.sent(device.path).remove(0);
            assert_eq!((server_hello[13], server_hello[18]), (2, 2));
            assert_eq!(bench.endpoint.half_open(), 1);
        }
    }
}

#[test]
fn a_fragmented_hello_of_an_unknown_handshake_gets_an_alert() {
    let mut bench = in_version(Versions::Only13);
    let mut fragment = fragmented(&forged_hello(&bench, Versions::Only13), 60).remove(0);
    fragment[18] = 1;
    bench.endpoint.receive(bench.now, path(1), &fragment);
    bench.assert_empty();
    assert_eq!(bench.endpoint.counters().unknown_cookies, 1);
    assert_eq!(bench.sent(path(1)), [record::fatal_alert(1, 47)]);
    // But not on a path with a session: the address may be forged.
    let mut device = bench.client(2);
    bench.established(&mut device);
    bench.endpoint.receive(bench.now, device.path, &fragment);
    assert_eq!(bench.endpoint.counters().unknown_cookies, 2);
    assert_eq!(bench.sent(device.path), Vec::<Vec<u8>>::new());
}

#[test]
fn a_wrong_cookie_ends_only_its_own_handshake_with_an_alert() {
    let mut bench = in_version(Versions::Only13);
    let mut device = bench.client(1);
    let hello = device.outbox.remove(0);
    // The reply to a forger on the same address comes first, and the device accepts it.
    let forged = forged_hello(&bench, Versions::Only13);
    bench.endpoint.receive(bench.now, device.path, &forged);
    let misleading = bench.sent(device.path).remove(0);
    bench.endpoint.receive(bench.now, device.path, &hello);
    bench.sent(device.path);
    let outputs = device.dtls.receive(bench.now, &misleading).unwrap();
    device.take(outputs);
    bench
        .endpoint
        .receive(bench.now, device.path, &device.outbox[0]);
    assert_eq!(bench.sent(device.path), [record::fatal_alert(1, 47)]);
    assert_eq!(bench.endpoint.counters().unknown_cookies, 1);
    assert_eq!(bench.endpoint.half_open(), 0);
    let mut again = bench.client(1);
    bench.established(&mut again);
}

#[test]
fn a_fragmented_hello_is_answered_with_no_more_bytes_than_it_had_and_connects() {
    // In DTLS 1.2 the first fragment has at least what the cookie is bound to.
    for (versions, lengths) in [
        (Versions::Only12, [100, 90, 80]),
        (Versions::Only13, [100, 60, 50]),
    ] {
        for length in lengths {
            let mut bench = in_version(versions);
            let mut device = bench.client(1);
            let feed = |bench: &mut Bench, hello: Vec<u8>, numbered: usize| {
                let mut received = 0;
                for (number, mut fragment) in fragmented(&hello, length).into_iter().enumerate() {
                    fragment[10] = u8::try_from(numbered + number).unwrap();
                    received += fragment.len();
                    bench.endpoint.receive(bench.now, path(1), &fragment);
                }
                received
            };
            let received = feed(&mut bench, device.outbox.remove(0), 0);
            let cookie_replies = bench.sent(device.path);
            let sent: usize = cookie_replies.iter().map(Vec::len).sum();
            assert!(
                sent > 0 && sent <= received,
                "{versions:?}: {sent} for {received} in fragments of {length}"
            );
            for answer in cookie_replies {
                let outputs = device.dtls.receive(bench.now, &answer).unwrap();
                device.take(outputs);
            }
            feed(&mut bench, device.outbox.remove(0), 50);
            bench.established(&mut device);
        }
    }
}

#[test]
fn a_client_that_is_sent_two_cookies_may_return_either() {
    for first in [0, 1] {
        {
            let mut bench = in_version(Versions::Only13);
            let mut device = bench.client(1);
            let hello = device.outbox.remove(0);
            // Once in one record, and once in two, which needs an engine.
            bench.endpoint.receive(bench.now, device.path, &hello);
            let again = fragmented(&hello, hello.len() / 2).concat();
            bench.endpoint.receive(bench.now, device.path, &again);
            let cookie_replies = bench.sent(device.path);
            assert_eq!((cookie_replies.len(), bench.endpoint.half_open()), (2, 1));
            assert_ne!(cookie_replies[0], cookie_replies[1]);
            let outputs = device.dtls.receive(bench.now, &cookie_replies[first]);
            device.take(outputs.unwrap());
            bench.established(&mut device);
            assert_eq!(
                (bench.endpoint.half_open(), bench.endpoint.established()),
                (0, 1)
            );
        }
    }
}

#[test]
fn a_replayed_hello_with_a_cookie_starts_no_handshake() {
    for versions in [Versions::Only12, Versions::Only13] {
        let mut bench = in_version(versions);
        let mut device = bench.client(1);
        bench.step(&mut device);
        let with_cookie = device.outbox[0].clone();
        bench.established(&mut device);
        bench.endpoint.receive(bench.now, device.path, &with_cookie);
        bench.pass(SECOND);
        assert_eq!(bench.sent(device.path), Vec::<Vec<u8>>::new());
        assert_eq!(
            (bench.endpoint.half_open(), bench.endpoint.established()),
            (0, 1)
        );
        // Nor from another address.
        bench.endpoint.receive(bench.now, path(2), &with_cookie);
        assert_eq!(bench.endpoint.half_open(), 0);
        assert_eq!(bench.endpoint.counters().unknown_cookies, 1);
    }
}

#[test]
fn a_client_whose_hello_is_fragmented_only_with_the_cookie_connects_at_its_second_attempt() {
    let mut bench = in_version(Versions::Only13);
    let attempt = |bench: &mut Bench, port: u16| {
        let mut device = bench.client(port);
        bench.step(&mut device);
        device.outbox = fragmented_hello(&mut device, 200);
        bench.exchange(&mut device);
        device.connected
    };
    assert!(!attempt(&mut bench, 1));
    assert_eq!(bench.endpoint.counters().unknown_cookies, 1);
    assert!(attempt(&mut bench, 2));
    // Once only, so that forged fragments have no lasting effect.
    let mut other = bench.client(3);
    bench.step(&mut other);
    assert_eq!(bench.endpoint.half_open(), 0);
}

#[test]
fn a_late_copy_of_the_first_hello_does_not_invalidate_the_cookie_of_a_fragmented_one() {
    let mut bench = in_version(Versions::Only12);
    let mut device = bench.client(1);
    let first = device.outbox[0].clone();
    bench.step(&mut device);
    let pieces = fragmented_hello(&mut device, 80);
    assert!(pieces.len() > 1);
    bench.endpoint.receive(bench.now, device.path, &pieces[0]);
    bench.endpoint.receive(bench.now, device.path, &first);
    // It was answered long ago.
    bench.sent(device.path);
    for piece in &pieces[1..] {
        bench.endpoint.receive(bench.now, device.path, piece);
    }
    bench.established(&mut device);
}

#[test]
fn fragmented_hellos_with_a_cookie_do_not_compete_with_those_without() {
    let mut bench = Bench::new(Parameters {
        versions: Versions::Only12,
        hellos: 6,
        ..Parameters::default()
    });
    let mut device = bench.client(1);
    bench.step(&mut device);
    let forged = bench.hello_in_records(2);
    for port in 1000..1100 {
        bench.endpoint.receive(bench.now, path(port), &forged);
    }
    assert!(bench.endpoint.counters().over_hello_budget > 80);
    device.outbox = fragmented_hello(&mut device, 80);
    bench.established(&mut device);
}

#[test]
fn a_pending_hello_that_also_comes_fragmented_starts_one_handshake() {
    let mut bench = in_version(Versions::Only12);
    let mut device = bench.client(1);
    bench.step(&mut device);
    let whole = device.outbox[0].clone();
    bench.endpoint.receive(bench.now, device.path, &whole);
    for piece in fragmented_hello(&mut device, 80) {
        bench.endpoint.receive(bench.now, device.path, &piece);
    }
    let load = bench.endpoint.load();
    assert_eq!((bench.endpoint.half_open(), load.pending_hellos), (0, 1));
    bench.pass(SECOND / 100);
    let load = bench.endpoint.load();
    assert_eq!((bench.endpoint.half_open(), load.pending_hellos), (1, 0));
    bench.established(&mut device);
}

#[test]
fn at_the_session_limit_a_client_with_a_cookie_gets_an_alert_pending_or_not() {
    for has_waited in [false, true] {
        let mut bench = Bench::new(Parameters {
            sessions: 1,
            ..Parameters::default()
        });
        let (mut late, mut device) = (bench.client(1), bench.client(2));
        bench.step(&mut late);
        bench.step(&mut device);
        bench.step(&mut device);
        let receive = |bench: &mut Bench, client: &mut Client| {
            for datagram in client.outbox.drain(..) {
                bench.endpoint.receive(bench.now, client.path, &datagram);
            }
        };
        if has_waited {
            receive(&mut bench, &mut late);
        }
        receive(&mut bench, &mut device);
        assert_eq!(bench.endpoint.established(), 1);
        receive(&mut bench, &mut late);
        bench.pass(SECOND / 100);
        let counters = bench.endpoint.counters();
        assert_eq!((counters.sessions_full, counters.unknown_cookies), (1, 0));
        assert_eq!(bench.sent(late.path), [record::fatal_alert(1, 80)]);
        let (path, failure) = (late.path, HandshakeFailure::SessionsFull);
        let failed = Event::HandshakeFailed { path, failure };
        assert_eq!(bench.events.last(), Some(&failed));
        assert_eq!(bench.endpoint.half_open(), 0);
    }
}

#[test]
fn a_hello_that_has_grown_by_more_than_the_cookie_counts_as_one_without() {
    let mut bench = in_version(Versions::Only13);
    let mut device = bench.client(1);
    bench.step(&mut device);
    let mut grown = Written::read(&device.outbox[0]);
    // Padding that the cookie has replaced may be restored.
    grown.extensions.push((99, vec![0; 60]));
    bench
        .endpoint
        .receive(bench.now, device.path, &grown.datagram());
    bench.pass(SECOND / 100);
    assert_eq!(bench.sent(device.path), [record::fatal_alert(1, 47)]);
    assert_eq!(bench.endpoint.counters().unknown_cookies, 1);
    assert_eq!(bench.endpoint.half_open(), 0);
    bench.established(&mut device);
}

#[test]
fn a_hello_that_the_engine_ignores_or_rejects_keeps_no_place() {
    let (mut noise, mut refused) = (0, 0);
    for (versions, without_value) in [
        (Versions::Only12, true),
        (Versions::Only12, false),
        (Versions::Only13, true),
        (Versions::Only13, false),
    ] {
        let hello = Written::read(&in_version(versions).client(1).outbox[0]);
        for number in 0..hello.extensions.len() {
            let mut bench = in_version(versions);
            let mut odd = hello.clone();
            let (name, value) = &mut odd.extensions[number];
            if without_value {
                value.clear();
            } else {
                *name = 99;
            }
            bench.endpoint.receive(bench.now, path(1), &odd.datagram());
            if bench.endpoint.counters().cookies_sent == 0 {
                // It needed an engine at once.
                continue;
            }
            let cookie = cookie_of(&bench.sent(path(1))[0]);
            let returned = odd.returning(&cookie, versions);
            bench
                .endpoint
                .receive(bench.now, path(1), &returned.datagram());
            assert_eq!(bench.endpoint.load().pending_hellos, 1);
            bench.pass(SECOND / 100);
            let handshakes = &bench.endpoint.handshakes;
            assert!(handshakes.iter().all(|handshake| handshake.is_proven()));
            noise += bench.endpoint.counters().unproven_failed;
            for answer in bench.sent(path(1)) {
                // The alert is numbered after the reply with the cookie.
                if answer[0] == 21 {
                    assert_eq!(answer[..11], [21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1]);
                    refused += 1;
                }
            }
        }
    }
    assert!(noise > 0 && refused > 0);
}

#[test]
fn over_the_reply_limit_a_hello_is_answered_once_for_each_time_it_was_dropped() {
    let mut bench = Bench::new(Parameters {
        hellos: 4,
        ..Parameters::default()
    });
    let forged = forged_hello(&bench, Versions::Only12);
    for port in 1000..1008 {
        bench.endpoint.receive(bench.now, path(port), &forged);
        assert_eq!(bench.sent(path(port)).len(), 1);
    }
    let hello = bench.client(1).outbox.remove(0);
    let cookie_replies = |bench: &mut Bench| {
        bench.endpoint.receive(bench.now, path(1), &hello);
        bench.sent(path(1)).len()
    };
    let answered: Vec<_> = (0..6).map(|_| cookie_replies(&mut bench)).collect();
    assert_eq!(answered, [0, 1, 0, 1, 0, 1]);
}
