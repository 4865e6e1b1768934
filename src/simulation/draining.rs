//! Hazard: the gateway is told to stop while devices talk.

use super::{World, default_settings};
use crate::relay::Kind;
use crate::simulation::Conditions;
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const CON: Type = Type::Confirmable;
const NON: Type = Type::NonConfirmable;

/// Runs until all is drained, and says how long that took.
fn drained(world: &mut World) -> Duration {
    let begun = world.now;
    let done = world.run_until(600 * SECOND, |world| world.core.is_drained());
    assert!(done, "it never ends: {:?}", world.core.load());
    world.run_for(Duration::ZERO);
    world.now - begun
}

#[test]
fn without_anything_under_way_all_sessions_end_at_once_with_a_word() {
    let mut world = World::new(3, Conditions::GOOD, 1);
    world.connect_all();
    world.drain(10 * SECOND);
    assert_eq!(drained(&mut world), Duration::ZERO);
    world.run_for(SECOND);
    assert!(world.devices.iter().all(|device| device.closed));
}

#[test]
fn what_is_under_way_is_answered_first() {
    for kind in [CON, NON] {
        let mut world = World::new(2, Conditions::GOOD, 1);
        world.connect_all();
        world.upstream.delay = 4 * SECOND;
        let number = world.post(0, kind);
        world.run_for(SECOND);
        world.drain(10 * SECOND);
        let took = drained(&mut world);
        assert!(took >= 3 * SECOND && took < 8 * SECOND, "{took:?}");
        assert!(world.devices[0].outcome(number).is(Code::CREATED));
        world.run_for(SECOND);
        assert!(world.devices.iter().all(|device| device.closed));
    }
}

/// The response is lost, the device asks again, and still gets it: nothing is stored twice, nothing forgotten.
#[test]
fn a_response_that_is_lost_can_be_asked_for_once_more() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    let number = world.post(0, CON);
    world.run_for(Duration::from_millis(25));
    world.drain(10 * SECOND);
    world.link.conditions = Conditions {
        loss: 1.0,
        ..Conditions::GOOD
    };
    world.run_for(SECOND);
    world.link.conditions = Conditions::GOOD;
    drained(&mut world);
    assert_eq!(world.upstream.posts.len(), 1);
    assert!(world.devices[0].outcome(number).is(Code::CREATED));
}

#[test]
fn a_request_that_comes_now_is_answered_5_03_and_does_not_keep_the_session() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = 5 * SECOND;
    let before = world.post(0, CON);
    world.run_for(SECOND);
    world.drain(20 * SECOND);
    let begun = world.now;
    let mut late = Vec::new();
    while !world.core.is_drained() && world.now - begun < 30 * SECOND {
        if world.devices[0].is_connected() && !world.devices[0].closed {
            late.push(world.post(0, CON));
        }
        world.run_for(Duration::from_millis(500));
    }
    assert!(world.core.is_drained());
    assert!(world.now - begun < 10 * SECOND, "{:?}", world.now - begun);
    assert!(world.devices[0].outcome(before).is(Code::CREATED));
    assert!(
        world.devices[0]
            .outcome(late[0])
            .is(Code::SERVICE_UNAVAILABLE)
    );
    assert_eq!(
        world.upstream.posts.len(),
        1,
        "accepted upstream: the first alone"
    );
}

#[test]
fn an_upstream_that_does_not_answer_in_time_keeps_nobody_longer_than_the_time_given() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = 60 * SECOND;
    world.post(0, CON);
    world.run_for(SECOND);
    world.drain(10 * SECOND);
    assert_eq!(drained(&mut world), 10 * SECOND);
    world.run_for(SECOND);
    assert!(world.devices[0].closed);
}

/// ThingsBoard stores it, or doesn't: but not because the gateway went away in the middle of a request.
#[test]
fn a_request_whose_device_has_gone_is_brought_to_its_end_too() {
    let mut settings = default_settings();
    settings.dtls.session_idle = 2 * SECOND;
    let mut world = World::with_settings(1, Conditions::GOOD, 1, settings);
    world.connect_all();
    world.upstream.delay = 6 * SECOND;
    world.post(0, NON);
    world.run_for(4 * SECOND);
    assert_eq!((world.core.sessions(), world.core.in_flight()), (0, 1));
    world.drain(10 * SECOND);
    let took = drained(&mut world);
    assert!(took > SECOND && took < 3 * SECOND, "{took:?}");
}

#[test]
fn newcomers_are_not_answered() {
    let mut world = World::new(2, Conditions::GOOD, 1);
    world.connect(0);
    world.run_for(SECOND);
    world.upstream.delay = 60 * SECOND;
    world.post(0, CON);
    world.run_for(SECOND);
    world.drain(20 * SECOND);
    let sent = world.core.counters().0.datagrams_sent;
    world.connect(1);
    world.run_for(10 * SECOND);
    assert_eq!(world.core.half_open(), 0);
    assert!(world.core.counters().0.hellos_while_closed > 0);
    assert_eq!(world.core.counters().0.datagrams_sent, sent);
}

#[test]
fn a_command_that_a_poll_brings_now_reaches_its_device_and_is_replied_to() {
    let mut world = World::observing(default_settings(), CON);
    world.drain(60 * SECOND);
    world.run_for(2 * SECOND);
    assert!(!world.core.is_drained(), "a poll is open");
    world.command(0, "7", false);
    let took = drained(&mut world);
    assert_eq!(world.devices[0].observations[1].commands.len(), 1);
    assert_eq!(world.upstream.replies.len(), 1);
    assert!(
        took < 10 * SECOND,
        "no poll follows the one that has ended: {took:?}"
    );
    world.run_for(SECOND);
    assert!(world.devices[0].closed);
    assert_eq!(world.upstream.relay_calls(), 0);
}

#[test]
fn polls_end_by_their_own_time_if_the_drain_lasts_as_long() {
    let mut world = World::observing(default_settings(), CON);
    let opened = world.upstream.platform.opened;
    let longest = world.settings.relay.poll_timeout + SECOND;
    world.drain(2 * longest);
    let took = drained(&mut world);
    assert!(took > 10 * SECOND && took <= longest, "{took:?}");
    assert_eq!(world.upstream.platform.opened, opened, "none is begun");
}

#[test]
fn who_observes_attributes_alone_is_not_waited_for() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.observe(0, CON, Kind::Attributes);
    world.run_for(20 * SECOND);
    world.drain(10 * SECOND);
    assert_eq!(drained(&mut world), Duration::ZERO);
    assert_eq!(world.upstream.relay_calls(), 0);
}

#[test]
fn a_device_that_is_removed_meanwhile_is_waited_for_no_longer_than_before() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.post(0, CON);
    world.run_for(SECOND);
    world.drain(60 * SECOND);
    world.register(&[]);
    let took = drained(&mut world);
    assert!(took > SECOND && took < 4 * SECOND, "{took:?}");
}

#[test]
fn who_has_another_token_meanwhile_is_not_waited_for_since_its_polls_are_closed() {
    let mut world = World::observing(default_settings(), CON);
    let opened = world.upstream.platform.opened;
    world.drain(60 * SECOND);
    world.run_for(SECOND);
    assert!(!world.core.is_drained(), "a poll is open");
    world.register(&[(0, "another", 0)]);
    let took = drained(&mut world);
    assert!(took < 4 * SECOND, "{took:?}");
    assert_eq!(world.upstream.platform.opened, opened, "none is begun anew");
}

#[test]
fn without_any_time_all_ends_at_once() {
    let mut world = World::observing(default_settings(), CON);
    world.upstream.delay = 5 * SECOND;
    world.post(0, CON);
    world.drain(Duration::ZERO);
    assert_eq!(drained(&mut world), Duration::ZERO);
    world.run_for(SECOND);
    assert!(world.devices[0].closed);
}
