//! Observe, on a network without loss.

use super::upstream::Reply;
use super::{Conditions, World, default_settings};
use crate::downlink::Kind;
use crate::simulation::invariants::assert_idle;
use coap::{Code, Type};
use serde_json::json;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const CON: Type = Type::Confirmable;
const NON: Type = Type::NonConfirmable;

/// A world of one device that observes its attributes and its commands.
fn observing(kind: Type) -> World {
    World::observing(default_settings(), kind)
}

/// The sequence number and payload of each notification of an observation.
fn notifications(world: &World, number: usize) -> Vec<(u32, String)> {
    let notifications = world.devices[0].observations[number].notifications.iter();
    notifications
        .map(|notification| (notification.sequence_number, notification.payload.clone()))
        .collect()
}

fn ended(world: &World, number: usize) -> Option<Code> {
    world.devices[0].observations[number].ended
}

#[test]
fn registrations_return_the_whole_state_or_an_empty_2_03() {
    for kind in [CON, NON] {
        let world = observing(kind);
        let device = &world.devices[0];
        let state = json!({"a": 1}).as_object().unwrap().clone();
        assert_eq!(device.observations[0].state.len(), state.len());
        assert_eq!(device.observations[0].state["a"], "1");
        assert!(notifications(&world, 0).is_empty() && notifications(&world, 1).is_empty());
        let max_age = |message: &coap::Message| {
            let (_, value) = message.options.iter().find(|(n, _)| *n == 14).unwrap();
            value.to_vec()
        };
        let messages = device.received.iter().map(|received| &received.message);
        for message in messages.filter(|message| message.code != Code::EMPTY) {
            assert_eq!(max_age(message), [1, 0x51, 0x80], "24 h");
        }
    }
}

#[test]
fn changes_deletions_and_commands_arrive_within_one_round_trip() {
    for kind in [CON, NON] {
        let mut world = observing(kind);
        for (key, value) in [("b", "2"), ("a", "\"x\"")] {
            world.set_attribute(0, key, value);
            let before = world.now;
            world.run_for(4 * SECOND);
            let observation = &world.devices[0].observations[0];
            let notification = observation.notifications.last().unwrap();
            // 30 ms from ThingsBoard to the gateway, 20 ms from there to the device.
            assert_eq!(notification.at - before, Duration::from_millis(50));
            assert_eq!(notification.kind, kind);
        }
        world.delete_attribute(0, "b");
        world.run_for(4 * SECOND);
        let expected = [
            (1, r#"{"b":2}"#.to_owned()),
            (2, r#"{"a":"x"}"#.to_owned()),
            (3, r#"{"deleted":["b"]}"#.to_owned()),
        ];
        assert_eq!(notifications(&world, 0), expected);
        let command = world.send_command(0, r#"{"pin":7}"#, false);
        world.run_for(4 * SECOND);
        let body = r#"{"id":0,"method":"set","params":{"pin":7}}"#;
        assert_eq!(notifications(&world, 1), [(1, body.to_owned())]);
        let reply = Reply {
            device: "device-0".to_owned(),
            id: 0,
        };
        assert_eq!(world.upstream.replies, [reply]);
        let outcome = &world.upstream.platform.command_outcomes[&command];
        assert_eq!(format!("{outcome:?}"), r#"Reply("{\"ok\":true}")"#);
    }
}

#[test]
fn observe_1_ends_the_observation_and_starts_no_further_poll() {
    let mut world = observing(CON);
    // RFC 7641 §4.1: the response is that of a GET without Observe.
    for (number, code) in [(0, Code::CONTENT), (1, Code::VALID)] {
        world.send_observe(0, number, 1);
        world.run_for(SECOND);
        assert_eq!(ended(&world, number), Some(code));
    }
    world.run_for(30 * SECOND);
    assert_eq!(world.upstream.relay_calls(), 0, "no poll is open");
    world.set_attribute(0, "a", "2");
    world.send_command(0, "1", true);
    world.run_for(MINUTE);
    assert!(notifications(&world, 0).is_empty() && notifications(&world, 1).is_empty());
    assert_eq!(world.core.load().relays.relays, 0);
}

#[test]
fn observe_1_without_an_observation_is_a_plain_get() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    for observed in [Kind::Attributes, Kind::Commands] {
        let number = world.observe(0, CON, observed);
        world.run_for(SECOND);
        world.send_observe(0, number, 1);
        world.run_for(SECOND);
        world.send_observe(0, number, 1);
        world.run_for(SECOND);
    }
    assert_eq!(ended(&world, 0), Some(Code::CONTENT));
    // Not 4.00, as for GET rpc without Observe: deregistering twice is no mistake.
    assert_eq!(ended(&world, 1), Some(Code::VALID));
}

#[test]
fn a_reset_ends_the_observation_for_con_and_non_notifications() {
    for kind in [CON, NON] {
        let mut world = observing(kind);
        world.devices[0].observations[0].rejects = true;
        world.devices[0].observations[1].rejects = true;
        world.set_attribute(0, "a", "2");
        world.send_command(0, "1", true);
        world.run_for(2 * SECOND);
        assert_eq!(world.core.counters().coap.observations_cancelled, 2);
        assert_eq!(world.core.counters().relay.cancelled, 2);
        world.run_for(30 * SECOND);
        assert_eq!(world.upstream.relay_calls(), 0, "no poll is open");
    }
}

#[test]
fn unknown_observe_values_make_a_plain_get() {
    let mut world = observing(CON);
    world.send_observe(0, 0, 2);
    world.send_observe(0, 1, 255);
    world.run_for(SECOND);
    assert_eq!(ended(&world, 0), Some(Code::CONTENT));
    assert_eq!(ended(&world, 1), Some(Code::BAD_REQUEST));
    // The gateway keeps the observations.
    assert_eq!(world.core.counters().relay.cancelled, 0);
}

#[test]
fn registering_again_under_the_token_refreshes_and_continues_the_sequence() {
    let mut world = observing(CON);
    world.set_attribute(0, "a", "2");
    world.run_for(5 * SECOND);
    for number in [0, 1] {
        world.send_observe(0, number, 0);
    }
    world.run_for(5 * SECOND);
    assert_eq!(world.devices[0].observations[0].state["a"], "2");
    world.set_attribute(0, "a", "3");
    world.run_for(5 * SECOND);
    assert_eq!(
        notifications(&world, 0).last().unwrap().0,
        3,
        "after 0, 1 and 2, the response to the refresh"
    );
    assert_eq!((ended(&world, 0), ended(&world, 1)), (None, None));
    assert_eq!(world.core.counters().relay.replaced, 0);
}

#[test]
fn a_second_observation_replaces_the_first_and_notifies_its_end() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    let second = world.add_client_with_certificate_of(0, 1);
    world.connect_all();
    for observed in [Kind::Attributes, Kind::Commands] {
        world.observe(0, CON, observed);
        world.run_for(SECOND);
    }
    // Another token in the same session, then another session.
    world.observe(0, CON, Kind::Attributes);
    world.observe(second, CON, Kind::Commands);
    world.run_for(SECOND);
    assert_eq!(ended(&world, 0), Some(Code::DELETED));
    assert_eq!(ended(&world, 1), Some(Code::DELETED));
    world.set_attribute(0, "a", "1");
    world.send_command(0, "7", false);
    world.run_for(5 * SECOND);
    assert_eq!(world.devices[0].observations[2].state["a"], "1");
    assert_eq!(world.devices[second].observations[0].commands, [7]);
    assert!(notifications(&world, 0).is_empty() && notifications(&world, 1).is_empty());
    assert_eq!(world.upstream.relay_calls(), 2, "one poll for each kind");
}

#[test]
fn a_token_reused_for_the_other_resource_observes_that_resource() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    let number = world.observe(0, CON, Kind::Attributes);
    world.run_for(SECOND);
    world.devices[0].observations[number].kind = Kind::Commands;
    world.send_observe(0, number, 0);
    world.run_for(SECOND);
    world.set_attribute(0, "a", "1");
    world.send_command(0, "7", true);
    world.run_for(5 * SECOND);
    assert_eq!(world.devices[0].observations[number].commands, [7]);
    assert_eq!(world.upstream.relay_calls(), 1);
}

#[test]
fn observations_end_with_4_03_for_a_deleted_device_and_4_01_for_a_bad_token() {
    let mut world = observing(CON);
    world.upstream.platform.delete_device(world.now, "device-0");
    world.upstream.advance_to(world.now);
    world.run_for(5 * SECOND);
    assert_eq!(
        (ended(&world, 0), ended(&world, 1)),
        (Some(Code::FORBIDDEN), Some(Code::FORBIDDEN))
    );
    assert_eq!(world.core.load().relays.relays, 0);

    let mut world = observing(NON);
    world.upstream.behaviour = super::Behaviour::Fails(super::upstream::rejected(401));
    world.run_for(30 * SECOND);
    assert_eq!(
        (ended(&world, 0), ended(&world, 1)),
        (Some(Code::UNAUTHORIZED), Some(Code::UNAUTHORIZED))
    );
    assert_eq!(world.upstream.relay_calls(), 0);
}

#[test]
fn a_registration_that_upstream_fails_creates_no_observation() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.behaviour = super::Behaviour::Fails(crate::upstream::Error::Unreachable);
    world.observe(0, CON, Kind::Attributes);
    world.run_for(SECOND);
    assert_eq!(ended(&world, 0), Some(Code::SERVICE_UNAVAILABLE));
    assert_eq!(world.core.load().relays.relays, 0);
    // An observation that is refreshed at such a time ends, too: the response has no Observe option.
    world.upstream.behaviour = super::Behaviour::Serves;
    let number = world.observe(0, CON, Kind::Attributes);
    world.run_for(SECOND);
    world.upstream.behaviour = super::Behaviour::Fails(crate::upstream::Error::Unreachable);
    world.send_observe(0, number, 0);
    world.run_for(SECOND);
    assert_eq!(ended(&world, number), Some(Code::SERVICE_UNAVAILABLE));
    world.run_for(30 * SECOND);
    assert_eq!(world.core.load().relays.relays, 0);
}

#[test]
fn above_max_polls_registrations_get_5_03_and_renewals_succeed() {
    let mut settings = default_settings();
    settings.relay.max_polls = 3;
    let mut world = World::with_settings(2, Conditions::GOOD, 1, settings);
    world.connect_all();
    for device in [0, 1] {
        for observed in [Kind::Attributes, Kind::Commands] {
            world.observe(device, CON, observed);
            world.run_for(SECOND);
        }
    }
    let refused = &world.devices[1].observations[1];
    assert_eq!(refused.ended, Some(Code::SERVICE_UNAVAILABLE));
    assert_eq!(world.core.counters().relay.registrations_refused, 1);
    world.observe(1, CON, Kind::Attributes);
    world.run_for(SECOND);
    assert!(world.devices[1].observations[2].is_active());
    // A poll counts until it ends, at its timeout.
    world.send_observe(0, 1, 1);
    world.run_for(30 * SECOND);
    world.observe(1, CON, Kind::Commands);
    world.run_for(SECOND);
    assert!(world.devices[1].observations[3].is_active());
}

#[test]
fn a_non_confirmable_observation_sends_one_confirmable_a_day() {
    let mut world = observing(NON);
    let mut kinds = Vec::new();
    for hour in 0..60 {
        world.set_attribute(0, "hour", &hour.to_string());
        world.post(0, NON);
        world.run_for(HOUR);
        let observation = &world.devices[0].observations[0];
        kinds.push(observation.notifications.last().unwrap().kind);
    }
    assert_eq!(notifications(&world, 0).len(), 60);
    let confirmable: Vec<_> = (0..60).filter(|n| kinds[*n] == CON).collect();
    assert_eq!(confirmable.len(), 2, "{confirmable:?}");
}

#[test]
fn a_burst_of_commands_is_delivered_in_order() {
    let mut world = observing(CON);
    for n in 0..12 {
        world.send_command(0, &n.to_string(), true);
    }
    world.run_for(MINUTE);
    let expected: Vec<_> = (0..12).map(|n| json!(n)).collect();
    assert_eq!(world.devices[0].observations[1].commands, expected);
}

#[test]
fn after_the_session_ends_all_relay_state_is_removed() {
    let mut world = observing(CON);
    world.core.close_all(world.now);
    world.run_for(10 * MINUTE);
    assert_idle(&world.core, &world.devices);
    assert_eq!(world.core.load().relays.relays, 0);
    assert_eq!(world.core.next_timeout(), None);
}
