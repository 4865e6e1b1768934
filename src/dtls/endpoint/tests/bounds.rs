//! Bounds on what unauthenticated peers may cost: deadlines, rate limits, and which handshakes are evicted.

use super::*;

#[test]
fn a_proven_handshake_ends_at_its_deadline_whatever_is_received() {
    let mut bench = Bench::new(Parameters::default());
    let mut device = bench.client(1);
    bench.step(&mut device);
    bench.step(&mut device);
    assert_eq!(bench.endpoint.half_open(), 1);
    for _ in 0..59 {
        bench.pass(SECOND);
        for forged in [
            [
                vec![23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 40],
                vec![7; 40],
            ]
            .concat(),
            [vec![0b0010_1110, 0, 9, 0, 40], vec![7; 40]].concat(),
            vec![20, 254, 253, 0, 0, 0, 0, 0, 0, 0, 8, 0, 1, 1],
        ] {
            bench.endpoint.receive(bench.now, device.path, &forged);
        }
    }
    assert_eq!(bench.endpoint.half_open(), 1, "60 s are not over");
    bench.pass(2 * SECOND);
    let (path, failure) = (device.path, HandshakeFailure::TimedOut);
    let ended = Event::HandshakeFailed { path, failure };
    assert_eq!(bench.events.last(), Some(&ended));
    bench.assert_empty();
    assert_eq!(bench.endpoint.next_timeout(), None);
}

#[test]
fn repeated_hellos_do_not_extend_an_unproven_handshakes_deadline() {
    let mut bench = Bench::new(Parameters::default());
    let hello = bench.hello_in_records(1);
    for second in 0..10 {
        bench.endpoint.receive(bench.now, path(1), &hello);
        assert_eq!(bench.endpoint.half_open(), 1, "{second} s");
        bench.pass(SECOND);
    }
    assert_eq!(bench.endpoint.counters().unproven_expired, 1);
    bench.assert_empty();
}

#[test]
fn concurrent_handshakes_on_one_path_are_independent_in_all_versions() {
    let all = [Versions::Only12, Versions::Only13, Versions::Both];
    for (device, forger) in all.iter().flat_map(|a| all.map(|b| (*a, b))) {
        let mut bench = Bench::new(Parameters::default());
        let versions = device;
        bench.client = client_config(&credentials(), versions, 1200);
        let forge = |bench: &mut Bench| {
            let hello = forged_hello(bench, forger);
            bench.endpoint.receive(bench.now, path(1), &hello);
            bench.sent(path(1));
        };
        forge(&mut bench);
        let mut device = bench.client(1);
        while bench.step(&mut device) {
            forge(&mut bench);
        }
        assert!(device.connected, "{versions:?} beside {forger:?}");
        assert_eq!(bench.endpoint.established(), 1);
        bench.pass(11 * SECOND);
        assert_eq!(bench.endpoint.half_open(), 0);
        assert_eq!(bench.endpoint.load().hellos, 0);
    }
}

#[test]
fn hellos_from_a_forged_address_do_not_count_for_its_limit() {
    let mut bench = Bench::new(Parameters {
        handshakes_per_address: 2,
        ..Parameters::default()
    });
    let hello = bench.client(9).outbox.remove(0);
    for port in 1000..1100 {
        bench.endpoint.receive(bench.now, path(port), &hello);
    }
    bench.sent(path(1));
    let mut device = bench.client(1);
    bench.established(&mut device);
    assert_eq!(bench.endpoint.counters().over_address_budget, 0);
}

#[test]
fn a_hello_beyond_its_addresss_limit_costs_no_engine_and_leaves_no_state() {
    let mut bench = Bench::new(Parameters {
        handshakes_per_address: 1,
        ..Parameters::default()
    });
    let mut device = bench.client(1);
    bench.established(&mut device);
    let hello = bench.hello_in_records(9);
    for port in 1000..1100 {
        bench.endpoint.receive(bench.now, path(port), &hello);
    }
    assert_eq!(bench.endpoint.counters().over_address_budget, 100);
    assert_eq!(bench.endpoint.half_open(), 0);
    bench.pass(60 * SECOND);
    assert_eq!(
        (bench.endpoint.established(), bench.endpoint.load().routes),
        (1, 1)
    );
    assert!(
        bench.endpoint.load().unproven_queue <= 1,
        "the device's own"
    );
}

#[test]
fn half_open_handshakes_of_proven_peers_are_bounded_and_none_is_evicted_for_a_first_hello() {
    let mut bench = Bench::new(Parameters {
        handshakes: 3,
        ..Parameters::default()
    });
    let mut devices: Vec<_> = (1..=3).map(|port| bench.client(port)).collect();
    for device in &mut devices {
        bench.step(device);
        bench.step(device);
    }
    let mut other = bench.client(4);
    bench.exchange(&mut other);
    assert!(!other.connected);
    assert_eq!(
        (
            bench.endpoint.half_open(),
            bench.endpoint.load().pending_hellos
        ),
        (3, 1)
    );
    for device in &mut devices {
        bench.established(device);
    }
    // A place is free now, and the pending hello need not be repeated.
    bench.pass(SECOND / 10);
    bench.established(&mut other);
}

#[test]
fn a_fleet_that_returns_its_cookies_at_once_connects_as_places_become_free() {
    for versions in [Versions::Only12, Versions::Both] {
        let mut bench = Bench::new(Parameters {
            versions,
            handshakes: 20,
            hellos: 10_000,
            ..Parameters::default()
        });
        let mut fleet: Vec<_> = (0..100).map(|n| bench.client(1000 + n)).collect();
        for (n, device) in (0..).zip(&mut fleet) {
            device.path.remote.set_ip([192, 0, 2, n % 4].into());
        }
        for device in &mut fleet {
            bench.step(device);
        }
        assert_eq!(bench.endpoint.half_open(), 0);
        for device in &mut fleet {
            bench
                .endpoint
                .receive(bench.now, device.path, &device.outbox.remove(0));
        }
        for _ in 0..20 {
            bench.pass(SECOND / 1000);
        }
        assert_eq!(
            (
                bench.endpoint.half_open(),
                bench.endpoint.load().pending_hellos
            ),
            (15, 85)
        );
        // Their last flights take a while. No retransmission is needed.
        for _ in 0..30 {
            for _ in 0..20 {
                bench.pass(SECOND / 200);
            }
            let transmits: Vec<_> = std::iter::from_fn(|| bench.endpoint.poll_transmit()).collect();
            for transmit in transmits {
                let device = fleet.iter_mut().find(|device| device.path == transmit.path);
                let device = device.unwrap();
                let outputs = device.dtls.receive(bench.now, &transmit.datagram).unwrap();
                device.take(outputs);
            }
            bench.pass(SECOND / 4);
            for device in &mut fleet {
                for datagram in device.outbox.drain(..) {
                    bench.endpoint.receive(bench.now, device.path, &datagram);
                }
            }
        }
        assert_eq!(bench.endpoint.established(), 100, "{versions:?}");
        let counters = bench.endpoint.counters();
        assert_eq!((counters.proven_evicted, counters.half_open_full), (0, 0));
        assert_eq!(counters.unknown_cookies, 0);
        assert_eq!(
            (
                bench.endpoint.half_open(),
                bench.endpoint.load().pending_hellos
            ),
            (0, 0)
        );
    }
}

#[test]
fn an_address_starts_no_more_than_its_limit_of_handshakes_in_a_second_and_the_rest_later() {
    let mut bench = Bench::new(Parameters {
        handshakes_per_address: 4,
        ..Parameters::default()
    });
    let mut devices: Vec<_> = (1..=8).map(|port| bench.client(port)).collect();
    for device in &mut devices {
        bench.step(device);
        bench.step(device);
    }
    assert_eq!(
        (
            bench.endpoint.half_open(),
            bench.endpoint.load().pending_hellos
        ),
        (4, 4)
    );
    bench.pass(SECOND / 2);
    assert_eq!(
        (
            bench.endpoint.half_open(),
            bench.endpoint.load().pending_hellos
        ),
        (4, 4)
    );
    // Meanwhile another address has its own limit.
    let mut other = bench.client(1);
    other.path.remote.set_ip([198, 51, 100, 1].into());
    bench.established(&mut other);
    bench.pass(SECOND / 2);
    for _ in 0..4 {
        bench.pass(SECOND / 1000);
    }
    assert_eq!(
        (
            bench.endpoint.half_open(),
            bench.endpoint.load().pending_hellos
        ),
        (8, 0)
    );
    for device in &mut devices {
        bench.established(device);
    }
}

#[test]
fn handshakes_stalled_after_the_cookie_are_evicted_for_other_sources() {
    let mut bench = Bench::new(Parameters {
        handshakes: 10,
        ..Parameters::default()
    });
    let attacker = |bench: &mut Bench, port| {
        let mut client = bench.client(port);
        bench.step(&mut client);
        bench.step(&mut client);
    };
    for port in 1000..1050 {
        attacker(&mut bench, port);
        bench.pass(SECOND / 100);
    }
    assert_eq!(
        bench.endpoint.half_open(),
        9,
        "a tenth is for unproven ones"
    );
    assert_eq!(
        bench.endpoint.load().pending_hellos,
        25,
        "its own are not evicted"
    );
    let mut other = bench.client(1);
    other.path.remote.set_ip([198, 51, 100, 1].into());
    bench.step(&mut other);
    bench.step(&mut other);
    assert_eq!(bench.endpoint.counters().proven_evicted, 1);
    for port in 2000..2050 {
        attacker(&mut bench, port);
    }
    bench.established(&mut other);
    bench.pass(61 * SECOND);
    bench.pass(SECOND);
    assert_eq!(
        (
            bench.endpoint.half_open(),
            bench.endpoint.load().pending_hellos
        ),
        (0, 0)
    );
    assert_eq!(bench.endpoint.handshakes.proven_by_source.count(), 0);
}

#[test]
fn stalled_handshakes_of_many_addresses_are_evicted_after_seconds() {
    let mut bench = Bench::new(Parameters {
        handshakes: 10,
        ..Parameters::default()
    });
    let from = |bench: &mut Bench, last: u8| {
        let mut client = bench.client(1);
        client.path.remote.set_ip([198, 51, 100, last].into());
        bench.step(&mut client);
        bench.step(&mut client);
        client
    };
    for last in 0..9 {
        from(&mut bench, last);
    }
    let mut other = from(&mut bench, 100);
    assert_eq!(
        (
            bench.endpoint.half_open(),
            bench.endpoint.load().pending_hellos
        ),
        (9, 1)
    );
    bench.pass(4 * SECOND);
    assert_eq!(bench.endpoint.load().pending_hellos, 1);
    bench.pass(2 * SECOND);
    bench.established(&mut other);
    assert_eq!(bench.endpoint.counters().proven_evicted, 1);
}

/// Ten seconds of forged hellos, fifty times as many as are answered, each from another address; half of them with a forged
/// cookie. Calls `every_second`.
///
/// The set of unanswered hellos is lossy: in a second, 1.5 % of its entries are overwritten. A forged hello that would
/// overwrite the entry of `device` is left out, so that the hash function's random keys don't decide when that connects.
fn flood(
    bench: &mut Bench,
    hello: &[u8],
    device: HelloKey,
    mut every_second: impl FnMut(&mut Bench, u32),
) {
    for tick in 0..1000u32 {
        for n in 0..40u32 {
            let mut forged = hello.to_vec();
            forged[27..31].copy_from_slice(&(tick * 40 + n).to_be_bytes());
            let mut from = path(u16::try_from(n).unwrap());
            from.remote
                .set_ip((0x0a00_0000 + tick).to_be_bytes().into());
            let key = (from, random_of(&forged));
            if bench.endpoint.admission.collide(&key, &device) {
                continue;
            }
            bench.endpoint.receive(bench.now, from, &forged);
        }
        while bench.endpoint.poll_transmit().is_some() {}
        if tick % 100 == 0 {
            every_second(bench, tick / 100);
        }
        bench.pass(SECOND / 100);
    }
}

#[test]
fn a_client_that_repeats_its_hello_connects_during_a_flood_and_forged_hellos_leave_no_state() {
    for versions in [Versions::Only12, Versions::Both] {
        let mut bench = Bench::new(Parameters {
            versions,
            hellos: 10,
            ..Parameters::default()
        });
        let forged = forged_hello(&bench, versions);
        let mut device = bench.client(1);
        let hello = device.outbox[0].clone();
        let key = device.hello_key();
        let mut at = None;
        flood(&mut bench, &forged, key, |bench, second| {
            assert_eq!(
                (
                    bench.endpoint.half_open(),
                    bench.endpoint.load().pending_hellos
                ),
                (0, 0)
            );
            // As its timer says (RFC 6347 §4.2.4.1): at 0, 1, 3 and 7 s.
            if [0, 1, 3, 7].contains(&second) && at.is_none() {
                device.outbox = vec![hello.clone()];
                bench.exchange(&mut device);
                at = device.connected.then_some(second);
            }
        });
        assert!(at.is_some_and(|second| second <= 3), "{versions:?}: {at:?}");
        let counters = bench.endpoint.counters();
        assert!(counters.over_hello_budget > 30_000, "{counters:?}");
        assert!(bench.endpoint.counters().cookies_sent < 1_000);
    }
}
