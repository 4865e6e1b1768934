use super::*;

const KIND: Kind = Kind::Attributes;

/// Registers with this state, lets one read follow, and returns the number of the open poll.
fn settled(world: &mut World, state: &str) -> u64 {
    let number = poll(&world.register_attributes(FIRST, state));
    let again = read(&world.wait(SECOND));
    world.read_brings(
        again,
        &format!(r#"{{"client":{{"c":1}},"shared":{state}}}"#),
    );
    number
}

#[test]
fn a_registration_opens_a_poll_and_reads_once_more_when_the_subscription_has_settled() {
    let mut world = World::new();
    let effects = world.register_attributes(FIRST, r#"{"a":1}"#);
    assert_eq!(
        effects,
        [RelayEffect::Downlink(Effect::OpenPoll(
            KIND,
            1,
            25 * SECOND
        ))]
    );
    let start = world.now;
    let number = read(&world.wait(SECOND));
    assert_eq!(world.now - start, 300 * MS);
    // What changed between the first read and the subscription is notified.
    let effects = world.read_brings(number, r#"{"shared":{"a":2}}"#);
    assert_eq!(notified(&effects)[0].1, r#"{"a":2}"#);
}

#[test]
fn a_change_is_notified_at_once_after_the_next_poll_is_opened_and_a_read_follows() {
    let mut world = World::new();
    let number = settled(&mut world, r#"{"a":1}"#);
    let effects = world.poll_brings(KIND, number, r#"{"a":2}"#);
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
    assert_eq!(notified(&effects)[0].1, r#"{"a":2}"#);
    // The second of two changes in quick succession fell between the polls.
    let number = read(&world.wait(SECOND));
    let effects = world.read_brings(number, r#"{"shared":{"a":2,"b":3}}"#);
    assert_eq!(
        notified(&effects)[0].1,
        r#"{"a":2,"b":3}"#,
        "with what is not acknowledged"
    );
    assert_eq!(world.counters.changes_found_by_reading, 1);
}

#[test]
fn what_was_delivered_is_not_notified_again() {
    let mut world = World::new();
    let number = settled(&mut world, r#"{"a":1}"#);
    let first = notified(&world.poll_brings(KIND, number, r#"{"a":2}"#))[0].0;
    world.delivered(FIRST, first);
    let effects = world.poll_brings(KIND, number + 1, r#"{"deleted":["a"]}"#);
    assert_eq!(notified(&effects)[0].1, r#"{"deleted":["a"]}"#);
}

#[test]
fn polls_that_run_out_overlap_and_nothing_is_read_for_them() {
    let mut world = World::new();
    let mut open = settled(&mut world, "{}");
    for _ in 0..20 {
        let successor = poll(&world.wait(25 * SECOND));
        world.now += 1100 * MS;
        let effects = world.poll_ends(KIND, open, Err(Error::Elapsed));
        assert_eq!(effects, []);
        open = successor;
    }
    assert_eq!(world.counters.reads, 1);
}

#[test]
fn the_copies_that_two_open_polls_bring_are_notified_once() {
    let mut world = World::new();
    let first = settled(&mut world, "{}");
    let second = poll(&world.wait(25 * SECOND));
    let effects = world.poll_brings(KIND, first, r#"{"a":1}"#);
    assert_eq!((polls(&effects).len(), notified(&effects).len()), (1, 1));
    assert_eq!(world.poll_brings(KIND, second, r#"{"a":1}"#), []);
}

#[test]
fn after_every_interruption_all_attributes_are_read_when_the_next_poll_has_settled() {
    let mut world = World::new();
    let number = settled(&mut world, r#"{"a":1}"#);
    assert_eq!(world.poll_ends(KIND, number, Err(Error::Unreachable)), []);
    let number = poll(&world.wait(SECOND));
    assert_eq!(world.poll_ends(KIND, number, Err(Error::Overloaded)), []);
    // Half of two seconds: nothing is read meanwhile.
    poll(&world.wait(SECOND));
    let number = read(&world.wait(300 * MS));
    let effects = world.read_brings(number, r#"{"shared":{"b":1}}"#);
    assert_eq!(notified(&effects)[0].1, r#"{"b":1,"deleted":["a"]}"#);
    assert_eq!(world.counters.downlink.polls_failed, 2);
}

#[test]
fn after_a_new_token_attributes_are_read_at_once_and_when_the_poll_has_settled() {
    let mut world = World::new();
    settled(&mut world, r#"{"a":1}"#);
    let renewed = Arc::new(Device {
        name: "meter".into(),
        token: AccessToken::new("RENEWED").unwrap(),
    });
    let effects = world.event(|relay, now, context| relay.update_device(now, renewed, context));
    poll(&effects);
    world.read_brings(read(&effects), r#"{"shared":{"a":1}}"#);
    // Changed before ThingsBoard had the subscription of the new poll.
    let effects = world.wait(SECOND);
    let effects = world.read_brings(read(&effects), r#"{"shared":{"a":2}}"#);
    assert_eq!(notified(&effects)[0].1, r#"{"a":2}"#);
}

#[test]
fn an_empty_answer_where_there_were_attributes_counts_when_it_comes_twice() {
    let mut world = World::new();
    let number = settled(&mut world, r#"{"a":1}"#);
    world.poll_brings(KIND, number, r#"{"a":2}"#);
    let number = read(&world.wait(SECOND));
    assert_eq!(notified(&world.read_brings(number, "{}")), []);
    let before = world.now;
    let number = read(&world.wait(10 * SECOND));
    assert_eq!(world.now - before, 3 * SECOND);
    let effects = world.read_brings(number, "{}");
    assert_eq!(notified(&effects)[0].1, r#"{"deleted":["a"]}"#);
}

#[test]
fn a_single_empty_answer_changes_nothing() {
    let mut world = World::new();
    let number = settled(&mut world, r#"{"a":1}"#);
    let update = notified(&world.poll_brings(KIND, number, r#"{"b":2}"#))[0].0;
    world.delivered(FIRST, update);
    for _ in 0..3 {
        let number = read(&world.wait(10 * SECOND));
        assert_eq!(notified(&world.read_brings(number, "{}")), []);
        let number = read(&world.wait(10 * SECOND));
        assert_eq!(
            notified(&world.read_brings(number, r#"{"shared":{"a":1,"b":2}}"#)),
            []
        );
        let next = poll_number(&mut world);
        world.poll_brings(KIND, next, r#"{"b":2}"#);
    }
    assert_eq!(world.counters.empty_reads_unconfirmed, 3);
}

/// The poll that is open.
fn poll_number(world: &mut World) -> u64 {
    // Polls are numbered one after the other, and the last is open.
    world.counters.downlink.polls
}

#[test]
fn a_registration_whose_read_is_empty_gets_the_known_values() {
    let mut world = World::new();
    settled(&mut world, r#"{"a":1}"#);
    let values = world.relay.registration_values(Values::new());
    assert_eq!(&attribute_json::flat(&values)[..], br#"{"a":1}"#);
    // Without an observation there are no known values.
    assert!(
        World::new()
            .relay
            .registration_values(Values::new())
            .is_empty()
    );
}

#[test]
fn a_second_observation_replaces_the_first_and_the_same_one_refreshes() {
    let mut world = World::new();
    settled(&mut world, r#"{"a":1}"#);
    assert_eq!(world.register_attributes(FIRST, r#"{"a":1}"#), []);
    let effects = world.register_attributes(OTHER, r#"{"a":1}"#);
    assert_eq!(
        effects,
        [RelayEffect::EndObservation(FIRST, ObservationEnd::Replaced)]
    );
    let effects = world.poll_brings(KIND, 1, r#"{"a":2}"#);
    assert!(matches!(
        effects[..],
        [
            RelayEffect::Downlink(Effect::OpenPoll(..)),
            RelayEffect::Notify {
                observation: OTHER,
                ..
            }
        ]
    ));
}

#[test]
fn an_observation_that_ends_leaves_only_its_open_poll_which_the_next_one_takes_over() {
    let mut world = World::new();
    let number = settled(&mut world, r#"{"a":1}"#);
    let effects = world.event(|relay, _, context| relay.cancelled(FIRST, context));
    assert_eq!(effects, []);
    assert_eq!(world.relay.next_timeout(&world.settings), None);
    assert_eq!(world.relay.downlinks(&world.settings), 1);
    world.now += 10 * SECOND;
    assert_eq!(world.register_attributes(OTHER, r#"{"a":1}"#), []);
    let effects = world.event(|relay, _, context| relay.cancelled(OTHER, context));
    assert_eq!(effects, []);
    assert_eq!(
        world.poll_brings(KIND, number, r#"{"a":9}"#),
        [],
        "too late"
    );
    assert!(world.relay.is_idle());
    assert_eq!(world.relay.downlinks(&world.settings), 0);
}

#[test]
fn a_device_that_thingsboard_rejects_has_both_observations_ended() {
    for (error, end) in [
        (rejected(401), ObservationEnd::Unauthorized),
        (rejected(403), ObservationEnd::Forbidden),
    ] {
        let mut world = World::new();
        settled(&mut world, r#"{"a":1}"#);
        let observation = Observation {
            id: ObservationId(2),
            ..FIRST
        };
        let commands = poll(&world.register_commands(observation));
        let effects = world.poll_ends(Kind::Commands, commands, Err(error));
        let ends: Vec<_> = effects
            .into_iter()
            .filter(|effect| matches!(effect, RelayEffect::EndObservation(..)))
            .collect();
        assert_eq!(
            ends,
            [
                RelayEffect::EndObservation(FIRST, end),
                RelayEffect::EndObservation(observation, end)
            ]
        );
        assert!(world.relay.is_idle());
    }
}

#[test]
fn what_is_no_update_is_a_failure_and_logged() {
    for body in ["", "nonsense", "[]", "{}", "\u{0}"] {
        let mut world = World::new();
        let number = settled(&mut world, r#"{"a":1}"#);
        let effects = world.poll_brings(KIND, number, body);
        assert_eq!(effects, [RelayEffect::UnreadableMessage(KIND)], "{body}");
        assert_eq!(world.counters.downlink.polls_failed, 1);
        poll(&world.wait(SECOND));
    }
}

#[test]
fn reads_that_fail_are_tried_again_with_back_off() {
    let mut world = World::new();
    world.register_attributes(FIRST, r#"{"a":1}"#);
    let mut waits = Vec::new();
    for _ in 0..4 {
        let before = world.now;
        let number = read(&world.wait(60 * SECOND));
        waits.push((world.now - before).as_millis());
        world.event(|relay, now, context| {
            relay.read_ended(now, number, Err(Error::Timeout), context);
        });
    }
    assert_eq!(waits, [300, 500, 1000, 2000]);
    assert_eq!(world.counters.reads_failed, 4);
}

#[test]
fn on_uplink_there_are_no_polls_and_attributes_are_read_after_each_uplink_and_every_sync_interval()
{
    let mut world = World::on_uplink();
    assert_eq!(world.register_attributes(FIRST, r#"{"a":1}"#), []);
    let number = read(&world.wait(SECOND));
    world.read_brings(number, r#"{"shared":{"a":1}}"#);
    let effects = world.event(|relay, now, context| relay.uplink(now, context));
    let effects = world.read_brings(read(&effects), r#"{"shared":{"a":2}}"#);
    let (number, body) = notified(&effects)[0].clone();
    assert_eq!(body, r#"{"a":2}"#);
    world.delivered(FIRST, number);
    let before = world.now;
    read(&world.wait(600 * SECOND));
    assert_eq!(world.now - before, world.settings.sync_interval);
    assert_eq!(world.counters.downlink.polls, 0);
}

#[test]
fn a_change_too_large_for_a_message_is_counted_and_skipped() {
    let mut world = World::new();
    let number = settled(&mut world, "{}");
    world.largest_payload = 100;
    let large = format!(r#"{{"large":"{}"}}"#, "x".repeat(200));
    assert_eq!(notified(&world.poll_brings(KIND, number, &large)), []);
    let effects = world.poll_brings(KIND, number + 1, r#"{"small":1}"#);
    assert_eq!(notified(&effects)[0].1, r#"{"small":1}"#);
    assert_eq!(world.counters.too_large, 1);
}

#[test]
fn values_too_large_for_one_message_go_on_when_the_first_part_is_delivered() {
    let mut world = World::new();
    let number = settled(&mut world, "{}");
    world.largest_payload = 40;
    let body = r#"{"a":"xxxxxxxxxxxxxxx","b":"xxxxxxxxxxxxxxx","c":"x"}"#;
    let first = notified(&world.poll_brings(KIND, number, body));
    assert_eq!(first.len(), 1);
    let second = notified(&world.delivered(FIRST, first[0].0));
    assert_eq!(second.len(), 1);
    let whole = format!("{}{}", first[0].1, second[0].1);
    for key in ["\"a\"", "\"b\"", "\"c\""] {
        assert_eq!(whole.matches(key).count(), 1, "{whole}");
    }
    assert_eq!(notified(&world.delivered(FIRST, second[0].0)), []);
}

#[test]
fn a_device_that_may_have_missed_its_registrations_response_is_notified_of_all_attributes() {
    let mut world = World::new();
    settled(&mut world, r#"{"a":1,"b":2}"#);
    let effects = world.event(|relay, now, _| relay.registration_repeated(now, FIRST));
    assert_eq!(notified(&effects)[0].1, r#"{"a":1,"b":2}"#);
}

#[test]
fn a_registration_repeated_over_and_over_has_all_attributes_notified_once_a_second() {
    let mut world = World::new();
    settled(&mut world, r#"{"a":1,"b":2}"#);
    let mut times = 0;
    for _ in 0..100 {
        let effects = world.event(|relay, now, _| relay.registration_repeated(now, FIRST));
        times += notified(&effects).len();
        world.now += Duration::from_millis(1);
    }
    assert_eq!(times, 1, "composed once");
    // After the last repetition all attributes are notified as they are then.
    let mut later = Vec::new();
    let end = world.now + Duration::from_secs(2);
    while world.now < end {
        let effects = world.wait(Duration::from_millis(100));
        later.extend(notified(&effects));
    }
    assert_eq!(later.len(), 1);
    assert_eq!(later[0].1, r#"{"a":1,"b":2}"#);
}

#[test]
fn keys_in_flight_when_the_device_registers_again_are_notified_once_more_with_their_present_values()
{
    let mut world = World::new();
    let number = settled(&mut world, r#"{"a":1,"b":1,"c":1}"#);
    world.poll_brings(KIND, number, r#"{"a":2,"b":2}"#);
    // The notification may come after this response, with older values.
    let effects = world.register_attributes(FIRST, r#"{"b":3,"c":1}"#);
    assert_eq!(notified(&effects)[0].1, r#"{"b":3,"deleted":["a"]}"#);
}

/// A tenant replaces all of them again and again, while the device acknowledges nothing.
#[test]
fn keys_that_come_and_go_while_nothing_is_delivered_are_bounded() {
    let mut world = World::new();
    let mut number = settled(&mut world, r#"{"a":1}"#);
    let state = |round: usize| {
        let keys: Vec<String> = (0..2000)
            .map(|key| format!("\"k{round}-{key}\":1"))
            .collect();
        format!("{{{}}}", keys.join(","))
    };
    for round in 0..20 {
        let effects = world.poll_brings(KIND, number, &format!(r#"{{"a":{round}}}"#));
        number = polls(&effects)
            .first()
            .map_or(number, |(_, number)| *number);
        for _ in 0..100 {
            let effects = world.wait(SECOND);
            number = polls(&effects)
                .first()
                .map_or(number, |(_, number)| *number);
            if let [read] = reads(&effects)[..] {
                world.read_brings(read, &format!(r#"{{"shared":{}}}"#, state(round)));
                break;
            }
        }
        assert!(world.relay.bytes() < 2_000_000, "{}", world.relay.bytes());
    }
}
