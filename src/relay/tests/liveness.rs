use super::*;

#[test]
fn a_silent_device_is_pinged_then_parked_until_it_sends_something() {
    let mut world = World::new();
    world.register_attributes(FIRST, r#"{"a":1}"#);
    let commands = Observation {
        id: ObservationId(2),
        ..FIRST
    };
    world.register_commands(commands);
    let start = world.now;
    let mut pinged = 0;
    let mut open: Vec<(Kind, u64)> = vec![(Kind::Attributes, 1), (Kind::Commands, 1)];
    while world.now < start + world.settings.alive_for {
        let effects = world.wait(60 * SECOND);
        pinged += effects
            .iter()
            .filter(|effect| **effect == RelayEffect::Ping(FIRST.session))
            .count();
        for number in reads(&effects) {
            world.read_brings(number, r#"{"shared":{"a":1}}"#);
        }
        for (kind, number) in polls(&effects) {
            let at = open.iter().position(|(other, _)| *other == kind).unwrap();
            let (_, before) = open.swap_remove(at);
            open.push((kind, number));
            world.now += 1200 * MS;
            world.poll_ends(kind, before, Err(Error::Elapsed));
        }
    }
    assert!(
        (1..=2).contains(&pinged),
        "once for each kind, and both at once: {pinged}"
    );
    let polled = world.counters.downlink.polls;
    let effects = world.event(|relay, _, context| relay.unresponsive(FIRST.session, context));
    assert_eq!(effects, []);
    for (kind, number) in open {
        world.poll_ends(kind, number, Err(Error::Elapsed));
    }
    assert_eq!(
        world.wait(24 * 3600 * SECOND),
        [],
        "no polls for a parked device"
    );
    assert_eq!(world.counters.downlink.polls, polled);
    assert_eq!(world.counters.parked, 2);

    assert!(
        world.relay.awaits_sign_of_life(FIRST.session)
            && !world.relay.awaits_sign_of_life(OTHER.session)
    );
    let effects = world.event(|relay, now, context| relay.received(now, FIRST.session, context));
    assert_eq!(polls(&effects).len(), 2);
    let number = read(&effects);
    let effects = world.read_brings(number, r#"{"shared":{"a":5}}"#);
    assert_eq!(
        notified(&effects)[0].1,
        r#"{"a":5}"#,
        "what changed while it was parked"
    );
    assert_eq!(world.counters.resumed, 2);
    assert!(!world.relay.awaits_sign_of_life(FIRST.session));
}

#[test]
fn keys_unconfirmed_before_parking_are_notified_after_it_with_later_changes() {
    let mut world = World::new();
    world.register_attributes(FIRST, r#"{"a":1,"b":1}"#);
    world.poll_brings(Kind::Attributes, 1, r#"{"a":2}"#);
    world.event(|relay, _, context| relay.delivery_failed(FIRST, context));
    let effects = world.event(|relay, now, context| relay.received(now, FIRST.session, context));
    assert_eq!(notified(&effects), [], "the present values are read first");
    let effects = world.read_brings(read(&effects), r#"{"shared":{"a":2}}"#);
    assert_eq!(notified(&effects)[0].1, r#"{"a":2,"deleted":["b"]}"#);
}

#[test]
fn a_read_that_fails_delays_no_notification_of_a_device_that_is_awake() {
    let mut world = World::new();
    world.register_attributes(FIRST, r#"{"a":1}"#);
    world.poll_brings(Kind::Attributes, 1, r#"{"a":2}"#);
    world.event(|relay, _, context| relay.delivery_failed(FIRST, context));
    let effects = world.event(|relay, now, context| relay.received(now, FIRST.session, context));
    let number = read(&effects);
    let effects = world.event(|relay, now, context| {
        relay.read_ended(now, number, Err(Error::Unreachable), context);
    });
    assert_eq!(notified(&effects)[0].1, r#"{"a":2}"#);
}

#[test]
fn a_device_that_sends_is_not_pinged() {
    let mut world = World::new();
    world.register_commands(FIRST);
    let mut open = 1;
    for _ in 0..500 {
        world.last_received = world.now;
        let effects = world.wait(60 * SECOND);
        assert!(!effects.contains(&RelayEffect::Ping(FIRST.session)));
        if let [(_, number)] = polls(&effects)[..] {
            world.now += 1200 * MS;
            world.poll_ends(Kind::Commands, open, Err(Error::Elapsed));
            open = number;
        }
    }
}

#[test]
fn another_sessions_silence_changes_nothing() {
    let mut world = World::new();
    world.register_commands(FIRST);
    world.event(|relay, _, context| relay.unresponsive(OTHER.session, context));
    world.event(|relay, _, _| relay.session_ended(OTHER.session));
    assert_eq!(world.relay.observation(Kind::Commands), Some(FIRST));
    assert_eq!(world.counters.parked, 0);
}

#[test]
fn a_session_that_ends_takes_its_observations_and_the_relay_becomes_idle() {
    let mut world = World::new();
    world.register_attributes(FIRST, r#"{"a":1}"#);
    world.register_commands(Observation {
        id: ObservationId(2),
        ..FIRST
    });
    let effects = world.event(|relay, _, _| relay.session_ended(FIRST.session));
    assert_eq!(effects, []);
    for kind in [Kind::Attributes, Kind::Commands] {
        assert_eq!(world.poll_ends(kind, 1, Err(Error::Elapsed)), []);
    }
    assert!(world.relay.is_idle());
    assert_eq!(world.relay.downlinks(&world.settings), 0);
}
