//! Attacks on clients with a valid cookie: they must still connect.

use super::*;
use crate::dtls::dtls13::hello::tests::Written;

#[test]
fn forged_fragments_from_an_address_do_not_prevent_its_cookies() {
    let mut bench = Bench::new(Parameters {
        versions: Versions::Only12,
        hellos: 20,
        ..Parameters::default()
    });
    let forger = bench.client(9).outbox.remove(0);
    let mut piece = fragmented(&forger, 60).remove(0);
    piece[18] = 1;
    let hello = bench.client(1).outbox.remove(0);
    let mut cookie_replies = 0;
    // Twenty times as many as may get an engine.
    for tick in 0..1600 {
        for _ in 0..2 {
            bench.endpoint.receive(bench.now, path(5), &piece);
        }
        bench.sent(path(1));
        if [100, 200, 400, 800, 1500].contains(&tick) {
            bench.endpoint.receive(bench.now, path(1), &hello);
            cookie_replies += bench.sent(path(1)).len();
        }
        bench.pass(SECOND / 100);
    }
    assert_eq!(cookie_replies, 5);
}

/// Returns many cookies, of one address or of one each, in first fragments only, while a device is pending.
fn first_pieces_alone(one_address: bool) -> Counters {
    let mut bench = Bench::new(Parameters {
        versions: Versions::Only12,
        hellos: 200,
        handshakes: 100,
        handshakes_per_address: 10,
        ..Parameters::default()
    });
    let mut pieces = Vec::new();
    for port in 1000..1400 {
        let mut attacker = bench.client(port);
        let [high, low] = if one_address {
            [0; 2]
        } else {
            port.to_be_bytes()
        };
        attacker.path.remote.set_ip([198, 51, high, low].into());
        bench.step(&mut attacker);
        let first = fragmented_hello(&mut attacker, 80).remove(0);
        pieces.push((attacker.path, first));
        bench.pass(SECOND / 100);
    }
    let mut device = bench.client(1);
    bench.step(&mut device);
    let mut rest = pieces.iter().cycle();
    for tick in 0..200 {
        bench.now += SECOND / 100;
        // Eight times as many as may start, and before any pending hello gets its turn.
        for (path, piece) in rest.by_ref().take(8) {
            bench.endpoint.receive(bench.now, *path, piece);
        }
        if tick == 100 {
            let hello = device.outbox.remove(0);
            bench.endpoint.receive(bench.now, device.path, &hello);
        }
        bench.endpoint.handle_timeout(bench.now);
    }
    assert_eq!(
        bench.endpoint.handshakes.proven_by_source.count(),
        1,
        "the device"
    );
    bench.established(&mut device);
    *bench.endpoint.counters()
}

#[test]
fn clients_that_return_cookies_in_first_fragments_only_are_limited() {
    let counters = first_pieces_alone(true);
    assert!(counters.over_address_budget > 1500, "{counters:?}");
    let counters = first_pieces_alone(false);
    assert!(counters.over_hello_budget > 1000, "{counters:?}");
}

#[test]
fn a_fragmented_hello_may_use_the_last_of_an_addresss_limit_and_is_counted_once() {
    let mut bench = Bench::new(Parameters {
        versions: Versions::Only12,
        handshakes_per_address: 2,
        ..Parameters::default()
    });
    for port in 1..=2 {
        let mut device = bench.client(port);
        bench.step(&mut device);
        device.outbox = fragmented_hello(&mut device, 80);
        bench.established(&mut device);
    }
    assert_eq!(bench.endpoint.counters().over_address_budget, 0);
    let mut third = bench.client(3);
    bench.exchange(&mut third);
    assert!(!third.connected && bench.endpoint.pending_hellos() == 1);
}

#[test]
fn a_device_with_the_same_random_after_each_restart_connects_again() {
    for (after, expected) in [(10, (0, 1)), (121, (1, 0))] {
        let mut bench = in_version(Versions::Only12);
        let mut device = bench.client(1);
        let first = device.outbox[0].clone();
        bench.established(&mut device);
        bench.pass(after * SECOND);
        bench.endpoint.receive(bench.now, path(1), &first);
        let cookie = cookie_of(&bench.sent(path(1))[0]);
        let second = Written::read(&first).returning(&cookie, Versions::Only12);
        bench
            .endpoint
            .receive(bench.now, path(1), &second.datagram());
        bench.pass(SECOND / 100);
        // This soon it counts as a late copy.
        let late = bench.endpoint.counters().without_effect;
        assert_eq!((bench.endpoint.half_open(), late), expected, "{after} s");
        assert_eq!(bench.endpoint.established(), 1);
    }
}

#[test]
fn a_forger_on_the_address_of_a_pending_hello_causes_no_alert() {
    let mut bench = Bench::new(Parameters {
        versions: Versions::Only13,
        handshakes_per_address: 1,
        ..Parameters::default()
    });
    let mut other = bench.client(3);
    bench.established(&mut other);
    let mut device = bench.client(1);
    bench.step(&mut device);
    let with_cookie = device.outbox[0].clone();
    bench.endpoint.receive(bench.now, device.path, &with_cookie);
    assert_eq!(bench.endpoint.pending_hellos(), 1);
    let forged = Written::read(&forged_hello(&bench, Versions::Only13));
    let forged = forged.returning(&[1; 32], Versions::Only13).datagram();
    bench.endpoint.receive(bench.now, device.path, &forged);
    assert_eq!(bench.endpoint.counters().unknown_cookies, 1);
    assert_eq!(bench.sent(device.path), Vec::<Vec<u8>>::new());
}

#[test]
fn a_client_that_pads_only_its_second_hello_connects_at_its_second_attempt() {
    let mut bench = in_version(Versions::Only13);
    let mut attempt = |port: u16| {
        let mut hello = Written::read(&bench.client(port).outbox[0]);
        hello.extensions.retain(|(number, _)| *number != 21);
        bench
            .endpoint
            .receive(bench.now, path(port), &hello.datagram());
        let cookie = cookie_of(&bench.sent(path(port))[0]);
        let mut second = hello.returning(&cookie, Versions::Only13);
        second.extensions.push((21, vec![0; 100]));
        bench
            .endpoint
            .receive(bench.now, path(port), &second.datagram());
        bench.pass(SECOND / 100);
        bench.endpoint.handshakes.proven_by_source.count()
    };
    assert_eq!([attempt(1), attempt(2)], [0, 1]);
}

#[test]
fn a_late_copy_of_a_fragmented_first_hello_drops_no_pending_hello() {
    {
        let mut bench = in_version(Versions::Only13);
        let mut device = bench.client(1);
        let copy = fragmented(&device.outbox[0], device.outbox[0].len() / 2).concat();
        bench.step(&mut device);
        let with_cookie = device.outbox.remove(0);
        bench.endpoint.receive(bench.now, device.path, &with_cookie);
        bench.endpoint.receive(bench.now, device.path, &copy);
        // It comes too late to have an effect.
        bench.sent(device.path);
        assert_eq!(
            (bench.endpoint.half_open(), bench.endpoint.pending_hellos()),
            (1, 1)
        );
        bench.established(&mut device);
        assert_eq!(
            (bench.endpoint.half_open(), bench.endpoint.pending_hellos()),
            (0, 0)
        );
    }
}

#[test]
fn while_draining_a_handshake_under_way_completes_and_none_begins() {
    for versions in [Versions::Only12, Versions::Only13] {
        let mut bench = in_version(versions);
        let (mut device, mut other) = (bench.client(1), bench.client(2));
        bench.step(&mut device);
        bench.step(&mut device);
        bench.step(&mut other);
        bench.endpoint.stop_accepting();
        bench.exchange(&mut other);
        assert_eq!(bench.endpoint.counters().hellos_while_closed, 1);
        assert_eq!(
            (bench.endpoint.half_open(), bench.endpoint.pending_hellos()),
            (1, 0)
        );
        bench.established(&mut device);
        assert!(!other.connected);
    }
}
