use super::*;

const KIND: Kind = Kind::Commands;

fn command(id: u32) -> String {
    format!(r#"{{"id":{id},"method":"set","params":{{"n":{id}}}}}"#)
}

#[test]
fn a_command_is_notified_byte_for_byte_after_the_next_poll_is_opened() {
    let mut world = World::new();
    assert_eq!(
        world.register_commands(FIRST),
        [RelayEffect::Downlink(Effect::OpenPoll(
            KIND,
            1,
            25 * SECOND
        ))]
    );
    let body = r#"{ "id": 7, "method":"m","params":1.0e2 }"#;
    let effects = world.poll_brings(KIND, 1, body);
    assert!(
        matches!(
            effects[..],
            [
                RelayEffect::Downlink(Effect::OpenPoll(..)),
                RelayEffect::Notify { .. }
            ]
        ),
        "{effects:?}"
    );
    assert_eq!(notified(&effects)[0].1, body);
}

#[test]
fn commands_go_one_after_the_other_and_are_never_superseded() {
    let mut world = World::new();
    world.register_commands(FIRST);
    let first = notified(&world.poll_brings(KIND, 1, &command(1)));
    assert_eq!(first[0].1, command(1));
    assert_eq!(notified(&world.poll_brings(KIND, 2, &command(2))), []);
    assert_eq!(notified(&world.poll_brings(KIND, 3, &command(3))), []);
    let second = notified(&world.delivered(FIRST, first[0].0));
    assert_eq!(second[0].1, command(2));
    assert_eq!(
        notified(&world.delivered(FIRST, first[0].0)),
        [],
        "an old number"
    );
    let third = notified(&world.delivered(FIRST, second[0].0));
    assert_eq!(third[0].1, command(3));
    assert_eq!(notified(&world.delivered(FIRST, third[0].0)), []);
    assert_eq!(world.counters.commands_delivered, 3);
}

#[test]
fn an_unanswered_command_is_notified_once_and_polled_for_less_than_twenty_times_a_minute() {
    let mut world = World::new();
    let mut effects = world.register_commands(FIRST);
    let end = world.now + 60 * SECOND;
    let (mut opened, mut delivered) = (0, 0);
    let mut pauses = Vec::new();
    let mut last = world.now;
    while world.now < end {
        for (_, number) in polls(&effects) {
            opened += 1;
            pauses.push((world.now - last).as_millis());
            last = world.now;
            let more = world.poll_brings(KIND, number, &command(7));
            for (number, _) in notified(&more) {
                delivered += 1;
                world.delivered(FIRST, number);
            }
            effects = more;
        }
        if polls(&effects).is_empty() {
            effects = world.wait(end - world.now);
        }
    }
    assert_eq!(delivered, 1);
    assert_eq!(pauses[..6], [0, 0, 1000, 2000, 5000, 5000]);
    assert!(opened <= 20, "{opened}");
}

#[test]
fn a_reply_ends_the_holding_off_at_once() {
    let mut world = World::new();
    world.register_commands(FIRST);
    let effects = world.poll_brings(KIND, 1, &command(7));
    world.delivered(FIRST, notified(&effects)[0].0);
    let mut number = 2;
    for _ in 0..4 {
        assert_eq!(world.poll_brings(KIND, number, &command(7)), []);
        number = poll(&world.wait(5 * SECOND));
    }
    assert_eq!(world.poll_brings(KIND, number, &command(7)), []);
    world.event(|relay, now, context| relay.reply_received(now, 7, context));
    let effects = world.event(|relay, now, _| relay.reply_answered(now, 7, true));
    assert_eq!(polls(&effects).len(), 1);
    // If a poll brings it once more, it is not notified again.
    let effects = world.poll_brings(KIND, poll(&effects), &command(7));
    assert_eq!(notified(&effects), []);
    assert_eq!(world.wait(2 * SECOND).len(), 1, "from one second again");
}

#[test]
fn a_reply_that_comes_before_the_acknowledgement_counts_as_delivery() {
    let mut world = World::new();
    world.register_commands(FIRST);
    let first = notified(&world.poll_brings(KIND, 1, &command(7)));
    world.poll_brings(KIND, 2, &command(8));
    let effects = world.event(|relay, now, context| relay.reply_received(now, 7, context));
    assert_eq!(notified(&effects)[0].1, command(8));
    assert_eq!(notified(&world.delivered(FIRST, first[0].0)), []);
    // Replies to commands that are not in flight change nothing.
    for id in [7, 99] {
        let effects = world.event(|relay, now, context| relay.reply_received(now, id, context));
        assert_eq!(effects, []);
    }
}

#[test]
fn a_command_not_acknowledged_is_notified_again_under_the_same_id_and_no_other() {
    let mut world = World::new();
    world.register_commands(FIRST);
    let first = notified(&world.poll_brings(KIND, 1, &command(1)));
    world.delivered(FIRST, first[0].0);
    world.poll_brings(KIND, 2, &command(2));
    world.event(|relay, _, context| relay.delivery_failed(FIRST, context));
    // ThingsBoard repeats it meanwhile: it is in the queue.
    world.poll_brings(KIND, 3, &command(2));
    let effects = world.event(|relay, now, context| relay.received(now, FIRST.session, context));
    let again = notified(&effects);
    assert_eq!((again.len(), &again[0].1), (1, &command(2)));
    assert!(again[0].0 > first[0].0, "a number of its own");
}

#[test]
fn queued_commands_outlive_their_session_and_go_to_the_next() {
    let mut world = World::new();
    world.register_commands(FIRST);
    world.poll_brings(KIND, 1, &command(1));
    world.event(|relay, _, _| relay.session_ended(FIRST.session));
    assert!(!world.relay.is_idle());
    // The poll that was open brings one more, which ThingsBoard has given away.
    assert_eq!(world.poll_brings(KIND, 2, &command(2)), []);
    let effects = world.register_commands(OTHER);
    let first = notified(&effects);
    assert_eq!(first[0].1, command(1));
    assert_eq!(
        notified(&world.delivered(OTHER, first[0].0))[0].1,
        command(2)
    );
}

#[test]
fn while_many_commands_are_queued_there_are_no_polls() {
    let mut world = World::new();
    let mut effects = world.register_commands(FIRST);
    let mut taken = 0;
    while let [(_, number)] = polls(&effects)[..] {
        taken += 1;
        assert!(taken <= 20);
        effects = world.poll_brings(KIND, number, &command(taken));
    }
    assert_eq!(world.relay.commands_queued(), 16);
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
fn a_command_too_large_for_a_message_gets_an_error_as_its_reply() {
    let mut world = World::new();
    world.register_commands(FIRST);
    world.largest_payload = 60;
    let large = format!(r#"{{"id":7,"method":"m","params":"{}"}}"#, "x".repeat(100));
    let effects = world.poll_brings(KIND, 1, &large);
    let error_reply = RelayEffect::ReplyToCommand(7, CommandError::TooLarge);
    assert!(effects.contains(&error_reply));
    // ThingsBoard repeats it until it has the reply: there is one reply, and no poll until then.
    let effects = world.event(|relay, now, _| relay.reply_answered(now, 7, true));
    let next = match effects[..] {
        [] => 2,
        _ => poll(&effects),
    };
    assert_eq!(polls(&world.poll_brings(KIND, next, &large)).len(), 1);
    let next = next + 1;
    let small = r#"{"id":8,"method":"m","params":1}"#;
    assert_eq!(notified(&world.poll_brings(KIND, next, small))[0].1, small);
    assert_eq!(world.counters.too_large, 1);
}

#[test]
fn a_command_without_an_id_is_a_failure_and_logged() {
    for body in ["", "nonsense", "[]", r#"{"method":"m"}"#, r#"{"id":"x"}"#] {
        let mut world = World::new();
        world.register_commands(FIRST);
        assert_eq!(
            world.poll_brings(KIND, 1, body),
            [RelayEffect::UnreadableMessage(KIND)]
        );
        poll(&world.wait(SECOND));
    }
}

#[test]
fn on_uplink_short_polls_follow_an_uplink_until_one_brings_nothing() {
    let mut world = World::on_uplink();
    let effects = world.register_commands(FIRST);
    assert_eq!(
        effects,
        [RelayEffect::Downlink(Effect::OpenPoll(KIND, 1, SECOND))]
    );
    world.now += SECOND;
    assert_eq!(world.poll_ends(KIND, 1, Err(Error::Elapsed)), []);
    assert_eq!(world.wait(3600 * SECOND), [], "no poll without an uplink");
    world.last_received = world.now;
    let effects = world.event(|relay, now, context| relay.uplink(now, context));
    let effects = world.poll_brings(KIND, poll(&effects), &command(1));
    assert_eq!(notified(&effects)[0].1, command(1));
    world.now += SECOND;
    let effects = world.poll_ends(KIND, poll(&effects), Err(Error::Elapsed));
    assert_eq!(effects, []);
}

#[test]
fn thingsboards_request_timeout_is_reported_once_and_respected() {
    let mut world = World::with(Settings {
        poll_timeout: 60 * SECOND,
        ..Settings::default()
    });
    world.register_commands(FIRST);
    world.now += 30 * SECOND;
    let effects = world.poll_ends(KIND, 1, Err(Error::Overloaded));
    let cut_short = RelayEffect::Downlink(Effect::PollCutShort {
        requested: 60 * SECOND,
        lasted: 30 * SECOND,
    });
    assert_eq!(effects, [cut_short]);
    let effects = world.wait(SECOND);
    assert_eq!(
        effects,
        [RelayEffect::Downlink(Effect::OpenPoll(
            KIND,
            2,
            25 * SECOND
        ))]
    );
}

#[test]
fn a_reply_that_overtakes_an_open_poll_causes_no_hold_off() {
    let mut world = World::new();
    world.register_commands(FIRST);
    let effects = world.poll_brings(KIND, 1, &command(7));
    assert_eq!(poll(&effects), 2);
    world.delivered(FIRST, notified(&effects)[0].0);
    // While the reply is in flight there is no new poll: it would bring the same command.
    world.event(|relay, now, context| relay.reply_received(now, 7, context));
    world.event(|relay, now, _| relay.reply_answered(now, 7, true));
    // The second poll was answered before ThingsBoard had the reply, and comes after it.
    let effects = world.poll_brings(KIND, 2, &command(7));
    assert_eq!(poll(&effects), 3);
    // One that was opened afterwards was not answered before the reply.
    assert_eq!(world.poll_brings(KIND, 3, &command(7)), []);
    assert_eq!(polls(&world.wait(SECOND)).len(), 1);
}

#[test]
fn while_a_reply_is_in_flight_no_poll_is_opened_for_five_seconds_at_most() {
    for is_accepted in [Some(true), Some(false), None] {
        let mut world = World::new();
        world.register_commands(FIRST);
        let effects = world.poll_brings(KIND, 1, &command(7));
        world.delivered(FIRST, notified(&effects)[0].0);
        world.event(|relay, now, context| relay.reply_received(now, 7, context));
        assert_eq!(world.poll_brings(KIND, 2, &command(7)), []);
        assert_eq!(world.wait(4 * SECOND), []);
        let effects = match is_accepted {
            Some(is_accepted) => {
                world.event(|relay, now, _| relay.reply_answered(now, 7, is_accepted))
            }
            None => world.wait(SECOND),
        };
        assert_eq!(polls(&effects).len(), 1, "{is_accepted:?}");
    }
}

#[test]
fn the_next_poll_waits_for_the_reply_of_a_device_that_replied_to_the_last_command() {
    let mut world = World::new();
    world.register_commands(FIRST);
    let mut effects = world.poll_brings(KIND, 1, &command(1));
    for id in 1..=10 {
        world.delivered(FIRST, notified(&effects)[0].0);
        world.now += 100 * MS;
        world.event(|relay, now, context| relay.reply_received(now, id, context));
        let next = polls(&world.event(|relay, now, _| relay.reply_answered(now, id, true)));
        assert_eq!(
            next.len(),
            usize::from(id > 1),
            "for the first, a poll is open"
        );
        effects = world.poll_brings(KIND, u64::from(id) + 1, &command(id + 1));
        assert_eq!(polls(&effects), [], "it would bring {id} once more");
    }
    assert_eq!(world.counters.commands_repeated, 0);
    // No reply comes to the eleventh, as for one-way commands: the next poll waits 300 ms, the others do not.
    let start = world.now;
    let effects = world.wait(SECOND);
    assert_eq!((polls(&effects).len(), world.now - start), (1, 300 * MS));
    let effects = world.poll_brings(KIND, poll(&effects), &command(12));
    poll(&effects);
}

#[test]
fn replies_to_commands_not_delivered_or_replied_to_before_cause_no_poll() {
    let mut world = World::new();
    world.register_commands(FIRST);
    let effects = world.poll_brings(KIND, 1, &command(7));
    world.delivered(FIRST, notified(&effects)[0].0);
    assert_eq!(world.poll_brings(KIND, 2, &command(7)), []);
    for id in [8, 9, 8, 8] {
        world.event(|relay, now, context| relay.reply_received(now, id, context));
        let effects = world.event(|relay, now, _| relay.reply_answered(now, id, true));
        assert_eq!(effects, [], "{id}");
    }
    assert_eq!(polls(&world.wait(SECOND)).len(), 1);
}

fn answering(limit: Duration) -> World {
    let settings = Settings {
        command_answer: Some(limit),
        ..Settings::default()
    };
    let mut world = World::with(settings);
    let effects = world.register_commands(FIRST);
    assert_eq!(poll(&effects), 1);
    world
}

/// Polls bring this command for so long; returns when the gateway replied to it itself.
fn unanswered(world: &mut World, mut number: u64, id: u32, lasts: Duration) -> Vec<Duration> {
    let start = world.now;
    let mut replied = Vec::new();
    while world.now < start + lasts {
        let effects = world.poll_brings(KIND, number, &command(id));
        if effects.contains(&RelayEffect::ReplyToCommand(id, CommandError::Unanswered)) {
            replied.push(world.now - start);
        }
        for (number, _) in notified(&effects) {
            world.delivered(FIRST, number);
        }
        let effects = match polls(&effects).is_empty() {
            true => world.wait(60 * SECOND),
            false => effects,
        };
        number = poll(&effects);
    }
    replied
}

#[test]
fn a_command_that_is_not_replied_to_within_command_answer_gets_an_error_for_a_reply() {
    let mut world = answering(12 * SECOND);
    let replied = unanswered(&mut world, 1, 7, 15 * SECOND);
    assert_eq!(replied, [12 * SECOND], "once, and not a hold-off later");
    assert_eq!(world.counters.commands_unanswered, 1);
    let effects = world.event(|relay, now, _| relay.reply_answered(now, 7, true));
    assert_eq!(polls(&effects).len(), 0, "one is open");
    let open = world.counters.downlink.polls;
    assert_eq!(
        notified(&world.poll_brings(KIND, open, &command(8))).len(),
        1
    );
}

#[test]
fn without_command_answer_the_gateway_replies_to_nothing_itself() {
    let mut world = World::new();
    world.register_commands(FIRST);
    assert!(unanswered(&mut world, 1, 7, 600 * SECOND).is_empty());
}

#[test]
fn the_gateway_does_not_reply_to_a_one_way_command_or_to_one_not_delivered() {
    let mut world = answering(12 * SECOND);
    let effects = world.poll_brings(KIND, 1, &command(7));
    world.delivered(FIRST, notified(&effects)[0].0);
    world.poll_brings(KIND, 2, &command(8));
    for _ in 0..20 {
        // Not acknowledged: it is still queued, and the other did not come again.
        let effects = world.wait(5 * SECOND);
        for (_, number) in polls(&effects) {
            let effects = world.poll_brings(KIND, number, &command(8));
            assert!(
                !effects
                    .iter()
                    .any(|e| matches!(e, RelayEffect::ReplyToCommand(..)))
            );
        }
    }
    assert_eq!(world.counters.commands_unanswered, 0);
}

#[test]
fn a_reply_of_the_gateway_that_thingsboard_did_not_take_is_sent_again() {
    let mut world = answering(3 * SECOND);
    unanswered(&mut world, 1, 7, 4 * SECOND);
    assert_eq!(world.counters.commands_unanswered, 1);
    world.event(|relay, now, _| relay.reply_answered(now, 7, false));
    let open = world.counters.downlink.polls;
    let effects = world.poll_brings(KIND, open, &command(7));
    let again = RelayEffect::ReplyToCommand(7, CommandError::Unanswered);
    assert!(effects.contains(&again), "{effects:?}");
    assert_eq!(world.counters.commands_unanswered, 1, "counted once");
}

#[test]
fn a_command_that_there_is_no_room_for_gets_an_error_and_is_recognised() {
    let mut world = World::new();
    world.register_commands(FIRST);
    world.room = 200;
    let effects = world.poll_brings(KIND, 1, &command(7));
    assert_eq!(notified(&effects).len(), 1, "less than that");
    world.room = 100;
    let effects = world.poll_brings(KIND, 2, &command(8));
    let error_reply = RelayEffect::ReplyToCommand(8, CommandError::NoRoom);
    assert!(effects.contains(&error_reply), "{effects:?}");
    assert_eq!(world.relay.commands_queued(), 1);
    world.room = 200;
    let effects = world.event(|relay, now, _| relay.reply_answered(now, 8, true));
    assert_eq!(
        notified(&world.poll_brings(KIND, poll(&effects), &command(8))),
        []
    );
    assert_eq!(world.counters.no_room, 1);
}
