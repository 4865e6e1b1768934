use super::*;

const KIND: Kind = Kind::Attributes;

/// Registered with this state, and read once since; gives the number of the open poll.
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
    assert_eq!(effects, [Effect::Poll(KIND, 1, 25 * SECOND)]);
    let start = world.now;
    let number = read(&world.wait(SECOND));
    assert_eq!(world.now - start, 300 * MS);
    // What changed between the first read and the subscription is told.
    let effects = world.read_brings(number, r#"{"shared":{"a":2}}"#);
    assert_eq!(told(&effects)[0].1, r#"{"a":2}"#);
}

#[test]
fn what_a_poll_brings_is_told_at_once_after_the_next_poll_is_opened_and_read_up_on() {
    let mut world = World::new();
    let number = settled(&mut world, r#"{"a":1}"#);
    let effects = world.poll_brings(KIND, number, r#"{"a":2}"#);
    assert!(
        matches!(effects[..], [Effect::Poll(..), Effect::Notify { .. }]),
        "{effects:?}"
    );
    assert_eq!(told(&effects)[0].1, r#"{"a":2}"#);
    // The second of two changes in quick succession fell between the polls.
    let number = read(&world.wait(SECOND));
    let effects = world.read_brings(number, r#"{"shared":{"a":2,"b":3}}"#);
    assert_eq!(
        told(&effects)[0].1,
        r#"{"a":2,"b":3}"#,
        "with what is not acknowledged"
    );
    assert_eq!(world.counters.changes_found_by_reading, 1);
}

#[test]
fn what_has_arrived_is_not_told_again() {
    let mut world = World::new();
    let number = settled(&mut world, r#"{"a":1}"#);
    let first = told(&world.poll_brings(KIND, number, r#"{"a":2}"#))[0].0;
    world.delivered(FIRST, first);
    let effects = world.poll_brings(KIND, number + 1, r#"{"deleted":["a"]}"#);
    assert_eq!(told(&effects)[0].1, r#"{"deleted":["a"]}"#);
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
fn the_copies_that_two_open_polls_bring_are_told_once() {
    let mut world = World::new();
    let first = settled(&mut world, "{}");
    let second = poll(&world.wait(25 * SECOND));
    let effects = world.poll_brings(KIND, first, r#"{"a":1}"#);
    assert_eq!((polls(&effects).len(), told(&effects).len()), (1, 1));
    assert_eq!(world.poll_brings(KIND, second, r#"{"a":1}"#), []);
}

#[test]
fn after_every_interruption_all_is_read_when_the_next_poll_has_settled() {
    let mut world = World::new();
    let number = settled(&mut world, r#"{"a":1}"#);
    assert_eq!(world.poll_ends(KIND, number, Err(Error::Unreachable)), []);
    let number = poll(&world.wait(SECOND));
    assert_eq!(world.poll_ends(KIND, number, Err(Error::Overloaded)), []);
    // Half of two seconds: nothing is read meanwhile.
    poll(&world.wait(SECOND));
    let number = read(&world.wait(300 * MS));
    let effects = world.read_brings(number, r#"{"shared":{"b":1}}"#);
    assert_eq!(told(&effects)[0].1, r#"{"b":1,"deleted":["a"]}"#);
    assert_eq!(world.counters.polls_failed, 2);
}

#[test]
fn a_poll_that_starts_over_is_read_for_at_once_and_when_it_has_settled() {
    let mut world = World::new();
    settled(&mut world, r#"{"a":1}"#);
    let effects = world.event(|relay, now, context| relay.attributes.start_over(now, context));
    poll(&effects);
    world.read_brings(read(&effects), r#"{"shared":{"a":1}}"#);
    // Changed before ThingsBoard knew of the new poll.
    let effects = world.wait(SECOND);
    let effects = world.read_brings(read(&effects), r#"{"shared":{"a":2}}"#);
    assert_eq!(told(&effects)[0].1, r#"{"a":2}"#);
}

#[test]
fn an_empty_answer_after_a_state_is_believed_when_it_comes_twice() {
    let mut world = World::new();
    let number = settled(&mut world, r#"{"a":1}"#);
    world.poll_brings(KIND, number, r#"{"a":2}"#);
    let number = read(&world.wait(SECOND));
    assert_eq!(told(&world.read_brings(number, "{}")), []);
    let before = world.now;
    let number = read(&world.wait(10 * SECOND));
    assert_eq!(world.now - before, 3 * SECOND);
    let effects = world.read_brings(number, "{}");
    assert_eq!(told(&effects)[0].1, r#"{"deleted":["a"]}"#);
}

#[test]
fn an_empty_answer_in_between_means_nothing() {
    let mut world = World::new();
    let number = settled(&mut world, r#"{"a":1}"#);
    let update = told(&world.poll_brings(KIND, number, r#"{"b":2}"#))[0].0;
    world.delivered(FIRST, update);
    for _ in 0..3 {
        let number = read(&world.wait(10 * SECOND));
        assert_eq!(told(&world.read_brings(number, "{}")), []);
        let number = read(&world.wait(10 * SECOND));
        assert_eq!(
            told(&world.read_brings(number, r#"{"shared":{"a":1,"b":2}}"#)),
            []
        );
        let next = poll_number(&mut world);
        world.poll_brings(KIND, next, r#"{"b":2}"#);
    }
    assert_eq!(world.counters.empty_answers_doubted, 3);
}

/// The poll that is open.
fn poll_number(world: &mut World) -> u64 {
    // Polls are numbered one after the other, and the last is open.
    world.counters.polls
}

#[test]
fn a_registration_that_reads_nothing_is_told_what_was_known() {
    let mut world = World::new();
    settled(&mut world, r#"{"a":1}"#);
    let believed = world.relay.believed(Values::new());
    assert_eq!(&shared_attributes::flat(&believed)[..], br#"{"a":1}"#);
    // Nobody observes: an empty answer is all there is to believe.
    assert!(World::new().relay.believed(Values::new()).is_empty());
}

#[test]
fn a_second_observation_takes_the_place_of_the_first_and_the_same_refreshes() {
    let mut world = World::new();
    settled(&mut world, r#"{"a":1}"#);
    assert_eq!(world.register_attributes(FIRST, r#"{"a":1}"#), []);
    let effects = world.register_attributes(SECOND_ONE, r#"{"a":1}"#);
    assert_eq!(effects, [Effect::End(FIRST, Last::Replaced)]);
    let effects = world.poll_brings(KIND, 1, r#"{"a":2}"#);
    assert!(matches!(
        effects[..],
        [
            Effect::Poll(..),
            Effect::Notify {
                observation: SECOND_ONE,
                ..
            }
        ]
    ));
}

#[test]
fn an_observation_that_ends_leaves_the_poll_that_is_open_to_the_next_and_nothing_else() {
    let mut world = World::new();
    let number = settled(&mut world, r#"{"a":1}"#);
    let effects = world.event(|relay, _, context| relay.cancelled(FIRST, context));
    assert_eq!(effects, []);
    assert_eq!(world.relay.next_timeout(&world.settings), None);
    assert_eq!(world.relay.polls(&world.settings), 1);
    world.now += 10 * SECOND;
    assert_eq!(world.register_attributes(SECOND_ONE, r#"{"a":1}"#), []);
    let effects = world.event(|relay, _, context| relay.cancelled(SECOND_ONE, context));
    assert_eq!(effects, []);
    assert_eq!(
        world.poll_brings(KIND, number, r#"{"a":9}"#),
        [],
        "too late"
    );
    assert!(world.relay.is_idle());
    assert_eq!(world.relay.polls(&world.settings), 0);
}

#[test]
fn a_device_that_upstream_refuses_hears_so_in_both_observations() {
    for (error, last) in [
        (refusal(401), Last::Unauthorized),
        (refusal(403), Last::Forbidden),
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
            .filter(|effect| matches!(effect, Effect::End(..)))
            .collect();
        assert_eq!(
            ends,
            [Effect::End(FIRST, last), Effect::End(observation, last)]
        );
        assert!(world.relay.is_idle());
    }
}

#[test]
fn what_is_no_update_is_a_failure_told_to_the_operator() {
    for body in ["", "nonsense", "[]", "{}", "\u{0}"] {
        let mut world = World::new();
        let number = settled(&mut world, r#"{"a":1}"#);
        let effects = world.poll_brings(KIND, number, body);
        assert_eq!(effects, [Effect::Nonsense(KIND)], "{body}");
        assert_eq!(world.counters.polls_failed, 1);
        poll(&world.wait(SECOND));
    }
}

#[test]
fn reads_that_fail_are_tried_again_less_and_less_often() {
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
fn on_uplink_nothing_is_polled_and_all_is_read_after_each_uplink_and_now_and_then() {
    let mut world = World::on_uplink();
    assert_eq!(world.register_attributes(FIRST, r#"{"a":1}"#), []);
    let number = read(&world.wait(SECOND));
    world.read_brings(number, r#"{"shared":{"a":1}}"#);
    let effects = world.event(|relay, now, context| relay.uplink(now, context));
    let effects = world.read_brings(read(&effects), r#"{"shared":{"a":2}}"#);
    let (number, body) = told(&effects)[0].clone();
    assert_eq!(body, r#"{"a":2}"#);
    world.delivered(FIRST, number);
    let before = world.now;
    read(&world.wait(600 * SECOND));
    assert_eq!(world.now - before, world.settings.sync_interval);
    assert_eq!(world.counters.polls, 0);
}

#[test]
fn a_change_too_large_for_any_message_is_counted_and_holds_up_nothing() {
    let mut world = World::new();
    let number = settled(&mut world, "{}");
    world.largest_payload = 100;
    let large = format!(r#"{{"large":"{}"}}"#, "x".repeat(200));
    assert_eq!(told(&world.poll_brings(KIND, number, &large)), []);
    let effects = world.poll_brings(KIND, number + 1, r#"{"small":1}"#);
    assert_eq!(told(&effects)[0].1, r#"{"small":1}"#);
    assert_eq!(world.counters.too_large, 1);
}

#[test]
fn a_state_too_large_for_one_message_goes_on_when_the_first_part_has_arrived() {
    let mut world = World::new();
    let number = settled(&mut world, "{}");
    world.largest_payload = 40;
    let body = r#"{"a":"xxxxxxxxxxxxxxx","b":"xxxxxxxxxxxxxxx","c":"x"}"#;
    let first = told(&world.poll_brings(KIND, number, body));
    assert_eq!(first.len(), 1);
    let second = told(&world.delivered(FIRST, first[0].0));
    assert_eq!(second.len(), 1);
    let whole = format!("{}{}", first[0].1, second[0].1);
    for key in ["\"a\"", "\"b\"", "\"c\""] {
        assert_eq!(whole.matches(key).count(), 1, "{whole}");
    }
    assert_eq!(told(&world.delivered(FIRST, second[0].0)), []);
}

#[test]
fn a_device_that_may_have_missed_its_registrations_response_is_told_all() {
    let mut world = World::new();
    settled(&mut world, r#"{"a":1,"b":2}"#);
    let effects = world.event(|relay, now, _| relay.registration_repeated(now, FIRST));
    assert_eq!(told(&effects)[0].1, r#"{"a":1,"b":2}"#);
}

#[test]
fn a_registration_repeated_over_and_over_has_all_told_once_a_second() {
    let mut world = World::new();
    settled(&mut world, r#"{"a":1,"b":2}"#);
    let mut times = 0;
    for _ in 0..100 {
        let effects = world.event(|relay, now, _| relay.registration_repeated(now, FIRST));
        times += told(&effects).len();
        world.now += Duration::from_millis(1);
    }
    assert_eq!(times, 1, "all are put together once");
    // The last repetition is followed by what is true then.
    let mut later = Vec::new();
    let end = world.now + Duration::from_secs(2);
    while world.now < end {
        let effects = world.wait(Duration::from_millis(100));
        later.extend(told(&effects));
    }
    assert_eq!(later.len(), 1);
    assert_eq!(later[0].1, r#"{"a":1,"b":2}"#);
}

#[test]
fn what_is_on_its_way_when_the_device_registers_again_is_told_once_more_as_it_is_now() {
    let mut world = World::new();
    let number = settled(&mut world, r#"{"a":1,"b":1,"c":1}"#);
    world.poll_brings(KIND, number, r#"{"a":2,"b":2}"#);
    // The notification may come after this response, and would turn it back.
    let effects = world.register_attributes(FIRST, r#"{"b":3,"c":1}"#);
    assert_eq!(told(&effects)[0].1, r#"{"b":3,"deleted":["a"]}"#);
}

/// A tenant replaces all of them again and again, while the device acknowledges nothing.
#[test]
fn keys_that_come_and_go_while_nothing_arrives_are_bounded() {
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
