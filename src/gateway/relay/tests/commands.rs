use super::*;

const KIND: Kind = Kind::Commands;

fn command(id: u32) -> String {
    format!(r#"{{"id":{id},"method":"set","params":{{"n":{id}}}}}"#)
}

#[test]
fn a_command_is_told_as_it_is_after_the_next_poll_is_opened() {
    let mut world = World::new();
    assert_eq!(
        world.register_commands(FIRST),
        [Effect::Poll(KIND, 1, 25 * SECOND)]
    );
    let body = r#"{ "id": 7, "method":"m","params":1.0e2 }"#;
    let effects = world.poll_brings(KIND, 1, body);
    assert!(
        matches!(effects[..], [Effect::Poll(..), Effect::Notify { .. }]),
        "{effects:?}"
    );
    assert_eq!(told(&effects)[0].1, body);
}

#[test]
fn commands_go_one_after_the_other_and_are_never_superseded() {
    let mut world = World::new();
    world.register_commands(FIRST);
    let first = told(&world.poll_brings(KIND, 1, &command(1)));
    assert_eq!(first[0].1, command(1));
    assert_eq!(told(&world.poll_brings(KIND, 2, &command(2))), []);
    assert_eq!(told(&world.poll_brings(KIND, 3, &command(3))), []);
    let second = told(&world.delivered(FIRST, first[0].0));
    assert_eq!(second[0].1, command(2));
    assert_eq!(
        told(&world.delivered(FIRST, first[0].0)),
        [],
        "an old number"
    );
    let third = told(&world.delivered(FIRST, second[0].0));
    assert_eq!(third[0].1, command(3));
    assert_eq!(told(&world.delivered(FIRST, third[0].0)), []);
    assert_eq!(world.counters.commands_delivered, 3);
}

#[test]
fn an_unanswered_command_is_told_once_and_asked_for_less_than_twenty_times_a_minute() {
    let mut world = World::new();
    let mut effects = world.register_commands(FIRST);
    let end = world.now + 60 * SECOND;
    let (mut asked, mut notified) = (0, 0);
    let mut pauses = Vec::new();
    let mut last = world.now;
    while world.now < end {
        for (_, number) in polls(&effects) {
            asked += 1;
            pauses.push((world.now - last).as_millis());
            last = world.now;
            let more = world.poll_brings(KIND, number, &command(7));
            for (number, _) in told(&more) {
                notified += 1;
                world.delivered(FIRST, number);
            }
            effects = more;
        }
        if polls(&effects).is_empty() {
            effects = world.wait(end - world.now);
        }
    }
    assert_eq!(notified, 1);
    assert_eq!(pauses[..6], [0, 0, 1000, 2000, 5000, 5000]);
    assert!(asked <= 20, "{asked}");
}

#[test]
fn a_reply_ends_the_holding_off_at_once() {
    let mut world = World::new();
    world.register_commands(FIRST);
    let effects = world.poll_brings(KIND, 1, &command(7));
    world.delivered(FIRST, told(&effects)[0].0);
    let mut number = 2;
    for _ in 0..4 {
        assert_eq!(world.poll_brings(KIND, number, &command(7)), []);
        number = poll(&world.wait(5 * SECOND));
    }
    assert_eq!(world.poll_brings(KIND, number, &command(7)), []);
    let effects = world.event(|relay, now, _| relay.replied(now, 7));
    assert_eq!(polls(&effects).len(), 1);
    // A poll that was answered before ThingsBoard had the reply repeats nothing.
    let effects = world.poll_brings(KIND, poll(&effects), &command(7));
    assert_eq!(told(&effects), []);
    assert_eq!(world.wait(2 * SECOND).len(), 1, "from one second again");
}

#[test]
fn a_reply_that_comes_before_the_acknowledgement_says_that_the_command_has_arrived() {
    let mut world = World::new();
    world.register_commands(FIRST);
    let first = told(&world.poll_brings(KIND, 1, &command(7)));
    world.poll_brings(KIND, 2, &command(8));
    let effects = world.event(|relay, now, context| relay.reply_came(now, 7, context));
    assert_eq!(told(&effects)[0].1, command(8));
    assert_eq!(told(&world.delivered(FIRST, first[0].0)), []);
    // Replies to what is not under way change nothing.
    for id in [7, 99] {
        let effects = world.event(|relay, now, context| relay.reply_came(now, id, context));
        assert_eq!(effects, []);
    }
}

#[test]
fn what_was_not_acknowledged_comes_again_under_the_same_id_and_what_was_does_not() {
    let mut world = World::new();
    world.register_commands(FIRST);
    let first = told(&world.poll_brings(KIND, 1, &command(1)));
    world.delivered(FIRST, first[0].0);
    world.poll_brings(KIND, 2, &command(2));
    world.event(|relay, _, context| relay.undelivered(FIRST, context));
    // ThingsBoard gives it again meanwhile: it is in the queue.
    world.poll_brings(KIND, 3, &command(2));
    let effects = world.event(|relay, now, context| relay.heard(now, FIRST.session, context));
    let again = told(&effects);
    assert_eq!((again.len(), &again[0].1), (1, &command(2)));
    assert!(again[0].0 > first[0].0, "told under a number of its own");
}

#[test]
fn what_waits_survives_its_session_and_goes_to_the_next() {
    let mut world = World::new();
    world.register_commands(FIRST);
    world.poll_brings(KIND, 1, &command(1));
    world.event(|relay, _, context| relay.session_gone(FIRST.session, context));
    assert!(!world.relay.is_idle());
    // The poll that was open brings one more, which nobody else would keep.
    assert_eq!(world.poll_brings(KIND, 2, &command(2)), []);
    let effects = world.register_commands(SECOND_ONE);
    let first = told(&effects);
    assert_eq!(first[0].1, command(1));
    assert_eq!(
        told(&world.delivered(SECOND_ONE, first[0].0))[0].1,
        command(2)
    );
}

#[test]
fn while_many_wait_polls_do_too() {
    let mut world = World::new();
    let mut effects = world.register_commands(FIRST);
    let mut taken = 0;
    while let [(_, number)] = polls(&effects)[..] {
        taken += 1;
        assert!(taken <= 20);
        effects = world.poll_brings(KIND, number, &command(taken));
    }
    assert_eq!(world.relay.commands_waiting(), 16);
    assert_eq!(
        world
            .relay
            .next_timeout(&world.settings)
            .map(|at| at > world.now),
        Some(true)
    );
    let effects = world.delivered(FIRST, 1);
    assert_eq!(polls(&effects).len(), 1, "there is room again");
}

#[test]
fn a_command_that_fits_no_message_is_refused_on_the_devices_behalf() {
    let mut world = World::new();
    world.register_commands(FIRST);
    world.largest_payload = 60;
    let large = format!(r#"{{"id":7,"method":"m","params":"{}"}}"#, "x".repeat(100));
    let effects = world.poll_brings(KIND, 1, &large);
    assert!(effects.contains(&Effect::Refuse(7)));
    // ThingsBoard gives it again until it has the refusal: refused once, and held off.
    assert_eq!(world.poll_brings(KIND, 2, &large), []);
    let next = poll(&world.wait(SECOND));
    let small = r#"{"id":8,"method":"m","params":1}"#;
    assert_eq!(told(&world.poll_brings(KIND, next, small))[0].1, small);
    assert_eq!(world.counters.too_large, 1);
}

#[test]
fn what_names_no_id_is_a_failure_told_to_the_operator() {
    for body in ["", "nonsense", "[]", r#"{"method":"m"}"#, r#"{"id":"x"}"#] {
        let mut world = World::new();
        world.register_commands(FIRST);
        assert_eq!(world.poll_brings(KIND, 1, body), [Effect::Nonsense(KIND)]);
        poll(&world.wait(SECOND));
    }
}

#[test]
fn on_uplink_short_polls_follow_an_uplink_until_one_brings_nothing() {
    let mut world = World::on_uplink();
    let effects = world.register_commands(FIRST);
    assert_eq!(effects, [Effect::Poll(KIND, 1, SECOND)]);
    world.now += SECOND;
    assert_eq!(world.poll_ends(KIND, 1, Err(Error::Elapsed)), []);
    assert_eq!(world.wait(3600 * SECOND), [], "nothing by itself");
    world.heard = world.now;
    let effects = world.event(|relay, now, context| relay.uplink(now, context));
    let effects = world.poll_brings(KIND, poll(&effects), &command(1));
    assert_eq!(told(&effects)[0].1, command(1));
    world.now += SECOND;
    let effects = world.poll_ends(KIND, poll(&effects), Err(Error::Elapsed));
    assert_eq!(effects, []);
}

#[test]
fn thingsboards_own_limit_is_told_once_and_kept() {
    let mut world = World::with(config::Relay {
        poll_timeout: 60 * SECOND,
        ..config::Relay::default()
    });
    world.register_commands(FIRST);
    world.now += 30 * SECOND;
    let effects = world.poll_ends(KIND, 1, Err(Error::Overloaded));
    let cut_off = Effect::CutOff {
        asked: 60 * SECOND,
        lasted: 30 * SECOND,
    };
    assert_eq!(effects, [cut_off]);
    let effects = world.wait(SECOND);
    assert_eq!(effects, [Effect::Poll(KIND, 2, 25 * SECOND)]);
}
