//! What strangers and forgers may cost: deadlines, budgets, shares, and whose handshake goes on.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn in_version(versions: Versions) -> Bench {
    Bench::new(Parameters {
        versions,
        ..Parameters::default()
    })
}

/// The hello of another client, in whichever version.
fn forged_hello(bench: &Bench, versions: Versions) -> Vec<u8> {
    let parameters = Parameters {
        versions,
        ..Parameters::default()
    };
    let settings = Settings::new(&credentials(), &parameters).unwrap();
    let (_, effects) = Engine::client(&settings, bench.now).unwrap();
    let first = effects.into_iter().find_map(|effect| match effect {
        Effect::Transmit(datagram) => Some(datagram),
        _ => None,
    });
    first.unwrap()
}

/// Cuts a datagram of one handshake message into records of `length` bytes of it at most.
fn fragmented(datagram: &[u8], length: usize) -> Vec<Vec<u8>> {
    let (header, message) = (&datagram[..11], &datagram[13..]);
    let (kind_and_length, body) = (&message[..6], &message[12..]);
    let mut fragments = Vec::new();
    for (number, piece) in body.chunks(length).enumerate() {
        let mut record = header.to_vec();
        record[10] = u8::try_from(number).unwrap();
        let size = u16::try_from(12 + piece.len()).unwrap();
        record.extend(size.to_be_bytes());
        record.extend(kind_and_length);
        let offset = u32::try_from(number * length).unwrap();
        record.extend(&offset.to_be_bytes()[1..]);
        record.extend(&u32::try_from(piece.len()).unwrap().to_be_bytes()[1..]);
        record.extend(piece);
        fragments.push(record);
    }
    fragments
}

#[test]
fn a_proven_handshake_that_is_not_completed_ends_after_its_deadline_whatever_else_comes() {
    let mut bench = Bench::new(Parameters::default());
    let mut device = bench.client(1);
    bench.step(&mut device);
    bench.step(&mut device);
    assert_eq!(bench.demux.half_open(), 1);
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
            bench.demux.receive(bench.now, device.path, &forged);
        }
    }
    assert_eq!(bench.demux.half_open(), 1, "60 s are not over");
    bench.pass(2 * SECOND);
    let (path, failure) = (device.path, HandshakeFailure::TimedOut);
    let ended = Event::HandshakeFailed { path, failure };
    assert_eq!(bench.events.last(), Some(&ended));
    assert!(bench.demux.sessions.is_empty() && bench.demux.routes.is_empty());
    assert_eq!(bench.demux.next_timeout(), None);
}

#[test]
fn a_hello_repeated_for_ever_does_not_extend_an_unproven_deadline() {
    let mut bench = Bench::new(Parameters::default());
    let hello = bench.client(1).outbox.remove(0);
    for second in 0..10 {
        bench.demux.receive(bench.now, path(1), &hello);
        assert_eq!(bench.demux.half_open(), 1, "{second} s");
        bench.pass(SECOND);
    }
    assert_eq!(bench.demux.counters().unproven_expired, 1);
    assert!(bench.demux.hellos.is_empty() && bench.demux.routes.is_empty());
}

#[test]
fn handshakes_of_one_path_go_on_side_by_side_in_whichever_versions() {
    let all = [Versions::Only12, Versions::Only13, Versions::Both];
    for (device, forger) in all.iter().flat_map(|a| all.map(|b| (*a, b))) {
        let mut bench = Bench::new(Parameters::default());
        let versions = device;
        let parameters = Parameters {
            versions,
            ..Parameters::default()
        };
        bench.client = Settings::new(&credentials(), &parameters).unwrap();
        let forge = |bench: &mut Bench| {
            let hello = forged_hello(bench, forger);
            bench.demux.receive(bench.now, path(1), &hello);
            bench.sent(path(1));
        };
        forge(&mut bench);
        let mut device = bench.client(1);
        while bench.step(&mut device) {
            forge(&mut bench);
        }
        assert!(device.connected, "{versions:?} beside {forger:?}");
        assert_eq!(bench.demux.established(), 1);
        bench.pass(11 * SECOND);
        assert_eq!(bench.demux.half_open(), 0);
        assert!(bench.demux.hellos.is_empty());
    }
}

#[test]
fn a_hello_that_continues_nothing_costs_no_engine_and_is_told_to_begin_anew() {
    for versions in [Versions::Only12, Versions::Only13] {
        let mut bench = in_version(versions);
        let mut device = bench.client(1);
        bench.step(&mut device);
        let continuation = device.outbox[0].clone();
        bench.pass(11 * SECOND);
        assert!(bench.demux.sessions.is_empty());
        bench.demux.receive(bench.now, device.path, &continuation);
        assert!(bench.demux.sessions.is_empty() && bench.demux.routes.is_empty());
        assert_eq!(bench.demux.counters().unknown_cookies, 1);
        let illegal_parameter = record::fatal_alert(0, 47);
        assert_eq!(bench.sent(device.path), [illegal_parameter]);

        // But not where a device has a session: its address may be forged.
        let mut device = bench.client(2);
        bench.established(&mut device);
        bench.demux.receive(bench.now, device.path, &continuation);
        assert_eq!(bench.demux.counters().unknown_cookies, 2);
        assert_eq!(bench.sent(device.path), Vec::<Vec<u8>>::new());
    }
}

#[test]
fn a_cookie_for_someone_else_ends_that_handshake_alone_and_its_client_is_told() {
    let mut bench = in_version(Versions::Only13);
    let mut device = bench.client(1);
    let hello = device.outbox.remove(0);
    // The answer to a forger on the same address comes first, and the device takes it for its own.
    let forged = forged_hello(&bench, Versions::Only13);
    bench.demux.receive(bench.now, device.path, &forged);
    let misleading = bench.sent(device.path).remove(0);
    bench.demux.receive(bench.now, device.path, &hello);
    bench.sent(device.path);
    let effects = device.engine.receive(bench.now, &misleading).unwrap();
    device.take(effects);
    bench
        .demux
        .receive(bench.now, device.path, &device.outbox[0]);
    assert_eq!(bench.sent(device.path), [record::fatal_alert(1, 47)]);
    assert_eq!(bench.demux.counters().unproven_failed, 1);
    assert_eq!(bench.demux.half_open(), 1, "the forger's own");
    let mut again = bench.client(1);
    bench.established(&mut again);
}

#[test]
fn hellos_from_a_forged_address_do_not_use_up_its_share() {
    let mut bench = Bench::new(Parameters {
        handshakes_per_address: 2,
        ..Parameters::default()
    });
    let hello = bench.client(9).outbox.remove(0);
    for port in 1000..1100 {
        bench.demux.receive(bench.now, path(port), &hello);
    }
    bench.sent(path(1));
    let mut device = bench.client(1);
    bench.established(&mut device);
    assert_eq!(bench.demux.counters().over_address_budget, 0);
}

#[test]
fn a_hello_beyond_its_addresss_share_costs_no_engine_and_leaves_nothing_behind() {
    let mut bench = Bench::new(Parameters {
        handshakes_per_address: 1,
        ..Parameters::default()
    });
    let mut device = bench.client(1);
    bench.established(&mut device);
    let hello = bench.client(9).outbox.remove(0);
    for port in 1000..1100 {
        bench.demux.receive(bench.now, path(port), &hello);
    }
    assert_eq!(bench.demux.counters().over_address_budget, 100);
    assert_eq!(bench.demux.half_open(), 0);
    bench.pass(60 * SECOND);
    assert_eq!(
        (bench.demux.sessions.len(), bench.demux.routes.len()),
        (1, 1)
    );
    assert!(bench.demux.unproven.len() <= 1, "the device's own");
}

#[test]
fn a_hello_in_fragments_is_answered_with_no_more_than_they_were_and_gets_in() {
    for versions in [Versions::Only12, Versions::Only13] {
        for length in [100, 60, 50] {
            let mut bench = in_version(versions);
            let mut device = bench.client(1);
            let feed = |bench: &mut Bench, hello: Vec<u8>, numbered: usize| {
                let mut received = 0;
                for (number, mut fragment) in fragmented(&hello, length).into_iter().enumerate() {
                    fragment[10] = u8::try_from(numbered + number).unwrap();
                    received += fragment.len();
                    bench.demux.receive(bench.now, path(1), &fragment);
                }
                received
            };
            let received = feed(&mut bench, device.outbox.remove(0), 0);
            let answers = bench.sent(device.path);
            let sent: usize = answers.iter().map(Vec::len).sum();
            assert!(
                sent > 0 && sent <= received,
                "{versions:?}: {sent} for {received} in pieces of {length}"
            );
            for answer in answers {
                let effects = device.engine.receive(bench.now, &answer).unwrap();
                device.take(effects);
            }
            feed(&mut bench, device.outbox.remove(0), 50);
            bench.established(&mut device);
        }
    }
}

#[test]
fn half_open_handshakes_of_proven_peers_are_bounded_and_none_makes_room_for_a_newcomer() {
    let mut bench = Bench::new(Parameters {
        handshakes: 3,
        ..Parameters::default()
    });
    let mut devices: Vec<_> = (1..=3).map(|port| bench.client(port)).collect();
    for device in &mut devices {
        bench.step(device);
        bench.step(device);
    }
    let mut newcomer = bench.client(4);
    bench.exchange(&mut newcomer);
    assert!(!newcomer.connected);
    assert_eq!(bench.demux.counters().half_open_full, 1);
    for device in &mut devices {
        bench.established(device);
    }
    let mut newcomer = bench.client(4);
    bench.established(&mut newcomer);
}

#[test]
fn who_stalls_handshakes_after_the_cookie_makes_room_for_others() {
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
    assert_eq!(bench.demux.half_open(), 9, "a tenth is for newcomers");
    assert_eq!(bench.demux.counters().proven_displaced, 41);
    let mut newcomer = bench.client(1);
    newcomer.path.remote.set_ip([198, 51, 100, 1].into());
    bench.step(&mut newcomer);
    bench.step(&mut newcomer);
    for port in 2000..2050 {
        attacker(&mut bench, port);
    }
    bench.established(&mut newcomer);
    bench.pass(61 * SECOND);
    assert_eq!(bench.demux.half_open(), 0);
    assert_eq!(bench.demux.proven_by_source.count(), 0);
}
