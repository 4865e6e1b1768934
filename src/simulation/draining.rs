//! Hazard: the gateway is stopped while devices send requests.

use super::actions::RegistryEntry;
use super::{World, default_settings};
use crate::downlink::Kind;
use crate::simulation::Conditions;
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const CON: Type = Type::Confirmable;
const NON: Type = Type::NonConfirmable;

/// Runs until the core is drained. Returns how long that took.
fn time_to_drain(world: &mut World) -> Duration {
    let begun = world.now;
    let done = world.run_until(600 * SECOND, |world| world.core.is_drained());
    assert!(done, "the drain does not end: {:?}", world.core.load());
    world.run_for(Duration::ZERO);
    world.now - begun
}

#[test]
fn idle_sessions_are_closed_at_once_with_close_notify() {
    let mut world = World::new(3, Conditions::GOOD, 1);
    world.connect_all();
    world.drain(10 * SECOND);
    assert_eq!(time_to_drain(&mut world), Duration::ZERO);
    world.run_for(SECOND);
    assert!(world.devices.iter().all(|device| device.closed));
}

#[test]
fn requests_in_progress_are_answered_before_sessions_close() {
    for kind in [CON, NON] {
        let mut world = World::new(2, Conditions::GOOD, 1);
        world.connect_all();
        world.upstream.delay = 4 * SECOND;
        let number = world.post(0, kind);
        world.run_for(SECOND);
        world.drain(10 * SECOND);
        let took = time_to_drain(&mut world);
        assert!(took >= 3 * SECOND && took < 8 * SECOND, "{took:?}");
        assert!(world.devices[0].outcome(number).is(Code::CREATED));
        world.run_for(SECOND);
        assert!(world.devices.iter().all(|device| device.closed));
    }
}

/// The retransmitted request gets the response, and is not posted twice.
#[test]
fn a_lost_response_is_sent_again_for_a_retransmitted_request() {
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
    time_to_drain(&mut world);
    assert_eq!(world.upstream.posts.len(), 1);
    assert!(world.devices[0].outcome(number).is(Code::CREATED));
}

#[test]
fn a_request_during_the_drain_gets_5_03_and_does_not_prolong_it() {
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
    assert_eq!(world.upstream.posts.len(), 1, "only the first is posted");
}

#[test]
fn a_slow_upstream_does_not_prolong_the_drain_beyond_its_limit() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = 60 * SECOND;
    world.post(0, CON);
    world.run_for(SECOND);
    world.drain(10 * SECOND);
    assert_eq!(time_to_drain(&mut world), 10 * SECOND);
    world.run_for(SECOND);
    assert!(world.devices[0].closed);
}

/// Otherwise the stop would decide whether ThingsBoard stores the telemetry.
#[test]
fn the_drain_waits_for_calls_of_ended_sessions() {
    let mut settings = default_settings();
    settings.dtls.session_idle = 2 * SECOND;
    let mut world = World::with_settings(1, Conditions::GOOD, 1, settings);
    world.connect_all();
    world.upstream.delay = 6 * SECOND;
    world.post(0, NON);
    world.run_for(4 * SECOND);
    assert_eq!((world.core.sessions(), world.core.in_flight()), (0, 1));
    world.drain(10 * SECOND);
    let took = time_to_drain(&mut world);
    assert!(took > SECOND && took < 3 * SECOND, "{took:?}");
}

#[test]
fn client_hellos_are_ignored_during_the_drain() {
    let mut world = World::new(2, Conditions::GOOD, 1);
    world.connect(0);
    world.run_for(SECOND);
    world.upstream.delay = 60 * SECOND;
    world.post(0, CON);
    world.run_for(SECOND);
    world.drain(20 * SECOND);
    let sent = world.core.counters().dtls.datagrams_sent;
    world.connect(1);
    world.run_for(10 * SECOND);
    assert_eq!(world.core.half_open(), 0);
    assert!(world.core.counters().dtls.hellos_while_closed > 0);
    assert_eq!(world.core.counters().dtls.datagrams_sent, sent);
}

#[test]
fn a_command_received_during_the_drain_is_delivered_and_replied_to() {
    let mut world = World::observing(default_settings(), CON);
    world.drain(60 * SECOND);
    world.run_for(2 * SECOND);
    assert!(!world.core.is_drained(), "a poll is open");
    world.send_command(0, "7", false);
    let took = time_to_drain(&mut world);
    assert_eq!(world.devices[0].observations[1].commands.len(), 1);
    assert_eq!(world.upstream.replies.len(), 1);
    assert!(took < 10 * SECOND, "no further poll starts: {took:?}");
    world.run_for(SECOND);
    assert!(world.devices[0].closed);
    assert_eq!(world.upstream.relay_calls(), 0);
}

#[test]
fn polls_end_at_their_timeout_and_no_new_ones_start() {
    let mut world = World::observing(default_settings(), CON);
    let opened = world.upstream.platform.polls_opened;
    let longest = world.settings.relay.poll_timeout + SECOND;
    world.drain(2 * longest);
    let took = time_to_drain(&mut world);
    assert!(took > 10 * SECOND && took <= longest, "{took:?}");
    assert_eq!(
        world.upstream.platform.polls_opened, opened,
        "no further poll starts"
    );
}

#[test]
fn the_drain_does_not_wait_for_attribute_observations() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.observe(0, CON, Kind::Attributes);
    world.run_for(20 * SECOND);
    world.drain(10 * SECOND);
    assert_eq!(time_to_drain(&mut world), Duration::ZERO);
    assert_eq!(world.upstream.relay_calls(), 0);
}

#[test]
fn removing_a_device_does_not_prolong_the_drain() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    world.post(0, CON);
    world.run_for(SECOND);
    world.drain(60 * SECOND);
    world.reload_registry(&[]);
    let took = time_to_drain(&mut world);
    assert!(took > SECOND && took < 4 * SECOND, "{took:?}");
}

#[test]
fn a_token_change_during_the_drain_closes_polls_and_ends_the_wait() {
    let mut world = World::observing(default_settings(), CON);
    let opened = world.upstream.platform.polls_opened;
    world.drain(60 * SECOND);
    world.run_for(SECOND);
    assert!(!world.core.is_drained(), "a poll is open");
    world.reload_registry(&[RegistryEntry::new(0, "another", 0)]);
    let took = time_to_drain(&mut world);
    assert!(took < 4 * SECOND, "{took:?}");
    assert_eq!(
        world.upstream.platform.polls_opened, opened,
        "no further poll starts"
    );
}

#[test]
fn a_drain_of_zero_seconds_ends_at_once() {
    let mut world = World::observing(default_settings(), CON);
    world.upstream.delay = 5 * SECOND;
    world.post(0, CON);
    world.drain(Duration::ZERO);
    assert_eq!(time_to_drain(&mut world), Duration::ZERO);
    world.run_for(SECOND);
    assert!(world.devices[0].closed);
}
