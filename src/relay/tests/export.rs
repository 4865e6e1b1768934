//! A relay that is exported, and goes on in another process.

use super::push::{acknowledged, packet};
use super::*;
use crate::relay::export::{MAX_EXPORT, RestoreError};

const ATTRIBUTES: Kind = Kind::Attributes;
const COMMANDS: Kind = Kind::Commands;
const FIVE: &str =
    r#"{"interval":60,"location":"barn","rotation":1.5,"settings":{"a":[1]},"training":true}"#;

fn command(id: u32) -> String {
    format!(r#"{{"id":{id},"method":"set","params":{{"n":{id}}}}}"#)
}

impl World {
    /// The process ends and another begins, this much later.
    fn restart(&mut self, later: Duration) {
        let export = self.export();
        self.now += later;
        self.restore(export.as_deref());
    }

    /// Lets time pass until the downlink begins, and returns its poll.
    fn begins(&mut self) -> u64 {
        poll(&self.wait(SECOND))
    }

    /// The first read after a restart brings this. Returns what is notified then.
    fn first_read_brings(&mut self, shared: &str) -> Vec<Notified> {
        let mut effects = self.wait(SECOND);
        while reads(&effects).is_empty() {
            assert_eq!(notified(&effects), [], "before the read");
            effects = self.wait(SECOND);
        }
        let number = read(&effects);
        notified(&self.read_brings(number, &format!(r#"{{"shared":{shared}}}"#)))
    }
}

/// A device that observes, and has confirmed these attributes.
fn observing(state: &str) -> World {
    let mut world = World::new();
    world.register_attributes(FIRST, state);
    world
}

#[test]
fn an_observation_of_five_attributes_takes_less_than_a_hundred_bytes() {
    let mut world = World::new();
    let session = Observation {
        session: SessionId(100_000),
        id: ObservationId(1),
    };
    world.register_attributes(session, FIVE);
    assert_eq!(world.export().unwrap().len(), 92);
    world.register_commands(Observation {
        id: ObservationId(2),
        ..session
    });
    assert_eq!(world.export().unwrap().len(), 93, "one session");
}

#[test]
fn after_a_restart_what_changed_is_notified_and_nothing_else() {
    let mut world = observing(FIVE);
    world.restart(60 * SECOND);
    let notified = world.first_read_brings(
        r#"{"interval":61,"location":"barn","new":1,"settings":{ "a": [1] },"training":true}"#,
    );
    let [(number, body)] = &notified[..] else {
        panic!("{notified:?}");
    };
    assert_eq!(body, r#"{"interval":61,"new":1,"deleted":["rotation"]}"#);
    world.delivered(FIRST, *number);
    world.restart(60 * SECOND);
    let same = r#"{"interval":61,"location":"barn","new":1,"settings":{"a":[1]},"training":true}"#;
    assert_eq!(world.first_read_brings(same), []);
}

#[test]
fn a_second_restart_before_the_first_read_changes_nothing() {
    let mut world = observing(FIVE);
    let export = world.export();
    world.restart(SECOND);
    assert_eq!(world.export(), export);
    world.restart(SECOND);
    let changed = FIVE.replace("barn", "attic");
    let notified = world.first_read_brings(&changed);
    assert_eq!(notified[0].1, r#"{"location":"attic"}"#);
}

#[test]
fn what_was_not_confirmed_is_notified_as_it_is_after_the_restart() {
    let mut world = observing(r#"{"a":1,"b":1,"c":1,"d":1}"#);
    world.poll_brings(ATTRIBUTES, 1, r#"{"a":2,"b":2}"#);
    world.poll_brings(ATTRIBUTES, 2, r#"{"deleted":["c"]}"#);
    // The notification is in flight: the device may have it, or not.
    world.restart(60 * SECOND);
    let notified = world.first_read_brings(r#"{"a":2,"b":1,"d":1}"#);
    assert_eq!(notified[0].1, r#"{"a":2,"b":1,"deleted":["c"]}"#);
}

#[test]
fn a_message_that_comes_before_the_read_is_compared_as_well() {
    let mut world = observing(r#"{"a":1,"b":1,"c":1}"#);
    world.restart(60 * SECOND);
    let number = world.begins();
    let effects = world.poll_brings(ATTRIBUTES, number, r#"{"a":1,"b":2}"#);
    assert_eq!(notified(&effects)[0].1, r#"{"b":2}"#);
    let effects = world.poll_brings(ATTRIBUTES, poll(&effects), r#"{"deleted":["c"]}"#);
    assert_eq!(notified(&effects)[0].1, r#"{"b":2,"deleted":["c"]}"#);
    let number = read(&world.wait(SECOND));
    let effects = world.read_brings(number, r#"{"shared":{"a":1,"b":2}}"#);
    assert_eq!(notified(&effects), []);
    assert_eq!(world.counters.changes_found_by_reading, 0);
}

#[test]
fn an_update_with_the_confirmed_value_is_not_reverted_by_a_read_that_began_before_it() {
    let mut world = observing(r#"{"a":2}"#);
    world.restart(60 * SECOND);
    let number = world.begins();
    let pending = read(&world.wait(SECOND));
    world.poll_brings(ATTRIBUTES, number, r#"{"a":2}"#);
    let effects = world.read_brings(pending, r#"{"shared":{"a":1}}"#);
    assert_eq!(notified(&effects), []);
}

#[test]
fn an_empty_read_after_a_restart_has_to_be_confirmed_by_another() {
    let mut world = observing(r#"{"a":1}"#);
    world.restart(60 * SECOND);
    assert_eq!(world.first_read_brings("{}"), []);
    assert_eq!(world.counters.empty_reads_unconfirmed, 1);
    let number = read(&world.wait(5 * SECOND));
    let effects = world.read_brings(number, "{}");
    assert_eq!(notified(&effects)[0].1, r#"{"deleted":["a"]}"#);
}

#[test]
fn a_read_that_fails_after_a_restart_notifies_nothing_and_is_repeated() {
    let mut world = observing(r#"{"a":1}"#);
    world.poll_brings(ATTRIBUTES, 1, r#"{"b":1}"#);
    world.restart(60 * SECOND);
    world.begins();
    let number = read(&world.wait(SECOND));
    let effects = world
        .event(|relay, now, context| relay.read_ended(now, number, Err(Error::Timeout), context));
    assert_eq!(notified(&effects), []);
    let number = read(&world.wait(5 * SECOND));
    let effects = world.read_brings(number, r#"{"shared":{"a":1,"b":1}}"#);
    assert_eq!(notified(&effects)[0].1, r#"{"b":1}"#);
}

#[test]
fn a_registration_after_a_restart_begins_from_its_response() {
    let mut world = observing(r#"{"a":1,"b":1}"#);
    world.restart(60 * SECOND);
    let effects = world.register_attributes(FIRST, r#"{"a":2}"#);
    assert_eq!(notified(&effects), []);
    assert_eq!(world.first_read_brings(r#"{"a":2}"#), []);
}

#[test]
fn a_registration_repeated_after_a_restart_has_all_attributes_notified() {
    let mut world = observing(r#"{"a":1}"#);
    world.restart(SECOND);
    world.event(|relay, now, _| relay.registration_repeated(now, FIRST));
    let notified = world.first_read_brings(r#"{"a":1}"#);
    assert_eq!(notified[0].1, r#"{"a":1}"#);
}

#[test]
fn a_device_that_does_not_answer_stays_parked_until_it_sends_something() {
    let mut world = observing(r#"{"a":1}"#);
    world.event(|relay, _, context| relay.unresponsive(FIRST.session, context));
    world.restart(3600 * SECOND);
    assert_eq!(world.wait(3600 * SECOND), []);
    let effects = world.event(|relay, now, context| relay.received(now, FIRST.session, context));
    let number = read(&effects);
    let effects = world.read_brings(number, r#"{"shared":{"a":2}}"#);
    assert_eq!(notified(&effects)[0].1, r#"{"a":2}"#);
}

#[test]
fn commands_stay_in_order_and_the_one_in_flight_is_notified_once_more() {
    let mut world = World::new();
    world.register_commands(FIRST);
    for id in 1..=3 {
        let number = u64::from(id);
        world.poll_brings(COMMANDS, number, &command(id));
    }
    world.restart(60 * SECOND);
    let mut expected = vec![command(1), command(2), command(3)];
    let mut effects = world.event(|_, _, _| {});
    while let [(number, body)] = &notified(&effects)[..] {
        assert_eq!(*body, expected.remove(0));
        effects = world.delivered(FIRST, *number);
    }
    assert!(expected.is_empty(), "{expected:?}");
    world.restart(60 * SECOND);
    let effects = world.event(|_, _, _| {});
    assert_eq!(notified(&effects), []);
    // ThingsBoard has no reply yet, and sends the first again.
    let effects = world.poll_brings(COMMANDS, poll(&effects), &command(1));
    assert_eq!(notified(&effects), []);
    assert_eq!(world.counters.commands_repeated, 1);
}

#[test]
fn a_reply_to_the_command_that_was_in_flight_means_that_the_device_has_it() {
    let mut world = World::new();
    world.register_commands(FIRST);
    world.poll_brings(COMMANDS, 1, &command(1));
    world.poll_brings(COMMANDS, 2, &command(2));
    world.event(|relay, _, context| relay.unresponsive(FIRST.session, context));
    world.restart(60 * SECOND);
    world.event(|relay, now, context| relay.reply_received(now, 1, context));
    let effects = world.event(|relay, now, context| relay.received(now, FIRST.session, context));
    assert_eq!(notified(&effects)[0].1, command(2));
}

#[test]
fn a_command_expires_a_day_after_it_came_whatever_the_gateway_did_meanwhile() {
    let mut world = World::new();
    world.register_commands(FIRST);
    world.poll_brings(COMMANDS, 1, &command(1));
    world.event(|relay, _, context| relay.unresponsive(FIRST.session, context));
    let hour = 3600 * SECOND;
    world.now += 10 * hour;
    world.restart(13 * hour);
    world.event(|_, _, _| {});
    assert_eq!(world.relay.commands_queued(), 1);
    world.now += hour;
    world.event(|_, _, _| {});
    assert_eq!(world.relay.commands_queued(), 0);
    assert_eq!(world.counters.commands_expired, 1);
}

#[test]
fn what_thingsboard_may_reuse_after_its_own_restart_is_a_new_command_a_minute_after_the_first_poll()
{
    let mut world = World::new();
    world.register_commands(FIRST);
    let effects = world.poll_brings(COMMANDS, 1, &command(0));
    let (number, _) = notified(&effects)[0].clone();
    world.delivered(FIRST, number);
    world.restart(60 * SECOND);
    let number = world.begins();
    world.now += 61 * SECOND;
    let effects = world.poll_brings(COMMANDS, number, &command(0));
    assert_eq!(notified(&effects)[0].1, command(0));
}

#[test]
fn a_command_that_the_device_has_is_acknowledged_when_it_is_pushed_after_a_restart() {
    let mut world = World::of_form(Form::Push, Settings::default());
    world.register_commands(FIRST);
    world.subscribed(COMMANDS, 1, 1);
    let effects = world.pushes(COMMANDS, &command(1), packet(1, 7));
    let (number, _) = notified(&effects)[0].clone();
    world.pushes(COMMANDS, &command(2), packet(1, 8));
    let before = world.export();
    let effects = world.delivered(FIRST, number);
    assert_eq!(acknowledged(&effects), [packet(1, 7)]);
    let [(_, second)] = &notified(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(*second, command(2));
    world.restart(60 * SECOND);
    let effects = world.event(|_, _, _| {});
    let [(number, body)] = &notified(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(*body, command(2));
    let effects = world.delivered(FIRST, *number);
    assert_eq!(acknowledged(&effects), [], "of a former process");
    world.wait(SECOND);
    // Both were not acknowledged, as far as ThingsBoard knows.
    for (id, packet_id) in [(1, 1), (2, 2)] {
        let effects = world.pushes(COMMANDS, &command(id), packet(1, packet_id));
        assert_eq!(notified(&effects), []);
        assert_eq!(acknowledged(&effects), [packet(1, packet_id)]);
    }
    // A process that was killed before the first was stored as delivered notifies it again.
    world.restore(before.as_deref());
    let effects = world.event(|_, _, _| {});
    assert_eq!(notified(&effects)[0].1, command(1));
}

#[test]
fn an_observation_whose_session_is_gone_has_ended_and_its_commands_wait() {
    let mut world = World::new();
    world.register_attributes(FIRST, FIVE);
    world.register_commands(OTHER);
    world.poll_brings(COMMANDS, 1, &command(1));
    let export = world.export().unwrap();
    let context = RestoreContext {
        times: world.times(),
        form: Form::Polling,
        is_paused: false,
        settings: &world.settings,
        pacing: &mut world.pacing,
        random: &mut || 0.5,
    };
    let device = world.relay.device.clone();
    world.relay = DeviceRelay::restore(device, &export, &|_, _| None, context).unwrap();
    assert_eq!(world.relay.attribute_bytes(), 0);
    assert_eq!(notified(&world.event(|_, _, _| {})), []);
    let effects = world.register_commands(OTHER);
    assert_eq!(notified(&effects)[0].1, command(1));
}

#[test]
fn what_does_not_fit_is_left_out_with_what_depends_on_it() {
    let mut world = World::of_form(Form::Push, Settings::default());
    let keys: Vec<String> = (0..2000)
        .map(|n| format!("\"a-key-of-thirty-two-letters-{n:04}\":1"))
        .collect();
    world.register_attributes(FIRST, &format!("{{{}}}", keys.join(",")));
    world.register_commands(FIRST);
    world.subscribed(COMMANDS, 1, 1);
    assert!(world.export().unwrap().len() < 20, "commands are observed");
    for id in 0..100 {
        let body = format!(r#"{{"id":{id},"method":"{}"}}"#, "m".repeat(900));
        world.pushes(COMMANDS, &body, packet(1, u16::try_from(id + 1).unwrap()));
    }
    let export = world.export().unwrap();
    assert!((MAX_EXPORT - 2000..=MAX_EXPORT).contains(&export.len()));
    world.restore(Some(&export));
    assert!(world.relay.observation(ATTRIBUTES).is_none());
    assert!((60..70).contains(&world.relay.commands_queued()));
    let effects = world.event(|_, _, _| {});
    assert!(notified(&effects)[0].1.starts_with(r#"{"id":0,"#));
}

#[test]
fn malformed_exports_are_refused_and_none_is_restored_in_part() {
    let mut world = World::of_form(Form::Push, Settings::default());
    world.register_attributes(FIRST, FIVE);
    world.register_commands(OTHER);
    world.subscribed(COMMANDS, 1, 1);
    for id in 1..=3 {
        let packet = packet(1, u16::try_from(id).unwrap());
        let effects = world.pushes(COMMANDS, &command(id), packet);
        if let [(number, _)] = notified(&effects)[..] {
            world.delivered(OTHER, number);
        }
    }
    let export = world.export().unwrap();
    let restore = |bytes: &[u8]| {
        let context = RestoreContext {
            times: world.times(),
            form: Form::Push,
            is_paused: false,
            settings: &world.settings,
            pacing: &mut Pacing::new(SECOND),
            random: &mut || 0.5,
        };
        let session_of = |number, _| Some(SessionId(number));
        let device = world.relay.device.clone();
        DeviceRelay::restore(device, bytes, &session_of, context)
    };
    let as_before = restore(&export).unwrap();
    let key_of = |SessionId(number)| Some(number);
    assert_eq!(
        as_before.export(world.times(), &key_of),
        Some(export.clone())
    );
    for length in 0..export.len() {
        let refused = restore(&export[..length]).unwrap_err();
        assert_eq!(refused, RestoreError::Malformed, "{length}");
    }
    assert!(restore(&[&export[..], &[0]].concat()).is_err());
    // Parked and not observed, one session of one observation, one relation of both kinds.
    for impossible in [
        &[1, 2][..],
        &[1, 8],
        &[1, 17, 5, 1, 0],
        &[1, 21, 5, 1, 1, 0],
    ] {
        let refused = restore(impossible).err();
        assert_eq!(refused, Some(RestoreError::Malformed), "{impossible:?}");
    }
    assert!(restore(&[1, 21, 5, 1, 2, 0]).is_ok());
    // A command that is queued twice, and one that was delivered twice.
    let body = command(1);
    let queued = [&[0, 0, u8::try_from(body.len()).unwrap()], body.as_bytes()].concat();
    let delivered = [&[0, 1][..], &[7; 16], &[0]].concat();
    for (of_queue, of_delivered, is_ok) in [(1, 1, true), (2, 0, false), (0, 2, false)] {
        let repeat = |one: &[u8], times: u8| [&[times], &one.repeat(times.into())[..]].concat();
        let (queue, known) = (repeat(&queued, of_queue), repeat(&delivered, of_delivered));
        let restored = restore(&[&[1, 32, 0], &queue[..], &known].concat());
        assert_eq!(restored.is_ok(), is_ok, "{of_queue} {of_delivered}");
    }
    let mut other = export.clone();
    other[0] = 2;
    assert_eq!(restore(&other).unwrap_err(), RestoreError::Format(2));
    let mut random = fastrand::Rng::with_seed(1);
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut changed = export.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..changed.len());
            changed[at] = random.u8(..);
        }
        match restore(&changed) {
            Ok(restored) => {
                let again = restored.export(world.times(), &key_of);
                assert!(again.is_none_or(|again| again.len() <= MAX_EXPORT));
            }
            Err(_) => refused += 1,
        }
        let noise: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
        let _ = restore(&[&[1], &noise[..]].concat());
    }
    assert!(refused > 5000, "{refused}");
}
