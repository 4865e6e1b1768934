use super::*;
use std::net::SocketAddr;

fn path(last: u8, port: u16) -> Path {
    Path {
        remote: SocketAddr::from(([192, 0, 2, last], port)),
        local: None,
        via: None,
    }
}

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    Instant::now()
}

fn push(pending: &mut PendingHellos, now: Instant, path: Path) {
    assert_eq!(
        pending.push(now, path, [0; 32], Hello::Dtls13(Vec::new()), History::None),
        Overflow::None
    );
    assert!(pending.contains(path));
}

fn pop(pending: &mut PendingHellos, now: Instant) -> Option<PendingHello> {
    pending.peek(now)?;
    pending.pop()
}

#[test]
fn sources_take_turns_and_each_is_served_in_order_of_arrival() {
    let (mut pending, now) = (PendingHellos::new(2), start());
    for (last, port) in [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1)] {
        push(&mut pending, now, path(last, port));
    }
    // A repetition keeps its place.
    let again = pending.push(
        now,
        path(1, 1),
        [7; 32],
        Hello::Dtls13(vec![7]),
        History::None,
    );
    assert_eq!(again, Overflow::None);
    let popped: Vec<_> = std::iter::from_fn(|| pop(&mut pending, now)).collect();
    let order: Vec<_> = popped.iter().map(|hello| hello.path).collect();
    let expected = [(1, 1), (2, 1), (3, 1), (1, 2), (1, 3)];
    assert_eq!(order, expected.map(|(last, port)| path(last, port)));
    assert_eq!(
        (popped[0].random, popped[0].hello.bytes()),
        ([7; 32], &[7][..])
    );
    assert_eq!((pending.len(), pending.hosts()), (0, 0));
    assert_eq!(pending.new.count() + pending.known_or_repeated.count(), 0);
}

#[test]
fn all_entries_and_those_of_one_host_are_bounded() {
    let (mut pending, now) = (PendingHellos::new(2), start());
    for (last, fits, then) in [
        (1, 5, Overflow::Host),
        (2, 5, Overflow::Host),
        (3, 0, Overflow::Total),
    ] {
        for port in 0..9 {
            let overflow = pending.push(
                now,
                path(last, port),
                [0; 32],
                Hello::Dtls13(Vec::new()),
                History::None,
            );
            let expected = if port < fits { Overflow::None } else { then };
            assert_eq!(overflow, expected, "{last} {port}");
        }
    }
    assert_eq!(pending.len(), 10);
    pending.clear();
    push(&mut pending, now, path(1, 1));
    assert_eq!(PendingHellos::new(1_000_000).capacity, MAX_PENDING);
}

#[test]
fn when_full_the_newest_entry_of_the_largest_host_is_evicted_for_a_smaller_one() {
    let (mut pending, now) = (PendingHellos::new(2), start());
    for (last, port) in (1..=5).flat_map(|port| [(1, port), (2, port)]) {
        push(&mut pending, now, path(last, port));
    }
    for port in 1..=4 {
        // One is dropped in any case: another source's newest, or the new one.
        let overflow = pending.push(
            now,
            path(3, port),
            [0; 32],
            Hello::Dtls13(Vec::new()),
            History::None,
        );
        assert_eq!(overflow, Overflow::Total);
    }
    assert_eq!((pending.len(), pending.hosts()), (10, 3));
    let popped: Vec<_> = std::iter::from_fn(|| pop(&mut pending, now)).collect();
    let of = |last: u8| {
        let from = |hello: &&PendingHello| hello.path.remote.ip() == path(last, 1).remote.ip();
        let ports = popped.iter().filter(from);
        ports.map(|hello| hello.path.remote.port()).collect()
    };
    let kept: [Vec<u16>; 3] = [of(1), of(2), of(3)];
    assert_eq!(kept, [vec![1, 2, 3], vec![1, 2, 3, 4], vec![1, 2, 3]]);
}

#[test]
fn expired_entries_are_removed_without_taking_a_turn() {
    let (mut pending, now) = (PendingHellos::new(2), start());
    for (last, port) in [(1, 1), (1, 2), (2, 1), (3, 1)] {
        pending.push(
            now,
            path(last, port),
            [0; 32],
            Hello::Dtls13(Vec::new()),
            History::None,
        );
    }
    let later = now + LIFETIME;
    for (last, port) in [(1, 2), (3, 1)] {
        pending.push(
            later,
            path(last, port),
            [0; 32],
            Hello::Dtls13(Vec::new()),
            History::None,
        );
    }
    for (last, port) in [(1, 2), (3, 1)] {
        let next = pending.peek(later).map(|(_, host)| host);
        assert_eq!(next, Some(path(last, port).remote.ip()));
        assert!(
            pending
                .pop()
                .is_some_and(|hello| hello.path == path(last, port))
        );
    }
    assert_eq!((pending.peek(later), pending.len()), (None, 0));
    assert_eq!((pending.take_expired(), pending.take_expired()), (2, 0));
    assert_eq!(pending.new.count() + pending.known_or_repeated.count(), 0);
}

/// The sources of all entries in the order they are popped: the last byte of the address, and the port.
fn order(pending: &mut PendingHellos, now: Instant) -> Vec<(u8, u16)> {
    let popped = std::iter::from_fn(|| pop(pending, now));
    let source = |hello: PendingHello| match hello.path.remote.ip() {
        IpAddr::V4(ip) => (ip.octets()[3], hello.path.remote.port()),
        IpAddr::V6(_) => unreachable!("these are IPv4 addresses"),
    };
    popped.map(source).collect()
}

#[test]
fn known_sources_get_more_turns_but_not_all() {
    let (mut pending, now) = (PendingHellos::new(10), start());
    for port in 1..=12 {
        for (last, history) in [(1, History::None), (2, History::Host), (3, History::Port)] {
            pending.push(
                now,
                path(last, port),
                [0; 32],
                Hello::Dtls13(Vec::new()),
                history,
            );
        }
    }
    let order = order(&mut pending, now);
    let of = |last| {
        order[..20]
            .iter()
            .filter(|(other, _)| *other == last)
            .count()
    };
    assert_eq!([of(1), of(2), of(3)], [2, 6, 12], "{order:?}");
}

#[test]
fn a_client_that_repeats_its_hello_precedes_those_that_do_not() {
    let (mut pending, now) = (PendingHellos::new(10), start());
    for port in 1..=9 {
        push(&mut pending, now, path(1, port));
    }
    // A duplicate of the network; another client on the same port; and a repetition.
    pending.push(
        now + REPEATED_AFTER / 2,
        path(1, 7),
        [0; 32],
        Hello::Dtls13(Vec::new()),
        History::None,
    );
    let later = now + REPEATED_AFTER;
    pending.push(
        later,
        path(1, 8),
        [1; 32],
        Hello::Dtls13(Vec::new()),
        History::None,
    );
    pending.push(
        later,
        path(1, 9),
        [0; 32],
        Hello::Dtls13(Vec::new()),
        History::None,
    );
    let order = order(&mut pending, later);
    assert_eq!(order[..3], [(1, 9), (1, 1), (1, 2)]);
}

#[test]
fn a_rejected_hello_that_is_repeated_replaces_one_that_is_not() {
    let (mut pending, now) = (PendingHellos::new(2), start());
    for port in 1..=5 {
        push(&mut pending, now, path(1, port));
    }
    for expected in [5, 5] {
        let overflow = pending.push(
            now,
            path(1, 6),
            [0; 32],
            Hello::Dtls13(Vec::new()),
            History::None,
        );
        assert_eq!((overflow, pending.len()), (Overflow::Host, expected));
    }
    let order = order(&mut pending, now);
    assert_eq!(order, [6, 1, 2, 3, 4].map(|port| (1, port)));
}

#[test]
fn when_full_a_network_with_many_addresses_makes_room_for_another() {
    let (mut pending, now) = (PendingHellos::new(2), start());
    let of = |network, host| Path {
        remote: SocketAddr::from(([10, network, 0, host], 5684)),
        local: None,
        via: None,
    };
    for host in 0..10 {
        push(&mut pending, now, of(1, host));
    }
    for (network, host, history, is_in) in [
        (2, 0, History::None, true),
        // Of the large network itself: known sources only.
        (1, 10, History::None, false),
        (1, 11, History::Port, true),
    ] {
        let overflow = pending.push(
            now,
            of(network, host),
            [0; 32],
            Hello::Dtls13(Vec::new()),
            history,
        );
        assert_eq!(overflow, Overflow::Total);
        assert_eq!(
            pending.contains(of(network, host)),
            is_in,
            "{network} {host}"
        );
    }
    assert_eq!(pending.len(), 10);
}

#[test]
fn a_bounded_number_of_expired_entries_is_removed_in_one_call() {
    let (mut pending, now) = (PendingHellos::new(1_000), start());
    for port in 1..=1_000 {
        push(&mut pending, now, path(1, port));
    }
    let later = now + LIFETIME;
    push(&mut pending, later, path(2, 1));
    let turns = (1..).find(|_| pending.peek(later).is_some());
    assert_eq!(turns, Some(1 + 1_000 / EXPIRED_PER_CALL));
    assert_eq!((pending.len(), pending.take_expired()), (1, 1_000));
}
