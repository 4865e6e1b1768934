//! Hazard: ThingsBoard answers late, and many requests wait.

use super::invariants::assert_idle;
use super::{Behaviour, Conditions, World, default_settings};
use crate::gateway::Settings;
use crate::upstream::Error;
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_late_answer_reaches_every_device_without_retransmissions() {
    let mut world = World::new(20, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = 50 * SECOND;
    for device in 0..20 {
        world.post(device, Type::Confirmable);
        world.get(device);
    }
    world.run_for(60 * SECOND);
    for device in &world.devices {
        assert!(device.outcome(0).is(Code::CREATED));
        assert!(device.outcome(1).is(Code::CONTENT));
        assert_eq!(device.retransmissions(0) + device.retransmissions(1), 0);
    }
    world.run_for(300 * SECOND);
    assert_idle(&world.core, &world.devices);
}

#[test]
fn requests_above_max_in_flight_get_5_03_and_the_others_are_answered() {
    let settings = Settings {
        max_in_flight: 8,
        ..default_settings()
    };
    let mut world = World::with_settings(20, Conditions::GOOD, 1, settings);
    world.connect_all();
    world.upstream.delay = 20 * SECOND;
    for device in 0..20 {
        world.post(device, Type::Confirmable);
    }
    world.run_for(SECOND);
    let refused = |world: &World| {
        let outcomes = world.devices.iter().map(|device| device.outcome(0));
        outcomes.filter(|o| o.is(Code::SERVICE_UNAVAILABLE)).count()
    };
    assert_eq!(refused(&world), 12);
    assert_eq!(world.core.counters().gateway.calls_refused, 12);
    world.run_for(30 * SECOND);
    let created = world.devices.iter().map(|device| device.outcome(0));
    assert_eq!(
        created.filter(|outcome| outcome.is(Code::CREATED)).count(),
        8
    );
    assert_eq!(world.upstream.posts.len(), 8);
}

#[test]
fn one_session_has_at_most_its_share_of_calls_in_flight() {
    let mut world = World::new(2, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = 20 * SECOND;
    for _ in 0..40 {
        world.post(0, Type::Confirmable);
    }
    let other = world.post(1, Type::Confirmable);
    world.run_for(SECOND);
    assert_eq!(world.core.in_flight(), 16 + 1);
    world.run_for(100 * SECOND);
    // The session's other requests have waited in its queue.
    let created = world.devices[0].outcomes().filter(|o| o.is(Code::CREATED));
    assert_eq!(created.count(), 40);
    assert!(world.devices[1].outcome(other).is(Code::CREATED));
}

#[test]
fn upstream_timeouts_give_every_device_a_5_04() {
    let mut world = World::new(5, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.delay = 10 * SECOND;
    world.upstream.behaviour = Behaviour::Fails(Error::Timeout);
    for device in 0..5 {
        world.post(device, Type::Confirmable);
    }
    world.run_for(15 * SECOND);
    for device in &world.devices {
        assert!(device.outcome(0).is(Code::GATEWAY_TIMEOUT));
    }
    assert_eq!(world.upstream.posts.len(), 5, "no call is repeated");
}
