use super::*;
use std::net::SocketAddr;

fn path(last: u8, port: u16) -> Path {
    Path {
        remote: SocketAddr::from(([192, 0, 2, last], port)),
        local: None,
    }
}

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    Instant::now()
}

fn enter(waiting: &mut PendingHellos, now: Instant, path: Path) {
    assert_eq!(
        waiting.enter(now, path, [0; 32], &[], Known::No),
        Overflow::Nobody
    );
    assert!(waiting.has(path));
}

fn call(waiting: &mut PendingHellos, now: Instant) -> Option<PendingHello> {
    waiting.next(now)?;
    waiting.call()
}

#[test]
fn sources_take_turns_and_each_ones_own_go_by_when_they_came() {
    let (mut waiting, now) = (PendingHellos::new(2), start());
    for (last, port) in [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1)] {
        enter(&mut waiting, now, path(last, port));
    }
    // Come again: keeps its place.
    let again = waiting.enter(now, path(1, 1), [7; 32], &[7], Known::No);
    assert_eq!(again, Overflow::Nobody);
    let called: Vec<_> = std::iter::from_fn(|| call(&mut waiting, now)).collect();
    let order: Vec<_> = called.iter().map(|guest| guest.path).collect();
    let expected = [(1, 1), (2, 1), (3, 1), (1, 2), (1, 3)];
    assert_eq!(order, expected.map(|(last, port)| path(last, port)));
    assert_eq!(
        (called[0].random, called[0].hello.as_slice()),
        ([7; 32], &[7][..])
    );
    assert_eq!((waiting.len(), waiting.sources()), (0, 0));
    assert_eq!(waiting.new.count() + waiting.known_or_repeated.count(), 0);
}

#[test]
fn there_is_room_for_so_many_and_so_many_of_one_source() {
    let (mut waiting, now) = (PendingHellos::new(2), start());
    for (last, start_pending, then) in [
        (1, 5, Overflow::BySource),
        (2, 5, Overflow::BySource),
        (3, 0, Overflow::ByAll),
    ] {
        for port in 0..9 {
            let turned = waiting.enter(now, path(last, port), [0; 32], &[], Known::No);
            let expected = if port < start_pending {
                Overflow::Nobody
            } else {
                then
            };
            assert_eq!(turned, expected, "{last} {port}");
        }
    }
    assert_eq!(waiting.len(), 10);
    waiting.clear();
    enter(&mut waiting, now, path(1, 1));
    assert_eq!(PendingHellos::new(1_000_000).room, MOST);
}

#[test]
fn where_all_is_full_who_has_most_makes_room_with_its_last_for_who_has_less() {
    let (mut waiting, now) = (PendingHellos::new(2), start());
    for (last, port) in (1..=5).flat_map(|port| [(1, port), (2, port)]) {
        enter(&mut waiting, now, path(last, port));
    }
    for port in 1..=4 {
        // Someone is sent away in any case: another source's last, or the newcomer.
        let turned = waiting.enter(now, path(3, port), [0; 32], &[], Known::No);
        assert_eq!(turned, Overflow::ByAll);
    }
    assert_eq!((waiting.len(), waiting.sources()), (10, 3));
    let called: Vec<_> = std::iter::from_fn(|| call(&mut waiting, now)).collect();
    let of = |last: u8| {
        let from = |guest: &&PendingHello| guest.path.remote.ip() == path(last, 1).remote.ip();
        let ports = called.iter().filter(from);
        ports.map(|guest| guest.path.remote.port()).collect()
    };
    let kept: [Vec<u16>; 3] = [of(1), of(2), of(3)];
    assert_eq!(kept, [vec![1, 2, 3], vec![1, 2, 3, 4], vec![1, 2, 3]]);
}

#[test]
fn who_has_given_up_is_not_called_in_and_takes_nobodys_turn() {
    let (mut waiting, now) = (PendingHellos::new(2), start());
    for (last, port) in [(1, 1), (1, 2), (2, 1), (3, 1)] {
        waiting.enter(now, path(last, port), [0; 32], &[], Known::No);
    }
    let later = now + PATIENCE;
    for (last, port) in [(1, 2), (3, 1)] {
        waiting.enter(later, path(last, port), [0; 32], &[], Known::No);
    }
    for (last, port) in [(1, 2), (3, 1)] {
        let next = waiting.next(later).map(|(_, host)| host);
        assert_eq!(next, Some(path(last, port).remote.ip()));
        assert!(
            waiting
                .call()
                .is_some_and(|guest| guest.path == path(last, port))
        );
    }
    assert_eq!((waiting.next(later), waiting.len()), (None, 0));
    assert_eq!((waiting.take_gone(), waiting.take_gone()), (2, 0));
    assert_eq!(waiting.new.count() + waiting.known_or_repeated.count(), 0);
}

/// Where those are who are called in, in order: the last byte of the address, and the port.
fn order(waiting: &mut PendingHellos, now: Instant) -> Vec<(u8, u16)> {
    let called = std::iter::from_fn(|| call(waiting, now));
    let place = |guest: PendingHello| match guest.path.remote.ip() {
        IpAddr::V4(ip) => (ip.octets()[3], guest.path.remote.port()),
        IpAddr::V6(_) => unreachable!("these are IPv4 addresses"),
    };
    called.map(place).collect()
}

#[test]
fn who_is_known_goes_first_and_leaves_turns_to_those_who_are_not() {
    let (mut waiting, now) = (PendingHellos::new(10), start());
    for port in 1..=12 {
        for (last, known) in [(1, Known::No), (2, Known::Host), (3, Known::Port)] {
            waiting.enter(now, path(last, port), [0; 32], &[], known);
        }
    }
    let order = order(&mut waiting, now);
    let of = |last| {
        order[..20]
            .iter()
            .filter(|(other, _)| *other == last)
            .count()
    };
    assert_eq!([of(1), of(2), of(3)], [2, 6, 12], "{order:?}");
}

#[test]
fn a_client_that_repeats_its_hello_goes_before_those_that_do_not() {
    let (mut waiting, now) = (PendingHellos::new(10), start());
    for port in 1..=9 {
        enter(&mut waiting, now, path(1, port));
    }
    // Doubled by the network; another client on the same port; and repeated.
    waiting.enter(
        now + REPEATED_AFTER / 2,
        path(1, 7),
        [0; 32],
        &[],
        Known::No,
    );
    let later = now + REPEATED_AFTER;
    waiting.enter(later, path(1, 8), [1; 32], &[], Known::No);
    waiting.enter(later, path(1, 9), [0; 32], &[], Known::No);
    let order = order(&mut waiting, later);
    assert_eq!(order[..3], [(1, 9), (1, 1), (1, 2)]);
}

#[test]
fn who_was_turned_away_is_let_in_when_it_comes_again_in_place_of_one_that_does_not() {
    let (mut waiting, now) = (PendingHellos::new(2), start());
    for port in 1..=5 {
        enter(&mut waiting, now, path(1, port));
    }
    for expected in [5, 5] {
        let turned = waiting.enter(now, path(1, 6), [0; 32], &[], Known::No);
        assert_eq!((turned, waiting.len()), (Overflow::BySource, expected));
    }
    let order = order(&mut waiting, now);
    assert_eq!(order, [6, 1, 2, 3, 4].map(|port| (1, port)));
}

#[test]
fn where_all_is_full_a_network_with_many_addresses_makes_room_for_another() {
    let (mut waiting, now) = (PendingHellos::new(2), start());
    let of = |network, host| Path {
        remote: SocketAddr::from(([10, network, 0, host], 5684)),
        local: None,
    };
    for host in 0..10 {
        enter(&mut waiting, now, of(1, host));
    }
    for (network, host, known, is_in) in [
        (2, 0, Known::No, true),
        // Of the large network itself: who is known, but nobody else.
        (1, 10, Known::No, false),
        (1, 11, Known::Port, true),
    ] {
        let turned = waiting.enter(now, of(network, host), [0; 32], &[], known);
        assert_eq!(turned, Overflow::ByAll);
        assert_eq!(waiting.has(of(network, host)), is_in, "{network} {host}");
    }
    assert_eq!(waiting.len(), 10);
}

#[test]
fn of_those_who_have_given_up_so_many_are_forgotten_at_a_time() {
    let (mut waiting, now) = (PendingHellos::new(1_000), start());
    for port in 1..=1_000 {
        enter(&mut waiting, now, path(1, port));
    }
    let later = now + PATIENCE;
    enter(&mut waiting, later, path(2, 1));
    let turns = (1..).find(|_| waiting.next(later).is_some());
    assert_eq!(turns, Some(1 + 1_000 / FORGOTTEN_AT_A_TIME));
    assert_eq!((waiting.len(), waiting.take_gone()), (1, 1_000));
}
